//! Runs the orchestrator, looks at the result, asks for the page from everywhere, and runs the
//! orchestrator again.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::container::{Container, containers, image_of, roles};
use super::contents::{Trees, images};
use super::plan::MatrixPlan;
use super::wait::{Limits, Script, settle};
use super::{
    COUNTER, COUNTER_PORT, Containers, Count, EXTERNAL, Images, Landed, Online, PAGE_PORT, Port, Shown,
};
use crate::evidence::network::{Networks, Rules};
use crate::guest::fakes::sleep;
use crate::guest::observe::firewall::Firewall;
use crate::guest::observe::links;
use crate::guest::observe::probe::{self, Place};
use crate::guest::observe::sockets;
use crate::guest::recorder::Recorder;
use crate::guest::run::obstructed::Obstructed;
use crate::guest::world::{Page, World};
use crate::task::Site;
use crate::task::task3::shared;
use crate::task::task3::shared::launch::ToolSession;
use crate::task::task3::shared::overlays::Overlays;
use crate::task::task3::shared::terminals::Terminals;
use crate::task::task3::shared::tool::Tool;
use crate::task::task3::shared::view::Machine;

/// Requests of the other LAN machine: one after the other, and by so many clients
/// at once as many each.
pub const IN_A_ROW: usize = 20;
const CLIENTS: usize = 6;
const EACH: usize = 5;
/// Requests of the machine itself, by its own address.
const BY_MACHINE: usize = 3;
/// Most ports of the machine that are tried from the LAN.
const PORTS_CAP: usize = 40;
/// How much of a page is kept, in characters.
const PAGE_CAP: usize = 400;
/// What an attempt to connect may take at most: a lost packet is sent again after 1, 3
/// and 7 seconds (tcp(7)).
const LONGEST: Duration = Duration::from_secs(8);
/// Seconds after which app.py says by itself that the counter-service does not answer.
const APP_PATIENCE: f64 = 15.0;
/// For how long a script may sleep between two steps.
const LONGEST_SLEEP: Duration = Duration::from_secs(8);
/// Where the counter-service says its count without adding to it.
pub const COUNT_PATH: &str = "/get_counter";
/// The record of a page that was asked for as the sample session shows it.
pub const AS_SHOWN: &str = "as-shown";
/// The record that tells the host to look at the page.
pub const HOST_MAY_LOOK: &str = "host-may-look";

/// The record kinds are the types of the parent module and of [`crate::task::task3::shared`].
pub fn drive(site: &Site, plan: &Value, recorder: &Recorder) -> io::Result<()> {
    let plan = MatrixPlan::deserialize(plan)?;
    let world = shared::connect(&plan.world)?;
    world.listen(plan.public.port())?;
    // Not below /run, from which nothing may be executed.
    let firewall = Firewall::copy_into(&PathBuf::from(format!("/var/lib/{:016x}", rand::random::<u64>())))?;
    firewall.set_forward_policy("DROP")?;
    // Where the script brings the tool into its own folder, that one is the one to call.
    let beside = Tool::prepare_in(site, "task4")?;
    let tool = Tool::prepare(site)?;
    let script = site.submission.join("task4/service-orchestrator.sh");
    if script.is_file() {
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755))
            .map_err(Obstructed::at("make executable", &script))?;
    }
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
    world: &'a World,
    firewall: &'a Firewall,
    /// How long it may take to get through, and to get the page.
    within: Duration,
    page_within: Duration,
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

    /// Runs the script until its page counts, or it is clear that it will not.
    pub(super) fn orchestrate(&mut self, step: &str) -> io::Result<Script> {
        let dir = self.site.submission.join("task4");
        let patience = self.session.tool.limit(5.0, 1.0);
        let script = Script::call(&mut self.session.terminals, &dir, "./service-orchestrator.sh", patience)?;
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

    /// Sees what images and containers there are, and what they hold.
    fn look_into(&self, step: &str) -> io::Result<Vec<Container>> {
        let (machine, submission) = (self.session.machine, &self.site.submission);
        let mut trees = Trees::default();
        let overlays = Overlays::now(step, machine, submission).mounted;
        let uppers: Vec<_> = overlays.iter().filter_map(|overlay| overlay.upper.clone()).collect();
        let images = images(submission, &uppers, &mut trees);
        self.record("images", &Images { step: step.to_owned(), images })?;
        let mut containers = containers(machine, &[]);
        for container in &mut containers {
            container.image = image_of(container, &overlays, &mut trees);
        }
        self.record("containers", &Containers { step: step.to_owned(), containers: containers.clone() })?;
        Ok(containers)
    }

    /// Sees which containers there are.
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

    /// Asks for the page from everywhere, and the counter-service before and after; says from where
    /// the page counts: from the LAN, or else from the machine itself.
    fn count_pages(
        &self,
        seen: &[Container],
        counter: Option<&Container>,
    ) -> io::Result<Option<&'static str>> {
        self.land(seen)?;
        self.count("before", counter)?;
        let from = if self.ask_in_a_row("lan")? {
            self.ask_at_once()?;
            for _ in 0..BY_MACHINE {
                self.ask("in-a-row", "machine")?;
            }
            if let Some(counter) = counter.filter(|_| self.plan.from_host) {
                self.let_the_host_look(counter)?;
            }
            Some("lan")
        } else {
            self.ask_in_a_row("machine")?.then_some("machine")
        };
        self.count("after", counter)?;
        Ok(from)
    }

    /// Asks for the page one time after the other, as long as it counts; says
    /// whether it always did.
    fn ask_in_a_row(&self, from: &str) -> io::Result<bool> {
        for _ in 0..IN_A_ROW {
            if self.ask("in-a-row", from)?.number().is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Sees in which containers a connection to the page's port ends.
    fn land(&self, seen: &[Container]) -> io::Result<()> {
        let now = |container: &Container| sockets::connections(container.pid);
        let before: Vec<_> = seen.iter().map(now).collect();
        let connected = self.world.connect_from_lan(self.page_address(), self.within);
        let mut landed = Landed { step: "first".to_owned(), ..Landed::default() };
        match &connected {
            // Held open meanwhile. A program that passes it on may take a moment to.
            Ok(_) => {
                std::thread::sleep(Duration::from_millis(500));
                let ends = seen.iter().zip(&before).filter(|(container, old)| {
                    now(container).difference(old).any(|(own, _)| container.listening.contains(&own.port()))
                });
                landed.roots = ends.map(|(container, _)| container.root.clone()).collect();
            }
            Err(error) => landed.error = Some(error.to_string()),
        }
        self.record("landed", &landed)
    }

    /// Asks the counter-service for its count, by its address and from inside its container.
    fn count(&self, step: &str, counter: Option<&Container>) -> io::Result<()> {
        let Some(counter) = counter else { return Ok(()) };
        let (place, itself) = Self::inside(counter);
        let by_address = counter.address.map(|address| SocketAddrV4::new(address, itself.port()));
        let ways = [("itself", place, Some(itself)), ("machine", Place::Machine, by_address)];
        for (from, place, to) in ways {
            let Some(to) = to else { continue };
            let answer = shown(step, from, to, COUNT_PATH, probe::page(place, to, COUNT_PATH, self.within));
            let count = Count {
                step: step.to_owned(),
                from: from.to_owned(),
                address: *to.ip(),
                port: to.port(),
                answer: answer.number().filter(|_| answer.is_bare_number()),
                error: (!answer.is_bare_number()).then(|| answer.told()),
            };
            self.record("count", &count)?;
        }
        Ok(())
    }

    /// The assignment's last two steps: the page, asked on the machine and on another one.
    fn ask_as_shown(&self) -> io::Result<()> {
        for from in ["machine", "lan"] {
            self.record(AS_SHOWN, &self.get(AS_SHOWN, from))?;
        }
        Ok(())
    }

    fn ask_at_once(&self) -> io::Result<()> {
        let ask = || {
            let requests = (0..EACH).map(|_| self.get("at-once", "lan"));
            requests.collect::<Vec<_>>()
        };
        let pages: Vec<Shown> = std::thread::scope(|scope| {
            let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(ask)).collect();
            clients.into_iter().filter_map(|client| client.join().ok()).flatten().collect()
        });
        pages.iter().try_for_each(|page| self.record("page", page))
    }

    /// Opens the way from the real host, which records itself what it sees, and waits until
    /// its visit is counted.
    fn let_the_host_look(&self, counter: &Container) -> io::Result<()> {
        let (place, to) = Self::inside(counter);
        let count =
            || shown("", "", to, COUNT_PATH, probe::page(place, to, COUNT_PATH, self.within)).number();
        let before = count();
        self.world.show_to_host(self.page_address());
        self.record(HOST_MAY_LOOK, &self.page_address())?;
        let deadline = Instant::now() + self.session.tool.limit(10.0, 1.0);
        while before.is_some() && count() == before && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(200));
        }
        Ok(())
    }

    /// The counter-service, as its own container reaches it.
    fn inside(counter: &Container) -> (Place, SocketAddrV4) {
        (Place::Process(counter.pid), SocketAddrV4::new(Ipv4Addr::LOCALHOST, counter_port(counter)))
    }

    /// Asks each port of the machine that might lead to the counter-service for the
    /// count, from the LAN.
    fn try_ports(&self, counter: &Container) -> io::Result<()> {
        let mut ports: BTreeSet<u16> = sockets::listening(std::process::id() as i32);
        // Ports that the rules of the firewall name.
        let rules = self.firewall.rules();
        let numbers = rules.iter().flat_map(|rule| rule.split(|char: char| !char.is_ascii_digit()));
        ports.extend(numbers.filter_map(|number| number.parse::<u16>().ok()).filter(|port| *port > 20));
        let likely = [COUNTER_PORT, counter_port(counter), PAGE_PORT];
        let others = ports.into_iter().filter(|port| !likely.contains(port));
        let ports: BTreeSet<u16> = likely.into_iter().chain(others).take(PORTS_CAP).collect();
        let ask = |port: u16| {
            let to = SocketAddrV4::new(self.plan.world.machine, port);
            let page = self.world.http_get_from_lan(to, COUNT_PATH, self.within);
            Port { port, page: shown("ports", "lan", to, COUNT_PATH, page) }
        };
        let answers: Vec<Port> = std::thread::scope(|scope| {
            let ask = &ask;
            let asked: Vec<_> = ports.into_iter().map(|port| scope.spawn(move || ask(port))).collect();
            asked.into_iter().filter_map(|answer| answer.join().ok()).collect()
        });
        answers.iter().try_for_each(|answer| self.record("port", answer))
    }

    /// Asks for the page once and records it.
    pub(super) fn ask(&self, step: &str, from: &str) -> io::Result<Shown> {
        let page = self.get(step, from);
        self.record("page", &page)?;
        Ok(page)
    }

    fn get(&self, step: &str, from: &str) -> Shown {
        let to = self.page_address();
        let page = match from {
            "lan" => self.world.http_get_from_lan(to, "/", self.page_within),
            _ => probe::page(Place::Machine, to, "/", self.page_within),
        };
        shown(step, from, to, "/", page)
    }

    fn page_address(&self) -> SocketAddrV4 {
        SocketAddrV4::new(self.plan.world.machine, PAGE_PORT)
    }

    pub(super) fn record(&self, kind: &str, data: &impl Serialize) -> io::Result<()> {
        self.session.recorder.record(kind, data)
    }
}

/// What a compiler gets of the counter-service.
fn sources(dir: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    files.filter(|file| file.extension().is_some_and(|kind| kind == "c" || kind == "cpp")).collect()
}

/// The port on which the counter-service can be reached, as far as can be told.
fn counter_port(counter: &Container) -> u16 {
    let ports = &counter.listening;
    if ports.contains(&COUNTER_PORT) { COUNTER_PORT } else { ports.first().copied().unwrap_or(COUNTER_PORT) }
}

/// An answer in the form of evidence.
pub fn shown(step: &str, from: &str, to: SocketAddrV4, path: &str, page: io::Result<Page>) -> Shown {
    let (step, from, url) = (step.to_owned(), from.to_owned(), format!("http://{to}{path}"));
    match page {
        Ok(Page { status, body }) => {
            let body = body.chars().take(PAGE_CAP).collect();
            Shown { step, from, url, status: Some(status), body, error: None }
        }
        Err(error) => Shown { step, from, url, error: Some(error.to_string()), ..Shown::default() },
    }
}
