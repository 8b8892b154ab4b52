//! What a class's results are handed back as. Everything here is a pure function of the reports:
//! nothing is run, and the same results make the same files.

mod feedback;
mod found;
mod page;
mod rows;
mod stats;
mod table;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use vm::FileError;

use super::absent;
use super::adjust::Adjustments;
use super::code::Key;
use super::entry::Kind;
use super::fresh::{self, Fresh};
use super::moodle::worksheet::{self, Worksheet};
use super::results::{self, Results, Roster};
use crate::bundle::{self, write_atomically};
use crate::evidence::Bundle;
use crate::report::{self, detail::Detail};
use crate::rubric::Rubric;
use crate::verdict::Report;

pub use rows::{Row, rows};

/// Marks a folder that `class collect` made, so that the next run may replace it.
const MARKER: &str = "collected.json";

/// Everything that is replaced. Other files in the folder stay.
const OURS: [&str; 6] = [MARKER, "class.csv", "class.html", "worksheet.csv", "feedback.zip", "reports"];

/// What is to be handed back, and how.
#[derive(Debug)]
pub struct Request<'a> {
    /// The results.
    pub results: &'a Results,
    /// Where the files go.
    pub into: &'a Path,
    /// Marks from this rubric in place of those that the reports have.
    pub rubric: Option<&'a Rubric>,
    /// Changes after appeals.
    pub adjustments: &'a Adjustments,
    /// Moodle's worksheet.
    pub worksheet: Option<&'a Worksheet>,
    /// Whether grades are scaled to the worksheet's maximum.
    pub scale: bool,
    /// How much students see.
    pub detail: Detail,
    /// The key for codes in place of ids.
    pub key: Option<&'a Key>,
    /// A page about similar submissions.
    pub similarity: Option<&'a Path>,
}

/// Why nothing was handed back.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The results cannot be read.
    #[error(transparent)]
    Results(#[from] results::Error),
    /// The worksheet is not about this class.
    #[error(transparent)]
    Sheet(#[from] worksheet::Error),
    /// A file cannot be written.
    #[error(transparent)]
    Write(#[from] bundle::Error),
    /// A file cannot be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The folder cannot be replaced.
    #[error(transparent)]
    Fresh(#[from] fresh::Error),
}

/// What was written, and what a person should know.
#[derive(Debug, Default)]
pub struct Collected {
    /// The files, in the order in which they are of use.
    pub files: Vec<PathBuf>,
    /// One sentence each.
    pub remarks: Vec<String>,
    /// How many submissions there are.
    pub submissions: usize,
    /// How many of them have no final mark.
    pub without_mark: usize,
}

/// What the marker says of the folder.
#[derive(Debug, Serialize, Deserialize)]
struct Marker {
    schema: String,
    detail: Detail,
    anonymous: bool,
    /// Whether changes after appeals were applied.
    #[serde(default)]
    adjusted: bool,
    /// Whether late submissions were penalised.
    #[serde(default)]
    late: bool,
}

/// What an earlier collection had and this one lacks: somebody may have left an option out.
fn left_out(request: &Request, marker: &Marker) -> Vec<String> {
    let mut remarks = vec![];
    for folder in [request.into, &request.results.path().join("collected")] {
        // A folder that is not ours is refused elsewhere.
        let Ok(Some(before)) = results::read_json::<Marker>(folder, MARKER) else { continue };
        let place = folder.display();
        if before.adjusted && !marker.adjusted {
            remarks.push(format!(
                "{place} had changes after appeals, and now there are none: give --adjust again"
            ));
        }
        if before.late && !marker.late {
            remarks.push(format!(
                "{place} had penalties for being late, and now there are none: give --rubric with its [late] again"
            ));
        }
        break;
    }
    remarks
}

/// Writes everything that a class's results are handed back as.
///
/// # Errors
/// When the results cannot be read or a file cannot be written.
pub fn collect(request: &Request) -> Result<Collected, Error> {
    let mut roster = request.results.roster()?;
    if request.worksheet.is_some() {
        worksheet::check(roster.kind)?;
    }
    absent::join(&mut roster, request.worksheet);
    let (rows, mut remarks) = rows(request, &roster);
    if request.key.is_none() {
        remarks.extend(roster.left_aside.iter().map(|aside| format!("left aside: {aside}")));
    }
    let absent: Vec<&Row> = rows.iter().filter(|row| row.absent).collect();
    let without: Vec<_> =
        absent.iter().filter(|row| row.report.is_none()).map(|row| row.id.as_str()).collect();
    if !without.is_empty() {
        remarks
            .push(format!("nothing was handed in, so neither a mark nor 0 is given: {}", without.join(", ")));
    }
    let without_mark = rows.iter().filter(|row| row.problem.is_some() && !row.absent).count();
    let submissions = rows.len() - absent.len();
    let marker = Marker {
        schema: "harness-collected/1".to_owned(),
        detail: request.detail,
        anonymous: request.key.is_some(),
        adjusted: !request.adjustments.is_empty(),
        late: request.rubric.is_some_and(|rubric| rubric.late().is_some()),
    };
    remarks.extend(left_out(request, &marker));
    let fresh = Fresh::begin(request.into, MARKER, "collect")?;
    let mut files = vec![];
    let mut put = |name: &str, bytes: &[u8]| -> Result<(), Error> {
        write_atomically(&fresh.path().join(name), |out| out.write_all(bytes))?;
        files.push(request.into.join(name));
        Ok(())
    };
    put("class.csv", table::csv(&rows).as_bytes())?;
    put("class.html", page::render(&rows, &roster, request.key.is_some(), request.similarity).as_bytes())?;
    match (roster.kind, request.key) {
        (_, Some(_)) => {
            remarks
                .push("without names: no worksheet and no feedback zip, which name participants".to_owned());
        }
        (Kind::Moodle, None) => {
            if let Some(sheet) = request.worksheet {
                let filled = sheet.fill(&feedback::marks(&rows, request.detail), request.scale);
                remarks.extend(filled.remarks);
                put("worksheet.csv", filled.text.as_bytes())?;
            }
            put(
                "feedback.zip",
                &feedback::zip(&rows, request.detail, &mut remarks).map_err(failed(request.into))?,
            )?;
        }
        (_, None) => {}
    }
    for row in &rows {
        let Some(report) = &row.report else { continue };
        let folder = fresh.path().join("reports").join(&row.id);
        let report = request.detail.of(report.clone());
        report::write(&folder, &report, &bundle_of(request, row, &report))?;
        // What has no final mark gets none on Gradescope either.
        if row.problem.is_none() {
            let results = report::gradescope::render(&report);
            write_atomically(&folder.join("results.json"), |out| out.write_all(results.as_bytes()))?;
        }
    }
    write_atomically(&fresh.path().join(MARKER), |out| {
        serde_json::to_writer_pretty(&mut *out, &marker)?;
        out.write_all(b"\n")
    })?;
    fresh.finish(|name| OURS.iter().any(|ours| name == *ours))?;
    files.push(request.into.join("reports"));
    Ok(Collected { files, remarks, submissions, without_mark })
}

/// The bundle that a report's page shows. Where less than everything is shown, or no
/// names, no recordings are.
fn bundle_of(request: &Request, row: &Row, report: &Report) -> Bundle {
    let with_recordings = request.detail == Detail::Full && request.key.is_none();
    let there = with_recordings.then(|| bundle::read(&request.results.report(&row.id)).ok()).flatten();
    there.unwrap_or_else(|| Bundle {
        submission: report.submission.clone(),
        environment: report.environment.clone(),
        subtasks: report.subtasks.iter().map(|subtask| subtask.id.clone()).collect(),
        layout: serde_json::Value::Null,
        recordings: BTreeMap::new(),
    })
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> FileError {
    FileError::at("write", path)
}

/// Whose marks a worksheet or a page is about, in words.
fn title(roster: &Roster) -> String {
    let name = Path::new(&roster.source).file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}
