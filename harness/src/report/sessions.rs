//! Sample sessions as text in two columns: the assignment's session on the left, the session of
//! the run on the right.

use std::fmt::Write;

use anstyle::{AnsiColor, Style};

use super::text::visible;
use crate::task::session::token::{self, Piece};
use crate::task::session::{Likeness, Row, Session, Step, told};

const BAD: Style = AnsiColor::Red.on_default().bold();
const QUIET: Style = Style::new().dimmed();
const STRONG: Style = Style::new().bold();
/// The narrowest and the widest text, in columns.
const NARROWEST: usize = 60;
const WIDEST: usize = 200;
/// The margin, and the sign between the sides with its blanks.
const MARGIN: usize = 2;
const BETWEEN: usize = 3;

/// A session as text with colours.
pub fn render(session: &Session, width: usize) -> String {
    let side = (width.clamp(NARROWEST, WIDEST) - MARGIN - BETWEEN) / 2;
    let mut out = String::new();
    let _ = writeln!(out, "  {STRONG}{}{STRONG:#}  {}", session.check, told(session));
    let _ = writeln!(out, "  {QUIET}{:<side$}   seen{QUIET:#}", "asked");
    for step in &session.steps {
        self::step(&mut out, step, side);
    }
    for note in &session.notes {
        let _ = writeln!(out, "\n  {}", visible(note));
    }
    out
}

fn step(out: &mut String, step: &Step, side: usize) {
    let seen = step.seen.as_deref().unwrap_or("(not typed: an earlier step failed)");
    beside(out, &[(step.asked.clone(), false)], &[(seen.to_owned(), false)], '│', STRONG, side);
    for row in &step.rows {
        let (asked, seen) = pieces(row);
        let style = if row.is == Likeness::Fine { QUIET } else { Style::new() };
        beside(out, &asked, &seen, sign(row.is), style, side);
    }
    for why in reasons(step) {
        let _ = writeln!(out, "  {QUIET}~ differs, and that is fine: {why}{QUIET:#}");
    }
}

/// The sign of a row, between its sides.
pub fn sign(is: Likeness) -> char {
    match is {
        Likeness::Same => '│',
        Likeness::Fine => '~',
        Likeness::Differs => '≠',
    }
}

/// Why differences of a step are fine, each reason once.
pub fn reasons(step: &Step) -> Vec<&str> {
    let mut reasons: Vec<&str> = Vec::new();
    for row in &step.rows {
        if row.is == Likeness::Fine && !reasons.contains(&row.why.as_str()) {
            reasons.push(&row.why);
        }
    }
    reasons
}

/// Both sides of a row in pieces. What differs is marked; a line without a partner
/// is marked as a whole.
pub fn pieces(row: &Row) -> (Vec<Piece>, Vec<Piece>) {
    let shown = |line: &Option<String>| visible(line.as_deref().unwrap_or_default()).replace('\t', "    ");
    let (asked, seen) = (shown(&row.asked), shown(&row.seen));
    match row.is {
        Likeness::Same => (vec![(asked, false)], vec![(seen, false)]),
        _ if asked.is_empty() || seen.is_empty() => (vec![(asked, true)], vec![(seen, true)]),
        _ => token::marked(&asked, &seen),
    }
}

/// One row, wrapped on both sides.
fn beside(out: &mut String, asked: &[Piece], seen: &[Piece], sign: char, style: Style, side: usize) {
    let (asked, seen) = (wrapped(asked, side), wrapped(seen, side));
    let mark = if sign == '≠' { BAD } else { style };
    for at in 0..asked.len().max(seen.len()) {
        let left = asked.get(at).map_or(&[][..], Vec::as_slice);
        let right = seen.get(at).map_or(&[][..], Vec::as_slice);
        let used: usize = left.iter().map(|(text, _)| text.chars().count()).sum();
        let blanks = side - used.min(side);
        let _ = write!(out, "  {}{:blanks$} {mark}{sign}{mark:#}", styled(left, style, sign), "");
        let right = styled(right, style, sign);
        let _ = if right.is_empty() { writeln!(out) } else { writeln!(out, " {right}") };
    }
}

fn styled(pieces: &[Piece], style: Style, sign: char) -> String {
    pieces.iter().fold(String::new(), |mut text, (piece, marked)| {
        let style = if *marked && sign == '≠' { BAD } else { style };
        let _ = write!(text, "{style}{piece}{style:#}");
        text
    })
}

/// Pieces in lines of at most `width` characters; at least one line.
fn wrapped(pieces: &[Piece], width: usize) -> Vec<Vec<Piece>> {
    let mut lines: Vec<Vec<Piece>> = vec![Vec::new()];
    let mut used = 0;
    for (text, marked) in pieces {
        let mut rest: Vec<char> = text.chars().collect();
        while !rest.is_empty() {
            if used == width {
                lines.push(Vec::new());
                used = 0;
            }
            let tail = rest.split_off(rest.len().min(width - used));
            used += rest.len();
            if let Some(line) = lines.last_mut() {
                line.push((rest.into_iter().collect(), *marked));
            }
            rest = tail;
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session() -> Session {
        let row = |asked: Option<&str>, seen: Option<&str>, is, why: &str| Row {
            asked: asked.map(str::to_owned),
            seen: seen.map(str::to_owned),
            is,
            why: why.to_owned(),
        };
        let rows = vec![
            row(Some("Name Date"), Some("Name Date"), Likeness::Same, ""),
            row(Some("eg [date]"), None, Likeness::Differs, ""),
            row(None, Some("other \x1b[31m\u{202e}x"), Likeness::Fine, "a line in addition"),
        ];
        let step = Step { asked: "$ ps".into(), seen: Some("$ ./conductor.sh ps".into()), rows };
        Session { check: "3a/as-shown".into(), steps: vec![step], notes: vec!["note".into()] }
    }

    #[test]
    fn both_sides_stand_beside_each_other_and_nothing_acts_on_the_terminal() {
        let text = anstream::adapter::strip_str(&render(&session(), 60)).to_string();
        insta::assert_snapshot!(text, @r"
          3a/as-shown  1 line differs; 1 more differ, and that is fine
          asked                         seen
          $ ps                        │ $ ./conductor.sh ps
          Name Date                   │ Name Date
          eg [date]                   ≠
                                      ~ other ␛[31m<U+202E>x
          ~ differs, and that is fine: a line in addition

          note
        ");
        let is_control = |c: &char| c.is_control() && *c != '\n' && *c != '\x1b' || *c == '\u{202e}';
        assert_eq!(render(&session(), 60).chars().find(is_control), None);
    }

    #[test]
    fn long_lines_are_wrapped_in_their_half() {
        let long = vec![("a".repeat(25), false), ("b".repeat(10), true)];
        let lengths: Vec<usize> =
            wrapped(&long, 20).iter().map(|line| line.iter().map(|(text, _)| text.len()).sum()).collect();
        assert_eq!(lengths, [20, 15]);
    }
}
