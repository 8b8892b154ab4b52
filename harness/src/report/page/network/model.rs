//! What a network looked like at one moment, and who could reach whom, beside what is asked for.
//! All of it is evidence.

use crate::evidence::Recording;
use crate::evidence::network::{Network, Networks, Reach, Rules};

use super::rules;

/// Containers that become peers in pairs, as task 4 has them.
const PEERS: [(&str, &str); 2] = [("web", "store"), ("plain", "quiet")];
/// The roles with `-i`, and the one with `-e`.
const ONLINE: [&str; 3] = ["online", "web", "store"];
const EXPOSED: &str = "web";
/// The moments that are drawn, in words. What was tried with peers is drawn with the
/// networks as they were then.
const MOMENTS: [(&str, &str); 4] = [
    ("first", "One container, connected without options"),
    ("online", "One container, connected with -i"),
    ("web", "One container, connected with -i and -e"),
    ("peer", "Four containers, of which two and two are peers"),
];

/// A network at one moment.
#[derive(Clone)]
pub struct Picture {
    pub title: &'static str,
    /// The machine's default interface and its address.
    pub uplink: (String, String),
    /// The other machine on the LAN.
    pub neighbour: String,
    pub containers: Vec<Container>,
    pub ways: Vec<Way>,
}

/// A container and what connects it.
#[derive(Clone)]
pub struct Container {
    pub role: String,
    /// Whether it is to expose a port.
    pub exposed: bool,
    pub name: String,
    /// The options of its `addnetwork`.
    pub options: String,
    /// The machine's end of its pair.
    pub outside: Option<Port>,
    /// Its own end.
    pub inside: Option<Port>,
    /// The gateway of its default route.
    pub route: Option<String>,
    /// Rules that translate addresses for it; `None` where no rules were recorded.
    pub translated: Option<Vec<String>>,
}

/// An interface.
#[derive(Clone)]
pub struct Port {
    pub name: String,
    pub address: String,
    pub up: bool,
}

/// One way between two places, tried with a random word over TCP or with pings.
#[derive(Clone)]
pub struct Way {
    pub from: String,
    pub to: String,
    pub address: String,
    /// Whether the assignment asks that it leads through.
    pub asked: bool,
    pub found: bool,
}

/// How a way is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// As asked, and open.
    Open,
    /// As asked, and closed: not drawn.
    Closed,
    /// Asked for, and closed.
    Missing,
    /// Open, and should not be.
    Extra,
}

/// The pictures of a recording: of the networks that were seen.
pub fn pictures(recording: &Recording) -> Vec<Picture> {
    let networks: Vec<Networks> = recording.all("networks").map(|(_, networks)| networks).collect();
    let reaches: Vec<Reach> = recording.all("reach").map(|(_, reach)| reach).collect();
    let of = |(step, title): &(&str, &'static str)| {
        let networks =
            networks.iter().find(|networks| networks.step == *step && !networks.containers.is_empty())?;
        Some(picture(recording, step, title, networks, &reaches))
    };
    MOMENTS.iter().filter_map(of).collect()
}

fn picture(
    recording: &Recording,
    step: &str,
    title: &'static str,
    networks: &Networks,
    reaches: &[Reach],
) -> Picture {
    let rules = rules_at(recording, step);
    let containers = networks.containers.iter().map(|(role, inside)| Container {
        name: text(recording, &format!("/{role}")),
        options: options(role, &recording.plan),
        exposed: role == EXPOSED,
        ..Container::found(role, inside, &networks.machine, rules.as_ref())
    });
    Picture {
        title,
        containers: containers.collect(),
        ways: ways(step, reaches),
        ..Picture::around(recording)
    }
}

/// A text of a recording's plan.
pub fn text(recording: &Recording, place: &str) -> String {
    recording.plan.pointer(place).and_then(serde_json::Value::as_str).unwrap_or_default().to_owned()
}

/// The rules that were recorded at a step.
pub fn rules_at(recording: &Recording, step: &str) -> Option<Rules> {
    recording.all::<Rules>("rules").map(|(_, rules)| rules).find(|rules| rules.step == step)
}

impl Container {
    /// A container as it was found, without a name.
    pub fn found(role: &str, inside: &Network, machine: &Network, rules: Option<&Rules>) -> Self {
        let outside = machine.links.iter().find(|link| {
            link.veth
                && inside.links.iter().any(|own| own.peer == Some(link.index) && link.peer == Some(own.index))
        });
        let own = inside.links.iter().find(|own| match outside {
            Some(outside) => own.peer == Some(outside.index) && outside.peer == Some(own.index),
            None => own.name != "lo",
        });
        Self {
            role: role.to_owned(),
            exposed: false,
            name: role.to_owned(),
            options: String::new(),
            outside: outside.map(Port::of),
            inside: own.map(Port::of),
            route: inside.default_routes.first().map(ToString::to_string),
            translated: rules.map(|rules| rules::of(&rules.rules, inside, outside)),
        }
    }

    /// The same as the assignment has it.
    fn as_asked(&self, online: bool) -> Self {
        let port = |end: &str, port: &Option<Port>| {
            let address = port.as_ref().map(|port| port.address.clone()).filter(|text| !text.is_empty());
            let address = address.unwrap_or_else(|| "an address".to_owned());
            Some(Port { name: format!("{}-{end}", self.name), address, up: true })
        };
        let gateway = online.then(|| self.route.clone().unwrap_or_else(|| "the machine".to_owned()));
        Self {
            outside: port("outside", &self.outside),
            inside: port("inside", &self.inside),
            route: gateway.or_else(|| self.route.clone()),
            translated: Some(if online { vec!["masquerade".to_owned()] } else { Vec::new() }),
            ..self.clone()
        }
    }
}

fn options(role: &str, plan: &serde_json::Value) -> String {
    let number = |name: &str| plan.get(name).and_then(serde_json::Value::as_u64).unwrap_or(0);
    if role == EXPOSED {
        format!("-i -e {}-{}", number("inner"), number("outer"))
    } else if ONLINE.contains(&role) {
        "-i".to_owned()
    } else {
        "no options".to_owned()
    }
}

impl Port {
    fn of(link: &crate::evidence::network::Link) -> Self {
        let addresses = link.addresses.iter().map(|address| format!("{}/{}", address.ip, address.prefix));
        Self { name: link.name.clone(), address: addresses.collect::<Vec<_>>().join(" "), up: link.up }
    }
}

/// One way for each pair of places. What is asked to be open must be open to each attempt; what is
/// not is open if any attempt got through.
fn ways(step: &str, reaches: &[Reach]) -> Vec<Way> {
    let mut ways: Vec<Way> = Vec::new();
    for reach in reaches.iter().filter(|reach| reach.step == step) {
        let through = reach.reached();
        match ways.iter_mut().find(|way| way.from == reach.from && way.to == reach.to) {
            Some(way) if way.asked => way.found &= through,
            Some(way) => way.found |= through,
            None => ways.push(Way {
                from: reach.from.clone(),
                to: reach.to.clone(),
                address: reach.address.clone(),
                asked: is_asked(step, &reach.from, &reach.to),
                found: through,
            }),
        }
    }
    ways
}

fn is_asked(step: &str, from: &str, to: &str) -> bool {
    match (from, to) {
        (_, "machine" | "itself" | "exposed") => true,
        (role, "internet") => ONLINE.contains(&role),
        (_, "other-port") | ("lan", _) => false,
        ("machine", _) => true,
        (one, other) => step == "peer" && (PEERS.contains(&(one, other)) || PEERS.contains(&(other, one))),
    }
}

impl Way {
    /// How it is shown.
    pub fn look(&self) -> Look {
        match (self.asked, self.found) {
            (true, true) => Look::Open,
            (false, false) => Look::Closed,
            (true, false) => Look::Missing,
            (false, true) => Look::Extra,
        }
    }
}

impl Picture {
    /// The world of a recording, without containers.
    pub fn around(recording: &Recording) -> Self {
        Self {
            title: "",
            uplink: (text(recording, "/world/interface"), text(recording, "/world/machine")),
            neighbour: text(recording, "/world/neighbour"),
            containers: Vec::new(),
            ways: Vec::new(),
        }
    }

    /// The same as the assignment has it.
    pub fn as_asked(&self) -> Self {
        let ways: Vec<Way> = self.ways.iter().map(|way| Way { found: way.asked, ..way.clone() }).collect();
        let online =
            |role: &str| ways.iter().any(|way| way.from == role && way.to == "internet" && way.asked);
        let containers = self.containers.iter().map(|one| one.as_asked(online(&one.role))).collect();
        Self { containers, ways, ..self.clone() }
    }

    /// Whether it is not as the assignment has it.
    pub fn differs(&self) -> bool {
        self.ways.iter().any(|way| matches!(way.look(), Look::Missing | Look::Extra))
            || self.containers.iter().any(|one| one.inside.is_none() || one.outside.is_none())
    }

    /// How the way between two places is shown, and whether it was tried.
    pub fn look(&self, from: &str, to: &str) -> Option<Look> {
        self.ways.iter().find(|way| way.from == from && way.to == to).map(Way::look)
    }

    /// The worst of the ways between two places in both directions.
    pub fn between(&self, one: &str, other: &str) -> Option<Look> {
        let both = [self.look(one, other), self.look(other, one)];
        let has = |look| both.contains(&Some(look));
        [Look::Extra, Look::Missing, Look::Open, Look::Closed].into_iter().find(|look| has(*look))
    }
}
