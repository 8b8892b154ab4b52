//! Changes of points after appeals: `adjust.csv`, with the columns id, check, delta, reason, who
//! and when. They are applied last, so they survive marking again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::columns::Columns;
use super::date;
use super::late::Late;
use crate::verdict::{Adjustment, BY_HAND, Report};
use crate::{submission, task};

/// Why the file is not used. Names the line: a typing error must not change marks.
#[derive(Debug, thiserror::Error)]
#[error("{}: {why}", path.display())]
pub struct Error {
    path: PathBuf,
    why: String,
}

/// All changes, by the id of the submission, in the file's order.
pub type Adjustments = BTreeMap<String, Vec<Adjustment>>;

/// Reads the file.
///
/// # Errors
/// When a column or a value is missing, or a name stands for nothing.
pub fn read(path: &Path) -> Result<Adjustments, Error> {
    let failed = |why: String| Error { path: path.to_owned(), why };
    let table = Columns::read(path).map_err(failed)?;
    let column = |name: &str| {
        let missing =
            || table.missing(&format!("there is no column {name:?} of id,check,delta,reason,who,when"));
        table.find(&[name]).ok_or_else(|| failed(missing()))
    };
    let columns = [
        column("id")?,
        column("check")?,
        column("delta")?,
        column("reason")?,
        column("who")?,
        column("when")?,
    ];
    let mut all = Adjustments::new();
    for (line, row) in &table.rows {
        let [id, of, delta, reason, who, when] =
            columns.map(|column| row.get(column).unwrap_or_default().to_owned());
        let adjustment = adjustment(&id, of, &delta, [reason, who, when])
            .map_err(|why| failed(format!("line {line}: {why}")))?;
        all.entry(id).or_default().push(adjustment);
    }
    Ok(all)
}

fn adjustment(id: &str, of: String, delta: &str, words: [String; 3]) -> Result<Adjustment, String> {
    if submission::id::given(id).is_none() {
        return Err(format!("{id:?} is not an id"));
    }
    let is_known = |subtask: &&'static task::Subtask| {
        subtask.id == of || subtask.checks.iter().any(|check| check.id == of)
    };
    if of != BY_HAND && !task::subtasks().iter().any(is_known) {
        return Err(format!("there is no check or subtask {of:?}, and it is not {BY_HAND}"));
    }
    let delta: f64 = delta
        .parse()
        .ok()
        .filter(|delta: &f64| delta.is_finite())
        .ok_or_else(|| format!("{delta:?} is not a number of points"))?;
    if words.iter().any(String::is_empty) {
        return Err("an adjustment needs a reason, who decided and when".to_owned());
    }
    let [reason, who, when] = words;
    if !date::is_day(&when) {
        return Err(format!("{when:?} is not a date: write when as 2026-02-10"));
    }
    Ok(Adjustment { of, delta, applied: 0.0, reason, who, when })
}

/// Applies changes, then the penalty for being late. Returns a sentence for each change that came
/// to less than it says, without the id.
pub fn apply(report: &mut Report, adjustments: &[Adjustment], late: Option<Late>) -> Vec<String> {
    let mut remarks = vec![];
    report.adjustments.clear();
    let mut by_hand = 0.0;
    // The whole is last: what checks and subtasks get is part of it.
    let (whole, parts): (Vec<_>, Vec<_>) = adjustments.iter().partition(|one| one.of == BY_HAND);
    for adjustment in parts.into_iter().chain(whole) {
        let applied = if adjustment.of == BY_HAND {
            let (before, most) = (by_hand, report.max - of_subtasks(report));
            by_hand = rounded((before + adjustment.delta).clamp(0.0, most.max(0.0)));
            report.by_hand.then(|| rounded(by_hand - before))
        } else {
            apply_one(report, adjustment)
        };
        match applied {
            None if adjustment.of == BY_HAND => {
                remarks.push(format!(
                    "there is a report, so its {} points by hand are not given",
                    adjustment.delta
                ));
                by_hand = 0.0;
            }
            None => {
                remarks.push(format!("{} was not graded, so its adjustment changes nothing", adjustment.of));
            }
            Some(applied) if (applied - adjustment.delta).abs() > 1e-9 => {
                let delta = adjustment.delta;
                remarks.push(if adjustment.of == BY_HAND {
                    format!("of {delta} points by hand, {applied} could be given")
                } else {
                    format!("of the adjustment of {} by {delta}, {applied} could be applied", adjustment.of)
                });
            }
            Some(_) => {}
        }
        let applied = applied.unwrap_or(0.0);
        report.adjustments.push(Adjustment { applied, ..adjustment.clone() });
    }
    let sum = of_subtasks(report) + by_hand;
    report.late = late.map(|late| {
        let penalty = rounded(report.max * late.percent / 100.0).min(sum);
        Late { penalty, ..late }
    });
    report.score = rounded(sum - report.late.as_ref().map_or(0.0, |late| late.penalty));
    remarks
}

fn of_subtasks(report: &Report) -> f64 {
    report.subtasks.iter().map(|subtask| subtask.score).fold(0.0, |sum, score| sum + score)
}

/// What one change came to; `None` where there is nothing to change.
fn apply_one(report: &mut Report, adjustment: &Adjustment) -> Option<f64> {
    let name = adjustment.of.split('/').next().unwrap_or_default();
    let subtask = report.subtasks.iter_mut().find(|subtask| subtask.id == name)?;
    if adjustment.of == subtask.id {
        let before = subtask.score;
        subtask.score = rounded((before + adjustment.delta).clamp(0.0, subtask.max));
        return Some(rounded(subtask.score - before));
    }
    let check = subtask.checks.iter_mut().find(|check| check.id == adjustment.of)?;
    // What a check has for follow-through stays, so there is less to add.
    let most = check.max - check.follow_through.as_ref().map_or(0.0, |own| own.score);
    let before = check.score;
    check.score = rounded((before + adjustment.delta).clamp(0.0, most.max(before)));
    let applied = rounded(check.score - before);
    subtask.score = rounded((subtask.score + applied).clamp(0.0, subtask.max));
    Some(applied)
}

fn rounded(points: f64) -> f64 {
    (points * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::{Check, Status, Subtask};

    const HEADER: &str = "id,check,delta,reason,who,when\n";

    fn read_text(text: &str) -> Result<Adjustments, Error> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), format!("{HEADER}{text}")).unwrap();
        read(file.path())
    }

    fn report() -> Report {
        let check = |id: &str, status, score| Check {
            id: id.into(),
            title: String::new(),
            status,
            score,
            max: 5.0,
            requirement: String::new(),
            expected: String::new(),
            actual: String::new(),
            hint: String::new(),
            evidence: vec![],
            see: vec![],
            follow_through: None,
        };
        let subtask = Subtask {
            id: "1".into(),
            title: String::new(),
            status: Status::Partial,
            score: 5.0,
            follow_through: 0.0,
            max: 10.0,
            seconds: 0.0,
            checks: vec![check("1/transcript", Status::Pass, 5.0), check("1/exits-clean", Status::Fail, 0.0)],
        };
        Report { subtasks: vec![subtask], score: 5.0, max: 10.0, ..Report::default() }
    }

    #[test]
    fn a_change_of_a_check_and_of_a_subtask_add_up_and_stay_within_the_points() {
        let all = read_text(
            "a,1/exits-clean,2,\"seen, by hand\",Ann,2026-02-03\na,1,20,all of it,Ann,2026-02-04\na,2a,1,x,Ann,2026-02-04\n",
        )
        .unwrap();
        let mut report = report();
        let remarks = apply(&mut report, &all["a"], None);
        assert!((report.subtasks[0].checks[1].score - 2.0).abs() < 1e-9);
        assert_eq!((report.score, report.subtasks[0].score), (10.0, 10.0));
        let applied: Vec<f64> = report.adjustments.iter().map(|one| one.applied).collect();
        assert_eq!(applied, [2.0, 3.0, 0.0]);
        assert_eq!(remarks.len(), 2, "{remarks:?}");
        assert_eq!(report.adjustments[0].reason, "seen, by hand");
    }

    #[test]
    fn the_penalty_is_of_the_points_there_were_and_never_below_nothing() {
        let late = |percent| Late {
            submitted: String::new(),
            deadline: String::new(),
            seconds: 1,
            days: 1,
            percent,
            penalty: 0.0,
        };
        let mut report = report();
        apply(&mut report, &[], Some(late(10.0)));
        assert_eq!((report.score, report.late.as_ref().unwrap().penalty), (4.0, 1.0));
        apply(&mut report, &[], Some(late(100.0)));
        assert!(report.score.abs() < 1e-9);
        apply(&mut report, &[], None);
        assert_eq!((report.score, report.late), (5.0, None));
    }

    #[test]
    fn what_is_misspelt_is_an_error_that_names_its_line() {
        for (row, said) in [
            ("a,1/transcirpt,1,r,w,d\n", "1/transcirpt"),
            ("a,byhand,1,r,w,d\n", "by-hand"),
            ("a,1,one,r,w,d\n", "\"one\""),
            ("a,1,inf,r,w,d\n", "\"inf\""),
            ("a,1,1,r,,d\n", "who decided"),
            ("../a,1,1,r,w,2026-02-10\n", "../a"),
            ("a,1,1,r,w,31.02.2026\n", "31.02.2026"),
            ("a,1,1,r,w,next week\n", "next week"),
        ] {
            let error = read_text(row).unwrap_err().to_string();
            assert!(error.contains("line 2") && error.contains(said), "{error}");
        }
    }
}
