//! Subtasks 3e and 3f: images that COPY and RUN make. One scenario, `3-build`, gives the evidence
//! for both.
//!
//! Each question has a build of its own, as simple as possible, so that one failing build costs
//! only its own checks. A container shows what an image contains. The folders in the image's
//! `layers` file show what a layer contains.

mod built;
mod copy_checks;
mod copy_instruction;
mod drive;
mod failure;
#[cfg(test)]
mod folder_tests;
mod layers;
mod look;
mod plan;
mod run_checks;
mod run_instruction;
mod sources;
#[cfg(test)]
mod tests;
mod trace;
#[cfg(test)]
mod trace_tests;
mod tree;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::evidence::mount::Mount;
use crate::evidence::process::{Directory, Process};
use crate::task::{Budget, Scenario, Subtask};

/// Subtasks 3e and 3f.
pub static SUBTASKS: [Subtask; 2] = [
    Subtask {
        id: "3e",
        title: "COPY",
        checks: &copy_checks::CHECKS,
        scenarios: &["3-build"],
        judge: copy_instruction::judge,
    },
    Subtask {
        id: "3f",
        title: "RUN",
        checks: &run_checks::CHECKS,
        scenarios: &["3-build"],
        judge: run_instruction::judge,
    },
];

/// Builds images and looks into containers of them.
pub static SCENARIO: Scenario = Scenario {
    id: "3-build",
    budget: Budget { fixed: 420, scaled: 60 },
    plan: plan::plan,
    drive: drive::drive,
    visit: None,
};

/// A file as a container, a layer or the machine has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Found {
    /// `file`, `folder`, `link`, or another kind.
    kind: String,
    mode: u32,
    /// Of a file: its text, cut. Of a link: where it leads.
    text: String,
}

/// What is where; the record `found`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Contents {
    step: String,
    /// By path; what is missing is not here.
    found: BTreeMap<String, Found>,
}

/// Which of an image's layers have which of this run's files; the record `layers`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Layers {
    step: String,
    /// The folders that the image's `layers` file names.
    dirs: Vec<Directory>,
    /// By path: the folders, by their place in `dirs`, that have it.
    having: BTreeMap<String, Vec<usize>>,
    /// By path: what these have there, in the same order.
    #[serde(default)]
    found: BTreeMap<String, Vec<Found>>,
    /// By path: the folders that have it because an overlay copied it up from a folder below, such
    /// as for chmod(1).
    #[serde(default)]
    copied_up: BTreeMap<String, Vec<usize>>,
    /// The folders that hold the base's own files, which no overlay copied up.
    #[serde(default)]
    whole: Vec<usize>,
}

impl Layers {
    fn at(&self, path: &str) -> &[Found] {
        self.found.get(path).map_or(&[], Vec::as_slice)
    }
}

/// What COPY takes is no longer where it was after a build; the record `moved`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Moved {
    step: String,
    /// Names in the tool's folder.
    gone: Vec<String>,
}

/// The process of a RUN while it slept; the record `run-process`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct RunProcess {
    step: String,
    process: Process,
}

/// What a build left mounted beside overlays; the record `other-mounts`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct OtherMounts {
    step: String,
    /// In the machine's mount namespace, some of them.
    mounts: Vec<Mount>,
}

/// Whether the base is as it was; the record `base`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Base {
    /// `copies` or `runs`: what was built since the last look.
    step: String,
    /// Paths that came, went or changed, some of them.
    changed: Vec<String>,
}
