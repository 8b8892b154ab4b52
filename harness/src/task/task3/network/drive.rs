//! Drives 3c: connects single containers in each way, then four at once. Tries which of them reach
//! each other before and after `peer`, and stops one.

use std::collections::BTreeSet;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::as_shown;
use super::marks::{machine_end, marks, names, outside_links};
use super::plan::{NetworkPlan, ROLES};
use super::{NetworkLeft, Networks, Reach, Sniffed};
use crate::evidence::network::Answer;
use crate::evidence::network::{Link, Network, Rules};
use crate::guest::observe::firewall::Firewall;
use crate::guest::observe::handles;
use crate::guest::observe::links;
use crate::guest::observe::probe::{self, Echo, Place};
use crate::guest::observe::processes;
use crate::guest::observe::sniffer::Sniffer;
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

/// What an attempt may take at most: a lost packet is sent again after 1, 3 and 7 seconds (tcp(7)).
const LONGEST: Duration = Duration::from_secs(8);
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

struct Container {
    role: &'static str,
    running: Running,
}

struct NetworkScenario<'a, 'r> {
    session: ToolSession<'a, 'r>,
    site: &'a Site,
    plan: &'a NetworkPlan,
    world: &'a World,
    firewall: &'a Firewall,
    /// The machine's rules before any container.
    rules: BTreeSet<String>,
    containers: Vec<Container>,
    /// As they were when all containers were connected.
    networks: Networks,
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
        for (step, [one, two]) in [("peer", ["web", "store"]), ("peer-plain", ["plain", "quiet"])] {
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

    fn has(&self, role: &str) -> bool {
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

    /// Tries every way that a check asks about, all at once: most of what must not get through
    /// takes its whole time.
    fn try_all(&self, step: &str) -> io::Result<()> {
        let plan = self.plan;
        let word = |place: &str| plan.words.get(place).map_or("", String::as_str);
        let mut servers = Vec::new();
        let mut places = vec![("machine", Place::Machine)];
        for container in self.alive() {
            places.push((container.role, Place::Process(container.running.view.main.pid)));
        }
        for (role, place) in &places {
            let port = if *role == "machine" { plan.home } else { plan.other };
            servers.push(Echo::start(*place, port, word(role)));
            if *role == "web" {
                servers.push(Echo::start(*place, plan.inner, word(role)));
            }
        }

        let attempts = self.attempts(step, &places);
        let within = self.session.tool.limit(2.0, 0.5).min(LONGEST);
        let tried: Vec<Reach> = std::thread::scope(|scope| {
            let running: Vec<_> = attempts
                .into_iter()
                .map(|(reach, way)| scope.spawn(move || Reach { answer: self.take(&way, within), ..reach }))
                .collect();
            running.into_iter().filter_map(|attempt| attempt.join().ok()).collect()
        });
        drop(servers);
        tried.iter().try_for_each(|reach| self.record("reach", reach))
    }

    fn alive(&self) -> impl Iterator<Item = &Container> {
        self.containers.iter().filter(|container| {
            let main = &container.running.view.main;
            processes::read(main.pid).is_some_and(|now| now.start == main.start)
        })
    }

    fn attempts(&self, step: &str, places: &[(&str, Place)]) -> Vec<(Reach, Way)> {
        let plan = self.plan;
        let mut attempts = Vec::new();
        let mut add = |from: &str, to: &str, word: &str, way: Way| {
            let by = if matches!(way, Way::Ping(..)) { "ping" } else { "tcp" };
            let (step, from, to) = (step.to_owned(), from.to_owned(), to.to_owned());
            let (by, word, address) = (by.to_owned(), word.to_owned(), way.address());
            attempts.push((Reach { step, from, to, address, by, word, answer: Answer::default() }, way));
        };
        let word = |place: &str| plan.words.get(place).map_or("", String::as_str);
        let web = word("web");
        let at = |address, port| SocketAddrV4::new(address, port);
        for (role, place) in places.iter().filter(|(role, _)| *role != "machine") {
            let Some(own) = self.networks.containers.get(*role).and_then(Network::address) else { continue };
            add("machine", role, word(role), Way::Tcp(Place::Machine, at(own, plan.other)));
            add("machine", role, "", Way::Ping(Place::Machine, own));
            add(role, "itself", word(role), Way::Tcp(*place, at(Ipv4Addr::LOCALHOST, plan.other)));
            if let Some(outside) = self.gateway_of(role) {
                add(role, "machine", word("machine"), Way::Tcp(*place, at(outside, plan.home)));
                add(role, "machine", "", Way::Ping(*place, outside));
            }
            add(role, "internet", &plan.world.echo_word, Way::Tcp(*place, plan.public));
            for (other, _) in places.iter().filter(|(other, _)| other != role && *other != "machine") {
                let Some(to) = self.networks.containers.get(*other).and_then(Network::address) else {
                    continue;
                };
                add(role, other, word(other), Way::Tcp(*place, at(to, plan.other)));
                // The assignment isolates containers from each other altogether.
                if step == "connected" {
                    add(role, other, "", Way::Ping(*place, to));
                }
            }
        }
        let machine = plan.world.machine;
        if self.has("web") {
            add("lan", "exposed", web, Way::FromLan(at(machine, plan.outer)));
            add("machine", "exposed", web, Way::Tcp(Place::Machine, at(machine, plan.outer)));
        }
        for (other, _) in places.iter().filter(|(other, _)| *other != "machine") {
            add("lan", "other-port", word(other), Way::FromLan(at(machine, plan.other)));
            add("machine", "other-port", word(other), Way::Tcp(Place::Machine, at(machine, plan.other)));
        }
        attempts
    }

    /// The machine's address in a container's network.
    fn gateway_of(&self, role: &str) -> Option<Ipv4Addr> {
        let inside = self.networks.containers.get(role)?;
        machine_end(inside, &self.networks.machine).map(|address| address.ip)
    }

    fn take(&self, way: &Way, within: Duration) -> Answer {
        let word = format!("{:016x}", rand::random::<u64>());
        match way {
            Way::Tcp(place, to) => probe::ask(*place, *to, &word, within),
            Way::Ping(place, to) => probe::ping(*place, *to, within),
            Way::FromLan(to) => {
                let stream = self.world.connect_from_lan(*to, within);
                probe::told(stream.and_then(|stream| probe::say(&stream, &word, within)))
            }
        }
    }

    /// What of a stopped container's network is left, once it had a moment to go.
    fn network_left(&mut self, step: &str, role: &str) -> io::Result<NetworkLeft> {
        let inside = self.networks.containers.get(role).cloned().unwrap_or_default();
        let outside: Vec<Link> = outside_links(&inside, &self.networks.machine);
        let is_there = |link: &&Link| Path::new(&handles::sys("class/net")).join(&link.name).exists();
        // The kernel removes them in the background when the namespace's last process is gone.
        self.session
            .terminals
            .until(self.session.tool.limit(2.0, 1.0), |_| !outside.iter().any(|link| is_there(&link)))?;
        let name = self.plan.name(role);
        let marks = marks(name, &inside, &outside);
        let rules = self.firewall.rules();
        let of_it = |rule: &&String| marks.iter().any(|mark| names(rule, mark));
        Ok(NetworkLeft {
            step: step.to_owned(),
            links: outside.iter().filter(is_there).map(|link| link.name.clone()).collect(),
            rules: rules.difference(&self.rules).filter(of_it).cloned().collect(),
        })
    }

    fn record(&self, kind: &str, data: &impl Serialize) -> io::Result<()> {
        self.session.recorder.record(kind, data)
    }
}

/// How to get through.
#[derive(Clone, Copy, Debug)]
enum Way {
    Tcp(Place, SocketAddrV4),
    Ping(Place, Ipv4Addr),
    FromLan(SocketAddrV4),
}

impl Way {
    fn address(&self) -> String {
        match self {
            Self::Tcp(_, to) | Self::FromLan(to) => to.to_string(),
            Self::Ping(_, to) => to.to_string(),
        }
    }
}
