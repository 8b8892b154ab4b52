//! What a scenario leaves behind: the only thing that crosses from guest to host.
//!
//! The guest half writes [`Record`]s, one JSON object a line, while it drives a program; the host
//! keeps what came out even when the guest is lost half-way. Judges read records back as plain
//! values and never trust them to be complete. A [`Bundle`] is everything `harness judge` needs to
//! mark a submission again without a VM; `docs/evidence.md` documents the files.

pub mod cgroup;
pub mod exhausted;
pub mod limits;
pub mod marker;
pub mod mount;
pub mod network;
pub mod place;
pub mod process;
pub mod program;
pub mod world;

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::verdict::{Environment, Status, SubmissionInfo};

/// One observation made in the guest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Milliseconds since the scenario's start, by the guest's monotonic clock.
    pub ms: u64,
    /// Milliseconds since the guest half was started, by the host's clock, when the record arrived;
    /// older evidence has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_ms: Option<u64>,
    /// The kind of observation, such as `processes` or `exit`.
    pub kind: String,
    /// The content. The kind decides its type.
    pub data: Value,
}

/// The kind of the record that a program of the submission starts. From the first one on, the
/// submission answers for everything in the machine.
pub const STARTS: &str = "start";

/// What a recording's ending says where the user stopped the run.
pub const STOPPED: &str = "stopped by you before it was driven; the same command with --resume goes on";

/// How a scenario ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "how", rename_all = "kebab-case")]
pub enum Ending {
    /// The guest half finished.
    Finished,
    /// The guest was lost while student code ran: the submission caused that.
    Lost {
        /// One sentence: the kernel panicked, the guest rebooted, it fell silent, it
        /// flooded the channel, …
        what: String,
        /// The last console lines.
        console: Vec<String>,
    },
    /// No student code ran, or the harness failed: there is no verdict.
    Infrastructure {
        /// One sentence.
        what: String,
        /// The last console lines.
        console: Vec<String>,
    },
}

/// The recording of one scenario.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recording {
    /// The scenario's id.
    pub scenario: String,
    /// The random names, seeds and limits of this run, as the guest half was given them.
    pub plan: Value,
    /// How the run ended.
    pub ending: Ending,
    /// Wall-clock seconds, restore included.
    pub seconds: f64,
    /// In the order they came.
    pub records: Vec<Record>,
}

/// Why a recording is incomplete, and the status of the checks that it does not show to pass.
#[derive(Clone, Debug, PartialEq)]
pub struct Cut {
    /// [`Status::Fail`] if the submission ended the scenario, [`Status::Error`] if the harness did.
    pub status: Status,
    /// The text for `actual` of a finding.
    pub sentence: String,
}

impl Recording {
    /// `None` if the scenario finished. Otherwise a missing record proves nothing, so a check that
    /// rests on "never seen" must not pass.
    pub fn cut(&self) -> Option<Cut> {
        match &self.ending {
            Ending::Finished => None,
            Ending::Lost { what, .. } => Some(Cut {
                status: Status::Fail,
                sentence: format!("the machine was lost while the submission ran in it: {what}"),
            }),
            Ending::Infrastructure { what, .. } if what == STOPPED => {
                Some(Cut { status: Status::Error, sentence: STOPPED.to_owned() })
            }
            Ending::Infrastructure { what, .. } => {
                Some(Cut { status: Status::Error, sentence: format!("not the submission's doing: {what}") })
            }
        }
    }

    /// The records of one kind, in order. Skips records of another type.
    pub fn all<T: DeserializeOwned>(&self, kind: &str) -> impl Iterator<Item = (&Record, T)> {
        self.records
            .iter()
            .filter(move |record| record.kind == kind)
            .filter_map(|record| Some((record, T::deserialize(&record.data).ok()?)))
    }

    /// The first record of one kind and type.
    pub fn first<T: DeserializeOwned>(&self, kind: &str) -> Option<T> {
        self.all(kind).map(|(_, value)| value).next()
    }
}

/// Everything that a judge may read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bundle {
    /// The graded submission.
    pub submission: SubmissionInfo,
    /// The machine.
    pub environment: Environment,
    /// The subtasks asked for, in order.
    pub subtasks: Vec<String>,
    /// The host's view of the submission's files, made before any VM ran: the evidence of `layout`.
    pub layout: Value,
    /// The recordings by scenario id.
    pub recordings: BTreeMap<String, Recording>,
}

impl Bundle {
    /// The recording of a scenario, or a [`Cut`] that makes errors if the scenario was never run.
    pub fn recording(&self, scenario: &str) -> Result<&Recording, Cut> {
        self.recordings.get(scenario).ok_or_else(|| Cut {
            status: Status::Error,
            sentence: format!("scenario {scenario} has no recording in this bundle"),
        })
    }
}
