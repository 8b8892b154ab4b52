//! Subtask 3b: `exec`, in containers of the scenario [`3-run`](super::run).

mod checks;
mod drive;
mod judge;

use serde::{Deserialize, Serialize};

use crate::task::Subtask;
use crate::task::task3::run::SCENARIO;

/// Subtask 3b.
pub static SUBTASK: Subtask = Subtask {
    id: "3b",
    title: "exec",
    checks: &checks::CHECKS,
    scenarios: &[SCENARIO.id],
    judge: judge::judge,
};

/// The container in which `exec` was tried; the record `entered`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Entered {
    /// The step of `exec`.
    pub step: String,
    /// The step in which the container was started.
    pub container: String,
}

/// Two commands at once in one container; the record `at-once`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AtOnce {
    pub step: String,
    /// The second was seen while the first still ran.
    pub both: bool,
}
