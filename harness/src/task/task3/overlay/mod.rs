//! Subtask 3d: containers share the layers of their image through an overlay. The scenario
//! [`3-run`](super::run) gives the evidence.

mod checks;
mod commands;
pub mod disk;
mod given;
mod judge;
pub mod writes;

use serde::{Deserialize, Serialize};

use crate::evidence::process::Directory;
use crate::task::Subtask;
use crate::task::task3::run::SCENARIO;
use crate::task::task3::shared::state::Size;

/// Subtask 3d.
pub static SUBTASK: Subtask = Subtask {
    id: "3d",
    title: "overlay file system",
    checks: &checks::CHECKS,
    scenarios: &[SCENARIO.id],
    judge: judge::judge,
};

/// Disk use; the record `disk`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Disk {
    pub step: String,
    /// Of the submission, without the folders that the first image's `layers` names.
    pub beside: Size,
    /// Root trees that the submission made.
    #[serde(default)]
    pub trees: Vec<Directory>,
    /// Bytes in use on the file systems of the machine.
    #[serde(default)]
    pub used: Option<u64>,
    /// The base below the one container that runs now.
    #[serde(default)]
    pub base: Option<Size>,
}

/// Which root trees that the first image names are still there; the record `cache`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Cache {
    pub step: String,
    pub left: Vec<String>,
}

/// What was written into one container and where it showed; the record `written`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Written {
    pub step: String,
    /// Why nothing could be written.
    pub error: Option<String>,
    /// The container has it.
    pub kept: bool,
    /// Folders of the image, and other containers' roots, that have it too.
    pub found: Vec<String>,
}
