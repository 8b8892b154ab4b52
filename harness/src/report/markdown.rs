//! `summary.md`, for a job summary or a pull request: a table of the subtasks,
//! then what lost marks.

use std::fmt::Write;

use super::changes::sentences;
use super::sessions;
use super::text::{points, shortened, visible};
use crate::task::session::token::Piece;
use crate::task::session::{Likeness, Session, told};
use crate::verdict::{Cause, Check, Report, Status, UNGUARDED};

/// GitHub takes at most 1 MiB for a step's summary; this stays far below.
const MAX_BYTES: usize = 256 << 10;

/// The report as Markdown as GitHub reads it.
pub fn render(report: &Report) -> String {
    let mut md = String::new();
    let environment = &report.environment;
    let _ = writeln!(
        md,
        "## {}: {} / {}\n",
        inline(&report.submission.id),
        points(report.score),
        points(report.max)
    );
    for note in &environment.notes {
        let _ = writeln!(md, "> {}\n", inline(note));
    }
    md.push_str("| | subtask | points | | s |\n|---|---|---:|---|---:|\n");
    for subtask in &report.subtasks {
        let mut lost: Vec<_> = lost(&subtask.checks).map(|check| format!("`{}`", check.name())).collect();
        if subtask.follow_through > 0.0 {
            lost.push(format!("(follow-through {})", points(subtask.follow_through)));
        }
        let _ = writeln!(
            md,
            "| {} | **{}** {} | {} / {} | {} | {:.1} |",
            mark(subtask.status),
            subtask.id,
            subtask.title,
            points(subtask.score),
            points(subtask.max),
            lost.join(" "),
            subtask.seconds
        );
    }
    for sentence in sentences(report) {
        let _ = writeln!(md, "\n> {}", inline(&sentence));
    }
    for cause in &report.causes {
        self::cause(&mut md, cause);
    }
    let own = |check: &&Check| report.cause_of(check).is_none();
    for check in report.subtasks.iter().flat_map(|subtask| lost(&subtask.checks)).filter(own) {
        if md.len() > MAX_BYTES {
            md.push_str("\nMore in `report.json`.\n");
            break;
        }
        detail(&mut md, check);
    }
    for session in &report.sessions {
        if md.len() > MAX_BYTES {
            break;
        }
        self::session(&mut md, session);
    }
    if report.by_hand {
        md.push_str("\n<sub>marked by hand: nothing was run</sub>\n");
        return md;
    }
    let _ = writeln!(
        md,
        "\n<sub>{}, kernel {}, {}; harness {}; {:.1} s</sub>",
        inline(&environment.image),
        inline(&environment.kernel),
        inline(&environment.accelerator),
        inline(&environment.harness),
        environment.seconds
    );
    if let Some(why) = &environment.unguarded {
        let _ = writeln!(md, "\n{UNGUARDED}: {}", inline(why));
    }
    md
}

/// What went wrong first, once for all the checks that could not be judged because of it.
fn cause(md: &mut String, cause: &Cause) {
    let _ = writeln!(md, "\n**What went wrong first:** {}\n", inline(&cause.what));
    if !cause.quote.is_empty() {
        let _ = writeln!(md, "{}", block(&cause.quote));
    }
    if !cause.hint.is_empty() {
        let _ = writeln!(md, "hint: {}\n", inline(&cause.hint));
    }
    let ids: Vec<_> = cause.checks.iter().map(|id| format!("`{id}`")).collect();
    let _ = writeln!(
        md,
        "<details><summary>so these {} checks could not be judged</summary>\n\n{}\n\n</details>",
        cause.checks.len(),
        ids.join(" ")
    );
}

/// A sample session beside what was seen, as a table. What differs is bold.
fn session(md: &mut String, session: &Session) {
    let _ = writeln!(
        md,
        "\n<details><summary>Sample session <code>{}</code>: {}</summary>\n\n| asked | | seen |\n|---|---|---|",
        inline(&session.check),
        told(session)
    );
    for step in &session.steps {
        let seen = step.seen.as_deref().unwrap_or("not typed: an earlier step failed");
        let _ = writeln!(md, "| **{}** | | **{}** |", inline(&step.asked), inline(seen));
        for row in &step.rows {
            let (asked, seen) = sessions::pieces(row);
            let sign = if row.is == Likeness::Same { ' ' } else { sessions::sign(row.is) };
            let _ = writeln!(md, "| {} | {sign} | {} |", cell(&asked, row.is), cell(&seen, row.is));
        }
        for why in sessions::reasons(step) {
            let _ = writeln!(md, "| | ~ | that is fine: {} |", inline(why));
        }
    }
    for note in &session.notes {
        let _ = writeln!(md, "\n{}", inline(note));
    }
    md.push_str("\n</details>\n");
}

fn cell(pieces: &[Piece], is: Likeness) -> String {
    pieces.iter().fold(String::new(), |cell, (text, marked)| {
        let text = inline(text);
        let bold = *marked && is == Likeness::Differs && !text.trim().is_empty();
        if bold { format!("{cell}<b>{text}</b>") } else { cell + &text }
    })
}

fn detail(md: &mut String, check: &Check) {
    let _ = writeln!(
        md,
        "\n<details><summary>{} <code>{}</code> {} ({} / {})</summary>\n",
        mark(check.status),
        check.id,
        check.title,
        points(check.score),
        points(check.max)
    );
    let _ = writeln!(md, "> {}\n", inline(&check.requirement));
    for (word, text) in [("expected", &check.expected), ("seen", &check.actual)] {
        if !text.is_empty() {
            let _ = writeln!(md, "{word}:\n\n{}", block(text));
        }
    }
    if let Some(own) = &check.follow_through {
        let _ = writeln!(
            md,
            "follow-through: +{} {}: {} ({})\n",
            points(own.score),
            own.condition(),
            inline(&own.actual),
            inline(&own.evidence.join(", "))
        );
    }
    if !check.hint.is_empty() {
        let _ = writeln!(md, "hint: {}\n", inline(&check.hint));
    }
    if !check.see.is_empty() {
        let lines: Vec<String> = check.see.iter().map(|line| inline(line)).collect();
        let _ = writeln!(md, "see it yourself: {}\n", lines.join("<br>"));
    }
    if !check.evidence.is_empty() {
        let _ = writeln!(md, "proof: {}\n", inline(&check.evidence.join(", ")));
    }
    md.push_str("</details>\n");
}

fn mark(status: Status) -> &'static str {
    match status {
        Status::Pass => "✅",
        Status::Fail => "❌",
        Status::Partial => "🟡",
        Status::Skip => "⏭️",
        Status::Error => "⚠️",
    }
}

fn lost(checks: &[Check]) -> impl Iterator<Item = &Check> {
    checks.iter().filter(|check| check.needs_explaining())
}

/// Text in a line, with nothing that Markdown or HTML would act on.
fn inline(text: &str) -> String {
    let mut safe = String::new();
    for c in visible(text).chars() {
        match c {
            '\n' | '\t' => safe.push(' '),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '&' => safe.push_str("&amp;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '#' | '!' | '~' | '@' => {
                safe.push('\\');
                safe.push(c);
            }
            c => safe.push(c),
        }
    }
    safe
}

/// Text in an indented code block, which no content can end.
fn block(text: &str) -> String {
    let text = shortened(&visible(text), 4000, 60);
    text.lines().fold(String::new(), |mut block, line| {
        let _ = writeln!(block, "    {line}");
        block
    })
}
