//! The replay of a scenario's terminals. Without the page's script each command and what it showed
//! is text; with it, each can be played.

mod frames;

use maud::{Markup, PreEscaped, html};
use serde_json::json;

use super::size::Budget;
use crate::evidence::Recording;
use crate::report::text::{start_of, visible};
use crate::terminals::{self, Session};
use frames::Film;

/// Most of a command in a list.
const COMMAND: usize = 160;

/// The terminals of one scenario; nothing where nothing was shown.
pub fn of(recording: &Recording, budget: &mut Budget) -> Markup {
    let sessions = terminals::sessions(recording);
    let films: Vec<(&Session, Film)> =
        sessions.iter().filter_map(|session| Some((session, frames::film(session)?))).collect();
    if films.iter().all(|(_, film)| film.text.is_empty()) {
        return html! {};
    }
    let mut left_out = 0;
    let mut parts = Vec::new();
    for (session, film) in &films {
        match budget.admit(chapter(session, film).into_string()) {
            Some(part) => parts.push(part),
            None => left_out += 1,
        }
    }
    let commands =
        if films.len() == 1 { "one command".to_owned() } else { format!("{} commands", films.len()) };
    let path = format!("evidence/{}/terminal.cast", recording.scenario);
    html! {
        details.replay {
            summary { "Terminals of the scenario " (visible(&recording.scenario)) ", " (commands) }
            div.chapters { @for part in &parts { (PreEscaped(part)) } }
            p.quiet {
                @if left_out > 0 { (left_out) " more commands do not fit on this page. " }
                "Also in " code { (visible(&path)) } ": " code { "asciinema play" } " plays it."
            }
        }
    }
}

fn chapter(session: &Session, film: &Film) -> Markup {
    let data = json!({ "frames": film.frames, "length": film.length });
    // In a data block only `<` could end it or begin a comment.
    let data = data.to_string().replace('<', "\\u003c");
    html! {
        details.chapter {
            summary {
                span.number { (clock(session.started)) } " "
                @if session.argv.is_empty() { "the program" }
                @else { code { "# " (start_of(&session.command(), COMMAND, 1)) } }
            }
            script type="application/json" { (PreEscaped(data)) }
            pre.terminal tabindex="0" {
                @if film.text.is_empty() { "(it showed nothing)" }
                @for line in &film.text { (line) "\n" }
            }
            @if film.cut { p.quiet { "It showed more than is kept here." } }
        }
    }
}

/// Minutes and seconds.
fn clock(ms: u64) -> String {
    format!("{}:{:02}", ms / 60_000, ms / 1000 % 60)
}
