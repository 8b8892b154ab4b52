//! `junit.xml`, for CI systems: a suite for each subtask, a case for each check.
//!
//! Readers differ on the `message` attribute, so the body repeats it; some drop cases whose class and name occur
//! twice, which no two checks do.

use std::fmt::Write;

use super::text::{points, visible};
use crate::verdict::{Check, Report, Status, Subtask};

/// The report as one XML document.
pub fn render(report: &Report) -> String {
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let checks = || report.subtasks.iter().flat_map(|subtask| &subtask.checks);
    let _ = writeln!(
        xml,
        r#"<testsuites name="{}" {} time="{:.1}">"#,
        escape(&report.submission.id),
        counts(checks()),
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
        counts(subtask.checks.iter()),
        subtask.seconds,
        escape(&report.environment.started)
    );
    for check in &subtask.checks {
        case(xml, subtask, check);
    }
    xml.push_str("  </testsuite>\n");
}

fn case(xml: &mut String, subtask: &Subtask, check: &Check) {
    let open =
        format!(r#"<testcase classname="{}" name="{}" time="0""#, escape(&subtask.id), escape(check.name()));
    let (element, kind) = match check.status {
        Status::Pass => {
            let _ = writeln!(xml, "    {open}/>");
            return;
        }
        // What carries no marks must not turn a CI run red.
        Status::Fail if check.max > 0.0 => ("failure", " type=\"fail\""),
        Status::Error => ("error", " type=\"error\""),
        Status::Fail | Status::Skip | Status::Partial => ("skipped", ""),
    };
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

fn counts<'a>(checks: impl Iterator<Item = &'a Check>) -> String {
    let (mut tests, mut failures, mut errors, mut skipped) = (0, 0, 0, 0);
    for check in checks {
        tests += 1;
        match check.status {
            Status::Pass => {}
            Status::Fail if check.max > 0.0 => failures += 1,
            Status::Error => errors += 1,
            Status::Fail | Status::Skip | Status::Partial => skipped += 1,
        }
    }
    format!(r#"tests="{tests}" failures="{failures}" errors="{errors}" skipped="{skipped}""#)
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
