//! Judges the life of a container from run to stop: when `ps` lists it, when its name is taken, and
//! what `stop` leaves.

use super::judge::RunContext;
use super::{Left, MachineMounts, Refused, Survival};
use crate::task::check::Verdicts;
use crate::task::finding::Question;
use crate::task::task3::network;
use crate::task::task3::shared::command::Command;
use crate::task::task3::shared::timeline::Seen;
use crate::task::transcript;
use crate::verdict::Finding;

pub fn listed(context: &RunContext, question: Question, _: &Verdicts) -> Finding {
    let question = question.expects("ps lists the container from run to stop, and only then");
    let worker = context.worker.as_ref().map(|_| (context.plan.worker.as_str(), "stop-worker"));
    let Some((name, stop)) = worker.or_else(|| context.exited().map(|(_, name, stop)| (name, stop))) else {
        return context.missing(question);
    };
    let lists = |step, name: &str| {
        let seen = context.timeline.at::<Command>("command", step)?;
        Some(
            transcript::lines(&seen.value.screen)
                .iter()
                .any(|line| line.split_whitespace().any(|word| word == name)),
        )
    };
    if context.exited().is_some_and(|(_, name, _)| lists("ps-exited", name) == Some(false)) {
        return question
            .fail("after its first process ended, and before stop, ps does not list the container");
    }
    match (lists("ps-before", name), lists("ps-running", name), lists("ps-after", name)) {
        (Some(false), Some(true), Some(false)) => {
            question.pass("ps lists the container from run to stop, and only then")
        }
        (Some(true), ..) => question.fail("ps lists the container before run"),
        (_, Some(false), _) => question.fail("ps does not list the container while it runs"),
        // A folder that stop leaves is listed still: that is a matter of stop-cleans-up.
        (.., Some(true)) if context.left(stop).is_some_and(|left| left.value.state.is_some()) => {
            question.pass("ps lists the container from run on")
        }
        (.., Some(true)) => question.fail("ps still lists the container after stop"),
        _ => context.timeline.missing(question, "not reached: the scenario ended before ps was called"),
    }
}

pub fn twice(context: &RunContext, question: Question, _: &Verdicts) -> Finding {
    let question = question.expects("running a name again, after its container ended, starts nothing");
    if context.exited().is_none() {
        return context.timeline.missing(
            question,
            format!("there is no shell to exit from: {}", context.timeline.why_absent("shell")),
        );
    }
    let Some(attempt) = context.timeline.at::<Refused>("refused", "again-after-exit") else {
        return context.timeline.missing(question, "the second run was not tried");
    };
    let started = attempt.value.started;
    question.proof(attempt.place).answer(
        !started,
        if started { "the second run started a container" } else { "the second run was refused" },
    )
}

/// Whether the machine's mount points and its host name are as they were, while containers run and
/// after `stop`.
pub fn machine_unchanged(context: &RunContext, question: Question, _: &Verdicts) -> Finding {
    let mut question = question.expects(
        "while a container runs and after stop, the machine's mounts are in place, nothing covers them, and its host name is the same",
    );
    if context.containers().next().is_none() {
        return context.missing(question);
    }
    let running: Vec<Seen<MachineMounts>> = ["worker", "both"]
        .into_iter()
        .filter_map(|step| context.timeline.at("machine-mounts", step))
        .collect();
    let stops = || STOPS.iter().filter_map(|step| context.left(step));
    if context.timeline.is_cut() && (running.is_empty() || stops().next().is_none()) {
        return context.timeline.missing(question, "not reached: the scenario ended before stop was called");
    }
    if running.is_empty() {
        return question.error("the evidence is older than this check: grade the submission again");
    }
    let stopped = stops().chain(network::left(context.bundle));
    let looks = running
        .into_iter()
        .map(|seen| ("while a container runs", seen.place, seen.value.disturbed))
        .chain(stopped.map(|seen| ("after stop", seen.place, seen.value.disturbed)));
    for (when, place, disturbed) in looks {
        question = question.proof(place);
        if !disturbed.is_empty() {
            return question.fail(format!("{when}: {}", disturbed.join("; ")));
        }
    }
    question.pass("the machine's mounts are in place and nothing covers them")
}

/// The steps in which containers are stopped.
const STOPS: [&str; 3] = ["stop-shell", "stop-named-shell", "stop-worker"];

pub fn stop(context: &RunContext, question: Question, _: &Verdicts) -> Finding {
    let mut question = question.expects(
        "a stopped container leaves no process, mount, interface or folder, and its neighbour keeps working",
    );
    if context.containers().next().is_none() {
        return context.missing(question);
    }
    let containers = [&context.shell, &context.named_shell, &context.worker];
    let steps = STOPS.into_iter().zip(containers).filter(|(_, container)| container.is_some());
    for step in steps.map(|(step, _)| step).filter(|step| !is_doubled(context, step)) {
        let Some(left) = context.left(step) else {
            return context
                .timeline
                .missing(question, "not reached: the scenario ended before stop was called");
        };
        question = question.proof(&left.place);
        let left = remains(&left.value);
        if !left.is_empty() {
            return question.fail(left.join("; "));
        }
    }
    if let Some((mounts, places)) = left_by_each(context) {
        return places.into_iter().fold(question, Question::proof).fail(format!("still mounted: {mounts}"));
    }
    if let Some(neighbour) = context.timeline.at::<Survival>("survival", "worker-after-stop")
        && !neighbour.value.alive
        && was_alive(context)
    {
        return question.proof(neighbour.place).fail("stopping one container also ended another one");
    }
    // A bundle of which the networks were not asked for has no such container.
    if let Some((left, places)) = network::left_of_exposed(context.bundle) {
        question = places.into_iter().fold(question, Question::proof);
        if !left.is_empty() {
            return question
                .fail(format!("for a container with network, port and peer: {}", left.join("; ")));
        }
    }
    question.pass("stop left nothing")
}

/// What is still mounted after `stop` and came with the container, wherever it is: if every
/// container left such a mount. A mount that a tool makes once comes with the first one only.
fn left_by_each(context: &RunContext) -> Option<(String, Vec<String>)> {
    let steps = STOPS.into_iter().chain(["stop-other"]).filter(|step| !is_doubled(context, step));
    let (mut all, mut places) = (Vec::new(), Vec::new());
    for left in steps.filter_map(|step| context.left(step)) {
        let Some(came) = left.value.came else { continue };
        if came.is_empty() {
            return None;
        }
        all.extend(came);
        places.push(left.place);
    }
    (places.len() > 1).then(|| (all.join(", "), places))
}

/// Whether a second container was started under its name. That is a matter of cannot-run-twice:
/// what `stop` makes of two is not judged.
fn is_doubled(context: &RunContext, step: &str) -> bool {
    let started =
        |again| context.timeline.at::<Refused>("refused", again).is_some_and(|seen| seen.value.started);
    let is_exited = context.exited().is_some_and(|(.., stop)| stop == step);
    is_exited && started("again-after-exit") || step == "stop-worker" && started("again-while-running")
}

/// Whether the neighbour still ran when the other container was stopped: what else ended it is
/// no matter of `stop`.
fn was_alive(context: &RunContext) -> bool {
    ["worker-before-stop", "worker-after-exec"]
        .into_iter()
        .filter_map(|step| context.timeline.at::<Survival>("survival", step))
        .all(|seen| seen.value.alive)
}

/// The rules of a stopped container: its address may be another's next, and a port that
/// leads to it is then open.
pub fn stop_rules(context: &RunContext, question: Question, _: &Verdicts) -> Finding {
    let question = question.expects("stop leaves no firewall rule of the container while others run");
    match network::rules_of_exposed(context.bundle) {
        None => context.timeline.missing(question, "no container with a network was stopped"),
        Some((rules, place)) => {
            let left = rules.iter().take(3).cloned().collect::<Vec<_>>().join(" / ");
            let well = rules.is_empty();
            question.proof(place).answer(well, if well { "stop left no rule".to_owned() } else { left })
        }
    }
}

/// What is left of a container, in words. An overlay that is still mounted, and the folder that
/// cannot be deleted because of it, are a matter of `3d/unmounted-on-stop`.
pub fn remains(left: &Left) -> Vec<String> {
    let mut words = Vec::new();
    if !left.processes.is_empty() {
        let names = left.processes.iter().map(|process| format!("`{}`", process.cmdline.join(" ")));
        words.push(format!("still running: {}", names.collect::<Vec<_>>().join(", ")));
    } else if left.foreground {
        words.push("the `run` that started it still runs".to_owned());
    }
    let mounts: Vec<&str> =
        left.mounts.iter().filter(|place| !left.overlays.contains(place)).map(String::as_str).collect();
    if !mounts.is_empty() {
        words.push(format!("still mounted: {}", mounts.join(", ")));
    }
    if let Some(state) = left.state.as_ref().filter(|_| left.overlays.is_empty()) {
        words.push(format!("still there: {state}"));
    } else if let Some(written) = left.written.as_ref().filter(|_| left.state.is_none()) {
        words.push(format!("files written in the container are still there: {written}"));
    } else if let Some(kept) = left.kept.as_ref().filter(|_| left.state.is_none()) {
        words.push(format!("a file written in the container is still in {kept}"));
    }
    words
}
