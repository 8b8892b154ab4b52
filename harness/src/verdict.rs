//! The types of a judged run: the content of `report.json` (schema `harness-report/1`) and
//! of every other report.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::class::late::Late;
use crate::report::detail::Detail;
use crate::task::session::Session;

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// The evidence shows what the assignment asks.
    Pass,
    /// The evidence does not show it; the check's points are lost.
    Fail,
    /// Something that the check needs failed first. No points; `actual` names it.
    Skip,
    /// Our infrastructure failed: no mark is given or taken, and the run exits with 3.
    Error,
    /// Subtasks only: some checks passed and some did not.
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
    /// What would have passed, with the names of this run.
    pub expected: String,
    /// What was seen.
    pub actual: String,
    /// The places in the bundle that show it, such as `evidence/2b/records.jsonl#17`.
    pub evidence: Vec<String>,
}

impl Finding {
    /// A finding for `check` without places in the bundle.
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
    /// The graded submission.
    pub submission: SubmissionInfo,
    /// The machine that it met.
    pub environment: Environment,
    /// The rubric and harness that marked the evidence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub marked: Option<Marked>,
    /// Points given, those for follow-through included.
    pub score: f64,
    /// The part of the points that follow-through gave.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub follow_through: f64,
    /// The most points that this run could give.
    pub max: f64,
    /// The faults that hid other checks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<Cause>,
    /// How late the submission was, and the points that it lost for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub late: Option<Late>,
    /// Whether nothing was graded, and staff gave the points: those of the adjustments.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_hand: bool,
    /// Changes by staff after an appeal.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub adjustments: Vec<Adjustment>,
    /// The level of detail that is left; absent if everything is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<Detail>,
    /// The assignment's sample sessions beside what was seen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sessions: Vec<Session>,
    /// The graded subtasks, in the assignment's order.
    pub subtasks: Vec<Subtask>,
}

/// A fault that hid checks. Reports tell it once; the hidden checks have no hint of their own.
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
    /// The terminal's text about it, unchanged.
    pub quote: String,
    /// Where to look.
    pub hint: String,
    /// The places in the bundle that show it.
    pub evidence: Vec<String>,
    /// The hidden checks.
    pub checks: Vec<String>,
}

/// The rubric and harness that marked the evidence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marked {
    /// The SHA-256 of the rubric.
    pub rubric: String,
    /// The version of the judging harness. Another version may have recorded the evidence.
    pub harness: String,
}

/// A change of points after an appeal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Adjustment {
    /// The check or subtask, or `by-hand` for the whole of a mark that staff gave.
    pub of: String,
    /// Points to add; negative to take points.
    pub delta: f64,
    /// The change that was applied: a check or subtask keeps between 0 and all of its points.
    pub applied: f64,
    /// The reason.
    pub reason: String,
    /// The person who decided.
    pub who: String,
    /// The date of the decision.
    pub when: String,
}

/// Which submission a report is about.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SubmissionInfo {
    /// The roll number where the folder name has one, else the file's name.
    pub id: String,
    /// The path it was read from, as given.
    pub source: String,
    /// SHA-256 of the archive, or of a directory's sorted names, modes and contents.
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
    /// How many times slower this machine is than the reference one; student time
    /// limits are scaled by it.
    pub calibration: f64,
    /// How the machine was adapted to the submission, one sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Why a submission could have reached the recorder; `None` if it could not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unguarded: Option<String>,
}

/// The sentence about a machine in which root can reach the recorder.
pub const UNGUARDED: &str = "evidence is not protected in this machine";

/// The first note about a machine in which evidence is not protected at all
/// (`harness grade --here`).
pub const NO_MARK: &str = "on this machine: not a mark";

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_zero(points: &f64) -> bool {
    *points == 0.0
}

/// One subtask with its checks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Subtask {
    /// `layout 1 2a 2b 2c 3a 3b 3c 3d 3e 3f 4`.
    pub id: String,
    /// The title, a few words.
    pub title: String,
    /// `partial` where some checks passed.
    pub status: Status,
    /// Points given, those for follow-through included.
    pub score: f64,
    /// The part of the points that follow-through gave.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub follow_through: f64,
    /// The most points that the subtask gives.
    pub max: f64,
    /// Wall-clock seconds of its scenarios.
    pub seconds: f64,
    /// The checks, in the order of `harness checks`.
    pub checks: Vec<Check>,
}

/// One check with its verdict, points and reasons.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// `<subtask>/<kebab-name>`.
    pub id: String,
    /// The title, a few words.
    pub title: String,
    /// The verdict.
    pub status: Status,
    /// Points given.
    pub score: f64,
    /// The most points that the check gives; 0 for informational checks.
    pub max: f64,
    /// The assignment's own words.
    pub requirement: String,
    /// What would have passed.
    pub expected: String,
    /// What was seen.
    pub actual: String,
    /// Where to look. Never the answer.
    pub hint: String,
    /// The places in the report directory that show it.
    pub evidence: Vec<String>,
    /// Commands that show it by hand, with the names of this run; only for failed checks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub see: Vec<String>,
    /// How the check passed with a broken command replaced, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follow_through: Option<FollowThrough>,
}

/// A check that passed in a scenario in which a command of the conductor was replaced.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FollowThrough {
    /// The replaced command: `build`, `run`, `build-and-run` or `conductor`.
    pub replaced: String,
    /// Points given for it, beside the check's own score: a share of the check's maximum.
    pub score: f64,
    /// What was seen.
    pub actual: String,
    /// The places in the bundle that show it.
    pub evidence: Vec<String>,
}

impl FollowThrough {
    /// The condition under which the check passed, as part of a sentence.
    pub fn condition(&self) -> String {
        format!("with {} replaced by the reference's", self.replaced.replace('-', " "))
    }
}

/// Stands in [`Adjustment::of`] for the whole of a mark that staff gave.
pub const BY_HAND: &str = "by-hand";

impl Report {
    /// The fault that hid a check.
    pub fn cause_of(&self, check: &Check) -> Option<&Cause> {
        self.causes.iter().find(|cause| cause.checks.contains(&check.id))
    }
}

impl Check {
    /// The id without the subtask: `transcript`.
    pub fn name(&self) -> &str {
        self.id.split_once('/').map_or(self.id.as_str(), |(_, name)| name)
    }

    /// Whether the check loses or withholds marks, so that reports must explain it.
    pub fn needs_explaining(&self) -> bool {
        self.status == Status::Error || self.max > 0.0 && self.status != Status::Pass
    }
}
