//! Subtask 3a, a container from run to stop: is it listed, is its name taken, and what does stop leave?

use super::run::Room;
use super::{Left, Refused, Survival};
use crate::evidence::Bundle;
use crate::task::conductor::command::Command;
use crate::task::conductor::story::Seen;
use crate::task::finding::Question;
use crate::task::{network, transcript};
use crate::verdict::Finding;

pub fn listed(room: &Room) -> Finding {
    let name = &room.plan.worker;
    let question =
        Question::new("3a/listed-by-ps", "a container is in the list from run to stop, and only then");
    if room.worker.is_none() {
        return room.missing(question);
    }
    let lists = |step, name: &str| {
        let seen = room.story.at::<Command>("command", step)?;
        Some(
            transcript::lines(&seen.value.screen)
                .iter()
                .any(|line| line.split_whitespace().any(|word| word == name)),
        )
    };
    if room.shell.is_some() && lists("ps-exited", &room.plan.shell) == Some(false) {
        return question.fail("not listed any more when its first process has ended, before stop");
    }
    match (lists("ps-before", name), lists("ps-running", name), lists("ps-after", name)) {
        (Some(false), Some(true), Some(false)) => question.pass("listed from run to stop, and only then"),
        (Some(true), ..) => question.fail("listed before it was run"),
        (_, Some(false), _) => question.fail("not listed while it runs"),
        // A folder that stop leaves is listed still: that is a matter of stop-cleans-up.
        (.., Some(true)) if room.left("stop-worker").is_some_and(|left| left.value.state.is_some()) => {
            question.pass("listed from run on")
        }
        (.., Some(true)) => question.fail("still listed after stop"),
        _ => room.story.missing(question, "ps was not reached"),
    }
}

pub fn twice(room: &Room) -> Finding {
    let mut question =
        Question::new("3a/cannot-run-twice", "a second run under the same name starts nothing");
    let attempts = [("again-while-running", &room.worker), ("again-after-exit", &room.shell)];
    let attempts: Vec<Seen<Refused>> = attempts
        .iter()
        .filter(|(_, first)| first.is_some())
        .filter_map(|(step, _)| room.story.at("refused", step))
        .collect();
    if attempts.is_empty() {
        return room.missing(question);
    }
    for attempt in attempts {
        question = question.proof(&attempt.place);
        if attempt.value.started {
            let when = attempt.value.step.replace('-', " ");
            return question.fail(format!("its command was started a second time ({when})"));
        }
    }
    question.pass("refused while it ran and after it had ended")
}

pub fn stop(room: &Room, bundle: &Bundle) -> Finding {
    let question = Question::new(
        "3a/stop-cleans-up",
        "no process, mount, interface, rule or state of a stopped container is left, and its neighbour works on",
    );
    if room.containers().next().is_none() {
        return room.missing(question);
    }
    let steps = [
        ("stop-shell", &room.shell, "again-after-exit"),
        ("stop-worker", &room.worker, "again-while-running"),
    ];
    let mut question = question;
    // Two containers under one name are a matter of cannot-run-twice: what stop makes of them is not judged.
    let is_single =
        |again: &str| room.story.at::<Refused>("refused", again).is_none_or(|seen| !seen.value.started);
    let steps = steps.iter().filter(|(_, container, again)| container.is_some() && is_single(again));
    for step in steps.map(|(step, ..)| *step) {
        let Some(left) = room.left(step) else {
            return room.story.missing(question, "stop was not reached");
        };
        question = question.proof(&left.place);
        let left = remains(&left.value);
        if !left.is_empty() {
            return question.fail(left.join("; "));
        }
    }
    if let Some(neighbour) = room.story.at::<Survival>("survival", "worker-after-stop")
        && !neighbour.value.alive
    {
        return question.proof(neighbour.place).fail("another container ended with the one that was stopped");
    }
    // A bundle of which the networks were not asked for has no such container.
    if let Some((left, places)) = network::left_of_exposed(bundle) {
        question = places.into_iter().fold(question, Question::proof);
        if !left.is_empty() {
            return question.fail(format!("of a container with network, port and peer: {}", left.join("; ")));
        }
    }
    question.pass("nothing is left")
}

/// What is left of a container, in words.
pub fn remains(left: &Left) -> Vec<String> {
    let mut words = Vec::new();
    if !left.processes.is_empty() {
        let names = left.processes.iter().map(|process| format!("`{}`", process.cmdline.join(" ")));
        words.push(format!("still running: {}", names.collect::<Vec<_>>().join(", ")));
    } else if left.foreground {
        words.push("the `run` that started it still runs".to_owned());
    }
    if !left.mounts.is_empty() {
        words.push(format!("still mounted: {}", left.mounts.join(", ")));
    }
    if !left.disturbed.is_empty() {
        words.push(format!("unmounted or mounted over on the machine itself: {}", left.disturbed.join(", ")));
    }
    if let Some(state) = &left.state {
        words.push(format!("still there: {state}"));
    } else if let Some(written) = &left.written {
        words.push(format!("what was written in it is still there: {written}"));
    }
    words
}
