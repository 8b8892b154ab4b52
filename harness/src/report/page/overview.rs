//! The first screen: marks by subtask as bars, what went wrong first, what to do next; and at
//! the end, the machine.

use maud::{Markup, html};

use super::status::{badge, class, sign, word};
use crate::evidence::STOPPED;
use crate::report::changes;
use crate::report::text::{points, start_of, visible};
use crate::verdict::{Check, Report, Status, Subtask, UNGUARDED};

/// Most steps that are proposed: nobody reads a longer list.
const STEPS: usize = 6;
/// The length of a bar, in its own units.
const BAR: f64 = 100.0;

/// The document's title.
pub fn title(report: &Report) -> String {
    format!("{}: {} / {}", visible(&report.submission.id), points(report.score), points(report.max))
}

/// Whose report it is, and the sum.
pub fn head(report: &Report) -> Markup {
    html! {
        a.jump href="#main" { "Skip to the report" }
        header {
            h1 { (visible(&report.submission.id)) }
            p.score {
                strong { (points(report.score)) } " of " (points(report.max)) " marks"
                @if report.follow_through > 0.0 {
                    ", " (points(report.follow_through)) " of them by follow-through"
                }
            }
            @for note in &report.environment.notes {
                p.note { strong { "Note: " } (visible(note)) }
            }
            @for change in changes::sentences(report) {
                p.note { strong { "Changed: " } (change) }
            }
            @if let Some(why) = &report.environment.unguarded {
                p.note { strong { (UNGUARDED) ": " } (visible(why)) }
            }
        }
    }
}

/// Links to the parts of the page.
pub fn contents(report: &Report) -> Markup {
    html! {
        nav aria-label="Subtasks" {
            ul {
                @for subtask in &report.subtasks {
                    li {
                        a class=(class(subtask.status)) href={ "#" (anchor(&subtask.id)) } {
                            span aria-hidden="true" { (sign(subtask.status)) } " " (subtask.id)
                            span.hidden { ", " (word(subtask.status)) }
                        }
                    }
                }
                li { a href="#run" { "The run" } }
            }
        }
    }
}

/// The id of a part of the page, from the id of a subtask or check.
pub fn anchor(id: &str) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    format!("s-{}", id.chars().map(safe).collect::<String>())
}

/// A bar for each subtask.
pub fn marks(report: &Report) -> Markup {
    html! {
        section aria-labelledby="marks" {
            h2 id="marks" { "Marks" }
            table.marks {
                thead { tr { th scope="col" { "Subtask" } th scope="col" { "Marks" } th scope="col" { "Result" } } }
                tbody {
                    @for subtask in &report.subtasks {
                        tr {
                            th scope="row" {
                                a href={ "#" (anchor(&subtask.id)) } { strong { (subtask.id) } " " (subtask.title) }
                            }
                            td { (bar(subtask)) span.number { (points(subtask.score)) " / " (points(subtask.max)) } }
                            td { (badge(subtask.status)) }
                        }
                    }
                }
            }
        }
    }
}

/// Points given as a solid bar, points of follow-through striped, points lost as an outline.
fn bar(subtask: &Subtask) -> Markup {
    if subtask.max <= 0.0 {
        return html! { span.quiet { "no marks" } };
    }
    let part = |points: f64| (points / subtask.max * BAR).clamp(0.0, BAR);
    let own = part(subtask.score - subtask.follow_through);
    let followed = part(subtask.follow_through);
    html! {
        svg.bar viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true" focusable="false" {
            rect.lost x="0" y="0" width="100" height="8" {}
            rect.given x="0" y="0" width=(format!("{own:.2}")) height="8" {}
            rect.followed x=(format!("{own:.2}")) y="0" width=(format!("{followed:.2}")) height="8" {}
        }
    }
}

/// What kept checks from being judged.
pub fn first(report: &Report) -> Markup {
    if report.causes.is_empty() {
        return html! {};
    }
    html! {
        section.causes aria-labelledby="first" {
            h2 id="first" { "What went wrong first" }
            @for cause in &report.causes {
                div.cause {
                    p.what { (visible(&cause.what)) }
                    @if !cause.quote.is_empty() {
                        pre.screen tabindex="0" role="group" aria-label="What the terminal showed" {
                            (start_of(&cause.quote, 1200, 12))
                        }
                    }
                    @if !cause.hint.is_empty() { p.hint { strong { "Hint: " } (cause.hint) } }
                    details {
                        summary { (so(cause.checks.len())) }
                        ul.ids {
                            @for id in &cause.checks { li { a href={ "#" (anchor(id)) } { (id) } } }
                        }
                    }
                }
            }
        }
    }
}

/// What follows from a cause, in words.
pub fn so(checks: usize) -> String {
    format!("So these {checks} checks could not be judged")
}

/// The steps that win the most marks.
pub fn next(report: &Report) -> Markup {
    let checks = || report.subtasks.iter().flat_map(|subtask| &subtask.checks);
    let no_verdict = checks().filter(|check| check.status == Status::Error).count();
    let stopped = checks().filter(|check| check.status == Status::Error && check.actual == STOPPED).count();
    let mut own: Vec<&Check> = checks()
        .filter(|check| check.status == Status::Fail && check.max > 0.0 && report.cause_of(check).is_none())
        .collect();
    // A stable sort: among equals, the assignment's order.
    own.sort_by(|one, other| (other.max - other.score).total_cmp(&(one.max - one.score)));
    let more = own.len().saturating_sub(STEPS);
    html! {
        section aria-labelledby="next" {
            h2 id="next" { "What to do next" }
            @if report.by_hand {
                p { "The marks were given by hand: nothing was run." }
            } @else if own.is_empty() && report.causes.is_empty() && no_verdict == 0 {
                @if checks().any(Check::needs_explaining) {
                    p { "Some checks could not be judged: the reasons are below." }
                } @else {
                    p { "Nothing: every check that carries marks passed." }
                }
            } @else {
                ol.steps {
                    @if no_verdict > 0 && stopped == no_verdict {
                        li {
                            "Run the same command with " code { "--resume" } ": you stopped the run, and " (no_verdict)
                            " checks could not be judged. They cost no marks."
                        }
                    } @else if no_verdict > 0 {
                        li {
                            "Grade the submission again: " (no_verdict)
                            " checks have no verdict, because the grader or its machine failed. They cost no marks."
                        }
                    }
                    @for cause in &report.causes {
                        li {
                            "Fix " a href="#first" { "what went wrong first" } " in "
                            (visible(cause.file.as_deref().unwrap_or("that command")))
                            ", then grade again: this fault hides " (cause.checks.len()) " checks."
                        }
                    }
                    @for check in own.iter().take(STEPS) {
                        li {
                            a href={ "#" (anchor(&check.id)) } { (check.id) } ", "
                            (points(check.max - check.score)) " marks: " (check.hint)
                        }
                    }
                }
                @if more > 0 { p.quiet { "Then " (more) " more, each with its own hint below." } }
            }
        }
    }
}

/// A number in a sentence; nothing where it is not known, as in a run that was broken off.
fn known(number: f64, sentence: &str) -> String {
    if number > 0.0 { sentence.replace("{}", &format!("{number:.1}")) } else { String::new() }
}

/// On what it was graded, and when what ran.
pub fn run(report: &Report, timeline: &Markup) -> Markup {
    let environment = &report.environment;
    let facts = [
        ("Submission", report.submission.source.clone()),
        ("Digest (SHA-256)", report.submission.sha256.clone()),
        ("Machine", if report.by_hand { "none".to_owned() } else { environment.image.clone() }),
        ("Kernel", environment.kernel.clone()),
        ("Accelerator", environment.accelerator.clone()),
        ("Started", environment.started.clone()),
        ("Whole run", known(environment.seconds, "{} s")),
        ("Time limits", known(environment.calibration, "stretched {} times for this machine")),
        ("Harness", environment.harness.clone()),
    ];
    html! {
        section aria-labelledby="run" {
            h2 id="run" { "The run" }
            table.facts {
                tbody {
                    @for (name, value) in facts.iter().filter(|(_, value)| !value.is_empty()) {
                        tr { th scope="row" { (name) } td { (visible(value)) } }
                    }
                }
            }
            (timeline)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::Bundle;
    use crate::rubric::Rubric;
    use crate::verdict::{Environment, SubmissionInfo};
    use crate::{judge, task};

    #[test]
    fn what_was_not_handed_in_is_not_said_to_have_passed() {
        let bundle = Bundle {
            submission: SubmissionInfo::default(),
            environment: Environment::default(),
            subtasks: task::subtasks().iter().map(|subtask| subtask.id.to_owned()).collect(),
            layout: serde_json::Value::Null,
            recordings: std::collections::BTreeMap::new(),
        };
        let mut report = judge::judge(&bundle, &Rubric::default());
        report.causes.clear();
        for check in report.subtasks.iter_mut().flat_map(|subtask| &mut subtask.checks) {
            check.status = Status::Skip;
        }
        let said = next(&report).into_string();
        assert!(said.contains("could not be judged") && !said.contains("passed"), "{said}");
        for check in report.subtasks.iter_mut().flat_map(|subtask| &mut subtask.checks) {
            check.status = Status::Pass;
        }
        assert!(next(&report).into_string().contains("every check that carries marks passed"));
    }
}
