//! Task 3: a container tool, judged command by command.
//!
//! Each subtask has a folder: `run` (3a), `exec` (3b), `network` (3c), `overlay` (3d), and `build`
//! (3e COPY, 3f RUN). `shared` holds what their scenarios have in common. One scenario, `3-run`,
//! gives evidence for 3a, 3b and 3d.

mod build;
mod exec;
mod network;
mod overlay;
mod run;
pub mod shared;

pub use network::{PACKAGE, PACKAGES_SCENARIO};

use super::{Scenario, Subtask};

/// Subtasks 3a to 3f.
pub static SUBTASKS: [&Subtask; 6] = [
    &run::SUBTASK,
    &exec::SUBTASK,
    &network::SUBTASK,
    &overlay::SUBTASK,
    &build::SUBTASKS[0],
    &build::SUBTASKS[1],
];

/// The scenarios of task 3, in the order in which they run.
pub static SCENARIOS: [&Scenario; 4] =
    [&run::SCENARIO, &network::SCENARIO, network::PACKAGES_SCENARIO, &build::SCENARIO];
