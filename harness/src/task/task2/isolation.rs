//! 2b: `container_prog` is PID 1 of a new PID namespace, in a new UTS namespace, in the same root directory.

use super::timeline::{Round, ScriptTimeline};
use super::{filesystem, script};
use crate::evidence::Bundle;
use crate::task::CheckSpec;
use crate::task::finding::Question;
use crate::verdict::{Finding, Status};

const SNAPSHOT: &str = include_str!("../../../../snapshots/task2b.snap");

/// What is checked.
pub static CHECKS: [CheckSpec; 5] = [
    CheckSpec {
        id: "2b/pid-namespace",
        title: "a new PID namespace that starts with 1",
        requirement: "Within the new PID namespace, the PID of processes launched within the container should start \
                      with 1.",
        hint: "A new PID namespace begins with the next child of the process that asked for it: which process is \
               that here?",
        informational: false,
    },
    CheckSpec {
        id: "2b/uts-namespace",
        title: "a new UTS namespace",
        requirement: "In this subtask, attach a new PID and UTS namespace to the container.",
        hint: "Compare /proc/PID/ns/uts of container_prog with /proc/self/ns/uts of your shell.",
        informational: false,
    },
    CheckSpec {
        id: "2b/host-hostname-kept",
        title: "the machine keeps its name",
        requirement: "Hostname within container: new_hostname, Hostname in the host: cs695",
        hint: "container_prog calls sethostname: whose name does that change? Watch `hostname` in another terminal.",
        informational: false,
    },
    CheckSpec {
        id: "2b/root-isolated",
        title: "the same root directory as in 2a",
        requirement: "Note that this is an incremental change, and the container running within the same chrooted \
                      environment as in subtask 2a.",
        hint: "Compare `ls -di /` with `ls -di /proc/PID/root/.` of container_prog while it runs.",
        informational: false,
    },
    CheckSpec {
        id: "2b/transcript",
        title: "output as shown",
        requirement: "Output Subtask 2b: Process PID: 1, Child Process PID: 2, …, Hostname within container: \
                      new_hostname, Computation Benchmark, Hostname in the host",
        hint: "Lines with `-` are missing or in another place. Extra lines, with `+`, cost no marks.",
        informational: false,
    },
];

/// One finding per check.
pub fn judge(bundle: &Bundle) -> Vec<Finding> {
    let timeline = match ScriptTimeline::open(bundle, &CHECKS) {
        Ok(timeline) => timeline,
        Err(findings) => return findings,
    };
    let mut findings = match &timeline.rounds[1] {
        Some(round) => vec![
            pid_namespace(&timeline, round, "2b/pid-namespace"),
            uts_namespace(&timeline, round),
            hostname_kept(&timeline),
            filesystem::root_isolated(&timeline, Some(round), "2b/root-isolated"),
        ],
        None => CHECKS[..4]
            .iter()
            .map(|spec| {
                Question::new(spec.id, "container_prog runs as subtask2").skip(format!(
                    "container_prog was not run in 2b; {}{}",
                    timeline.fate(),
                    timeline.complaint(1)
                ))
            })
            .collect(),
    };
    let facts = findings.iter().all(|finding| finding.status == Status::Pass);
    findings.push(script::judge(&timeline, 1, "2b/transcript", SNAPSHOT, facts));
    findings
}

/// Whether a run is PID 1 of a PID namespace other than the machine's.
pub fn pid_namespace(timeline: &ScriptTimeline, round: &Round, check: &'static str) -> Finding {
    let question = Question::new(check, "container_prog is PID 1 of a new PID namespace")
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

fn uts_namespace(timeline: &ScriptTimeline, round: &Round) -> Finding {
    let (own, machine) = (round.process().namespaces.uts, timeline.machine.namespaces.uts);
    Question::new("2b/uts-namespace", "container_prog in a new UTS namespace")
        .proof(timeline.proof(round.record))
        .answer(
            own != machine,
            if own == machine {
                format!("container_prog was in the machine's own UTS namespace {machine}")
            } else {
                format!("container_prog was in UTS namespace {own}, the machine's is {machine}")
            },
        )
}

fn hostname_kept(timeline: &ScriptTimeline) -> Finding {
    let name = &timeline.machine.hostname;
    let question =
        Question::new("2b/host-hostname-kept", format!("the machine is called {name:?} all the time"));
    match timeline.renamed.first() {
        Some((record, other)) => question
            .proof(timeline.proof(*record))
            .fail(format!("the machine was called {other:?} meanwhile")),
        None => question.pass("its name did not change"),
    }
}
