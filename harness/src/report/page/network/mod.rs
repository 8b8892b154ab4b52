//! The network, drawn: what was found, with what is missing dashed and what should not be there in red.

mod draw;
mod model;

use maud::{Markup, html};

use super::size::Room;
use crate::evidence::Recording;
use crate::report::text::visible;
use model::{Look, Picture};

/// All moments of a recording; nothing where no network was seen.
pub fn of(recording: &Recording, room: &mut Room) -> Markup {
    let pictures = model::pictures(recording);
    let parts = pictures.iter().filter_map(|picture| room.admit(moment(picture).into_string()));
    let parts: Vec<String> = parts.collect();
    if parts.is_empty() {
        return html! {};
    }
    html! {
        h3 { "The network, as it was found" }
        p.quiet {
            "A line is a way that was tried and led through. "
            span.missing { "✗ dashed" } ": asked for, and missing. "
            span.extra { "! thick" } ": open, and should not be."
        }
        @for part in &parts { (maud::PreEscaped(part)) }
    }
}

fn moment(picture: &Picture) -> Markup {
    let wrong = picture.ways.iter().filter(|way| matches!(way.look(), Look::Missing | Look::Extra)).count();
    html! {
        details.figure open[wrong > 0] {
            summary {
                (picture.title)
                @if wrong > 0 { strong { ", " (wrong) " ways not as asked" } }
            }
            div.wide tabindex="0" role="group" aria-label="Drawing" { (draw::drawing(picture)) }
            details.proof {
                summary { "The same in words" }
                (words(picture))
            }
        }
    }
}

fn words(picture: &Picture) -> Markup {
    let name = |place: &str| {
        let container = picture.containers.iter().find(|container| container.role == place);
        container.map_or_else(
            || spoken(place).to_owned(),
            |container| format!("{} ({})", container.name, container.options),
        )
    };
    html! {
        table.record {
            thead {
                tr { @for title in ["from", "to", "address", "asked", "found", "result"] { th scope="col" { (title) } } }
            }
            tbody {
                @for way in &picture.ways {
                    tr {
                        td { (visible(&name(&way.from))) }
                        td { (visible(&name(&way.to))) }
                        td { (visible(&way.address)) }
                        td { (if way.asked { "open" } else { "closed" }) }
                        td { (if way.found { "open" } else { "closed" }) }
                        td {
                            @match way.look() {
                                Look::Missing => span.missing { "✗ missing" },
                                Look::Extra => span.extra { "! should be closed" },
                                Look::Open | Look::Closed => "✓",
                            }
                        }
                    }
                }
            }
        }
    }
}

/// A place that is no container, in words.
fn spoken(place: &str) -> &str {
    match place {
        "machine" => "the machine",
        "lan" => "another machine",
        "internet" => "a server in the Internet",
        "exposed" => "the exposed port",
        "other-port" => "another port of the machine",
        other => other,
    }
}
