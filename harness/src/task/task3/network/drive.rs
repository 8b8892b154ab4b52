//! Drives 3c: connects single containers in each way, then four at once. Tries which of them reach
//! each other before and after `peer`, and stops one.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::as_shown;
use super::marks::{marks, names, outside_links};
use super::plan::{NetworkPlan, PEERS, ROLES};
use super::{NetworkLeft, Networks, Sniffed};
use crate::evidence::network::{Link, Rules};
use crate::guest::observe::firewall::Firewall;
use crate::guest::observe::handles;
use crate::guest::observe::links;
use crate::guest::observe::probe::Place;
use crate::guest::observe::sniffer::Sniffer;
use crate::guest::observe::sockets;
use crate::guest::recorder::Recorder;
use crate::guest::world::World;
use crate::task::Site;
use crate::task::task3::run::left;
use crate::task::task3::shared;
use crate::task::task3::shared::launch::{Running, ToolSession};
use crate::task::task3::shared::state::Folder;
use crate::task::task3::shared::terminals::Terminals;
use crate::task::task3::shared::tool::Tool;
use crate::task::task3::shared::view::Machine;

/// The record kinds are the types of the parent module and of [`crate::task::task3::shared`].
pub fn drive(site: &Site, plan: &Value, recorder: &Recorder) -> io::Result<()> {
    let plan = NetworkPlan::deserialize(plan)?;
    let world = shared::connect(&plan.world)?;
    world.listen(plan.public.port())?;
    // Not below /run, from which nothing may be executed.
    let firewall = Firewall::copy_into(&PathBuf::from(format!("/var/lib/{:016x}", rand::random::<u64>())))?;
    firewall.set_forward_policy("DROP")?;
    let tool = Tool::prepare(site)?;
    let machine = Machine::now();
    recorder.record("machine", &machine)?;
    let mut scenario = NetworkScenario {
        rules: firewall.rules(),
        session: ToolSession {
            recorder,
            terminals: Terminals::new(recorder).giving_up(&machine.processes),
            tool: &tool,
            machine: &machine,
        },
        site,
        plan: &plan,
        world: &world,
        firewall: &firewall,
        containers: Vec::new(),
        networks: Networks::default(),
    };
    let performed = scenario.perform();
    drop(scenario);
    world.record(recorder)?;
    performed
}

pub(super) struct Container {
    pub(super) role: &'static str,
    pub(super) running: Running,
}

pub(super) struct NetworkScenario<'a, 'r> {
    pub(super) session: ToolSession<'a, 'r>,
    site: &'a Site,
    pub(super) plan: &'a NetworkPlan,
    pub(super) world: &'a World,
    firewall: &'a Firewall,
    /// The machine's rules before any container.
    rules: BTreeSet<String>,
    pub(super) containers: Vec<Container>,
    /// As they were when all containers were connected.
    pub(super) networks: Networks,
}

impl NetworkScenario<'_, '_> {
    fn perform(&mut self) -> io::Result<()> {
        let plan = self.plan;
        self.session.write("build", "Conductorfile", "FROM debian:bookworm\n")?;
        let limit = self.session.tool.limit(240.0, 30.0);
        self.session.call("build", &["build", &plan.image, "Conductorfile"], limit)?;
        self.alone("first", &plan.sleeps[0], &[])?;
        self.alone("online", &plan.sleeps[1], &["-i"])?;

        let mapping = format!("{}-{}", plan.inner, plan.outer);
        for (role, sleep) in ROLES.iter().zip(&plan.sleeps[2..]) {
            self.start(role, sleep)?;
            if *role == "web" {
                self.connect("web", &["-i", "-e", &mapping])?;
                self.networks = self.look("web")?;
                self.try_all("web")?;
            }
        }
        self.connect("plain", &[])?;
        self.connect("store", &["-i"])?;
        // With Internet, so that this container answers whatever reaches it, and with a port of its
        // own, which must not close the first one.
        self.connect("quiet", &["-i", "-e", &format!("{}-{}", plan.inner + 1, plan.outer + 1)])?;
        self.networks = self.look("connected")?;

        self.try_all("connected")?;
        for (step, [one, two]) in ["peer", "peer-plain"].into_iter().zip(PEERS) {
            if self.has(one) && self.has(two) {
                let limit = self.session.tool.limit(15.0, 3.0);
                self.session.call(step, &["peer", plan.name(one), plan.name(two)], limit)?;
            }
        }
        self.look("peer")?;
        self.try_all("peer")?;
        // A host without a firewall: only routes and address translation are left
        // to keep containers in.
        self.firewall.set_forward_policy("ACCEPT")?;
        self.try_all("open")?;
        self.firewall.set_forward_policy("DROP")?;
        self.stop()?;
        as_shown::connect(&mut self.session, &plan.image, &plan.session)
    }

    /// Connects a container while no other one has a network, tries what it reaches, and ends it.
    fn alone(&mut self, role: &'static str, sleep: &str, options: &[&str]) -> io::Result<()> {
        self.start(role, sleep)?;
        self.connect(role, options)?;
        self.networks = self.look(role)?;
        let sniffer = self.sniffer(role);
        self.try_all(role)?;
        if role == "first" {
            self.record("sniffed", &Sniffed { step: role.to_owned(), icmp: sniffer.map(Sniffer::pings) })?;
            // A host without a firewall: only routes and address translation are left to
            // keep a container in.
            self.firewall.set_forward_policy("ACCEPT")?;
            self.try_all("first-open")?;
            self.firewall.set_forward_policy("DROP")?;
        }
        let Some(Container { running, .. }) = self.containers.pop() else { return Ok(()) };
        let limit = self.session.tool.limit(15.0, 3.0);
        self.session.call(&format!("stop-{role}"), &["stop", self.plan.name(role)], limit)?;
        self.put_away(role, &running)
    }

    /// Ends what `stop` left of a container that was alone: that is not what the
    /// next one is asked about.
    fn put_away(&mut self, role: &str, running: &Running) -> io::Result<()> {
        for process in running.view.remains(self.session.machine) {
            let _ = kill(Pid::from_raw(process.pid), Signal::SIGKILL);
        }
        self.session.terminals.kill(running.terminal)?;
        let inside = self.networks.containers.get(role).cloned().unwrap_or_default();
        let outside = outside_links(&inside, &self.networks.machine);
        let is_there = |link: &Link| Path::new(&handles::sys("class/net")).join(&link.name).exists();
        // The kernel removes them in the background when the namespace's last process is gone.
        self.session
            .terminals
            .until(self.session.tool.limit(2.0, 1.0), |_| !outside.iter().any(is_there))
            .map(drop)
    }

    /// Listens on the machine's end as it is called in the assignment; `None` where
    /// there is no such link.
    fn sniffer(&self, role: &str) -> Option<Sniffer> {
        let name = format!("{}-outside", self.plan.name(role));
        let link = self.networks.machine.links.iter().find(|link| link.name == name)?;
        Sniffer::start(link.index).ok()
    }

    fn start(&mut self, role: &'static str, sleep: &str) -> io::Result<()> {
        let run = ["run", &self.plan.image, self.plan.name(role)];
        if let Some(running) = self.session.start(role, &run, &["sleep", sleep])? {
            self.containers.push(Container { role, running });
        }
        Ok(())
    }

    /// Stops the exposed container, with a process in it that does not heed
    /// signals; the others stay.
    fn stop(&mut self) -> io::Result<()> {
        let plan = self.plan;
        if !self.has("web") {
            return Ok(());
        }
        if let Some(shell) = self.session.start_shell("stubborn", &["exec", &plan.web])? {
            let line = format!("(trap '' HUP INT TERM; exec sleep {}) & disown", plan.sleeps[6]);
            let limit = self.session.tool.limit(5.0, 2.0);
            self.session.terminals.type_line(shell.terminal, &line, limit)?;
            self.session.terminals.type_last_line(shell.terminal, "exit");
            self.session.terminals.finish("stubborn-exit", shell.terminal, limit)?;
        }
        let folder = Folder::open(&self.site.submission, &plan.web);
        let limit = self.session.tool.limit(15.0, 3.0);
        self.session.call("stop-web", &["stop", &plan.web], limit)?;
        let web = self.containers.iter().position(|container| container.role == "web");
        let Some(web) = web.map(|at| self.containers.remove(at)) else { return Ok(()) };
        let left = left("stop-web", &mut self.session, folder, &plan.web, Some(&web.running))?;
        self.record("left", &left)?;
        let left = self.network_left("stop-web", "web")?;
        self.record("network-left", &left)?;
        self.try_all("after-stop")
    }

    pub(super) fn has(&self, role: &str) -> bool {
        self.containers.iter().any(|container| container.role == role)
    }

    fn connect(&mut self, role: &str, options: &[&str]) -> io::Result<()> {
        if !self.has(role) {
            return Ok(());
        }
        let words = [&["addnetwork", self.plan.name(role)], options].concat();
        let limit = self.session.tool.limit(20.0, 3.0);
        self.session.call(&format!("addnetwork-{role}"), &words, limit).map(drop)
    }

    fn look(&self, step: &str) -> io::Result<Networks> {
        let containers = self.containers.iter().filter_map(|container| {
            let place = Place::Process(container.running.view.main.pid);
            Some((container.role.to_owned(), place.run(links::here).ok()?))
        });
        let networks =
            Networks { step: step.to_owned(), machine: links::here()?, containers: containers.collect() };
        self.record("networks", &networks)?;
        let now = self.firewall.rules();
        self.record("rules", &Rules::since(step, now.difference(&self.rules)))?;
        Ok(networks)
    }

    /// What of a stopped container's network is left, once it had a moment to go.
    fn network_left(&mut self, step: &str, role: &str) -> io::Result<NetworkLeft> {
        let inside = self.networks.containers.get(role).cloned().unwrap_or_default();
        let outside: Vec<Link> = outside_links(&inside, &self.networks.machine);
        let is_there = |link: &&Link| Path::new(&handles::sys("class/net")).join(&link.name).exists();
        let outer = self.plan.outer;
        let is_open = || sockets::listening(Pid::this().as_raw()).contains(&outer);
        // The kernel removes them in the background when the namespace's last process is gone. A
        // killed proxy may take a moment to go, too.
        self.session.terminals.until(self.session.tool.limit(2.0, 1.0), |_| {
            !outside.iter().any(|link| is_there(&link)) && !is_open()
        })?;
        let name = self.plan.name(role);
        let marks = marks(name, &inside, &outside);
        let rules = self.firewall.rules();
        let of_it = |rule: &&String| marks.iter().any(|mark| names(rule, mark));
        Ok(NetworkLeft {
            step: step.to_owned(),
            links: outside.iter().filter(is_there).map(|link| link.name.clone()).collect(),
            rules: rules.difference(&self.rules).filter(of_it).cloned().collect(),
            listening: is_open().then_some(outer),
        })
    }

    pub(super) fn record(&self, kind: &str, data: &impl Serialize) -> io::Result<()> {
        self.session.recorder.record(kind, data)
    }
}
