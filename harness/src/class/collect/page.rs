//! `class.html`: the class on one page, for staff. It needs no network and no other file; links
//! lead into the reports beside it. Everything is escaped by the template language.

use std::collections::BTreeMap;
use std::path::Path;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::rows::Row;
use super::stats::{Lost, Spread, lost, spreads};
use super::title;
use crate::class::results::Roster;
use crate::report::text::{points, visible};

/// The style sheet, in the page itself.
const STYLE: &str = include_str!("page.css");

/// How many checks, causes of one, and ids of one cause are shown.
const MOST_CHECKS: usize = 30;
const MOST_CAUSES: usize = 6;
const MOST_IDS: usize = 12;

/// How many of the slowest are shown.
const MOST_SLOW: usize = 10;

/// The parts that every page has, for links to them.
const PARTS: [(&str, &str); 4] = [
    ("distribution", "Distribution"),
    ("lost", "Checks that cost marks"),
    ("slowest", "Slowest"),
    ("everybody", "Everybody"),
];

/// The page.
pub fn render(rows: &[Row], roster: &Roster, anonymous: bool, similarity: Option<&Path>) -> String {
    let absent = rows.iter().filter(|row| row.absent).count();
    let by_hand = |row: &&Row| row.report.as_ref().is_some_and(|report| report.by_hand);
    let by_hand = rows.iter().filter(by_hand).count();
    let graded = rows.iter().filter(|row| row.report.is_some()).count() - by_hand;
    let heading = if anonymous { "Class".to_owned() } else { visible(&title(roster)) };
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (heading) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { (heading) }
                p {
                    (rows.len() - absent) " submissions, " (graded) " with a report"
                    @if by_hand > 0 { ", " (by_hand) " marked by hand" }
                    @if absent > 0 { "; " (absent) " of the worksheet handed in nothing" }
                }
                nav {
                    @for (anchor, title) in PARTS { a href={ "#" (anchor) } { (title) } " " }
                }
                @if let Some(page) = similarity {
                    p { a href=(page.display()) { "Similar submissions" } ", as another program sees them" }
                }
                (problems(rows))
                (distribution(&spreads(rows)))
                (most_lost(&lost(rows)))
                (slowest(rows))
                (late(rows))
                (everybody(rows))
            }
        }
    };
    page.into_string()
}

/// A link into a submission's report.
fn link(row_id: &str) -> Markup {
    // An id is made of letters that mean nothing in a link.
    html! { a href={ "reports/" (row_id) "/" (REPORT) } { (row_id) } }
}

/// The file of a report that a person opens.
const REPORT: &str = "index.html";

fn name(row: &Row) -> String {
    visible(&row.names())
}

/// The submissions without a final mark, by reason. Each reason is one line, which opens to the
/// list of submissions.
fn problems(rows: &[Row]) -> Markup {
    let mut by_reason = BTreeMap::<&str, Vec<&Row>>::new();
    for row in rows {
        if let Some(problem) = &row.problem {
            by_reason.entry(problem).or_default().push(row);
        }
    }
    let mut by_reason: Vec<_> = by_reason.into_iter().collect();
    by_reason.sort_by_key(|(_, rows)| std::cmp::Reverse(rows.len()));
    html! {
        @if !by_reason.is_empty() {
            h2 id="problems" { "Without a final mark" }
            @for (reason, rows) in by_reason {
                details open[rows.len() <= MOST_IDS] {
                    summary { (rows.len()) " × " (visible(reason)) }
                    ul.names {
                        @for row in rows {
                            li { @if row.report.is_some() { (link(&row.id)) } @else { (row.id) } " " (name(row)) }
                        }
                    }
                }
            }
        }
    }
}

fn distribution(spreads: &[Spread]) -> Markup {
    html! {
        h2 id="distribution" { "Distribution" }
        table {
            tr { th { "subtask" } th { } th { "mean" } th { "median" } th { "of" } th { "all points" } th { "0 % to 100 %" } }
            @for spread in spreads {
                tr {
                    td { (spread.id) }
                    td { (spread.title) }
                    td.number { (points(spread.mean)) }
                    td.number { (points(spread.median)) }
                    td.number { (points(spread.max)) }
                    td.number { (spread.full) }
                    td { (bars(spread)) }
                }
            }
        }
    }
}

fn bars(spread: &Spread) -> Markup {
    let most = spread.bars.iter().copied().max().unwrap_or(0).max(1);
    let words: Vec<_> = spread.bars.iter().map(usize::to_string).collect();
    html! {
        svg width="200" height="32" role="img" aria-label={ "in tenths of the points: " (words.join(", ")) } {
            @for (place, number) in spread.bars.iter().enumerate() {
                @let height = (number * 30).div_ceil(most);
                rect x=(place * 20) y=(31 - height) width="18" height=(height) {
                    title { (number) }
                }
            }
        }
    }
}

fn most_lost(lost: &[Lost]) -> Markup {
    html! {
        h2 id="lost" { "Checks that cost marks" }
        @for check in lost.iter().take(MOST_CHECKS) {
            details {
                summary { (check.times) " × " code { (check.id) } " " (check.title) }
                ul {
                    @for (cause, ids) in check.causes.iter().take(MOST_CAUSES) {
                        li {
                            (ids.len()) " × " (cause) br;
                            @for id in ids.iter().take(MOST_IDS) { (link(id)) " " }
                            @if ids.len() > MOST_IDS { "and " (ids.len() - MOST_IDS) " more" }
                        }
                    }
                    @if check.causes.len() > MOST_CAUSES {
                        li { (check.causes.len() - MOST_CAUSES) " more causes" }
                    }
                }
            }
        }
        @if lost.is_empty() { p { "None." } }
    }
}

fn slowest(rows: &[Row]) -> Markup {
    let mut slow: Vec<_> = rows.iter().filter(|row| row.seconds > 0.0).collect();
    slow.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
    html! {
        h2 id="slowest" { "Slowest" }
        table {
            tr { th { "id" } th { "seconds" } }
            @for row in slow.into_iter().take(MOST_SLOW) {
                tr { td { (link(&row.id)) } td.number { (format!("{:.1}", row.seconds)) } }
            }
        }
    }
}

fn late(rows: &[Row]) -> Markup {
    let late: Vec<_> =
        rows.iter().filter_map(|row| Some((row, row.report.as_ref()?.late.as_ref()?))).collect();
    html! {
        @if !late.is_empty() {
            h2 id="late" { "Late" }
            table {
                tr { th { "id" } th { "name" } th { "by" } th { "points less" } }
                @for (row, late) in late {
                    tr {
                        td { (link(&row.id)) }
                        td { (name(row)) }
                        td { (late.by()) }
                        td.number { (points(late.penalty)) }
                    }
                }
            }
        }
    }
}

fn everybody(rows: &[Row]) -> Markup {
    html! {
        h2 id="everybody" { "Everybody" }
        table {
            tr { th { "id" } th { "name" } th { "score" } th { "of" } th { "by subtask" } }
            @for row in rows {
                tr {
                    @if let Some(report) = &row.report {
                        td { (link(&row.id)) }
                        td { (name(row)) }
                        td.number { @if row.problem.is_none() { (points(report.score)) } @else { "not final" } }
                        td.number { (points(report.max)) }
                        td {
                            @for subtask in &report.subtasks {
                                span class=(subtask.status.to_string()) {
                                    (subtask.id) " " (points(subtask.score)) "/" (points(subtask.max))
                                }
                                " "
                            }
                        }
                    } @else {
                        td { (row.id) }
                        td { (name(row)) }
                        td colspan="3" { "no report" }
                    }
                }
            }
        }
    }
}
