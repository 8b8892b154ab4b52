//! What a judged run says: the types behind `report.json` (schema `harness-report/1`) and every other report.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::class::late::Late;
use crate::report::detail::Detail;

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// What the assignment asks was seen.
    Pass,
    /// It was not seen; the check's points are lost.
    Fail,
    /// Something this check needs failed first; no points, and `actual` says what it was.
    Skip,
    /// Our infrastructure failed: no mark is given or taken, and the run exits with 3.
    Error,
    /// Of a subtask only: some of its checks passed and some did not.
    Partial,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Skip => "skip",
            Self::Error => "error",
            Self::Partial => "partial",
        })
    }
}

/// What a judge decided about one check, before any points.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// The check's full id, such as `2c/cpu-quota`.
    pub check: &'static str,
    /// Never [`Status::Partial`].
    pub status: Status,
    /// What would have passed, in this run's own terms.
    pub expected: String,
    /// What was seen.
    pub actual: String,
    /// Where in the evidence bundle it was seen, such as `evidence/2b/records.jsonl#17`.
    pub evidence: Vec<String>,
}

impl Finding {
    /// A verdict on `check`, with no evidence named yet.
    pub fn new(
        check: &'static str,
        status: Status,
        expected: impl Into<String>,
        actual: impl Into<String>,
    ) -> Self {
        Self { check, status, expected: expected.into(), actual: actual.into(), evidence: vec![] }
    }
}

/// One judged run: the object in `report.json`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Always `harness-report/1`.
    pub schema: String,
    /// What was graded.
    pub submission: SubmissionInfo,
    /// On what it was graded.
    pub environment: Environment,
    /// With what its evidence was marked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub marked: Option<Marked>,
    /// Points given, those for follow-through included.
    pub score: f64,
    /// Those of them that are for follow-through.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub follow_through: f64,
    /// Points there were to get in this run.
    pub max: f64,
    /// What went wrong first in each task, where one fault kept other checks from being seen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<Cause>,
    /// How late it was handed in, and what that took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub late: Option<Late>,
    /// What staff changed after an appeal.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub adjustments: Vec<Adjustment>,
    /// How much of it is left to see; absent where it is everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<Detail>,
    /// The graded subtasks, in the assignment's order.
    pub subtasks: Vec<Subtask>,
}

/// One fault that kept checks from being seen. It is told once; the checks that follow from it have no hint of their own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// What happened, in one sentence.
    pub what: String,
    /// The submission's file that a shell or a compiler named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The line in that file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// What the terminal showed of it, as it was.
    pub quote: String,
    /// Where to look.
    pub hint: String,
    /// Where in the bundle it was seen.
    pub evidence: Vec<String>,
    /// The checks that could not be seen because of it.
    pub checks: Vec<String>,
}

/// With what evidence was marked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marked {
    /// The SHA-256 of the rubric.
    pub rubric: String,
    /// The version of the harness that judged, which need not be the one that recorded.
    pub harness: String,
}

/// A change of points after an appeal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Adjustment {
    /// The check or subtask.
    pub of: String,
    /// Points to add, or to take where it is negative.
    pub delta: f64,
    /// What that came to: no check and no subtask has less than nothing or more than all of its points.
    pub applied: f64,
    /// Why.
    pub reason: String,
    /// Who decided.
    pub who: String,
    /// When.
    pub when: String,
}

/// Which submission a report is about.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SubmissionInfo {
    /// The roll number where the folder name has one, else the file's name.
    pub id: String,
    /// The path it was read from, as given.
    pub source: String,
    /// Of the archive's bytes, or of a directory's sorted names, modes and contents.
    pub sha256: String,
}

/// The machine a submission met.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Environment {
    /// The VM image's name.
    pub image: String,
    /// The guest's kernel release.
    pub kernel: String,
    /// `kvm` or `tcg`, and why.
    pub accelerator: String,
    /// The harness's version.
    pub harness: String,
    /// RFC 3339, UTC.
    pub started: String,
    /// Wall-clock seconds of the whole run.
    pub seconds: f64,
    /// How many times slower this machine is than the reference one; student time limits are scaled by it.
    pub calibration: f64,
    /// What a reader should know of how the machine was made to fit the submission, one sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Why a submission could have reached the recorder in its machine; `None` where it could not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unguarded: Option<String>,
}

/// What a report says of a machine in which root can reach the recorder.
pub const UNGUARDED: &str = "evidence is not protected in this machine";

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_zero(points: &f64) -> bool {
    *points == 0.0
}

/// One subtask with its checks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Subtask {
    /// `layout 1 2a 2b 2c 3a 3b 3c 3d 3e 3f 4`.
    pub id: String,
    /// In a few words.
    pub title: String,
    /// `partial` where some checks passed.
    pub status: Status,
    /// Points given, those for follow-through included.
    pub score: f64,
    /// Those of them that are for follow-through.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub follow_through: f64,
    /// Points there were to get.
    pub max: f64,
    /// Wall-clock seconds of its scenarios.
    pub seconds: f64,
    /// In the order of `harness checks`.
    pub checks: Vec<Check>,
}

/// One check with its verdict, points and reasons.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// `<subtask>/<kebab-name>`.
    pub id: String,
    /// In a few words.
    pub title: String,
    /// The verdict.
    pub status: Status,
    /// Points given.
    pub score: f64,
    /// Points there were to get; 0 for informational checks.
    pub max: f64,
    /// The assignment's own words.
    pub requirement: String,
    /// What would have passed.
    pub expected: String,
    /// What was seen.
    pub actual: String,
    /// Where to look, without giving the answer.
    pub hint: String,
    /// Files in the report directory that show it.
    pub evidence: Vec<String>,
    /// Where it did not pass: how it passed once a broken command was replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follow_through: Option<FollowThrough>,
}

/// A check that passed when it was tried again with a basic command of the conductor replaced by the reference's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FollowThrough {
    /// What was replaced: `build`, `run`, `build-and-run` or `conductor`.
    pub replaced: String,
    /// Points given for it, beside the check's own score: a share of the check's maximum.
    pub score: f64,
    /// What was seen.
    pub actual: String,
    /// What shows it.
    pub evidence: Vec<String>,
}

impl FollowThrough {
    /// On what condition it passed, as part of a sentence.
    pub fn condition(&self) -> String {
        format!("with {} replaced by the reference's", self.replaced.replace('-', " "))
    }
}

impl Report {
    /// The fault because of which a check could not be seen.
    pub fn cause_of(&self, check: &Check) -> Option<&Cause> {
        self.causes.iter().find(|cause| cause.checks.contains(&check.id))
    }
}

impl Check {
    /// Its id without the subtask's: `transcript`.
    pub fn name(&self) -> &str {
        self.id.split_once('/').map_or(self.id.as_str(), |(_, name)| name)
    }

    /// Whether marks are lost or withheld by it: what reports must explain.
    pub fn needs_explaining(&self) -> bool {
        self.status == Status::Error || self.max > 0.0 && self.status != Status::Pass
    }
}
