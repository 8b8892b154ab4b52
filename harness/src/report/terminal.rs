//! The report on a terminal: one screen, a line for each subtask, then for each lost mark what was
//! asked, what was seen, where to look and what proves it.

use std::borrow::Cow;
use std::fmt::Write;

use anstyle::{AnsiColor, Style};
use textwrap::{Options, WordSplitter};

use super::changes;
use super::sessions;
use super::text::{points, shortened, visible};
use crate::evidence::STOPPED;
use crate::task::finding;
use crate::verdict::{Check, Report, Status, Subtask, UNGUARDED};

const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default();
const OURS: Style = AnsiColor::Yellow.on_default();
const QUIET: Style = Style::new().dimmed();
const STRONG: Style = Style::new().bold();

/// The columns of a report that does not go to a terminal. Longer lines of prose are hard to read.
pub const WIDTH: usize = 110;

/// The columns before a paragraph: blanks, and a word that names it.
const MARGIN: usize = 12;

/// The columns of a line about a subtask with the checks that did not pass beside its marks.
const TABLE: usize = 106;

/// The columns before what is told of a subtask.
const INDENT: usize = 9;

/// The report as text with colours; who prints it takes them out where they do not belong.
/// `verbose` adds a line for each check.
pub fn render(report: &Report, verbose: bool) -> String {
    render_within(WIDTH, report, verbose)
}

/// As [`render`], with prose wrapped at `width` columns.
pub fn render_within(width: usize, report: &Report, verbose: bool) -> String {
    let mut out = String::new();
    for note in &report.environment.notes {
        let _ = writeln!(out, "  {OURS}note{OURS:#}  {}", visible(note).replace('\n', " "));
    }
    for subtask in &report.subtasks {
        subtask_line(&mut out, subtask, width);
        if verbose {
            for check in &subtask.checks {
                check_line(&mut out, check, width);
            }
        }
    }
    causes(&mut out, report, verbose, width);
    for check in report.subtasks.iter().flat_map(|subtask| &subtask.checks) {
        // What follows from a cause is told there.
        let is_own = report.cause_of(check).is_none() && (verbose || !is_folded(check));
        if is_own && check.needs_explaining() || verbose && check.status == Status::Fail {
            detail(&mut out, check, width);
        }
    }
    if !verbose {
        folded(&mut out, report, width);
    }
    for session in report.sessions.iter().filter(|_| verbose) {
        let _ = write!(out, "\n{}", sessions::render(session, width));
    }
    let marks = format!("  {STRONG}{} / {}{STRONG:#}", points(report.score), points(report.max));
    let remarks = remarks(report);
    if width >= TABLE || remarks.is_empty() {
        let beside = std::iter::once(marks).chain(remarks).collect::<Vec<_>>().join("      ");
        let _ = writeln!(out, "\n{beside}");
    } else {
        let _ = writeln!(out, "\n{marks}");
        for line in remarks.iter().flat_map(|remark| wrapped(remark, width.saturating_sub(2))) {
            let _ = writeln!(out, "  {line}");
        }
    }
    for sentence in changes::sentences(report) {
        let _ = writeln!(out, "  {sentence}");
    }
    if let Some(why) = &report.environment.unguarded {
        let _ = writeln!(out, "  {OURS}{UNGUARDED}: {}{OURS:#}", visible(why));
    }
    out
}

/// A subtask's marks, and the checks that did not pass: beside the marks where there is room, else
/// below them.
fn subtask_line(out: &mut String, subtask: &Subtask, width: usize) {
    let style = style(subtask.status);
    let lost: Vec<_> =
        subtask.checks.iter().filter(|check| check.needs_explaining()).map(Check::name).collect();
    let mut remark = match lost.as_slice() {
        names if names.len() > 3 => format!("{} and {} more", names[..2].join(" "), names.len() - 2),
        names => names.join(" "),
    };
    if subtask.follow_through > 0.0 {
        let _ = write!(remark, " (follow-through {})", points(subtask.follow_through));
    }
    let seconds = match subtask.seconds {
        0.0 => String::new(),
        seconds => format!(" {QUIET}{:>8}{QUIET:#}", format!("{seconds:.1} s")),
    };
    let marks = format!(
        "  {style}{:<6}{style:#} {:<28} {style}{:>5} / {:<5}{style:#}",
        subtask.id,
        subtask.title,
        points(subtask.score),
        points(subtask.max),
    );
    if width >= TABLE {
        let _ = writeln!(out, "{}", format!("{marks} {remark:<44}{seconds}").trim_end());
        return;
    }
    let _ = writeln!(out, "{}", format!("{marks}{seconds}").trim_end());
    for line in wrapped(remark.trim_start(), width.saturating_sub(INDENT)) {
        let _ = writeln!(out, "{}", format!("{:INDENT$}{line}", "").trim_end());
    }
}

/// What is told beside the sum of the marks.
fn remarks(report: &Report) -> Vec<String> {
    let mut remarks = vec![];
    if report.follow_through > 0.0 {
        remarks.push(format!(
            "{} of them by follow-through: our program replaced the command that failed",
            points(report.follow_through)
        ));
    }
    let checks = report.subtasks.iter().flat_map(|subtask| &subtask.checks);
    let errors: Vec<&Check> = checks.filter(|check| check.status == Status::Error).collect();
    match errors.len() {
        0 => {}
        number if errors.iter().all(|check| check.actual == STOPPED) => {
            remarks.push(format!("{number} checks have no verdict: stopped by you, --resume goes on"));
        }
        1 => remarks.push(
            "1 check has no verdict: the infrastructure failed, no mark was given or taken for it".to_owned(),
        ),
        number => remarks.push(format!(
            "{number} checks have no verdict: the infrastructure failed, no mark was given or taken for them"
        )),
    }
    remarks
}

/// A check that is told in few words: another check that did not pass kept it from being judged.
fn is_folded(check: &Check) -> bool {
    check.status == Status::Skip && check.follow_through.is_none() && finding::needed(&check.actual).is_some()
}

/// The checks that were not judged because another check did not pass, in one paragraph.
fn folded(out: &mut String, report: &Report, width: usize) {
    let checks = report.subtasks.iter().flat_map(|subtask| &subtask.checks);
    let own = checks.filter(|check| check.needs_explaining() && report.cause_of(check).is_none());
    let told: Vec<String> = own
        .filter(|check| is_folded(check))
        .filter_map(|check| Some(format!("{} needs {}", check.id, finding::needed(&check.actual)?)))
        .collect();
    if !told.is_empty() {
        let _ = writeln!(out, "\n  {STRONG}not judged, because a required check did not pass{STRONG:#}");
        paragraph(out, "", &told.join(", "), width);
    }
}

/// What went wrong first, once for all the checks that could not be judged because of it.
fn causes(out: &mut String, report: &Report, verbose: bool, width: usize) {
    for cause in &report.causes {
        let _ = writeln!(out, "\n  {STRONG}what went wrong first{STRONG:#}");
        paragraph(out, "", &cause.what, width);
        paragraph(out, "screen", &cause.quote, width);
        paragraph(out, "hint", &cause.hint, width);
        paragraph(out, "proof", &cause.evidence.join(", "), width);
        let so = if verbose { cause.checks.join(" ") } else { by_subtask(&cause.checks) };
        paragraph(
            out,
            "so",
            &format!("these {} checks could not be judged: {so}", cause.checks.len()),
            width,
        );
    }
}

/// How many checks of which subtask: `12 of 3a, 6 of 3b`.
fn by_subtask(checks: &[String]) -> String {
    let mut counts: Vec<(&str, usize)> = Vec::new();
    for check in checks {
        let subtask = check.split('/').next().unwrap_or(check);
        match counts.last_mut() {
            Some((last, count)) if *last == subtask => *count += 1,
            _ => counts.push((subtask, 1)),
        }
    }
    counts.iter().map(|(subtask, count)| format!("{count} of {subtask}")).collect::<Vec<_>>().join(", ")
}

fn check_line(out: &mut String, check: &Check, width: usize) {
    let style = style(check.status);
    let score = if check.max > 0.0 {
        format!("{} / {}", points(check.score), points(check.max))
    } else {
        "informational".to_owned()
    };
    let title = if width < TABLE { String::new() } else { format!("{:<50} ", check.title) };
    let _ = writeln!(
        out,
        "{:INDENT$}{style}{:<5}{style:#} {:<28} {QUIET}{title}{score}{QUIET:#}",
        "",
        check.status,
        check.name(),
    );
}

fn detail(out: &mut String, check: &Check, width: usize) {
    let style = style(check.status);
    let status = if check.status == Status::Fail { String::new() } else { format!("  {}", check.status) };
    let score = format!("{:>5} / {}", points(check.score), points(check.max));
    let id = if width < TABLE { 40 } else { 42 };
    let _ = writeln!(out, "\n  {style}{:<id$} {score}{style:#}{QUIET}{status}{QUIET:#}", check.id);
    let proof = check.evidence.join(", ");
    let paragraphs = [
        ("asked", &check.requirement),
        ("wanted", &check.expected),
        ("seen", &check.actual),
        ("hint", &check.hint),
        ("proof", &proof),
    ];
    for (word, text) in paragraphs {
        // Only a failed check tells something about the submission; of the
        // others there is only why.
        if check.status == Status::Fail || word == "seen" {
            paragraph(out, word, text, width);
        }
    }
    if check.status == Status::Fail {
        // A command that was broken in two could not be copied.
        paragraph(out, "try", &check.see.join("\n"), usize::MAX);
    }
    if let Some(own) = &check.follow_through {
        let text = format!("+{} {}: {}", points(own.score), own.condition(), own.actual);
        prose(out, "but", &text, width);
    }
}

/// A word in the margin and its text beside it. Lines that begin with a space or a sign of a diff
/// are columns and stay as they are; other lines are prose.
fn paragraph(out: &mut String, word: &str, text: &str, width: usize) {
    beside(out, word, text, |line| {
        if line.starts_with([' ', '+', '-', '\t']) {
            vec![line.into()]
        } else {
            wrapped(line, width.saturating_sub(MARGIN))
        }
    });
}

/// As [`paragraph`], where every line is prose.
fn prose(out: &mut String, word: &str, text: &str, width: usize) {
    beside(out, word, text, |line| wrapped(line, width.saturating_sub(MARGIN)));
}

fn beside(out: &mut String, word: &str, text: &str, pieces: impl Fn(&str) -> Vec<Cow<'_, str>>) {
    let text = shortened(&visible(text), 2000, 40);
    let mut margin = word;
    for line in text.lines().flat_map(pieces) {
        let _ = writeln!(out, "{}", format!("    {QUIET}{margin:<7}{QUIET:#} {line}").trim_end());
        margin = "";
    }
}

/// A line in pieces of at most `width` columns, broken at spaces.
fn wrapped(line: &str, width: usize) -> Vec<Cow<'_, str>> {
    let whole_words = Options::new(width).break_words(false).word_splitter(WordSplitter::NoHyphenation);
    textwrap::wrap(line, whole_words)
}

fn style(status: Status) -> Style {
    match status {
        Status::Pass => GOOD,
        Status::Fail | Status::Partial => BAD,
        Status::Skip => QUIET,
        Status::Error => OURS,
    }
}
