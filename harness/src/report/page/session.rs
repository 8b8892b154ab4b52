//! The assignment's sample session of a subtask beside the session of the run.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::overview::anchor;
use super::size::Budget;
use crate::report::sessions::{pieces, reasons, sign};
use crate::report::text::visible;
use crate::task::session::token::Piece;
use crate::task::session::{Likeness, Row, Session, Step, told};
use crate::verdict::Report;

/// The sessions by subtask, as many as there is budget for.
pub fn all<'a>(report: &'a Report, budget: &mut Budget) -> BTreeMap<&'a str, String> {
    let of = |session: &'a Session| {
        let text = budget.admit(beside(session).into_string())?;
        Some((session.check.split('/').next()?, text))
    };
    report.sessions.iter().filter_map(of).collect()
}

fn beside(session: &Session) -> Markup {
    let differs = session.steps.iter().flat_map(|step| &step.rows).any(|row| row.is == Likeness::Differs);
    html! {
        details.figure.session open[differs] {
            summary {
                "The assignment's sample session: " (told(session))
                span.hidden { " (" (visible(&session.check)) ")" }
            }
            div.wide tabindex="0" role="group" aria-label="Side by side" {
                table.beside {
                    thead { tr { th scope="col" { "Asked" } th { span.hidden { "Compared" } } th scope="col" { "Seen" } } }
                    @for step in &session.steps { (lines(step)) }
                }
            }
            @for note in &session.notes { p { (visible(note)) } }
            p.quiet {
                "≠: the lines differ. ~: the lines differ, and that is fine. Blanks do not count; text in brackets varies. \
                 No marks depend on it: " a href={ "#" (anchor(&session.check)) } { (session.check) } " is informational."
            }
        }
    }
}

fn lines(step: &Step) -> Markup {
    html! {
        tbody {
            tr.typed {
                th scope="colgroup" { (visible(&step.asked)) }
                td {}
                th scope="colgroup" {
                    (visible(step.seen.as_deref().unwrap_or("not typed: an earlier step failed")))
                }
            }
            @for row in &step.rows { (line(row)) }
            @for why in reasons(step) {
                tr.why { td colspan="3" { "~ That is fine: " (visible(why)) "." } }
            }
        }
    }
}

fn line(row: &Row) -> Markup {
    let (class, word) = match row.is {
        Likeness::Same => ("", "same"),
        Likeness::Fine => ("fine", "differs, and that is fine"),
        Likeness::Differs => ("differs", "differs"),
    };
    let (asked, seen) = pieces(row);
    html! {
        tr class=(class) {
            td { (cell(&asked, true)) }
            td.sign {
                @if row.is != Likeness::Same { span aria-hidden="true" { (sign(row.is)) } }
                span.hidden { (word) }
            }
            td { (cell(&seen, false)) }
        }
    }
}

/// One side of a row. Marks the words that the other side lacks.
fn cell(pieces: &[Piece], asked: bool) -> Markup {
    html! {
        @for (text, marked) in pieces {
            @match (*marked && !text.is_empty(), asked) {
                (false, _) => (text),
                (true, true) => del { (text) },
                (true, false) => ins { (text) },
            }
        }
    }
}
