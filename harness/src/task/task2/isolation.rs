//! 2b: `container_prog` must be PID 1 of a new PID namespace, in a new UTS namespace, with the root
//! directory of 2a.

use super::checks::ROWS_2B;
use super::timeline::{Round, ScriptTimeline};
use super::{filesystem, script};
use crate::evidence::Bundle;
use crate::task::as_shown;
use crate::task::check::{self, Verdicts};
use crate::task::finding::Question;
use crate::verdict::Finding;

/// One finding per check.
pub fn judge(bundle: &Bundle) -> Vec<Finding> {
    match ScriptTimeline::open(bundle, &ROWS_2B) {
        Ok(timeline) => {
            check::judge(&ROWS_2B, |judge, question, verdicts| judge(&timeline, question, verdicts))
        }
        Err(findings) => findings,
    }
}

/// 2b's own run, or the finding that there was none.
fn round<'a>(timeline: &'a ScriptTimeline, question: &Question) -> Result<&'a Round, Finding> {
    timeline.rounds[1].as_ref().ok_or_else(|| {
        question.clone().expects("container_prog runs as subtask2").skip(format!(
            "container_prog was not run in 2b; {}{}",
            timeline.fate(),
            timeline.complaint(1)
        ))
    })
}

pub fn pid_namespace(timeline: &ScriptTimeline, question: Question, _: &Verdicts) -> Finding {
    match round(timeline, &question) {
        Ok(round) => is_pid_one(timeline, round, question),
        Err(skipped) => skipped,
    }
}

pub fn root_isolated(timeline: &ScriptTimeline, question: Question, _: &Verdicts) -> Finding {
    match round(timeline, &question) {
        Ok(round) => filesystem::root_of(timeline, Some(round), question),
        Err(skipped) => skipped,
    }
}

pub fn transcript(timeline: &ScriptTimeline, question: Question, verdicts: &Verdicts) -> Finding {
    script::judge(timeline, 1, question, as_shown::TASK_2B, verdicts)
}

/// Whether a run is PID 1 of a PID namespace other than the machine's.
pub fn is_pid_one(timeline: &ScriptTimeline, round: &Round, question: Question) -> Finding {
    let question = question
        .expects("container_prog is PID 1 of a new PID namespace")
        .proof(timeline.proof(round.record));
    let process = round.process();
    let machine = timeline.machine.namespaces.pid;
    if process.namespaces.pid != machine {
        let seen = format!(
            "container_prog is PID {} of PID namespace {}",
            process.own_pid(),
            process.namespaces.pid
        );
        return question.answer(process.own_pid() == 1, format!("{seen}, the machine's is {machine}"));
    }
    let mut seen = format!("container_prog was PID {} in the machine's own PID namespace", process.pid);
    if round.child.as_ref().is_some_and(|child| child.namespaces.pid != machine) {
        seen += "; only its child was PID 1 of a new one";
    }
    question.fail(seen)
}

pub fn uts_namespace(timeline: &ScriptTimeline, question: Question, _: &Verdicts) -> Finding {
    let round = match round(timeline, &question) {
        Ok(round) => round,
        Err(skipped) => return skipped,
    };
    let (own, machine) = (round.process().namespaces.uts, timeline.machine.namespaces.uts);
    question.expects("container_prog in a new UTS namespace").proof(timeline.proof(round.record)).answer(
        own != machine,
        if own == machine {
            format!("container_prog was in the machine's own UTS namespace {machine}")
        } else {
            format!("container_prog was in UTS namespace {own}, the machine's is {machine}")
        },
    )
}

pub fn hostname_kept(timeline: &ScriptTimeline, question: Question, _: &Verdicts) -> Finding {
    if let Err(skipped) = round(timeline, &question) {
        return skipped;
    }
    let name = &timeline.machine.hostname;
    let question = question.expects(format!("the machine's host name is always {name:?}"));
    match timeline.renamed.first() {
        Some((record, other)) => question
            .proof(timeline.proof(*record))
            .fail(format!("the machine's host name was {other:?} for a while")),
        None => question.pass("its name did not change"),
    }
}
