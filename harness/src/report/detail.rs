//! How much of a report its reader gets. Staff see everything; what students are given is a
//! choice of the course.

use std::fmt;
use std::path::Path;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::verdict::{Check, NO_MARK, Report};

/// How much is left in a report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Detail {
    /// Everything
    #[default]
    Full,
    /// What was asked and seen, and the hint; no evidence
    Seen,
    /// Statuses and points only
    Verdict,
}

impl fmt::Display for Detail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Full => "full",
            Self::Seen => "seen",
            Self::Verdict => "verdict",
        })
    }
}

impl Detail {
    /// The report with no more than this left in it.
    pub fn of(self, mut report: Report) -> Report {
        if self == Self::Full {
            return report;
        }
        // Where the file lay on the grader's machine is nobody's business.
        let name = Path::new(&report.submission.source).file_name();
        report.submission.source = name.unwrap_or_default().to_string_lossy().into_owned();
        report.detail = Some(self.max(report.detail.unwrap_or_default()));
        for check in report.subtasks.iter_mut().flat_map(|subtask| &mut subtask.checks) {
            self.strip(check);
        }
        for cause in &mut report.causes {
            cause.evidence.clear();
        }
        if self == Self::Verdict {
            report.environment.notes.retain(|note| note == NO_MARK);
            report.causes.clear();
            report.sessions.clear();
        }
        report
    }

    fn strip(self, check: &mut Check) {
        check.evidence.clear();
        if let Some(again) = &mut check.follow_through {
            // It was seen with a part of ours in place of the student's.
            again.actual.clear();
            again.evidence.clear();
        }
        if self == Self::Verdict {
            check.see.clear();
            for text in [&mut check.requirement, &mut check.expected, &mut check.actual, &mut check.hint] {
                text.clear();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::{FollowThrough, Status, Subtask};

    fn report() -> Report {
        let check = Check {
            id: "2b/root".into(),
            title: "title".into(),
            status: Status::Fail,
            score: 0.0,
            max: 2.0,
            requirement: "asked".into(),
            expected: "expected".into(),
            actual: "seen".into(),
            hint: "hint".into(),
            evidence: vec!["evidence/2/records.jsonl#1".into()],
            see: vec!["findmnt".into()],
            follow_through: Some(FollowThrough {
                replaced: "run".into(),
                score: 1.0,
                actual: "with ours".into(),
                evidence: vec!["evidence/2+run/records.jsonl#1".into()],
            }),
        };
        let subtask = Subtask {
            id: "2b".into(),
            title: String::new(),
            status: Status::Fail,
            score: 1.0,
            follow_through: 1.0,
            max: 2.0,
            seconds: 1.0,
            checks: vec![check],
        };
        let mut report = Report { subtasks: vec![subtask], score: 1.0, max: 2.0, ..Report::default() };
        report.submission.source = "/home/staff/class/x.zip".into();
        report
    }

    #[test]
    fn full_changes_nothing() {
        assert_eq!(Detail::Full.of(report()), report());
    }

    #[test]
    fn seen_has_no_evidence_and_nothing_of_a_run_with_a_part_of_ours() {
        let text = serde_json::to_string(&Detail::Seen.of(report())).unwrap();
        for gone in ["evidence/", "with ours", "/home/staff"] {
            assert!(!text.contains(gone), "{gone}: {text}");
        }
        for kept in ["asked", "\"seen\"", "hint", "x.zip"] {
            assert!(text.contains(kept), "{kept}: {text}");
        }
    }

    #[test]
    fn verdict_has_statuses_and_points_alone_and_no_more_comes_back() {
        let verdict = Detail::Verdict.of(report());
        let check = &verdict.subtasks[0].checks[0];
        assert_eq!((check.status, check.max), (Status::Fail, 2.0));
        assert!(check.actual.is_empty() && check.hint.is_empty() && check.requirement.is_empty());
        assert_eq!(Detail::Seen.of(verdict).detail, Some(Detail::Verdict));
    }
}
