//! Subtask 3c: how are containers connected, and who reached whom?

use std::net::Ipv4Addr;

use super::drive::Plan;
use super::marks::outside_links;
use super::peers::{isolated, peer};
use super::{Networks, Reach, STOP_SCENARIO, packages};
use crate::evidence::Bundle;
use crate::guest::links::{Address, Link, Network};
use crate::task::CheckSpec;
use crate::task::conductor::command::Command;
use crate::task::conductor::sight::Sight;
use crate::task::conductor::story::{Seen, Story, quote};
use crate::task::finding::Question;
use crate::verdict::{Finding, Status};

const DEFAULT: &str = "It should be noted that only communication between eg-outside and eg-inside is possible. That \
                       implies that an application running inside a container eg will not be able to access the \
                       Internet (end points beyond-outside.)";
const VETH: &str = "you need to add a veth link connecting the container's network namespace to the root (host) \
                    namespace. Moreover the interfaces should be enabled for its proper usage.";

pub const CHECKS: [CheckSpec; 11] = [
    CheckSpec {
        id: "3c/veth-pair",
        title: "a pair of interfaces, both up",
        requirement: VETH,
        hint: "`ip -d link` on the machine and in the container: which interfaces are each other's peers (name@ifN), \
               and is each of them UP?",
        informational: false,
    },
    CheckSpec {
        id: "3c/addresses",
        title: "addresses of one network at both ends",
        requirement: "eg-inside: inet 192.168.1.2/24, eg-outside: inet 192.168.1.1/24",
        hint: "`ip addr` at both ends: is it the same network, and one that no other container has?",
        informational: false,
    },
    CheckSpec {
        id: "3c/loopback-up",
        title: "the container's loopback",
        requirement: "1: lo: <LOOPBACK,UP,LOWER_UP> inet 127.0.0.1/8 scope host lo",
        hint: "In a new network namespace lo is down.",
        informational: false,
    },
    CheckSpec {
        id: "3c/ping-both-ways",
        title: "between the container and the machine",
        requirement: "Network path between container and host",
        hint: "Ping the machine's end from the container and the container's end from the machine.",
        informational: false,
    },
    CheckSpec {
        id: "3c/no-internet-by-default",
        title: "no Internet without -i",
        requirement: DEFAULT,
        hint: "Which routes does a container have without -i, and whose packets does the machine translate?",
        informational: false,
    },
    CheckSpec {
        id: "3c/internet",
        title: "Internet with -i",
        requirement: "If the option -i or --internet is specified the script should allow for the applications \
                      running inside the container to access the Internet.",
        hint: "A default route in the container, forwarding on the machine, a rule that lets the packets through in \
               both directions, and address translation: which one is missing?",
        informational: false,
    },
    packages::CHECK,
    CheckSpec {
        id: "3c/expose",
        title: "the exposed port",
        requirement: "You can use the --expose or -e option to make a port available to services outside of the \
                      container. This creates a rule in the host, mapping a container port to a port on the host to \
                      the outside world.",
        hint: "Connections of other machines and the machine's own pass through different chains of the nat table.",
        informational: false,
    },
    CheckSpec {
        id: "3c/not-exposed-otherwise",
        title: "no other port is open",
        requirement: "exposing services deployed inside containers is still not possible (Basically, if you deploy a \
                      server or anything inside the container it will not be accessible outside the host)",
        hint: "To which ports and protocols does the rule that maps the port apply?",
        informational: false,
    },
    CheckSpec {
        id: "3c/isolated-by-default",
        title: "containers are apart",
        requirement: "By default our conductor isolates the container so that no inter-container communication is \
                      possible.",
        hint: "Which of your rules let packets through that come from one container's interface and go to another's?",
        informational: false,
    },
    CheckSpec {
        id: "3c/peer",
        title: "peers reach each other, and nobody else",
        requirement: "peer: This function allows two containers to communicate with each other.",
        hint: "A way is needed in both directions, and for these two only.",
        informational: false,
    },
];

pub fn judge(bundle: &Bundle) -> Vec<Finding> {
    let story = match Story::open(bundle, STOP_SCENARIO, &CHECKS) {
        Ok(story) => story,
        Err(errors) => return errors,
    };
    let room = Room { networks: story.at("networks", "connected"), reaches: story.all("reach"), story };
    let internet = internet(&room);
    let packages = packages::packages(bundle, &internet);
    vec![
        veth_pair(&room),
        addresses(&room),
        loopback(&room),
        both_ways(&room),
        no_internet(&room),
        internet,
        packages,
        expose(&room),
        not_exposed(&room),
        isolated(&room),
        peer(&room),
    ]
}

pub struct Room<'a> {
    pub story: Story<'a>,
    /// With all containers connected.
    networks: Option<Seen<Networks>>,
    reaches: Vec<Seen<Reach>>,
}

impl Room<'_> {
    /// Why a container of this role has no network that could be tried.
    pub fn why_not(&self, role: &str) -> Option<String> {
        if let Some(why) = self.story.why_unbuilt() {
            return Some(format!("no image: {why}"));
        }
        if self.story.at::<Sight>("container", role).is_none() {
            return Some(format!("no container: {}", self.story.why_absent(role)));
        }
        let connected = self.networks.as_ref().and_then(|seen| seen.value.containers.get(role)?.address());
        if connected.is_some() {
            return None;
        }
        let command = self.story.at::<Command>("command", &format!("addnetwork-{role}"));
        Some(command.map_or_else(
            || "addnetwork was not reached".to_owned(),
            |seen| {
                format!(
                    "{} and the container has no address{}",
                    seen.value.ending(),
                    quote(&seen.value.screen)
                )
            },
        ))
    }

    fn tried(&self, step: &str, from: &str, to: &str) -> Vec<&Seen<Reach>> {
        let mine = |seen: &&Seen<Reach>| {
            let reach = &seen.value;
            reach.step == step && reach.from == from && reach.to == to
        };
        self.reaches.iter().filter(mine).collect()
    }

    /// A place in words: a container by its name and by how it was connected.
    fn called(&self, place: &str) -> String {
        let words = match place {
            "machine" => "the machine",
            "lan" => "another machine",
            "internet" => "a server in the Internet",
            "exposed" => "its exposed port",
            "other-port" => "another port of the machine",
            "itself" => "itself",
            role => {
                let name = self
                    .story
                    .plan::<Plan>()
                    .map_or_else(|| role.to_owned(), |plan| plan.name(role).to_owned());
                return match role {
                    "web" => format!("{name} (-i -e)"),
                    "store" => format!("{name} (-i)"),
                    _ => name,
                };
            }
        };
        words.to_owned()
    }

    /// Every way of `ways` must have been tried and must have led through, or not.
    pub fn ways(
        &self,
        question: Question,
        step: &str,
        ways: &[(&str, &str)],
        open: bool,
        well: &str,
    ) -> Finding {
        let mut question = question;
        for (from, to) in ways {
            let tried = self.tried(step, from, to);
            if tried.is_empty() {
                let (from, to) = (self.called(from), self.called(to));
                return self.story.missing(question, format!("from {from} to {to} was not tried"));
            }
            for seen in tried {
                let reach = &seen.value;
                if reach.reached() != open {
                    let how = match &reach.answer {
                        _ if !open => "was answered".to_owned(),
                        answer => answer
                            .line
                            .as_ref()
                            .map(|line| format!("was answered by someone else: {line:?}"))
                            .or_else(|| answer.error.clone())
                            .unwrap_or_default(),
                    };
                    return question.proof(&seen.place).fail(format!(
                        "{} to {} ({} {}): {how}",
                        self.called(from),
                        self.called(to),
                        if reach.by == "ping" { "ping of" } else { "TCP to" },
                        reach.address
                    ));
                }
                question = question.proof(&seen.place);
            }
        }
        question.pass(well)
    }
}

fn veth_pair(room: &Room) -> Finding {
    let question =
        Question::new("3c/veth-pair", "a veth pair from the container to the machine, both ends up");
    let Some(networks) = &room.networks else {
        return room.story.missing(question, "no container was connected");
    };
    let question = question.proof(&networks.place);
    let Some(inside) = networks.value.containers.get("plain") else {
        return room.story.missing(question, room.why_not("plain").unwrap_or_default());
    };
    let outside = outside_links(inside, &networks.value.machine);
    let names = |links: &[Link]| links.iter().map(|link| link.name.clone()).collect::<Vec<_>>().join(", ");
    let Some(link) = outside.first() else {
        let command = room.story.at::<Command>("command", "addnetwork-plain");
        let said = command.map_or_else(String::new, |seen| {
            format!("; {}{}", seen.value.ending(), quote(&seen.value.screen))
        });
        return question.fail(format!(
            "the container has {} and none of them leads to the machine{said}",
            names(&inside.links)
        ));
    };
    let ends = inside.links.iter().filter(|own| own.peer == Some(link.index)).chain([link]);
    let down: Vec<String> = ends.filter(|end| !end.up).map(|end| end.name.clone()).collect();
    if down.is_empty() {
        question.pass(format!("{} on the machine", link.name))
    } else {
        question.fail(format!("{} is down", down.join(" and ")))
    }
}

fn addresses(room: &Room) -> Finding {
    let question = Question::new(
        "3c/addresses",
        ".1 at the machine's end and .2 at the container's, in a network that no other container is in",
    );
    let Some(networks) = &room.networks else {
        return room.story.missing(question, "no container was connected");
    };
    let question = question.proof(&networks.place);
    let Networks { machine, containers, .. } = &networks.value;
    let connected: Vec<(&String, &Network)> =
        containers.iter().filter(|(_, inside)| !outside_links(inside, machine).is_empty()).collect();
    if connected.is_empty() {
        return room.story.missing(question, "no container is connected to the machine: see 3c/veth-pair");
    }
    let mut taken = Vec::new();
    for (role, inside) in connected {
        let own =
            inside.links.iter().filter(|link| link.name != "lo").flat_map(|link| &link.addresses).next();
        let Some(own) = own else { return question.fail(format!("the container {role} has no address")) };
        let ours = machine
            .links
            .iter()
            .filter(|link| link.veth || link.peer.is_none())
            .flat_map(|link| &link.addresses);
        let Some(ours) = ours.clone().find(|address| own.reaches(address.ip)) else {
            return question
                .fail(format!("the machine has no address in the network of {}/{}", own.ip, own.prefix));
        };
        if ours.ip == own.ip {
            return question.fail(format!("both ends have the address {}", own.ip));
        }
        let host_part =
            |ip: Ipv4Addr| u32::from(ip) & u32::MAX.checked_shr(u32::from(own.prefix)).unwrap_or(0);
        if (host_part(ours.ip), host_part(own.ip)) != (1, 2) {
            return question.fail(format!("the machine has {} and the container {role} {}", ours.ip, own.ip));
        }
        if taken.iter().any(|other: &Address| own.reaches(other.ip)) {
            return question.fail(format!("two containers are in the network of {}/{}", own.ip, own.prefix));
        }
        taken.push(*own);
    }
    question.pass(taken.iter().map(|own| format!("{}/{}", own.ip, own.prefix)).collect::<Vec<_>>().join(", "))
}

fn loopback(room: &Room) -> Finding {
    let question = Question::new("3c/loopback-up", "lo is up, and a container reaches itself by 127.0.0.1");
    let inside = room.networks.as_ref().and_then(|seen| seen.value.containers.get("plain"));
    let Some(inside) = inside else {
        return room.story.missing(question, room.why_not("plain").unwrap_or_default());
    };
    let leads_out =
        room.networks.as_ref().is_some_and(|seen| !outside_links(inside, &seen.value.machine).is_empty());
    if !leads_out {
        return room
            .story
            .missing(question, "the container is not connected to the machine: see 3c/veth-pair");
    }
    let lo = inside.links.iter().find(|link| link.name == "lo");
    if lo.is_none_or(|lo| !lo.up) {
        return question.fail("lo is down");
    }
    // Without a network of its own nothing else is tried.
    if room.tried("connected", "plain", "itself").is_empty() {
        return question.pass("lo is up");
    }
    room.ways(question, "connected", &[("plain", "itself")], true, "it answers on 127.0.0.1")
}

fn both_ways(room: &Room) -> Finding {
    let question =
        Question::new("3c/ping-both-ways", "ping and TCP, from the machine to the container and back");
    if let Some(why) = room.why_not("plain") {
        return room.story.missing(question, why);
    }
    if room.tried("connected", "plain", "machine").is_empty() {
        return room
            .story
            .missing(question, "the machine has no address in the container's network: see 3c/addresses");
    }
    let ways = [("machine", "plain"), ("plain", "machine")];
    room.ways(question, "connected", &ways, true, "both answer each other")
}

fn no_internet(room: &Room) -> Finding {
    let question =
        Question::new("3c/no-internet-by-default", "a container without -i reaches nothing in the Internet");
    if let Some(why) = room.why_not("plain") {
        return room.story.missing(question, why);
    }
    let way = [("plain", "internet")];
    let closed = room.ways(question.clone(), "connected", &way, false, "it reaches nothing there");
    if closed.status != Status::Pass {
        return closed;
    }
    let well = "it reaches nothing there, even where the machine forwards all packets";
    let mut open = room.ways(question, "open", &way, false, well);
    if open.status == Status::Fail {
        open.actual +=
            ", once the machine's FORWARD policy was ACCEPT: what keeps it in must not be that alone";
    }
    open
}

fn internet(room: &Room) -> Finding {
    let question = Question::new("3c/internet", "a container with -i reaches a server in the Internet");
    if let Some(why) = room.why_not("store") {
        return room.story.missing(question, why);
    }
    let ways = [("store", "internet"), ("web", "internet")];
    room.ways(question, "connected", &ways, true, "it is answered")
}

fn expose(room: &Room) -> Finding {
    let plan = room.story.plan::<Plan>();
    let (inner, outer) = plan.map_or((0, 0), |plan| (plan.inner, plan.outer));
    let question = Question::new(
        "3c/expose",
        format!(
            "port {outer} of the machine leads to port {inner} of the container, from the LAN and from the machine"
        ),
    );
    if let Some(why) = room.why_not("web") {
        return room.story.missing(question, why);
    }
    let ways = [("lan", "exposed"), ("machine", "exposed")];
    room.ways(question, "connected", &ways, true, "the container answers both")
}

fn not_exposed(room: &Room) -> Finding {
    let question =
        Question::new("3c/not-exposed-otherwise", "no other port of the machine leads to a container");
    if let Some(why) = room.why_not("web") {
        return room.story.missing(question, why);
    }
    let ways = [("lan", "other-port"), ("machine", "other-port")];
    room.ways(question, "connected", &ways, false, "nobody answers there")
}
