//! `class.csv`: a row for everybody. Who has no final mark has an empty score and a problem, so
//! that nobody takes a failure of ours for a 0.

use std::collections::BTreeSet;

use super::rows::Row;
use crate::report::text::{points, visible};
use crate::task;
use crate::verdict::{Status, Subtask};

/// The table as text.
pub fn csv(rows: &[Row]) -> String {
    let graded: BTreeSet<&str> = rows
        .iter()
        .filter_map(|row| row.report.as_ref())
        .flat_map(|report| report.subtasks.iter().map(|subtask| subtask.id.as_str()))
        .collect();
    let subtasks: Vec<&str> =
        task::subtasks().iter().map(|subtask| subtask.id).filter(|id| graded.contains(id)).collect();
    let mut writer = csv::Writer::from_writer(vec![]);
    let mut header = vec!["id", "name", "number", "email", "score", "max"];
    header.extend(&subtasks);
    header.extend(["adjusted", "late_days", "late_penalty", "seconds", "errors", "problem"]);
    let mut written = writer.write_record(&header).is_ok();
    for row in rows {
        let nobody = [crate::class::Person::default()];
        let people = if row.people.is_empty() { &nobody[..] } else { &row.people[..] };
        for person in people {
            let mut cells =
                vec![text(&row.id), text(&person.name), text(&person.number), text(&person.email)];
            cells.extend(numbers(row, &subtasks));
            written &= writer.write_record(&cells).is_ok();
        }
    }
    match writer.into_inner() {
        // Writing into memory cannot fail.
        Ok(bytes) if written => String::from_utf8(bytes).unwrap_or_default(),
        _ => String::new(),
    }
}

fn numbers(row: &Row, subtasks: &[&str]) -> Vec<String> {
    let report = row.report.as_ref();
    let mut cells = vec![
        row.final_report().map(|report| points(report.score)).unwrap_or_default(),
        report.map(|report| points(report.max)).unwrap_or_default(),
    ];
    let has_verdicts = |subtask: &&Subtask| subtask.checks.iter().all(|check| check.status != Status::Error);
    for id in subtasks {
        let subtask = report.and_then(|report| report.subtasks.iter().find(|subtask| subtask.id == *id));
        let subtask = subtask.filter(has_verdicts);
        cells.push(subtask.map(|subtask| points(subtask.score)).unwrap_or_default());
    }
    let adjusted = report.map_or(0.0, |report| report.adjustments.iter().map(|one| one.applied).sum());
    let late = report.and_then(|report| report.late.as_ref());
    cells.push(if adjusted == 0.0 { String::new() } else { points(adjusted) });
    cells.push(late.map(|late| late.days.to_string()).unwrap_or_default());
    cells.push(late.map(|late| points(late.penalty)).unwrap_or_default());
    cells.push(format!("{:.1}", row.seconds));
    cells.push(row.errors().to_string());
    cells.push(text(row.problem.as_deref().unwrap_or_default()));
    cells
}

/// A cell that no spreadsheet takes for a formula.
pub fn text(text: &str) -> String {
    let shown = visible(text);
    if shown.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{shown}") } else { shown }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::Bundle;
    use crate::judge;
    use crate::rubric::Rubric;
    use crate::verdict::{Environment, SubmissionInfo};

    #[test]
    fn a_subtask_without_a_verdict_has_no_points() {
        let bundle = Bundle {
            submission: SubmissionInfo::default(),
            environment: Environment::default(),
            subtasks: vec!["1".to_owned()],
            layout: serde_json::Value::Null,
            recordings: std::collections::BTreeMap::new(),
        };
        let mut report = judge::judge(&bundle, &Rubric::default());
        report.subtasks[0].checks[0].status = Status::Error;
        let mut row = Row {
            id: "7".to_owned(),
            people: vec![],
            folder: None,
            report: Some(report),
            seconds: 0.0,
            problem: Some("no verdict".to_owned()),
            absent: false,
        };
        assert!(csv(std::slice::from_ref(&row)).contains("\n7,,,,,15,,"));
        row.problem = None;
        for check in &mut row.report.as_mut().unwrap().subtasks[0].checks {
            check.status = Status::Fail;
        }
        assert!(csv(std::slice::from_ref(&row)).contains("\n7,,,,0,15,0,"));
    }

    #[test]
    fn no_cell_is_a_formula() {
        assert_eq!(text("=HYPERLINK(\"x\")"), "'=HYPERLINK(\"x\")");
        assert_eq!(text("+1"), "'+1");
        assert_eq!(text("Jane = Doe"), "Jane = Doe");
    }
}
