//! `junit.xml`, for CI systems: a suite for each subtask, a case for each check.
//!
//! Readers differ on the `message` attribute, so the body repeats it; some drop cases whose class
//! and name occur twice, which no two checks do.
//!
//! Written here and not by `quick-junit` 0.8: that crate lets U+FFFE and U+FFFF through, which no
//! XML may have, and leaves line breaks in attributes as they are, so a parser makes blanks of
//! those in `message`. It also needs a second library for dates (chrono).

use std::fmt::Write;

use super::text::{points, visible};
use crate::verdict::{Check, Report, Status, Subtask};

/// The report as one XML document.
pub fn render(report: &Report) -> String {
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = writeln!(
        xml,
        r#"<testsuites name="{}" {} time="{:.1}">"#,
        escape(&report.submission.id),
        counts(report, &report.subtasks),
        report.environment.seconds
    );
    for subtask in &report.subtasks {
        suite(&mut xml, report, subtask);
    }
    xml.push_str("</testsuites>\n");
    xml
}

fn suite(xml: &mut String, report: &Report, subtask: &Subtask) {
    let _ = writeln!(
        xml,
        r#"  <testsuite name="{} {}" {} time="{:.1}" timestamp="{}">"#,
        escape(&subtask.id),
        escape(&subtask.title),
        counts(report, [subtask]),
        subtask.seconds,
        escape(&report.environment.started)
    );
    for check in &subtask.checks {
        case(xml, report, subtask, check);
    }
    xml.push_str("  </testsuite>\n");
}

/// What a reader of the file makes of a check.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Passed,
    Failure,
    Error,
    Skipped,
}

fn outcome(report: &Report, subtask: &Subtask, check: &Check) -> Outcome {
    match check.status {
        Status::Pass => Outcome::Passed,
        // What carries no marks must not turn a CI run red.
        Status::Fail if check.max > 0.0 => Outcome::Failure,
        Status::Error => Outcome::Error,
        Status::Skip if is_first_of_skipped(report, subtask, check) => Outcome::Failure,
        Status::Fail | Status::Skip | Status::Partial => Outcome::Skipped,
    }
}

/// Whether a check stands for a subtask that lost marks and of which no check failed: skipped cases
/// alone would leave a CI run green.
fn is_first_of_skipped(report: &Report, subtask: &Subtask, check: &Check) -> bool {
    let counted = || subtask.checks.iter().filter(|check| check.max > 0.0);
    let is_red = |check: &Check| matches!(check.status, Status::Fail | Status::Error);
    let first = counted().find(|check| check.status == Status::Skip);
    !counted().any(is_red) && first.is_some_and(|first| first.id == check.id) && report.score < report.max
}

fn case(xml: &mut String, report: &Report, subtask: &Subtask, check: &Check) {
    let cause = report.cause_of(check);
    let place = cause.and_then(|cause| Some((cause.file.as_ref()?, cause.line.unwrap_or(1))));
    let place =
        place.map_or_else(String::new, |(file, line)| format!(r#" file="{}" line="{line}""#, escape(file)));
    let open = format!(
        r#"<testcase classname="{}" name="{}"{place} time="0""#,
        escape(&subtask.id),
        escape(check.name())
    );
    let (element, kind) = match outcome(report, subtask, check) {
        Outcome::Passed => {
            let _ = writeln!(xml, "    {open}/>");
            return;
        }
        Outcome::Failure => ("failure", " type=\"fail\""),
        Outcome::Error => ("error", " type=\"error\""),
        Outcome::Skipped => ("skipped", ""),
    };
    if let Some(cause) = cause {
        let _ = writeln!(xml, "    {open}>");
        let message = format!("could not be judged: {}", cause.what);
        let body = format!("{}\n{message}\n{}\nhint: {}", check.title, cause.quote, cause.hint);
        let _ = writeln!(
            xml,
            r#"      <{element} message="{}"{kind}>{}</{element}>"#,
            escape(&message),
            content(&body)
        );
        xml.push_str("    </testcase>\n");
        return;
    }
    let mut body = format!(
        "{}\nasked: {}\nexpected: {}\nseen: {}\nhint: {}\nproof: {}",
        check.title,
        check.requirement,
        check.expected,
        check.actual,
        check.hint,
        check.evidence.join(", ")
    );
    if let Some(own) = &check.follow_through {
        let _ = write!(body, "\nfollow-through: +{} {}: {}", points(own.score), own.condition(), own.actual);
    }
    let _ = writeln!(xml, "    {open}>");
    let _ = writeln!(
        xml,
        r#"      <{element} message="{}"{kind}>{}</{element}>"#,
        escape(&check.actual),
        content(&body)
    );
    xml.push_str("    </testcase>\n");
}

fn counts<'a>(report: &Report, subtasks: impl IntoIterator<Item = &'a Subtask>) -> String {
    let outcomes = subtasks
        .into_iter()
        .flat_map(|subtask| subtask.checks.iter().map(move |check| outcome(report, subtask, check)));
    let outcomes: Vec<Outcome> = outcomes.collect();
    let count = |wanted| outcomes.iter().filter(|outcome| **outcome == wanted).count();
    format!(
        r#"tests="{}" failures="{}" errors="{}" skipped="{}""#,
        outcomes.len(),
        count(Outcome::Failure),
        count(Outcome::Error),
        count(Outcome::Skipped)
    )
}

/// Text for XML content, where lines may stay lines.
fn content(text: &str) -> String {
    escape(text).replace("&#10;", "\n").replace("&#9;", "\t")
}

/// Text for XML attributes. XML 1.0 has no form at all for most control characters.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in visible(text).chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' => escaped.push_str("&#10;"),
            '\t' => escaped.push_str("&#9;"),
            '\u{fffe}' | '\u{ffff}' => escaped.push('�'),
            c => escaped.push(c),
        }
    }
    escaped
}
