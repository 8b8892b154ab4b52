//! Marks that staff give by hand: for work without a report, as it was handed in on paper, or
//! because no grade of it ends well.

use super::adjust;
use super::late::Late;
use crate::verdict::{Adjustment, BY_HAND, Check, Report, Status, SubmissionInfo, Subtask};

/// Whether staff said in so many words that the mark is theirs.
pub fn is_said(adjustments: &[Adjustment]) -> bool {
    adjustments.iter().any(|one| one.of == BY_HAND)
}

/// A report with the points that staff gave and nothing else, and what a reader should know.
/// `class` is a report of the same class: it has the subtasks and their points. `None` where no
/// points come of it that staff meant.
pub fn report(
    id: &str,
    class: Report,
    adjustments: &[Adjustment],
    late: Option<Late>,
) -> Option<(Report, Vec<String>)> {
    let is_named = |of: &str| adjustments.iter().any(|one| one.of == of);
    let is_part =
        |subtask: &Subtask| is_named(&subtask.id) || subtask.checks.iter().any(|check| is_named(&check.id));
    let subtasks = class.subtasks.into_iter().filter(is_part);
    let empty = |subtask: Subtask| Subtask {
        status: Status::Skip,
        score: 0.0,
        follow_through: 0.0,
        seconds: 0.0,
        checks: subtask.checks.into_iter().filter(|check| is_named(&check.id)).map(unjudged).collect(),
        ..subtask
    };
    let mut report = Report {
        schema: class.schema,
        submission: SubmissionInfo { id: id.to_owned(), ..SubmissionInfo::default() },
        by_hand: true,
        max: class.max,
        subtasks: subtasks.map(empty).collect(),
        ..Report::default()
    };
    let remarks = adjust::apply(&mut report, adjustments, late);
    for subtask in &mut report.subtasks {
        subtask.status = status(subtask.score, subtask.max);
        for check in &mut subtask.checks {
            check.status =
                if status(check.score, check.max) == Status::Pass { Status::Pass } else { Status::Skip };
        }
    }
    let has_points = report.adjustments.iter().any(|one| one.applied > 0.0);
    (has_points || is_said(adjustments)).then_some((report, remarks))
}

fn status(score: f64, max: f64) -> Status {
    if score <= 0.0 {
        Status::Skip
    } else if score < max {
        Status::Partial
    } else {
        Status::Pass
    }
}

fn unjudged(check: Check) -> Check {
    Check {
        status: Status::Skip,
        score: 0.0,
        expected: String::new(),
        actual: "marked by hand".to_owned(),
        hint: String::new(),
        evidence: vec![],
        see: vec![],
        follow_through: None,
        ..check
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::Bundle;
    use crate::judge;
    use crate::report::{markdown, page};
    use crate::rubric::Rubric;
    use crate::verdict::Environment;

    fn bundle() -> Bundle {
        Bundle {
            submission: SubmissionInfo::default(),
            environment: Environment::default(),
            subtasks: vec!["1".to_owned(), "2a".to_owned()],
            layout: serde_json::Value::Null,
            recordings: std::collections::BTreeMap::new(),
        }
    }

    fn class() -> Report {
        judge::judge(&bundle(), &Rubric::default())
    }

    fn marked(rows: &[(&str, f64)]) -> Option<Report> {
        let row = |(of, delta): &(&str, f64)| Adjustment {
            of: (*of).to_owned(),
            delta: *delta,
            applied: 0.0,
            reason: "on paper".to_owned(),
            who: "Ann".to_owned(),
            when: "2026-02-03".to_owned(),
        };
        report("7", class(), &rows.iter().map(row).collect::<Vec<_>>(), None).map(|(report, _)| report)
    }

    #[test]
    fn the_points_of_staff_are_all_there_is_and_never_more_than_the_class_can_have() {
        let report = marked(&[("by-hand", 4.0), ("1/transcript", 1.0), ("2a", 3.0)]).unwrap();
        assert_eq!((report.score, report.max, report.by_hand), (8.0, class().max, true));
        assert_eq!(report.subtasks[0].checks.len(), 1);
        let statuses = [report.subtasks[0].checks[0].status, report.subtasks[0].status];
        assert_eq!(statuses, [Status::Skip, Status::Partial]);
        assert!(report.subtasks[1].checks.is_empty());
        for text in [page::render(&report, &bundle()), markdown::render(&report)] {
            assert!(text.contains("nothing was run") && !text.contains("every check"), "{text}");
        }
        let report = marked(&[("by-hand", 400.0), ("1", 2.0)]).unwrap();
        assert!((report.score - class().max).abs() < 1e-9 && report.subtasks.len() == 1, "{report:?}");
    }

    #[test]
    fn nothing_but_a_row_that_says_so_makes_a_mark_of_nothing() {
        assert!(marked(&[("1", -2.0)]).is_none() && marked(&[("3a", 2.0)]).is_none());
        assert!(marked(&[("by-hand", 0.0)]).unwrap().score.abs() < 1e-9);
    }
}
