//! Each subtask with its checks: what is asked, what was expected and seen, a hint, and
//! the proof as a table.

use std::collections::BTreeMap;

use maud::{Markup, PreEscaped, html};

use super::figures;
use super::overview::anchor;
use super::proof;
use super::replay;
use super::session;
use super::size::Budget;
use super::status::{badge, class, sign, word};
use crate::evidence::Bundle;
use crate::report::text::{points, start_of, visible};
use crate::task::{self, finding};
use crate::verdict::{Check, Report, Status, Subtask};

/// Most of one text that is shown, in characters and lines; and where the page
/// has no budget for that.
const LONG: (usize, usize) = (6000, 80);
const SHORT: (usize, usize) = (160, 3);
/// What all texts, the proofs of lost marks, and all replays may take of the page.
const TEXTS: usize = 400 << 10;
const PROOFS: usize = 400 << 10;
const SESSIONS: usize = 200 << 10;
const DRAWINGS: usize = 200 << 10;
const REPLAYS: usize = 600 << 10;

/// What belongs to the checks and subtasks, by their ids.
struct Parts<'a> {
    checks: BTreeMap<&'a str, String>,
    replays: BTreeMap<&'a str, Vec<Markup>>,
    figures: BTreeMap<&'a str, Vec<Markup>>,
    sessions: BTreeMap<&'a str, String>,
}

/// All subtasks. What lost marks takes the budget first.
pub fn all(report: &Report, bundle: &Bundle, budget: &mut Budget) -> Markup {
    let checks = || report.subtasks.iter().flat_map(|subtask| &subtask.checks);
    let is_lost = |check: &&Check| check.status != Status::Pass && report.cause_of(check).is_none();
    let (mut texts, mut proofs) = (budget.share(TEXTS), budget.share(PROOFS));
    let mut parts = Parts {
        checks: BTreeMap::new(),
        replays: BTreeMap::new(),
        figures: BTreeMap::new(),
        sessions: BTreeMap::new(),
    };
    for one in checks().filter(is_lost) {
        let proof = proof::of(&one.evidence, bundle, &mut proofs);
        parts.checks.insert(&one.id, check(report, one, &proof, &mut texts));
    }
    budget.give_back(&proofs);
    let mut sessions = budget.share(SESSIONS);
    parts.sessions = session::all(report, &mut sessions);
    budget.give_back(&sessions);
    let mut drawings = budget.share(DRAWINGS);
    parts.figures = figures::all(report, bundle, &mut drawings);
    budget.give_back(&drawings);
    let mut films = budget.share(REPLAYS);
    parts.replays = replays(report, bundle, &mut films);
    budget.give_back(&films);
    for one in checks().filter(|check| !is_lost(check)) {
        let proof = proof::of(&one.evidence, bundle, budget);
        parts.checks.insert(&one.id, check(report, one, &proof, &mut texts));
    }
    html! {
        @for one in &report.subtasks { (subtask(one, &parts)) }
    }
}

/// The terminals of each scenario, below the first of the subtasks that it is evidence for.
fn replays<'a>(report: &'a Report, bundle: &Bundle, budget: &mut Budget) -> BTreeMap<&'a str, Vec<Markup>> {
    let mut replays: BTreeMap<&str, Vec<Markup>> = BTreeMap::new();
    for (name, recording) in &bundle.recordings {
        // What was driven again with a command replaced is named so: `3-run+build`.
        let scenario = name.split('+').next().unwrap_or(name);
        let known = task::subtasks();
        let uses = |id: &str| known.iter().any(|known| known.id == id && known.scenarios.contains(&scenario));
        if let Some(first) = report.subtasks.iter().find(|subtask| uses(&subtask.id)) {
            replays.entry(&first.id).or_default().push(replay::of(recording, budget));
        }
    }
    replays
}

fn subtask(subtask: &Subtask, parts: &Parts) -> Markup {
    let id = anchor(&subtask.id);
    html! {
        section.subtask aria-labelledby=(id) {
            h2 id=(id) {
                span.id { (subtask.id) } " " (subtask.title) " "
                span.number { (points(subtask.score)) " / " (points(subtask.max)) } " " (badge(subtask.status))
            }
            @if subtask.follow_through > 0.0 {
                p.quiet { (points(subtask.follow_through)) " of these marks are for follow-through." }
            }
            @for one in &subtask.checks {
                @if let Some(check) = parts.checks.get(one.id.as_str()) { (PreEscaped(check)) }
            }
            @if let Some(session) = parts.sessions.get(subtask.id.as_str()) { (PreEscaped(session)) }
            @for figure in parts.figures.get(subtask.id.as_str()).into_iter().flatten() { (figure) }
            @for replay in parts.replays.get(subtask.id.as_str()).into_iter().flatten() { (replay) }
        }
    }
}

/// A check with its texts, which are cut short where there is no budget for more.
fn check(report: &Report, check: &Check, proof: &Markup, budget: &mut Budget) -> String {
    let long = told(report, check, proof, LONG).into_string();
    let own = long.len() - proof.0.len().min(long.len());
    if budget.take(own) { long } else { told(report, check, proof, SHORT).into_string() }
}

fn told(report: &Report, check: &Check, proof: &Markup, most: (usize, usize)) -> Markup {
    let shown = |text: &str| shown(text, most);
    let cause = report.cause_of(check);
    let is_unmet = check.status == Status::Skip && finding::needed(&check.actual).is_some();
    let open = check.needs_explaining() && cause.is_none() && !is_unmet;
    let status = if cause.is_some() { Status::Skip } else { check.status };
    html! {
        details.check.(class(status)) id=(anchor(&check.id)) open[open] {
            summary {
                span.sign aria-hidden="true" { (sign(status)) }
                span.hidden { (word(status)) ": " }
                span.title { (check.title) " " code { (check.id) } }
                span.number { (marks(check)) }
            }
            dl {
                dt { "Asked" } dd { blockquote { (shown(&check.requirement)) } }
                @if !check.expected.is_empty() { dt { "Expected" } dd { (shown(&check.expected)) } }
                @if cause.is_some() {
                    dt { "Seen" }
                    dd { "Could not be seen: " a href="#first" { "what went wrong first" } " came before it." }
                } @else if !check.actual.is_empty() {
                    dt { "Seen" } dd.seen { (shown(&check.actual)) }
                }
                @if let Some(own) = &check.follow_through {
                    dt { "But" }
                    dd { "+" (points(own.score)) " " (own.condition()) ": " (shown(&own.actual)) }
                }
                @if check.status == Status::Fail && cause.is_none() && !check.hint.is_empty() {
                    dt { "Hint" } dd { (shown(&check.hint)) }
                }
                @if cause.is_none() && !check.see.is_empty() {
                    dt { "See it yourself" } dd { pre tabindex="0" { code { (visible(&check.see.join("\n"))) } } }
                }
                @if !check.evidence.is_empty() { dt { "Proof" } dd { (proof) } }
            }
        }
    }
}

fn marks(check: &Check) -> String {
    if check.max > 0.0 {
        format!("{} / {}", points(check.score), points(check.max))
    } else {
        "informational".to_owned()
    }
}

/// A text as prose, or as it stands where its lines matter.
fn shown(text: &str, most: (usize, usize)) -> Markup {
    let text = start_of(text, most.0, most.1);
    if !text.trim_end().contains('\n') {
        return html! { p { (text) } };
    }
    let is_difference = text.lines().all(|line| line.starts_with([' ', '+', '-', '(', '…']));
    html! {
        pre tabindex="0" {
            @for line in text.lines() {
                @if is_difference && line.starts_with('+') {
                    ins { (line) } "\n"
                } @else if is_difference && line.starts_with('-') {
                    del { (line) } "\n"
                } @else {
                    (line) "\n"
                }
            }
        }
    }
}
