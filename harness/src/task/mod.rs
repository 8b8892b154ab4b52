//! Tasks and subtasks: what is checked, how it is driven in the guest, and how its evidence is
//! judged.
//!
//! `drive` runs in the guest and records. `judge` is a pure function that runs on the host. The two
//! share only the types of the records, so they lie side by side.

pub mod as_shown;
pub mod check;
pub mod finding;
pub mod handed_in;
pub mod layout;
pub mod session;
pub mod task1;
pub mod task2;
pub mod task3;
pub mod task4;
pub mod transcript;

pub use check::CheckSpec;

use std::io;
use std::net::SocketAddrV4;
use std::time::Duration;

use rand::rngs::StdRng;
use serde_json::Value;

use crate::evidence::Bundle;
use crate::guest::recorder::Recorder;
use crate::guest::world::Page;
use crate::verdict::Finding;

/// A gradable part of the assignment.
#[derive(Debug)]
pub struct Subtask {
    /// `1`, `2a`, …
    pub id: &'static str,
    /// In a few words.
    pub title: &'static str,
    /// In the order of `harness checks`.
    pub checks: &'static [&'static CheckSpec],
    /// The scenarios whose recordings its judge reads.
    pub scenarios: &'static [&'static str],
    /// Evidence in, one finding per check out, whatever the evidence holds or lacks.
    pub judge: fn(&Bundle) -> Vec<Finding>,
}

/// Something to do with a submission in one freshly restored VM.
#[derive(Debug)]
pub struct Scenario {
    /// Unique; names its folder in the evidence bundle.
    pub id: &'static str,
    /// How long it may take before the host gives up on the guest.
    pub budget: Budget,
    /// Draws this run's random names, seeds and contents; runs on the host.
    pub plan: fn(&mut StdRng) -> Value,
    /// Does it and records what happens; runs in the guest as root.
    pub drive: fn(&Site, &Value, &Recorder) -> io::Result<()>,
    /// The web page that the host requests during the scenario.
    pub visit: Option<Visit>,
}

/// The host's own request for a web page of the machine, through a tunnel.
#[derive(Debug)]
pub struct Visit {
    /// The kind of the record after which the host requests the page.
    pub after: &'static str,
    /// The port of the machine.
    pub port: u16,
    /// Makes the record `page` from the answer of an address.
    pub page: fn(SocketAddrV4, io::Result<Page>) -> Value,
}

/// A time limit that holds on slow machines, too.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// Seconds for what takes as long everywhere, such as sleeping.
    pub fixed: u32,
    /// Seconds of the reference machine's work.
    pub scaled: u32,
}

impl Budget {
    /// The limit on a machine that is `slowdown` times slower than the reference machine.
    pub fn on(self, slowdown: f64) -> Duration {
        Duration::from_secs_f64(f64::from(self.fixed) + f64::from(self.scaled) * slowdown)
    }
}

/// Where things are in the guest.
#[derive(Debug)]
pub struct Site {
    /// The submission's root folder, writable, a copy made for this scenario.
    pub submission: std::path::PathBuf,
    /// What the course hands out, read-only.
    pub course: std::path::PathBuf,
    /// Student time limits are multiplied by this.
    pub slowdown: f64,
}

/// Every subtask in the assignment's order.
pub fn subtasks() -> Vec<&'static Subtask> {
    let mut all = vec![&layout::SUBTASK, &task1::SUBTASK];
    all.extend(&task2::SUBTASKS);
    all.extend(task3::SUBTASKS);
    all.push(&task4::SUBTASK);
    all
}

/// Every scenario in the order they are run.
pub fn scenarios() -> Vec<&'static Scenario> {
    let mut all = vec![&task1::SCENARIO, &task2::SCENARIO];
    all.extend(task3::SCENARIOS);
    all.push(&task4::SCENARIO);
    all
}
