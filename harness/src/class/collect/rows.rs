//! One row for each submission: its report as it is now, with appeals and lateness in it.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use time::OffsetDateTime;

use super::Request;
use super::found::{Found, Missing, any_report, report};
use crate::class::entry::{Kind, Person};
use crate::class::late::Late;
use crate::class::results::{Member, Roster};
use crate::class::{absent, adjust, by_hand, date};
use crate::report::text::points;
use crate::rubric::Rubric;
use crate::verdict::{Adjustment, BY_HAND, Report, Status};

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
    /// Whether only the worksheet names them, and they handed in nothing.
    pub absent: bool,
}

impl Row {
    /// The names of its people.
    pub fn names(&self) -> String {
        self.people.iter().map(|person| person.name.as_str()).collect::<Vec<_>>().join(", ")
    }

    /// The report, if its mark is final: any other goes to nobody.
    pub fn final_report(&self) -> Option<&Report> {
        self.report.as_ref().filter(|_| self.problem.is_none())
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
            let where_else = match (roster.kind, request.worksheet) {
                (Kind::Moodle, None) => ": where the worksheet has this participant, give --worksheet",
                (Kind::Moodle, Some(_)) => ", and no row of the worksheet",
                (Kind::Table, _) => ": the table may have a row for it without a path",
                _ => "",
            };
            remarks.push(format!("the adjustments name {id}, which no submission has{where_else}"));
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
        absent: member.problems.iter().any(|problem| problem == absent::NOTHING),
    };
    let adjustments = request.adjustments.get(&member.id).map_or(&[][..], Vec::as_slice);
    let policy = request.rubric.and_then(Rubric::late);
    let late = policy.zip(submitted).and_then(|(policy, at)| policy.late(&member.id, at));
    let mut remarks = vec![];
    match report(request, roster, member, &mut row.seconds) {
        Err(missing) if adjustments.is_empty() => row.problem = Some(missing.why),
        Err(missing) => match by_hand(request, roster, member, &missing, late) {
            Ok((report, said)) => {
                row.report = Some(report);
                remarks = said;
            }
            Err(said) => {
                row.problem = Some(missing.why);
                remarks = said;
            }
        },
        Ok(Found { mut report, problem, remark }) => {
            remarks = adjust::apply(&mut report, adjustments, late);
            row.problem = problem;
            if by_hand::is_said(adjustments) {
                row.problem = Some(format!(
                    "adjust.csv gives points {BY_HAND}, and there is a report: remove that row, or change checks and \
                     subtasks"
                ));
            }
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
        let masked =
            if row.absent { absent::NOTHING } else { "not graded, or without a verdict on every check" };
        row.problem = row.problem.map(|_| masked.to_owned());
    } else if !row.absent {
        remarks.extend(row.problem.clone());
    }
    let remarks = remarks.into_iter().map(|said| format!("{}: {said}", row.id)).collect();
    (row, remarks)
}

/// The report of points that staff gave, and what a person should know. Where the points wait for a
/// report, only the latter.
fn by_hand(
    request: &Request,
    roster: &Roster,
    member: &Member,
    missing: &Missing,
    late: Option<Late>,
) -> Result<(Report, Vec<String>), Vec<String>> {
    let adjustments = request.adjustments.get(&member.id).map_or(&[][..], Vec::as_slice);
    let report = if missing.is_for_good || by_hand::is_said(adjustments) {
        by_hand::report(&member.id, any_report(request, roster), adjustments, late)
    } else {
        None
    };
    if let Some((report, mut remarks)) = report {
        // The reason may name files, and so their owners.
        let why = if request.key.is_none() { format!(" ({})", missing.why) } else { String::new() };
        remarks.insert(
            0,
            format!(
                "there is no report{why}: adjust.csv alone gives the mark, {} of {} points",
                points(report.score),
                points(report.max)
            ),
        );
        return Ok((report, remarks));
    }
    let waits = |one: &Adjustment| {
        format!(
            "the adjustment of {} by {} is not applied, because there is no report: grade again, or give the whole mark \
             in a row with the check {BY_HAND}",
            one.of, one.delta
        )
    };
    Err(adjustments.iter().map(waits).collect())
}
