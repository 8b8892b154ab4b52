//! One row for each submission: its report as it is now, with appeals and lateness in it.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use time::OffsetDateTime;

use super::Request;
use crate::class::adjust;
use crate::class::date;
use crate::class::entry::Person;
use crate::class::results::{self, Member, Roster, State};
use crate::rubric::Rubric;
use crate::verdict::{Report, Status};
use crate::{bundle, judge};

/// A submission and what it is worth.
#[derive(Debug)]
pub struct Row {
    /// The id, or the code in its place.
    pub id: String,
    /// Who gets the mark. Nobody, where ids are replaced by codes.
    pub people: Vec<Person>,
    /// The first part of its path in Moodle's zip.
    pub folder: Option<String>,
    /// The report, with everything in it.
    pub report: Option<Report>,
    /// How long it took to grade.
    pub seconds: f64,
    /// Why there is no report, or why its mark is not final.
    pub problem: Option<String>,
}

impl Row {
    /// The names of its people.
    pub fn names(&self) -> String {
        self.people.iter().map(|person| person.name.as_str()).collect::<Vec<_>>().join(", ")
    }

    /// How many checks have no verdict.
    pub fn errors(&self) -> usize {
        let checks =
            self.report.iter().flat_map(|report| &report.subtasks).flat_map(|subtask| &subtask.checks);
        checks.filter(|check| check.status == Status::Error).count()
    }
}

/// All rows, in the order of ids, and what a person should know.
pub fn rows(request: &Request, roster: &Roster) -> (Vec<Row>, Vec<String>) {
    let mut remarks = vec![];
    let times = times(request, roster, &mut remarks);
    for id in request.adjustments.keys() {
        if roster.entries.iter().all(|member| member.id != *id) {
            remarks.push(format!("the adjustments name {id}, which no submission has"));
        }
    }
    let next = AtomicUsize::new(0);
    let done = Mutex::new(vec![]);
    let workers = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(member) = roster.entries.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let made = row(request, roster, member, times.get(&member.id).copied());
                    if let Ok(mut done) = done.lock() {
                        done.push(made);
                    }
                }
            });
        }
    });
    let mut rows = vec![];
    let mut done = done.into_inner().unwrap_or_default();
    done.sort_by(|(a, _), (b, _)| a.id.cmp(&b.id));
    for (row, said) in done {
        rows.push(row);
        remarks.extend(said);
    }
    (rows, remarks)
}

/// When everybody handed in: as the worksheet says, else as the export did. Nothing where the
/// rubric takes no points for it.
fn times(request: &Request, roster: &Roster, remarks: &mut Vec<String>) -> BTreeMap<String, OffsetDateTime> {
    let mut times = BTreeMap::new();
    let Some(policy) = request.rubric.and_then(Rubric::late) else { return times };
    let members: BTreeMap<&str, &Member> =
        roster.entries.iter().map(|member| (member.id.as_str(), member)).collect();
    for member in &roster.entries {
        let stated = member.submitted.as_deref().and_then(date::parse);
        times.extend(stated.map(|at| (member.id.clone(), at.in_zone(policy.zone()))));
    }
    if let Some(sheet) = request.worksheet {
        for (row, number) in sheet.participants() {
            let Some(member) = members.get(number.as_str()) else { continue };
            let label = label(request, &number);
            if sheet.other_name(row, &member.names()).is_some() {
                remarks.push(format!("{label}: the worksheet has another name, so its time is not used"));
                continue;
            }
            match sheet.submitted(row) {
                Some(Ok(at)) => {
                    times.insert(number, at.in_zone(policy.zone()));
                }
                Some(Err(text)) => {
                    remarks.push(format!("{label}: the time of submission {text:?} cannot be read"));
                }
                None => {}
            }
        }
    }
    let unknown: Vec<_> = roster
        .entries
        .iter()
        .filter(|member| member.problems.is_empty() && !times.contains_key(&member.id))
        .map(|member| label(request, &member.id))
        .collect();
    if !unknown.is_empty() {
        remarks.push(format!(
            "the time of submission is not known, so these do not count as late: {}. Give the time in the worksheet (--worksheet) or in the table's column submitted, as 2026-02-01T23:50:00+05:30",
            unknown.join(", ")
        ));
    }
    let nobody = policy.extended().filter(|id| !members.contains_key(id));
    remarks.extend(nobody.map(|id| format!("[late.extensions] names {id}, which no submission has")));
    times
}

/// The id, or the code in its place.
fn label(request: &Request, id: &str) -> String {
    request.key.map_or_else(|| id.to_owned(), |key| key.code(id))
}

fn row(
    request: &Request,
    roster: &Roster,
    member: &Member,
    submitted: Option<OffsetDateTime>,
) -> (Row, Vec<String>) {
    let mut row = Row {
        id: member.id.clone(),
        people: member.people.clone(),
        folder: member.folder.clone(),
        report: None,
        seconds: 0.0,
        problem: None,
    };
    let mut remarks = vec![];
    match report(request, roster, member, &mut row.seconds) {
        Err(problem) => {
            let adjustments = request.adjustments.get(&member.id).into_iter().flatten();
            remarks.extend(adjustments.map(|one| {
                let (of, delta) = (&one.of, one.delta);
                format!("the adjustment of {of} by {delta} is not applied, because there is no report: enter the mark by hand")
            }));
            row.problem = Some(problem);
        }
        Ok(Found { mut report, problem, remark }) => {
            row.problem = problem;
            let none = vec![];
            let adjustments = request.adjustments.get(&member.id).unwrap_or(&none);
            let policy = request.rubric.and_then(Rubric::late);
            let late = policy.zip(submitted).and_then(|(policy, at)| policy.late(&member.id, at));
            remarks = adjust::apply(&mut report, adjustments, late);
            // What is said of files may name them, and so their owners.
            remarks.extend(remark.filter(|_| request.key.is_none()));
            row.report = Some(report);
        }
    }
    if let Some(key) = request.key {
        row.report = row.report.map(|report| key.mask(report, member));
        row.id = label(request, &member.id);
        row.people.clear();
        row.folder = None;
        // Sentences about files name them, and so their owners.
        row.problem = row.problem.map(|_| "not graded, or without a verdict on every check".to_owned());
    } else {
        remarks.extend(row.problem.clone());
    }
    let remarks = remarks.into_iter().map(|said| format!("{}: {said}", row.id)).collect();
    (row, remarks)
}

/// The report of a submission.
struct Found {
    /// Marked with the rubric that was asked for.
    report: Report,
    /// Why its mark is not final.
    problem: Option<String>,
    /// What a person should know.
    remark: Option<String>,
}

fn report(request: &Request, roster: &Roster, member: &Member, seconds: &mut f64) -> Result<Found, String> {
    if !member.problems.is_empty() {
        return Err(format!("not graded: {}", member.problems.join("; ")));
    }
    let again = |error: results::Error| {
        format!("{}; to grade it again, run `harness class grade` again", vm::chain(&error))
    };
    let outcome = request.results.outcome(&member.id).map_err(again)?;
    let Some(outcome) = outcome else {
        return Err("not graded yet, or its grade was cut off: run `harness class grade` again".to_owned());
    };
    let remark = outcome.of_now(member.handed_in.as_deref())?;
    *seconds = outcome.seconds;
    if outcome.state == State::Unreadable {
        return Err(format!("cannot be graded: {}", outcome.message));
    }
    let report = request.results.read_report(&member.id).map_err(again)?;
    let Some(mut report) = report.filter(|report| report.submission.sha256 == outcome.sha256) else {
        let message =
            if outcome.message.is_empty() { "run `harness class grade` again" } else { &outcome.message };
        return Err(format!("the infrastructure failed, no report: {message}"));
    };
    other_subtasks(roster, &report).map_or(Ok(()), Err)?;
    if let Some(rubric) = request.rubric {
        let is_current = report
            .marked
            .as_ref()
            .is_some_and(|marked| marked.rubric == rubric.sha256() && marked.harness == crate::VERSION);
        if !is_current {
            let bundle =
                bundle::read(&request.results.report(&member.id)).map_err(|error| vm::chain(&error))?;
            report = judge::judge(&bundle, rubric);
        }
    }
    let problem = match judge::outcome(&report) {
        judge::Outcome::NoVerdict => {
            Some("the infrastructure failed: a check has no verdict, so the mark is not final".to_owned())
        }
        _ if outcome.state == State::Failed => {
            Some(format!("the infrastructure failed: {}", outcome.message))
        }
        _ => None,
    };
    Ok(Found { report, problem, remark })
}

/// What to say of a report whose points are out of other subtasks than those of the class.
fn other_subtasks(roster: &Roster, report: &Report) -> Option<String> {
    let covered: Vec<&str> = report.subtasks.iter().map(|subtask| subtask.id.as_str()).collect();
    let asked: Vec<&str> = roster.subtasks.iter().map(String::as_str).collect();
    (!asked.is_empty() && covered != asked).then(|| {
        format!(
            "its report covers {}, and the class was last graded for {}: run `harness class grade` again with one --only \
             for everybody",
            covered.join(","),
            asked.join(",")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::class::Kind;
    use crate::class::results::Results;

    #[test]
    fn a_report_of_other_subtasks_is_named_and_one_of_the_same_is_not() {
        let home = tempfile::tempdir().unwrap();
        let roster = |subtasks: &str| -> Roster {
            let text = format!(
                r#"{{"schema":"harness-class/1","kind":"folder","source":"x","subtasks":{subtasks},"entries":[]}}"#
            );
            std::fs::write(home.path().join("class.json"), text).unwrap();
            Results::at(home.path()).roster().unwrap()
        };
        let mut report = Report::default();
        report.subtasks.extend(["1", "2a"].map(|id| crate::verdict::Subtask {
            id: id.to_owned(),
            title: String::new(),
            status: Status::Pass,
            score: 1.0,
            follow_through: 0.0,
            max: 1.0,
            seconds: 0.0,
            checks: vec![],
        }));
        assert_eq!(roster("[]").kind, Kind::Folder);
        assert_eq!(other_subtasks(&roster("[]"), &report), None);
        assert_eq!(other_subtasks(&roster(r#"["1","2a"]"#), &report), None);
        let said = other_subtasks(&roster(r#"["1"]"#), &report).unwrap();
        assert!(said.contains("covers 1,2a") && said.contains("graded for 1:"), "{said}");
    }
}
