//! The network, drawn: what was found, with what is missing dashed and what should
//! not be there in red.

mod draw;
mod matrix;
mod model;
mod rules;

use maud::{Markup, html};

use super::size::Budget;
use crate::evidence::Recording;
use crate::report::text::visible;
use model::{Look, Picture};

/// All moments of `3-network`; nothing where no network was seen.
pub fn of(recording: &Recording, budget: &mut Budget) -> Markup {
    drawn(&model::pictures(recording), budget)
}

/// The network of task 4; nothing where it was not recorded.
pub fn of_matrix(recording: &Recording, budget: &mut Budget) -> Markup {
    drawn(matrix::picture(recording).as_slice(), budget)
}

fn drawn(pictures: &[Picture], budget: &mut Budget) -> Markup {
    let parts = pictures.iter().filter_map(|picture| budget.admit(moment(picture).into_string()));
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
        details.figure open[picture.differs()] {
            summary {
                (picture.title)
                @if wrong > 0 { strong { ", " (wrong) " ways not as asked" } }
            }
            @if picture.differs() {
                p { "As asked:" }
                div.wide tabindex="0" role="group" aria-label="Drawing as asked" { (draw::drawing(&picture.as_asked())) }
                p { "As found:" }
            }
            div.wide tabindex="0" role="group" aria-label="Drawing" { (draw::drawing(picture)) }
            details.proof {
                summary { "The same in words" }
                (words(picture))
                (translations(picture))
            }
        }
    }
}

/// The rules that translate addresses, as they were found.
fn translations(picture: &Picture) -> Markup {
    html! {
        @for container in &picture.containers {
            @if let Some(rules) = &container.translated {
                p { "Rules that translate addresses for " (visible(&container.name)) ":" }
                @if rules.is_empty() { p.quiet { "none" } }
                @else { pre tabindex="0" { @for rule in rules { (visible(rule)) "\n" } } }
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
