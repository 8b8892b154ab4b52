//! What goes back to participants of Moodle: a comment in the worksheet, and a file
//! in the feedback zip.

use std::collections::BTreeMap;
use std::io::{self, Cursor, Write};

use maud::{DOCTYPE, Markup, html};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use super::rows::Row;
use crate::class::moodle::fill::Mark;
use crate::report::changes::sentences;
use crate::report::detail::Detail;
use crate::report::text::{points, shortened, visible};
use crate::verdict::{Check, Report, Status};

/// How much of what was seen a comment quotes.
const MOST_QUOTED: usize = 400;

/// The mark of each participant, by their number.
pub fn marks(rows: &[Row], detail: Detail) -> BTreeMap<String, Mark> {
    let mark = |row: &Row| {
        let report = row.final_report()?;
        let feedback = comment(&detail.of(report.clone())).into_string();
        Some((
            row.id.clone(),
            Mark {
                grade: (report.score, report.max),
                name: row.names(),
                feedback: feedback.replace(['\n', '\r'], " "),
            },
        ))
    };
    rows.iter().filter_map(mark).collect()
}

/// The feedback zip: a page for each participant, in the folder that the download had.
pub fn zip(rows: &[Row], detail: Detail, remarks: &mut Vec<String>) -> io::Result<Vec<u8>> {
    let mut zip = ZipWriter::new(Cursor::new(vec![]));
    // No time of day: the same reports make the same zip.
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .last_modified_time(DateTime::default());
    for row in rows {
        let Some(report) = row.final_report() else { continue };
        let Some(folder) = &row.folder else {
            remarks.push(format!(
                "{}: no feedback file, because Moodle's folder for this participant is not known",
                row.id
            ));
            continue;
        };
        zip.start_file(format!("{folder}feedback.html"), options).map_err(io::Error::other)?;
        zip.write_all(document(&detail.of(report.clone())).into_string().as_bytes())?;
    }
    Ok(zip.finish().map_err(io::Error::other)?.into_inner())
}

fn document(report: &Report) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head { meta charset="utf-8"; title { "Feedback" } }
            body style="font-family: sans-serif; max-width: 50em; margin: 2em auto" { (comment(report)) }
        }
    }
}

/// The points, and what cost some of them. It begins with a tag, so no spreadsheet
/// takes it for a formula.
fn comment(report: &Report) -> Markup {
    html! {
        p { strong { (points(report.score)) " of " (points(report.max)) } " points" }
        @if !report.subtasks.is_empty() {
            ul {
                @for subtask in &report.subtasks {
                    li {
                        (subtask.id) " " (subtask.title) ": " (points(subtask.score)) " / " (points(subtask.max))
                        @let lost: Vec<_> = subtask.checks.iter().filter(|check| check.needs_explaining()).collect();
                        @if !lost.is_empty() {
                            ul { @for check in lost { li { (explained(check)) } } }
                        }
                    }
                }
            }
        }
        @for sentence in sentences(report) { p { (sentence) } }
    }
}

fn explained(check: &Check) -> Markup {
    html! {
        (check.name()) ": "
        @match check.status {
            Status::Error => { "no verdict, the infrastructure failed" }
            // Staff may have given points for it.
            Status::Skip if check.score <= 0.0 => { "could not be judged" }
            _ => { (points(check.score)) " / " (points(check.max)) }
        }
        @if let Some(again) = &check.follow_through {
            ", " (points(again.score)) " " (again.condition())
        }
        @for (name, text) in [("seen", &check.actual), ("hint", &check.hint)] {
            @if !text.is_empty() {
                br; (name) ": "
                @for (place, line) in shortened(&visible(text), MOST_QUOTED, 4).lines().enumerate() {
                    @if place > 0 { br; }
                    (line)
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::Subtask;

    fn row() -> Row {
        let check = Check {
            id: "2b/root".into(),
            title: "title".into(),
            status: Status::Fail,
            score: 0.0,
            max: 2.0,
            requirement: String::new(),
            expected: String::new(),
            actual: "=cmd|' /C calc'!A0 <script>alert(1)</script>\nsecond".into(),
            hint: String::new(),
            evidence: vec![],
            see: vec![],
            follow_through: None,
        };
        let subtask = Subtask {
            id: "2b".into(),
            title: String::new(),
            status: Status::Fail,
            score: 0.0,
            follow_through: 0.0,
            max: 2.0,
            seconds: 1.0,
            checks: vec![check],
        };
        Row {
            id: "7".into(),
            people: vec![],
            folder: Some("Zoë Łoś_7_assignsubmission_file/".into()),
            report: Some(Report { subtasks: vec![subtask], score: 0.0, max: 2.0, ..Report::default() }),
            seconds: 1.0,
            problem: None,
            absent: false,
        }
    }

    #[test]
    fn a_comment_is_escaped_html_on_one_line() {
        let marks = marks(&[row()], Detail::Full);
        let mark = &marks["7"];
        assert_eq!(mark.grade, (0.0, 2.0));
        assert!(mark.feedback.starts_with("<p>") && !mark.feedback.contains("<script>"), "{}", mark.feedback);
        assert!(mark.feedback.contains("<br>second") && !mark.feedback.contains('\n'), "{}", mark.feedback);
        let none = Row { problem: Some("the infrastructure failed".into()), ..row() };
        assert!(super::marks(&[none], Detail::Full).is_empty());
    }

    #[test]
    fn points_of_an_appeal_are_shown_also_where_nothing_could_be_judged() {
        let mut row = row();
        let text = |row: &Row| marks(std::slice::from_ref(row), Detail::Full)["7"].feedback.clone();
        let check = |row: &mut Row| row.report.as_mut().unwrap().subtasks[0].checks.remove(0);
        let skipped = Check { status: Status::Skip, ..check(&mut row) };
        row.report.as_mut().unwrap().subtasks[0].checks.push(skipped.clone());
        assert!(text(&row).contains("root: could not be judged"), "{}", text(&row));
        row.report.as_mut().unwrap().subtasks[0].checks[0] = Check { score: 1.5, ..skipped };
        assert!(text(&row).contains("root: 1.5 / 2"), "{}", text(&row));
    }

    #[test]
    fn the_zip_has_moodles_folders_and_is_the_same_each_time() {
        let mut remarks = vec![];
        let unknown = Row { folder: None, ..row() };
        let bytes = zip(&[row(), unknown], Detail::Full, &mut remarks).unwrap();
        assert_eq!(bytes, zip(&[row()], Detail::Full, &mut vec![]).unwrap());
        let archive = zip::ZipArchive::new(Cursor::new(bytes)).unwrap();
        let names: Vec<_> = archive.file_names().map(|name| name.unwrap().into_owned()).collect();
        assert_eq!(names, ["Zoë Łoś_7_assignsubmission_file/feedback.html"]);
        assert_eq!(remarks.len(), 1);
    }
}
