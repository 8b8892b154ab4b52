//! Compares how a case came out with what is expected of it.

use super::Expect;
use crate::task;
use crate::verdict::{Check, Report, Status};

/// How a graded case came out beside what is expected of it.
#[derive(Debug, Default)]
pub struct Comparison {
    /// Checks that were judged. Informational ones are compared and not counted.
    pub checks: usize,
    /// Those that must pass.
    pub expected: usize,
    /// Those that passed.
    pub passed: usize,
    /// What is not as expected, a line each.
    pub differences: Vec<String>,
}

/// Compares a report with what is expected.
pub fn compare(expect: &Expect, report: &Report) -> Comparison {
    let (mut checks, mut must_pass, mut passed) = (0, 0, 0);
    let mut lines = vec![];
    for subtask in &report.subtasks {
        let (informational, counted): (Vec<_>, Vec<_>) =
            subtask.checks.iter().partition(|check| is_informational(&check.id));
        if !expect.zero.contains(&subtask.id) {
            lines.extend(informational.into_iter().filter_map(|check| misjudged(expect, check)));
        }
        for check in counted {
            let (fits, wanted) = if expect.zero.contains(&subtask.id) {
                (matches!(check.status, Status::Fail | Status::Skip), "no pass and no error")
            } else {
                let status = expected(expect, &check.id);
                must_pass += usize::from(status == Status::Pass);
                (check.status == status, name(status))
            };
            checks += 1;
            passed += usize::from(check.status == Status::Pass);
            if !fits {
                lines
                    .push(format!("{}: expected {wanted}, got {}: {}", check.id, check.status, check.actual));
            }
            let followed = expect.follow_through.contains(&check.id);
            match &check.follow_through {
                None if followed => lines.push(format!("{}: expected follow-through, got none", check.id)),
                Some(own) if !followed => {
                    lines.push(format!("{}: follow-through {}: {}", check.id, own.condition(), own.actual));
                }
                _ => {}
            }
        }
    }
    let judged: Vec<_> =
        report.subtasks.iter().flat_map(|subtask| &subtask.checks).map(|check| &check.id).collect();
    let of_report = |id: &&String| report.subtasks.iter().any(|s| id.starts_with(&format!("{}/", s.id)));
    let named = expect.fail.iter().chain(&expect.skip).chain(&expect.noted).chain(&expect.follow_through);
    for id in named.filter(of_report).filter(|id| !id.ends_with(ALL) && !judged.contains(id)) {
        lines.push(format!("{id}: expected, but there is no such check"));
    }
    Comparison { checks, expected: must_pass, passed, differences: lines }
}

/// The end of an entry that means all checks of a subtask.
const ALL: &str = "/*";

/// What must become of a check that has marks. An entry that names the check goes before one that
/// means all of its subtask.
pub(super) fn expected(expect: &Expect, id: &str) -> Status {
    let named = |list: &[String]| list.iter().any(|entry| entry == id);
    let meant = |list: &[String]| {
        let subtask = id.split('/').next();
        list.iter().any(|entry| entry.strip_suffix(ALL).is_some_and(|of| Some(of) == subtask))
    };
    if named(&expect.fail) {
        Status::Fail
    } else if named(&expect.skip) {
        Status::Skip
    } else if meant(&expect.fail) {
        Status::Fail
    } else if meant(&expect.skip) {
        Status::Skip
    } else {
        Status::Pass
    }
}

fn name(status: Status) -> &'static str {
    match status {
        Status::Fail => "fail",
        Status::Skip => "skip",
        _ => "pass",
    }
}

/// Whether a check carries no marks by default.
pub(super) fn is_informational(id: &str) -> bool {
    task::subtasks().iter().flat_map(|s| s.checks).any(|spec| spec.id == id && spec.informational)
}

/// What is not as expected about an informational check: it must fail where it is
/// noted, and only there.
fn misjudged(expect: &Expect, check: &Check) -> Option<String> {
    let (fits, expected) = if expect.noted.contains(&check.id) {
        (check.status == Status::Fail, "fail (noted)")
    } else {
        (matches!(check.status, Status::Pass | Status::Skip), "pass or skip (informational, not noted)")
    };
    (!fits).then(|| format!("{}: expected {expected}, got {}: {}", check.id, check.status, check.actual))
}
