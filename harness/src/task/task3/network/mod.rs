//! Subtask 3c: networks of containers, and what `stop` leaves of them.
//!
//! First, single containers are connected in each way while no other container has a network. Then
//! there are four: two plain ones, and two with Internet, one of which exposes a port. Later they
//! become peers in pairs, as in task 4.
//!
//! The harness's own clients and servers exchange a random token over TCP: in the containers'
//! network namespaces, on the machine, on another machine of the LAN, and in the Internet. Where
//! nothing may get through, they also try UDP.

mod as_shown;
mod attempts;
mod checks;
mod drive;
mod judge;
mod left;
mod link;
mod marks;
mod packages;
mod peers;
mod plan;
mod two;

pub use left::{left, left_of_exposed, rules_of_exposed};
pub use packages::{PACKAGE, packages_in_image};

use serde::{Deserialize, Serialize};

use crate::evidence::network::{Networks, Reach};
use crate::task::{Budget, Scenario, Subtask};

/// The one scenario, in which a container with network, port and peer is stopped.
pub const STOP_SCENARIO: &str = "3-network";

/// Subtask 3c.
pub static SUBTASK: Subtask = Subtask {
    id: "3c",
    title: "networking",
    checks: &checks::CHECKS,
    scenarios: &[STOP_SCENARIO, packages::SCENARIO.id],
    judge: judge::judge,
};

/// Installs a package in a container.
pub static PACKAGES_SCENARIO: &Scenario = &packages::SCENARIO;

/// Connects containers, tries who reaches whom, and stops one of them.
pub static SCENARIO: Scenario = Scenario {
    id: STOP_SCENARIO,
    budget: Budget { fixed: 360, scaled: 55 },
    plan: plan::plan,
    drive: drive::drive,
    visit: None,
};

/// What was heard on the machine's end of a container's pair; the record `sniffed`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Sniffed {
    step: String,
    /// How many pings and answers; `None` where no link is called `<container>-outside`.
    icmp: Option<usize>,
}

/// What of a stopped container is left in the machine's network; the record `network-left`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct NetworkLeft {
    step: String,
    /// Interfaces whose other end was in the container.
    links: Vec<String>,
    /// Rules that name the container, its address, its network or its interface.
    rules: Vec<String>,
    /// The machine's port that led to the container, if a program still listens there. Older
    /// evidence does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    listening: Option<u16>,
}
