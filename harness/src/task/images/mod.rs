//! Subtasks 3e and 3f: images that COPY and RUN make.
//!
//! One scenario gives evidence for both: an image with nothing but FROM shows the base as it was, one has files and
//! folders copied into it in every form, one runs commands, one fails. What an image holds is seen in a container of
//! it; what a layer holds, in the folders that the image's `layers` names.

mod copy;
mod drive;
mod instruction;
mod sources;
mod tree;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Budget, Scenario, Subtask};
use crate::guest::processes::Directory;
use crate::task::conductor::story::Story;

/// Subtasks 3e and 3f.
pub static SUBTASKS: [Subtask; 2] = [
    Subtask { id: "3e", title: "COPY", checks: &copy::CHECKS, scenarios: &["3-build"], judge: copy::judge },
    Subtask {
        id: "3f",
        title: "RUN",
        checks: &instruction::CHECKS,
        scenarios: &["3-build"],
        judge: instruction::judge,
    },
];

/// Builds images and looks into containers of them.
pub static SCENARIO: Scenario = Scenario {
    id: "3-build",
    budget: Budget { fixed: 300, scaled: 30 },
    plan: drive::plan,
    drive: drive::drive,
};

/// Why there is no image that COPY or RUN made: how its `build` ended. Where a container has what the instructions were
/// to make there is one, whatever `build` said.
fn why_not_made(story: Story, step: &str) -> Option<String> {
    let made = story.plan::<drive::Plan>().map(|plan| [plan.copied_files(), plan.ran_files()].concat());
    let made = made.unwrap_or_default();
    let in_container = story.at::<Contents>("found", step);
    let is_made =
        in_container.is_some_and(|seen| made.iter().any(|path| seen.value.found.contains_key(path)));
    if is_made { None } else { story.why_failed(step) }
}

/// A file as a container, a layer or the machine has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Found {
    /// `file`, `folder`, or another kind.
    kind: String,
    mode: u32,
    /// Of a file: its text, cut.
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
    /// The folders that the image's `layers` file names, or that a container of it is mounted from.
    dirs: Vec<Directory>,
    /// By path: the folders, by their place in `dirs`, that have it.
    having: BTreeMap<String, Vec<usize>>,
}

/// What an image's layers have of this run's files; the record `layered`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Layered {
    step: String,
    /// By path: what each layer has that has it.
    found: BTreeMap<String, Vec<Found>>,
}

impl Layered {
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

/// Whether the base is as it was; the record `base`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Base {
    step: String,
    /// Paths that came, went or changed since the image with nothing but FROM was built, some of them.
    changed: Vec<String>,
}
