//! Subtask 3a: `run`, `ps` and `stop`. The scenario `3-run` is here, too; it also gives the
//! evidence for 3b and 3d.
//!
//! The scenario builds two images on one base, runs containers of them, and executes commands and
//! shells in them. A container is judged by the namespaces, roots and mounts of its processes. Text
//! from a terminal counts only where the assignment asks for the output of a tool such as `ps`.

mod checks;
pub mod drive;
pub mod judge;
mod lifetime;
#[cfg(test)]
mod overlay_tests;
pub mod plan;
pub mod shell;
#[cfg(test)]
mod tests;

pub use drive::left;
pub use lifetime::remains;

use serde::{Deserialize, Serialize};

use super::network;
use crate::evidence::process::Process;
use crate::task::{Budget, Scenario, Subtask};

/// Subtask 3a.
pub static SUBTASK: Subtask = Subtask {
    id: "3a",
    title: "run",
    checks: &checks::CHECKS,
    scenarios: &[SCENARIO.id, network::STOP_SCENARIO],
    judge: judge::judge,
};

/// Builds, runs, enters and stops containers.
pub static SCENARIO: Scenario = Scenario {
    id: "3-run",
    budget: Budget { fixed: 420, scaled: 45 },
    plan: plan::plan,
    drive: drive::drive,
    visit: None,
};

/// `ps`, typed at a shell's prompt; the record `typed`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Typed {
    pub step: String,
    /// What the terminal showed; `None` where the prompt did not come back.
    pub shown: Option<String>,
    /// PIDs in the shell's PID namespace just before.
    pub running: Vec<i32>,
}

/// A container was asked for that exists already; the record `refused`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Refused {
    pub step: String,
    /// Its command was seen running, or another process that came to a container and stayed.
    pub started: bool,
    /// How the call ended.
    pub ending: String,
}

/// Whether a container's first command still runs; the record `survival`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Survival {
    pub step: String,
    pub alive: bool,
}

/// What became of the machine's own mount points and of its host name; the record `machine-mounts`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MachineMounts {
    pub step: String,
    /// A sentence for each that is gone, covered or changed.
    pub disturbed: Vec<String>,
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
    /// What became of the machine's own mount points and host name since the scenario began.
    #[serde(default)]
    pub disturbed: Vec<String>,
    /// Its folder.
    pub state: Option<String>,
    /// What was mounted on the machine while it started, and is still mounted. Older evidence does
    /// not tell.
    #[serde(default)]
    pub came: Option<Vec<String>>,
    /// What was written in it: the upper folder of its overlay, where that lies elsewhere.
    #[serde(default)]
    pub written: Option<String>,
    /// A folder beside the image's that has the file which was written in it. Older evidence does
    /// not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<String>,
}
