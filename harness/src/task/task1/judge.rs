//! Judges task 1 by the traced processes.

use std::fmt::Write as _;

use super::checks::ROWS;
use super::timeline::{ProcessTimeline, lost};
use super::{Compiled, Machine};
use crate::evidence::program::End;
use crate::evidence::program::{Outcome, Stopped};
use crate::evidence::{Bundle, Recording};
use crate::task::as_shown;
use crate::task::check::{self, Verdicts};
use crate::task::finding::{Question, recording};
use crate::task::session;
use crate::task::transcript;
use crate::verdict::Finding;

const NAME: &str = "Child1Hostname";
/// One finding per check of task 1.
pub fn judge(bundle: &Bundle) -> Vec<Finding> {
    let recording = match recording(bundle, "1", &ROWS) {
        Ok(recording) => recording,
        Err(findings) => return findings,
    };
    let Some(machine) = recording.first::<Machine>("machine") else {
        return nothing_ran(recording, "the program was never started");
    };
    match recording.first::<Compiled>("compiled") {
        Some(Compiled { ok: true, .. }) => {}
        Some(Compiled { outcome, .. }) => {
            return nothing_ran(recording, &compiler_message(recording, &outcome));
        }
        None => return nothing_ran(recording, &format!("the compiler never ended: {}", lost(recording))),
    }
    let timeline = ProcessTimeline::read(recording, machine);
    check::judge(&ROWS, |judge, question, verdicts| judge(&timeline, question, verdicts))
}

/// There was no program to look at: what it should have done fails, what
/// depends on that is skipped.
fn nothing_ran(recording: &Recording, why: &str) -> Vec<Finding> {
    let proof = format!("evidence/{}/records.jsonl", recording.scenario);
    check::judge(&ROWS, |_, question, verdicts| {
        let question = question.expects("namespace_prog.c compiles with gcc and runs").proof(&proof);
        match verdicts.id() {
            "1/child1-pid-namespace" | "1/child1-uts-namespace" | "1/transcript" => question.fail(why),
            _ => question.skip(why),
        }
    })
}

fn compiler_message(recording: &Recording, outcome: &Outcome) -> String {
    if outcome.stopped.is_some() {
        return format!("gcc was stopped after {:.0} s", outcome.seconds);
    }
    let mut lines = transcript::lines(&transcript::text(&recording.records));
    lines.truncate(12);
    format!("the program does not compile; gcc says:\n{}", lines.join("\n"))
}

pub fn child1_pid(timeline: &ProcessTimeline, question: Question, _: &Verdicts) -> Finding {
    let question = question.expects("a process that is PID 1 of a new PID namespace");
    let Some(child1) = timeline.child1() else { return question.fail(timeline.no_child()) };
    let question = question.proof(timeline.proof(child1.first().record));
    let process = &child1.first().process;
    match timeline.own_pid_namespace(child1) {
        Some(namespace) => question.pass(format!(
            "process {} is PID 1 of the new PID namespace {namespace}, the machine's is {}",
            process.pid, timeline.machine.namespaces.pid
        )),
        None => question.fail(format!(
            "child 1 is process {} in {} PID namespace {}{}",
            process.own_pid(),
            if process.namespaces.pid == timeline.machine.namespaces.pid {
                "the machine's own"
            } else {
                "the"
            },
            process.namespaces.pid,
            timeline.refusals("CLONE_NEWPID") + &timeline.tools()
        )),
    }
}

pub fn child1_uts(timeline: &ProcessTimeline, question: Question, _: &Verdicts) -> Finding {
    let question = question.expects(format!("child 1 in a new UTS namespace that is called {NAME}"));
    let Some(child1) = timeline.child1() else { return question.fail(timeline.no_child()) };
    let question = question.proof(timeline.proof(child1.last().record));
    let Some(namespace) = timeline.own_uts(child1) else {
        return question.fail(format!(
            "child 1 (process {}) stays in the machine's own UTS namespace {}{}",
            child1.pid(),
            timeline.machine.namespaces.uts,
            timeline.refusals("CLONE_NEWUTS") + &timeline.tools()
        ));
    };
    let names: Vec<&str> = child1
        .states
        .iter()
        .filter(|state| state.process.namespaces.uts == namespace)
        .map(|state| state.hostname.as_str())
        .collect();
    let name = names.iter().rev().find(|name| **name == NAME).or(names.last()).copied().unwrap_or_default();
    question.answer(
        name == NAME,
        format!(
            "child 1 (process {}) in the new UTS namespace {namespace}, which is called {name:?}{}",
            child1.pid(),
            if name == NAME { String::new() } else { timeline.crash() + &timeline.refusals("CLONE_NEWUTS") }
        ),
    )
}

pub fn child2_pid(timeline: &ProcessTimeline, question: Question, _: &Verdicts) -> Finding {
    let question =
        question.expects("a second process, created from outside, in the PID namespace of child 1");
    let Some(wanted) = timeline.child1().and_then(|child1| timeline.own_pid_namespace(child1)) else {
        return question.unmet("1/child1-pid-namespace", "");
    };
    let Some(child2) = timeline.child2() else {
        return question.fail(format!(
            "no second process was created{}{}",
            timeline.crash(),
            timeline.refusals("CLONE_NEWPID") + &timeline.tools()
        ));
    };
    let question = question.proof(timeline.proof(child2.first().record));
    let process = &child2.first().process;
    if timeline.is_made_by_child1(child2) {
        return question.fail(format!(
            "process {} was created by child 1 itself: it inherits the namespace and joins nothing",
            process.pid
        ));
    }
    let whose = if process.namespaces.pid == timeline.machine.namespaces.pid {
        "the machine's own"
    } else if process.namespaces.pid == wanted {
        "child 1's"
    } else {
        "yet another"
    };
    let is_joined = process.namespaces.pid == wanted;
    question.answer(
        is_joined,
        format!(
            "child 2 (process {}) is PID {} in {whose} PID namespace {}{}{}",
            process.pid,
            process.own_pid(),
            process.namespaces.pid,
            timeline.crash(),
            if is_joined { String::new() } else { timeline.refusals("CLONE_NEWPID") }
        ),
    )
}

pub fn child2_uts(timeline: &ProcessTimeline, question: Question, _: &Verdicts) -> Finding {
    let question =
        question.expects("a second process, created from outside, in the UTS namespace of child 1");
    let Some(wanted) = timeline.child1().and_then(|child1| timeline.own_uts(child1)) else {
        return question.unmet("1/child1-uts-namespace", "");
    };
    let Some(child2) = timeline.child2() else {
        return question.fail(format!(
            "no second process was created{}{}",
            timeline.crash(),
            timeline.refusals("CLONE_NEWUTS") + &timeline.tools()
        ));
    };
    if timeline.is_made_by_child1(child2) {
        return question.proof(timeline.proof(child2.first().record)).fail(format!(
            "process {} was created by child 1 itself: it inherits the namespace and joins nothing",
            child2.pid()
        ));
    }
    let question = question.proof(timeline.proof(child2.last().record));
    let uts = child2.last().process.namespaces.uts;
    let whose = if uts == timeline.machine.namespaces.uts {
        "the machine's own"
    } else if uts == wanted {
        "child 1's"
    } else {
        "yet another"
    };
    question.answer(
        uts == wanted,
        format!(
            "child 2 (process {}) is in {whose} UTS namespace {uts}{}",
            child2.pid(),
            if uts == wanted { String::new() } else { timeline.refusals("CLONE_NEWUTS") }
        ),
    )
}

pub fn parent_unchanged(timeline: &ProcessTimeline, question: Question, _: &Verdicts) -> Finding {
    let question = question.expects(format!(
        "the parent ends in the machine's UTS namespace, and the machine is always {:?}",
        { &timeline.machine.hostname }
    ));
    if !timeline.has_namespaces() {
        return question.skip("no new namespace was created, so this cannot be judged");
    }
    if let Some((record, what)) = timeline.renamed.first() {
        return question.proof(timeline.proof(*record)).fail(what);
    }
    let Some(last) = timeline.parent.last() else {
        return question.pass("the parent called neither setns nor unshare nor sethostname");
    };
    if let Some((record, uts)) = timeline.printed_elsewhere() {
        return question.proof(timeline.proof(record)).fail(format!(
            "the parent printed its third `Parent Hostname` in the UTS namespace {uts} of child 1, and returned to its \
             own only afterwards"
        ));
    }
    let uts = last.process.namespaces.uts;
    let question = question.proof(timeline.proof(last.record));
    if uts == timeline.machine.namespaces.uts {
        question.pass(format!("the parent is in the machine's UTS namespace {uts}, which kept its name"))
    } else {
        question.fail(format!(
            "the parent ends in the UTS namespace {uts}, called {:?}; it began in {}",
            last.hostname, timeline.machine.namespaces.uts
        ))
    }
}

pub fn transcript(timeline: &ProcessTimeline, question: Question, verdicts: &Verdicts) -> Finding {
    let wanted = transcript::lines(as_shown::TASK_1);
    let question = question
        .expects(wanted.join("\n"))
        .proof(format!("evidence/{}/terminal.cast", timeline.recording.scenario));
    let seen = redacted(timeline);
    if !transcript::is_complete(&wanted, &seen) {
        question.fail(transcript::difference(&wanted, &seen))
    } else if let Some(early) = timeline.early_line().filter(|_| verdicts.needs_met()) {
        question.fail(early)
    } else if verdicts.needs_met() {
        question.pass("the output has all lines in the right order")
    } else {
        question.skip("the output matches, but it states a fact that is not true: see the checks above")
    }
}

/// The sample session, which decides no marks.
pub fn as_shown(timeline: &ProcessTimeline, question: Question, verdicts: &Verdicts) -> Finding {
    session::judge(timeline.recording, question, verdicts)
}

/// The program's lines, with what varies from run to run named instead.
pub fn redacted_transcript(recording: &Recording) -> Vec<String> {
    let machine = recording.first::<Machine>("machine");
    machine.map_or_else(Vec::new, |machine| redacted(&ProcessTimeline::read(recording, machine)))
}

fn redacted(timeline: &ProcessTimeline) -> Vec<String> {
    let records = &timeline.recording.records;
    let start = records.iter().position(|record| record.kind == "compiled").map_or(0, |index| index + 1);
    let parent = timeline
        .outcome
        .as_ref()
        .map(|outcome| outcome.pid)
        .or_else(|| timeline.children.first().map(|life| life.creator.pid))
        .unwrap_or(0);
    let pid_line = format!("Parent Process PID: {parent}");
    let name_line = format!("Parent Hostname: {}", timeline.machine.hostname);
    transcript::lines(&transcript::text(&records[start..]))
        .into_iter()
        .map(|line| match line {
            line if line == pid_line => "Parent Process PID: [pid]".to_owned(),
            line if line == name_line => "Parent Hostname: [hostname]".to_owned(),
            line => line,
        })
        .collect()
}

pub fn exits_clean(timeline: &ProcessTimeline, question: Question, _: &Verdicts) -> Finding {
    let question = question.expects("the program ends with status 0 and leaves no process");
    if !timeline.has_namespaces() {
        return question.skip("no new namespace was created, so this cannot be judged");
    }
    let Some(outcome) = &timeline.outcome else { return question.fail(lost(timeline.recording)) };
    let mut seen = match (outcome.stopped, outcome.end) {
        (Some(Stopped::Time | Stopped::Still), _) => {
            format!("the program was still running after {:.0} s and was killed", outcome.limit)
        }
        (Some(Stopped::Working), _) => {
            format!(
                "the program was stopped after {:.0} s, while known work was still running",
                outcome.limit
            )
        }
        (Some(Stopped::Output), _) => {
            format!("the program was stopped after {} bytes of output", outcome.output)
        }
        (Some(Stopped::Exhausted(_)), _) => {
            "the program was stopped because it had too many processes".to_owned()
        }
        (None, Some(End::Status(status))) => {
            format!("the program ended with status {status} after {:.1} s", outcome.seconds)
        }
        (None, Some(End::Signal(signal))) => format!("the program was killed by signal {signal}"),
        (None, None) => "it did not end".to_owned(),
    };
    if !outcome.left.is_empty() {
        let pids: Vec<String> = outcome.left.iter().map(|process| process.pid.to_string()).collect();
        let _ = write!(seen, "; one second later these processes were still running: {}", pids.join(", "));
    }
    let clean = outcome.stopped.is_none() && outcome.end == Some(End::Status(0)) && outcome.left.is_empty();
    question.answer(clean, seen)
}
