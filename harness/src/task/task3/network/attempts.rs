//! Tries who reaches whom: over TCP, over UDP, and by ping.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::{Duration, Instant};

use super::Reach;
use super::drive::{Container, NetworkScenario};
use super::marks::machine_end;
use super::plan::are_peers;
use crate::evidence::network::{Answer, Network};
use crate::guest::observe::datagram;
use crate::guest::observe::probe::{self, Place};
use crate::guest::observe::processes;

/// What an attempt may take at most: a lost packet is sent again after 1, 3 and 7 seconds (tcp(7)).
const LONGEST: Duration = Duration::from_secs(8);
/// Time between two attempts at an exposed port.
const AGAIN: Duration = Duration::from_millis(100);

impl NetworkScenario<'_, '_> {
    /// Tries every way that a check asks about, all at once: most of what must not get through
    /// takes its whole time.
    pub(super) fn try_all(&self, step: &str) -> io::Result<()> {
        let plan = self.plan;
        let word = |place: &str| plan.words.get(place).map_or("", String::as_str);
        let mut servers = Vec::new();
        let mut places = vec![("machine", Place::Machine)];
        for container in self.alive() {
            places.push((container.role, Place::Process(container.running.view.main.pid)));
        }
        for (role, place) in &places {
            let port = if *role == "machine" { plan.home } else { plan.other };
            servers.push(probe::echo(*place, port, word(role)));
            if *role != "machine" {
                servers.push(datagram::echo(*place, port, word(role)));
            }
            if *role == "web" {
                servers.push(probe::echo(*place, plan.inner, word(role)));
            }
        }

        let attempts = self.attempts(step, &places);
        let within = self.session.tool.limit(2.0, 0.5).min(LONGEST);
        let tried: Vec<Reach> = std::thread::scope(|scope| {
            let running: Vec<_> = attempts
                .into_iter()
                .map(|(reach, way)| {
                    scope.spawn(move || {
                        let (answer, arrived) = match (reach.to.as_str(), &way) {
                            ("exposed", _) => (until_answered(within, || self.take(&way, within)), None),
                            (_, Way::PingInto(meant, place, to)) => {
                                probe::ping_into(*meant, *place, *to, within)
                            }
                            _ => (self.take(&way, within), None),
                        };
                        Reach { answer, arrived, ..reach }
                    })
                })
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
            let by = way.by();
            let (step, from, to) = (step.to_owned(), from.to_owned(), to.to_owned());
            let (by, word, address) = (by.to_owned(), word.to_owned(), way.address());
            attempts.push((Reach { step, from, to, address, by, word, ..Reach::default() }, way));
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
            if matches!(*role, "first" | "plain") {
                add(role, "internet", "", Way::Dns(*place, at(*plan.public.ip(), datagram::NAME_SERVER)));
            }
            for (other, meant) in places.iter().filter(|(other, _)| other != role && *other != "machine") {
                let Some(to) = self.networks.containers.get(*other).and_then(Network::address) else {
                    continue;
                };
                add(role, other, word(other), Way::Tcp(*place, at(to, plan.other)));
                // The assignment isolates containers from each other altogether.
                if matches!(step, "connected" | "peer") {
                    add(role, other, "", Way::PingInto(*meant, *place, to));
                }
                if step == "connected" || step == "peer" && !are_peers(role, other) {
                    add(role, other, word(other), Way::Udp(*place, at(to, plan.other)));
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
            Way::Udp(place, to) => datagram::ask(*place, *to, &word, within),
            Way::Dns(place, to) => datagram::ask_name_server(*place, *to, within),
            Way::Ping(place, to) | Way::PingInto(_, place, to) => probe::ping(*place, *to, within),
            Way::FromLan(to) => {
                let stream = self.world.connect_from_lan(*to, within);
                probe::told(stream.and_then(|stream| probe::say(&stream, &word, within)))
            }
        }
    }
}

/// How to get through.
#[derive(Clone, Copy, Debug)]
enum Way {
    Tcp(Place, SocketAddrV4),
    Udp(Place, SocketAddrV4),
    /// Asks a name server, over UDP.
    Dns(Place, SocketAddrV4),
    Ping(Place, Ipv4Addr),
    /// A ping that is meant for the first place.
    PingInto(Place, Place, Ipv4Addr),
    FromLan(SocketAddrV4),
}

impl Way {
    fn address(&self) -> String {
        match self {
            Self::Tcp(_, to) | Self::Udp(_, to) | Self::Dns(_, to) | Self::FromLan(to) => to.to_string(),
            Self::Ping(_, to) | Self::PingInto(.., to) => to.to_string(),
        }
    }

    /// As the record `reach` calls it.
    fn by(&self) -> &'static str {
        match self {
            Self::Tcp(..) | Self::FromLan(..) => "tcp",
            Self::Udp(..) => "udp",
            Self::Dns(..) => "dns",
            Self::Ping(..) | Self::PingInto(..) => "ping",
        }
    }
}

/// Tries again for this long: a proxy that publishes a port may take a moment until it listens.
fn until_answered(within: Duration, mut attempt: impl FnMut() -> Answer) -> Answer {
    let began = Instant::now();
    loop {
        let answer = attempt();
        if answer.line.is_some() || began.elapsed() >= within {
            return answer;
        }
        std::thread::sleep(AGAIN);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_may_take_a_moment_to_listen_and_no_longer() {
        let mut left = 3;
        let mut late = || {
            left -= 1;
            if left > 0 { refused() } else { Answer { line: Some("here".to_owned()), error: None } }
        };
        assert_eq!(until_answered(Duration::from_secs(20), &mut late).line.as_deref(), Some("here"));
        assert_eq!(until_answered(AGAIN, refused), refused());
    }

    fn refused() -> Answer {
        Answer { line: None, error: Some("Connection refused".to_owned()) }
    }
}
