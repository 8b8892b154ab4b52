//! What a scenario leaves behind: the only thing that crosses from guest to host.
//!
//! The guest half writes [`Record`]s, one JSON object a line, while it drives a program; the host keeps what
//! came out even when the guest is lost half-way. Judges read records back as plain values and never trust
//! them to be complete. A [`Bundle`] is everything `harness judge` needs to mark a submission again without a
//! VM; `docs/evidence.md` documents the files.

pub mod cgroup;
pub mod exhausted;
pub mod limits;
pub mod mount;
pub mod network;
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
    /// Milliseconds since the guest half was started, by the host's clock, when the record arrived; older evidence has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_ms: Option<u64>,
    /// What kind of observation, such as `processes` or `exit`.
    pub kind: String,
    /// Its content; the type belongs to the kind.
    pub data: Value,
}

/// The kind of the record that a program of the submission starts. From the first of these on, whatever happens in the
/// machine is the submission's doing.
pub const STARTS: &str = "start";

/// How a scenario's run in its VM ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "how", rename_all = "kebab-case")]
pub enum Ending {
    /// The guest half said it was done.
    Finished,
    /// The guest was lost while student code was running in it: the submission's doing.
    Lost {
        /// One sentence: the kernel panicked, the guest rebooted, it fell silent, it flooded the channel, …
        what: String,
        /// The last console lines.
        console: Vec<String>,
    },
    /// It did not come to student code, or our own half broke: no verdict can be given.
    Infrastructure {
        /// One sentence.
        what: String,
        /// The last console lines.
        console: Vec<String>,
    },
}

/// All that one scenario recorded.
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

/// Why a scenario's records stop short, and what becomes of the checks that they do not show to pass.
#[derive(Clone, Debug, PartialEq)]
pub struct Cut {
    /// [`Status::Fail`] where the submission ended it, [`Status::Error`] where we did.
    pub status: Status,
    /// What a finding says as `actual`.
    pub sentence: String,
}

impl Recording {
    /// `None` where the scenario came to its end. Otherwise the absence of a record proves nothing: a check that
    /// rests on "never seen" must not pass.
    pub fn cut(&self) -> Option<Cut> {
        match &self.ending {
            Ending::Finished => None,
            Ending::Lost { what, .. } => Some(Cut {
                status: Status::Fail,
                sentence: format!("the machine was lost while the submission ran in it: {what}"),
            }),
            Ending::Infrastructure { what, .. } => {
                Some(Cut { status: Status::Error, sentence: format!("not the submission's doing: {what}") })
            }
        }
    }

    /// The records of one kind that have the type asked for, in order; others are passed over.
    pub fn all<T: DeserializeOwned>(&self, kind: &str) -> impl Iterator<Item = (&Record, T)> {
        self.records
            .iter()
            .filter(move |record| record.kind == kind)
            .filter_map(|record| Some((record, T::deserialize(&record.data).ok()?)))
    }

    /// The first record of one kind that has the type asked for.
    pub fn first<T: DeserializeOwned>(&self, kind: &str) -> Option<T> {
        self.all(kind).map(|(_, value)| value).next()
    }
}

/// Everything a judge may look at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bundle {
    /// What was graded.
    pub submission: SubmissionInfo,
    /// On what.
    pub environment: Environment,
    /// The subtasks asked for, in order.
    pub subtasks: Vec<String>,
    /// What the host saw in the submission's files before any VM ran; the `layout` subtask's evidence.
    pub layout: Value,
    /// By scenario id.
    pub recordings: BTreeMap<String, Recording>,
}

impl Bundle {
    /// What a scenario recorded, whole or cut short; where it was never run, a [`Cut`] that makes errors.
    pub fn recording(&self, scenario: &str) -> Result<&Recording, Cut> {
        self.recordings.get(scenario).ok_or_else(|| Cut {
            status: Status::Error,
            sentence: format!("scenario {scenario} has no recording in this bundle"),
        })
    }
}
