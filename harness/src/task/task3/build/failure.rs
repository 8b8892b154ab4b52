//! Judges 3f: what becomes of a build whose RUN fails.

use super::Layers;
use super::built::Built;
use super::plan::RUNS;
use crate::task::check::Verdicts;
use crate::task::finding::Question;
use crate::task::task3::shared::command::Command;
use crate::verdict::Finding;

/// Builds whose last instruction is a RUN that writes a file.
const LAST_IS_RUN: [&str; 3] = ["run-echo", "run-after-run", "run-after-copy"];

/// Whether a container of the image has the files of all instructions.
fn is_complete(built: &Built, step: &str) -> bool {
    let paths = built.plan.paths(step);
    built.shown(step).is_ok_and(|seen| paths.iter().all(|path| seen.value.found.contains_key(path)))
}

fn failed(command: &Command) -> bool {
    command.stopped.is_none() && !command.succeeded()
}

pub fn failure(built: &Built, question: Question, _: &Verdicts) -> Finding {
    let question = question.expects("a build whose RUN fails ends with a status other than 0");
    if let Some(why) = built.timeline.why_unbuilt() {
        return question.skip(format!("no image with FROM alone: {why}"));
    }
    if built.made(&RUNS).is_empty() {
        let why = built.timeline.why_failed(RUNS[0]).unwrap_or_else(|| "no build was tried".to_owned());
        return built.timeline.missing(question, format!("no build with RUN succeeds: {why}"));
    }
    let Some(seen) = built.timeline.at::<Command>("command", "fails") else {
        return built.timeline.missing(question, "no failing build was tried");
    };
    let question = question.proof(seen.place);
    let ending = seen.value.ending();
    let complete = LAST_IS_RUN.iter().filter(|step| is_complete(built, step));
    let mut others = complete.filter_map(|step| built.timeline.at::<Command>("command", step));
    let by_chance = others.find(|seen| failed(&seen.value)).filter(|_| failed(&seen.value));
    let Some(other) = by_chance else {
        return question.answer(failed(&seen.value), ending);
    };
    // A status that complete images have too does not tell that this one failed.
    let Some(layers) = built.timeline.at::<Layers>("layers", "fails") else {
        return built
            .timeline
            .missing(question, "not reached: the scenario ended before the image was looked at");
    };
    let question = question.proof(layers.place).proof(other.place);
    if layers.value.dirs.is_empty() {
        return question.pass(format!("{ending}, and there is no image"));
    }
    let other = other.value.ending();
    question.fail(format!("{ending}, but made an image; when RUN succeeds, {other} too"))
}

pub fn failure_again(built: &Built, question: Question, verdicts: &Verdicts) -> Finding {
    let question = question.expects("the second build of a failing RUN also ends with a status other than 0");
    if !verdicts.passed("3f/failure-fails-build") {
        return built.timeline.unmet(question, "3f/failure-fails-build", "");
    }
    match built.timeline.at::<Command>("command", "fails-again") {
        None => built.timeline.missing(question, "no failing build was tried again"),
        Some(seen) => question.proof(seen.place).answer(failed(&seen.value), seen.value.ending()),
    }
}
