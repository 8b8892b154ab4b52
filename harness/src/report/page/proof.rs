//! The proof of a check, opened in place: the records that it rests on, as tables.

use maud::{Markup, PreEscaped, html};

use super::size::Budget;
use super::value;
use crate::evidence::{Bundle, Record, Recording, place};
use crate::report::text::visible;

/// Most records that are shown of one check.
const RECORDS: usize = 8;

/// What a kind of record tells, for a heading.
const TITLES: [(&str, &str); 40] = [
    ("absent", "A command that was never seen"),
    ("at-once", "Two commands at once"),
    ("base", "The base image, compared"),
    ("born", "A process begins"),
    ("built-with-apt", "A package in an image"),
    ("cache", "The cache"),
    ("called", "A system call returned"),
    ("command", "A command, and how it ended"),
    ("compiled", "The result of the compiler"),
    ("container", "A container, seen from outside"),
    ("containers", "All containers"),
    ("count", "What the counter says"),
    ("disk", "What the disk holds"),
    ("ended", "A process has ended"),
    ("entered", "A process in another root directory"),
    ("exiting", "A process, just before its end"),
    ("found", "Files, as the container has them"),
    ("groups", "Control groups that were made, and those left"),
    ("hostname", "The machine's name changed"),
    ("image", "An image on the disk"),
    ("images", "All images"),
    ("installed", "A package in a container"),
    ("landed", "Where a connection ended"),
    ("layers", "The layers of an image"),
    ("left", "What `stop` left"),
    ("machine", "The machine, before the submission ran"),
    ("network-left", "What `stop` left of the network"),
    ("networks", "Interfaces, addresses and routes"),
    ("outcome", "How the program ended"),
    ("overlays", "Overlay file systems that are mounted"),
    ("page", "A web page that was asked for"),
    ("port", "A port of the machine"),
    ("reach", "An attempt to get through"),
    ("run", "container_prog begins"),
    ("run-process", "The process of a RUN"),
    ("sample", "Processes and the limits of their control groups"),
    ("scripts", "The scripts of task 4"),
    ("sniffed", "What passed on an interface"),
    ("typed", "What was typed into a container"),
    ("written", "A file that a container wrote"),
];

/// The records at some places of a bundle, each folded below its title.
pub fn of(places: &[String], bundle: &Bundle, budget: &mut Budget) -> Markup {
    let more = places.len().saturating_sub(RECORDS);
    html! {
        @for place in places.iter().take(RECORDS) {
            (one(place, bundle, budget))
        }
        @if more > 0 { p.quiet { (more) " more records: " (visible(&places[RECORDS..].join(", "))) } }
    }
}

fn one(place: &str, bundle: &Bundle, budget: &mut Budget) -> Markup {
    let Some((recording, record)) = find(place, bundle) else {
        return html! { p { code { (visible(place)) } } };
    };
    let without = || html! { p { code { (visible(place)) } " (this page has no budget for it)" } };
    if budget.is_full() {
        return without();
    }
    let machine = recording.records.iter().find(|record| record.kind == "machine");
    let part = html! {
        details.proof {
            summary { (title(record)) span.quiet { ", " (at(record)) } }
            (value::table(&record.data, machine.map(|machine| &machine.data)))
            p.quiet { code { (visible(place)) } }
        }
    };
    budget.admit(part.into_string()).map_or_else(without, PreEscaped)
}

/// The record at a place such as `evidence/2/records.jsonl#17`.
fn find<'a>(place: &str, bundle: &'a Bundle) -> Option<(&'a Recording, &'a Record)> {
    let (name, line) = place::parse(place)?;
    let recording = bundle.recordings.get(name)?;
    Some((recording, recording.records.get(line - 1)?))
}

fn title(record: &Record) -> String {
    let known = TITLES.iter().find(|(kind, _)| *kind == record.kind);
    let title = known.map_or_else(|| visible(&record.kind), |(_, title)| (*title).to_owned());
    let step = record.data.get("step").and_then(serde_json::Value::as_str);
    step.map_or_else(|| title.clone(), |step| format!("{title} ({})", visible(step)))
}

/// When it was seen, in the scenario's time.
fn at(record: &Record) -> String {
    format!("at {}.{:02} s", record.ms / 1000, record.ms % 1000 / 10)
}
