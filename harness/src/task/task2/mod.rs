//! Task 2: a container from command line tools. One script does all three subtasks in one run.
//!
//! The script runs on a terminal from its own folder, and every process is traced. `container_prog`
//! is built from the course's source with a random seed, length and mark. A process is
//! `container_prog` if its executable contains the mark, whatever the file is called, or if it is a
//! dynamic loader that was called to start such a file. The argument tells which subtask a run
//! belongs to.

pub mod benchmark;
mod checks;
mod drive;
mod filesystem;
mod isolation;
mod look;
mod provisioning;
mod reach;
mod script;
mod timeline;

use serde::{Deserialize, Serialize};

use super::{Budget, Scenario, Subtask};
use crate::evidence::Recording;
use crate::evidence::cgroup::Group;
use crate::evidence::marker::Marker;
use crate::evidence::mount::Mount;
use crate::evidence::process::{Directory, Namespaces, Process};

/// What the course's script prints before each subtask.
const HEADINGS: [&str; 3] = ["Output Subtask 2a", "Output Subtask 2b", "Output Subtask 2c"];

/// The three subtasks, in order.
pub static SUBTASKS: [Subtask; 3] = [
    Subtask {
        id: "2a",
        title: "file system isolation",
        checks: &checks::CHECKS_2A,
        scenarios: &["2"],
        judge: filesystem::judge,
    },
    Subtask {
        id: "2b",
        title: "PID and UTS isolation",
        checks: &checks::CHECKS_2B,
        scenarios: &["2"],
        judge: isolation::judge,
    },
    Subtask {
        id: "2c",
        title: "resource provisioning",
        checks: &checks::CHECKS_2C,
        scenarios: &["2"],
        judge: provisioning::judge,
    },
];

/// Runs `simple_container.sh` once.
pub static SCENARIO: Scenario = Scenario {
    id: "2",
    budget: Budget { fixed: 60, scaled: 15 },
    plan: drive::plan,
    drive: drive::drive,
    visit: None,
};

/// The names of one run.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct ScriptPlan {
    /// The machine's name.
    hostname: String,
    /// What `container_prog` computes with.
    seed: u32,
    /// A text in this run's `container_prog`, by which it is recognised.
    mark: String,
}

/// The machine before the script ran; the record `machine`.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Machine {
    hostname: String,
    namespaces: Namespaces,
    root: Directory,
    /// The names in it.
    #[serde(default)]
    entries: Vec<String>,
    /// The controllers enabled in the root cgroup.
    subtree_control: String,
    /// What it has mounted.
    #[serde(default)]
    mounts: Vec<Mount>,
    /// Files that were laid into its own folders.
    #[serde(default)]
    markers: Vec<Marker>,
}

/// What was put into this run's `container_prog`, and where its root is to be;
/// the record `supplied`.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Supplied {
    seed: u32,
    loops: u64,
    #[serde(default)]
    container_root: Directory,
}

/// A process of a container, with its cgroup and that one's ancestors.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Member {
    process: Process,
    chain: Vec<Group>,
}

/// `container_prog` before its first instruction; the record `run`.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Run {
    member: Member,
    /// The names in its root directory, sorted.
    entries: Vec<String>,
    /// What is mounted on or below its root directory. Older evidence does not tell.
    #[serde(default)]
    mounts: Vec<Mounted>,
    /// Files of the machine's own folders that its root directory shows. Older evidence does not
    /// tell.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    machine_files: Vec<Shown>,
    /// Whether its root directory is a mount that was on `container_root` before. Older evidence
    /// does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    was_at_container_root: Option<bool>,
    /// The other processes of its PID namespace, when that is not the machine's.
    fellows: Vec<Member>,
}

/// What of the machine's own `container_prog` can reach later in its life; the record `reachable`.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Reachable {
    pid: i32,
    mounts: Vec<Mounted>,
    machine_files: Vec<Shown>,
}

/// A file of the machine's that `container_prog` can reach.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Shown {
    /// Its path on the machine.
    file: String,
    /// The root directory, or the mount point below it, that shows it.
    place: String,
}

/// A mount that `container_prog` can reach.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Mounted {
    mount: Mount,
    /// A folder is mounted, not a file.
    folder: bool,
    /// The names in it, where it is an overlay.
    entries: Vec<String>,
}

/// A child of a container's process before its first instruction; the record `born`.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Born {
    creator: i32,
    member: Member,
}

/// A container's process before its end, or a process that ends in another root directory than the
/// machine's without having become `container_prog`; the records `exiting` and `entered`.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Exiting {
    member: Member,
}

/// A process of either kind has ended; the record `ended`.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Ended {
    pid: i32,
    end: crate::evidence::program::End,
}

/// Something about the containers' groups has changed; the record `sample`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Sample {
    /// Of running containers.
    members: Vec<Place>,
    /// Groups made since the script started, with their limits.
    groups: Vec<Limit>,
    /// Processes in those groups that are not the containers'.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    others: Vec<Stranger>,
}

/// A process in a group of the script that is not a container's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Stranger {
    group: String,
    pid: i32,
    /// The start of its command line.
    command: String,
}

/// Where a container's process is now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Place {
    pid: i32,
    cgroup: String,
    /// Of that group and its ancestors, innermost first.
    limits: Vec<Limit>,
}

/// A group's `cpu.max`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Limit {
    group: String,
    cpu_max: Option<String>,
}

/// What `container_prog` has used of the CPU so far; the record `use`. For
/// people: no judge reads it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Use {
    /// Its PID.
    pub pid: i32,
    /// Microseconds on a CPU.
    pub used_usec: u64,
    /// Periods in which its group, or one above, was held back.
    pub nr_throttled: u64,
    /// For how many microseconds.
    pub throttled_usec: u64,
}

/// Whether `container_prog` starts in `container_root` as the script left it; the record `probe`.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Probe {
    started: bool,
}

/// The script's groups in the end; the record `groups`.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Groups {
    /// Made since the script started.
    created: Vec<String>,
    /// Still there a moment after its end.
    left: Vec<String>,
}

/// The indexes of the records at which 2a, 2b and 2c begin, as far as they are there.
pub fn rounds(recording: &Recording) -> [Option<usize>; 3] {
    let rounds = timeline::ScriptTimeline::read(recording).map(|timeline| timeline.rounds);
    rounds.map_or([None; 3], |rounds| rounds.map(|round| Some(round?.record)))
}

/// The times that the benchmark printed in 2a, 2b and 2c; `None` where it printed none.
pub fn times(recording: &Recording) -> [Option<f64>; 3] {
    let timeline = timeline::ScriptTimeline::read(recording);
    timeline.map_or([None; 3], |timeline| std::array::from_fn(|subtask| script::time(&timeline, subtask)))
}

/// Whether 2c ran `container_prog` as 2a does, which computes nothing.
pub fn computes_nothing(recording: &Recording) -> bool {
    timeline::ScriptTimeline::read(recording)
        .is_some_and(|timeline| timeline.rounds[2].as_ref().is_some_and(timeline::Round::computes_nothing))
}

/// The lines that a recording of task 2 shows for one subtask (0 for 2a), with what varies
/// from run to run named.
pub fn redacted_transcript(recording: &Recording, subtask: usize) -> Vec<String> {
    timeline::ScriptTimeline::read(recording)
        .map_or_else(Vec::new, |timeline| script::redacted(&timeline, subtask))
}
