//! Runs the orchestrator, looks at the result, asks for the page from everywhere, and runs the
//! orchestrator again.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::container::{Container, containers, image_of, roles};
use super::contents::{Trees, images};
use super::plan::MatrixPlan;
use super::requests::shown;
use super::scripts::Scripts;
use super::wait::{Limits, SCRIPT, Script, settle};
use super::{COUNTER, Containers, EXTERNAL, Images, Online};
use crate::evidence::network::{Networks, Rules};
use crate::guest::fakes::sleep;
use crate::guest::observe::firewall::Firewall;
use crate::guest::observe::links;
use crate::guest::observe::probe::{self, Place};
use crate::guest::recorder::Recorder;
use crate::guest::run::obstructed::Obstructed;
use crate::guest::world::World;
use crate::task::Site;
use crate::task::task3::shared;
use crate::task::task3::shared::launch::ToolSession;
use crate::task::task3::shared::overlays::Overlays;
use crate::task::task3::shared::terminals::Terminals;
use crate::task::task3::shared::tool::Tool;
use crate::task::task3::shared::view::Machine;

/// The longest that an attempt to connect may take: a lost packet is sent again after 1, 3 and 7
/// seconds (tcp(7)).
const LONGEST: Duration = Duration::from_secs(8);
/// Seconds after which app.py says by itself that the counter-service does not answer.
const APP_PATIENCE: f64 = 15.0;
/// The longest that a script may sleep between two steps.
const LONGEST_SLEEP: Duration = Duration::from_secs(8);
/// The record kinds are the types of the parent module and of [`crate::task::task3::shared`].
pub fn drive(site: &Site, plan: &Value, recorder: &Recorder) -> io::Result<()> {
    let plan = MatrixPlan::deserialize(plan)?;
    let world = shared::connect(&plan.world)?;
    world.listen(plan.public.port())?;
    // Not below /run, from which nothing may be executed.
    let firewall = Firewall::copy_into(&PathBuf::from(format!("/var/lib/{:016x}", rand::random::<u64>())))?;
    firewall.set_forward_policy("DROP")?;
    // If the script's own folder holds the tool, the script calls that one.
    let beside = Tool::prepare_in(site, "task4")?;
    let tool = Tool::prepare(site)?;
    let script = site.submission.join("task4/service-orchestrator.sh");
    if script.is_file() {
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755))
            .map_err(Obstructed::at("make executable", &script))?;
    }
    // Before it runs: it may write scripts of its own.
    recorder.record("scripts", &Scripts::now(&site.submission))?;
    let machine = Machine::now();
    recorder.record("machine", &machine)?;
    let longer = sleep::stretch(site.slowdown);
    if longer > 1.0 {
        sleep::install(longer)?;
        recorder.record("sleep-takes", &longer)?;
    }
    let mut scenario = MatrixScenario {
        session: ToolSession {
            recorder,
            terminals: Terminals::new(recorder)
                .compiling(sources(&site.course.join("task4/counter-service"))),
            tool: &tool,
            machine: &machine,
        },
        site,
        plan: &plan,
        world: &world,
        firewall: &firewall,
        within: tool.limit(2.0, 0.5).min(LONGEST),
        page_within: tool.limit(APP_PATIENCE + 2.0, 0.5),
    };
    let performed = scenario.perform(&beside);
    drop(scenario);
    world.record(recorder)?;
    performed
}

pub(super) struct MatrixScenario<'a, 'r> {
    pub(super) session: ToolSession<'a, 'r>,
    pub(super) site: &'a Site,
    pub(super) plan: &'a MatrixPlan,
    pub(super) world: &'a World,
    pub(super) firewall: &'a Firewall,
    /// How long a connection may take, and how long the page may take.
    pub(super) within: Duration,
    pub(super) page_within: Duration,
}

impl<'a> MatrixScenario<'a, '_> {
    fn perform(&mut self, beside: &'a Tool) -> io::Result<()> {
        let script = self.orchestrate("first")?;
        let seen = self.look_into("first")?;
        let (counter, page) = roles(&seen);
        self.look_at_network(counter, page)?;
        self.try_internet(counter, page)?;
        let counted_from = self.count_pages(&seen, counter)?;
        if let Some(counter) = counter {
            self.try_ports(counter)?;
        }
        self.look("first-end", &seen)?;
        let Some(from) = counted_from else { return Ok(()) };
        self.ask_as_shown()?;
        if beside.dir.join("conductor.sh").exists() {
            self.session.tool = beside;
        }
        if let Some(page) = page {
            self.exec_beside(page)?;
        }
        self.stop_all(script)?;
        let (script, both_run) = self.run_again("again", from)?;
        if !both_run {
            // A script may not go on where its images are there already.
            self.stop_all(script)?;
            self.remove_images()?;
            self.run_again("again-clean", from)?;
        }
        Ok(())
    }

    /// Runs the script until its page shows a count, or until it makes no more progress.
    pub(super) fn orchestrate(&mut self, step: &str) -> io::Result<Script> {
        let dir = self.site.submission.join("task4");
        let patience = self.session.tool.limit(5.0, 1.0);
        let script = Script::call(&mut self.session.terminals, &dir, SCRIPT, patience)?;
        let limits = Limits {
            all: self.session.tool.limit(240.0, 40.0),
            more: self.session.tool.limit(10.0, 1.0),
            pause: LONGEST_SLEEP.mul_f64(sleep::stretch(self.site.slowdown)),
        };
        let (world, to, within) = (self.world, self.page_address(), self.page_within);
        let ask = || {
            let page = shown("settled", "lan", to, "/", world.http_get_from_lan(to, "/", within));
            // Where other machines are not let in, the machine itself may be.
            match page.status {
                Some(_) => page,
                None => shown("settled", "machine", to, "/", probe::page(Place::Machine, to, "/", within)),
            }
        };
        let settled = settle(step, &mut self.session.terminals, script, self.session.machine, limits, ask)?;
        self.record("settled", &settled)?;
        Ok(script)
    }

    /// Records the images, the containers and their contents.
    fn look_into(&self, step: &str) -> io::Result<Vec<Container>> {
        let (machine, submission) = (self.session.machine, &self.site.submission);
        let mut trees = Trees::default();
        let overlays = Overlays::now(step, machine, submission).mounted;
        let mut containers = containers(machine, &[]);
        let uppers = overlays.iter().filter_map(|overlay| overlay.upper.clone());
        let of_containers: Vec<_> =
            uppers.chain(containers.iter().map(|container| container.root.clone())).collect();
        let images = images(submission, &of_containers, &mut trees);
        self.record("images", &Images { step: step.to_owned(), images })?;
        for container in &mut containers {
            container.image = image_of(container, &overlays, &mut trees);
        }
        self.record("containers", &Containers { step: step.to_owned(), containers: containers.clone() })?;
        Ok(containers)
    }

    /// Records the containers.
    pub(super) fn look(&self, step: &str, known: &[Container]) -> io::Result<()> {
        let containers = containers(self.session.machine, known);
        self.record("containers", &Containers { step: step.to_owned(), containers })
    }

    /// Records the interfaces on both sides and the firewall's rules.
    fn look_at_network(&self, counter: Option<&Container>, page: Option<&Container>) -> io::Result<()> {
        let here = |container: &Container| Place::Process(container.pid).run(links::here).ok();
        let services = [(COUNTER, counter), (EXTERNAL, page)];
        let containers = services
            .into_iter()
            .filter_map(|(service, container)| Some((service.to_owned(), here(container?)?)));
        let containers = containers.collect();
        let step = "first".to_owned();
        self.record("networks", &Networks { step, machine: links::here()?, containers })?;
        self.record("rules", &Rules::since("first", self.firewall.rules().iter()))
    }

    /// Speaks to a server in the Internet from both containers.
    fn try_internet(&self, counter: Option<&Container>, page: Option<&Container>) -> io::Result<()> {
        for (service, container) in [(COUNTER, counter), (EXTERNAL, page)] {
            let Some(container) = container else { continue };
            let (to, said) = (self.plan.public, format!("{:016x}", rand::random::<u64>()));
            let answer = probe::ask(Place::Process(container.pid), to, &said, self.within);
            let service = service.to_owned();
            self.record("online", &Online { step: "first".to_owned(), service, to, said, answer })?;
        }
        Ok(())
    }

    pub(super) fn record(&self, kind: &str, data: &impl Serialize) -> io::Result<()> {
        self.session.recorder.record(kind, data)
    }
}

/// The source files of the counter-service, which a compiler reads.
fn sources(dir: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    files.filter(|file| file.extension().is_some_and(|kind| kind == "c" || kind == "cpp")).collect()
}
