//! Subtasks 3a, 3b and 3d: containers that run, are entered, and share their image's layers.
//!
//! One scenario gives evidence for the three: two images on one base, two containers of the first image, commands
//! and shells in them. What a container is follows from its processes' namespaces, roots and mounts; what a
//! terminal shows counts only where the assignment asks what a tool like `ps` lists.

mod commands;
mod disk;
mod drive;
mod enter;
mod exec;
mod layers;
mod lifetime;
mod run;
mod shell;
#[cfg(test)]
mod tests;

pub use drive::left;
pub use lifetime::remains;

use serde::{Deserialize, Serialize};

use super::{Budget, Scenario, Subtask, network};
use crate::guest::processes::{Directory, Process};
use crate::task::conductor::state::Size;

/// Subtasks 3a, 3b and 3d.
pub static SUBTASKS: [Subtask; 3] = [
    Subtask {
        id: "3a",
        title: "run",
        checks: &run::CHECKS,
        scenarios: &["3-run", network::STOP_SCENARIO],
        judge: run::judge,
    },
    Subtask { id: "3b", title: "exec", checks: &exec::CHECKS, scenarios: &["3-run"], judge: exec::judge },
    Subtask {
        id: "3d",
        title: "overlay file system",
        checks: &layers::CHECKS,
        scenarios: &["3-run"],
        judge: layers::judge,
    },
];

/// Builds, runs, enters and stops containers.
pub static SCENARIO: Scenario = Scenario {
    id: "3-run",
    budget: Budget { fixed: 420, scaled: 45 },
    plan: drive::plan,
    drive: drive::drive,
};

/// `ps`, typed at a shell's prompt; the record `typed`.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Typed {
    step: String,
    /// What the terminal showed; `None` where the prompt did not come back.
    shown: Option<String>,
    /// PIDs in the shell's PID namespace just before.
    running: Vec<i32>,
}

/// A container was asked for that exists already; the record `refused`.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Refused {
    step: String,
    /// Its command was seen running.
    started: bool,
    /// How the call ended.
    ending: String,
}

/// Whether a container's first command still runs; the record `survival`.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Survival {
    step: String,
    alive: bool,
}

/// Disk use; the record `disk`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Disk {
    step: String,
    /// Of the submission, without the folders that the first image's `layers` names.
    beside: Size,
    /// Root trees that the submission made.
    #[serde(default)]
    trees: Vec<Directory>,
    /// Bytes in use on the file systems of the machine.
    #[serde(default)]
    used: Option<u64>,
    /// The lowest folder below the one container that runs now.
    #[serde(default)]
    base: Option<Size>,
}

/// The container in which `exec` was tried; the record `entered`.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Entered {
    /// The step of `exec`.
    step: String,
    /// The step in which the container was started.
    container: String,
}

/// Two commands at once in one container; the record `at-once`.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct AtOnce {
    step: String,
    /// The second was seen while the first still ran.
    both: bool,
}

/// What became of the machine's own mount points; the record `machine-mounts`.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct MachineMounts {
    step: String,
    /// A sentence for each that is gone or covered.
    disturbed: Vec<String>,
}

/// Which root trees that the first image names are still there; the record `cache`.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Cache {
    step: String,
    left: Vec<String>,
}

/// What was written into one container and where it showed; the record `written`.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Written {
    step: String,
    /// Why nothing could be written.
    error: Option<String>,
    /// The container has it.
    kept: bool,
    /// Folders of the image, and other containers' roots, that have it too.
    found: Vec<String>,
}

/// What is left of a container after `stop`; the record `left`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Left {
    /// What the scenario calls this moment.
    pub step: String,
    /// The container's name.
    pub name: String,
    /// Processes in its namespaces, or that were.
    pub processes: Vec<Process>,
    /// The `run` that started it still runs.
    pub foreground: bool,
    /// Where something of its name is still mounted.
    pub mounts: Vec<String>,
    /// Those of them that are overlays.
    #[serde(default)]
    pub overlays: Vec<String>,
    /// What became of the machine's own mount points since the scenario began.
    #[serde(default)]
    pub disturbed: Vec<String>,
    /// Its folder.
    pub state: Option<String>,
    /// What was written in it: the upper folder of its overlay, where that lies elsewhere.
    #[serde(default)]
    pub written: Option<String>,
}
