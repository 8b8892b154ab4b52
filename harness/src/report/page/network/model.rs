//! What a network looked like at one moment, and who could reach whom, beside what is asked for. All of it is evidence.

use crate::evidence::Recording;
use crate::evidence::network::{Networks, Reach};

/// Containers that become peers in pairs, as task 4 has them.
const PEERS: [(&str, &str); 2] = [("web", "store"), ("plain", "quiet")];
/// The roles with `-i`, and the one with `-e`.
const ONLINE: [&str; 3] = ["online", "web", "store"];
const EXPOSED: &str = "web";
/// The moments that are drawn, in words. What was tried with peers is drawn with the networks as they were then.
const MOMENTS: [(&str, &str); 4] = [
    ("first", "One container, connected without options"),
    ("online", "One container, connected with -i"),
    ("web", "One container, connected with -i and -e"),
    ("peer", "Four containers, of which two and two are peers"),
];

/// A network at one moment.
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
pub struct Container {
    pub role: String,
    pub name: String,
    /// The options of its `addnetwork`.
    pub options: String,
    /// The machine's end of its pair.
    pub outside: Option<Port>,
    /// Its own end.
    pub inside: Option<Port>,
    /// The gateway of its default route.
    pub route: Option<String>,
}

/// An interface.
pub struct Port {
    pub name: String,
    pub address: String,
    pub up: bool,
}

/// One way between two places, tried with a random word over TCP or with pings.
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
    let plan = &recording.plan;
    let text =
        |place: &str| plan.pointer(place).and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
    let containers = networks.containers.iter().map(|(role, inside)| {
        let outside = networks.machine.links.iter().find(|link| {
            link.veth
                && inside.links.iter().any(|own| own.peer == Some(link.index) && link.peer == Some(own.index))
        });
        let own = inside.links.iter().find(|own| match outside {
            Some(outside) => own.peer == Some(outside.index) && outside.peer == Some(own.index),
            None => own.name != "lo",
        });
        Container {
            role: role.clone(),
            name: text(&format!("/{role}")),
            options: options(role, plan),
            outside: outside.map(Port::of),
            inside: own.map(Port::of),
            route: inside.default_routes.first().map(ToString::to_string),
        }
    });
    Picture {
        title,
        uplink: (text("/world/interface"), text("/world/machine")),
        neighbour: text("/world/neighbour"),
        containers: containers.collect(),
        ways: ways(step, reaches),
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

/// One way for each pair of places. What is asked to be open must be open to each attempt; what is not is open if any
/// attempt got through.
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
