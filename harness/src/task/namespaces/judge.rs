//! Decides task 1 from what the tracer saw.

use std::fmt::Write as _;

use super::{Born, CHECKS, Called, Compiled, Exiting, Machine};
use crate::evidence::{Bundle, Ending, Recording};
use crate::guest::processes::Process;
use crate::guest::session::{Hostname, Outcome, Stopped};
use crate::guest::trace::End;
use crate::task::finding::{Question, place, recording};
use crate::task::transcript;
use crate::verdict::{Finding, Status};

const NAME: &str = "Child1Hostname";
const SNAPSHOT: &str = include_str!("../../../../snapshots/task1.snap");

/// One finding per check of task 1.
pub fn judge(bundle: &Bundle) -> Vec<Finding> {
    let recording = match recording(bundle, "1", &CHECKS) {
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
    let story = Story::read(recording, machine);
    let mut findings = vec![
        child1_pid(&story),
        child1_uts(&story),
        child2_pid(&story),
        child2_uts(&story),
        parent_unchanged(&story),
    ];
    findings.push(transcript(&story, findings[..4].iter().all(|finding| finding.status == Status::Pass)));
    findings.push(exits_clean(&story));
    findings
}

/// There was no program to look at: what it should have done fails, what depends on that is skipped.
fn nothing_ran(recording: &Recording, why: &str) -> Vec<Finding> {
    let proof = format!("evidence/{}/records.jsonl", recording.scenario);
    let finding = |spec: &super::CheckSpec| {
        let question = Question::new(spec.id, "namespace_prog.c compiles with gcc and runs").proof(&proof);
        match spec.id {
            "1/child1-pid-namespace" | "1/child1-uts-namespace" | "1/transcript" => question.fail(why),
            _ => question.skip(why),
        }
    };
    CHECKS.iter().map(finding).collect()
}

fn compiler_message(recording: &Recording, outcome: &Outcome) -> String {
    if outcome.stopped.is_some() {
        return format!("gcc was stopped after {:.0} s", outcome.seconds);
    }
    let mut lines = transcript::lines(&transcript::text(&recording.records));
    lines.truncate(12);
    format!("it does not compile; gcc says:\n{}", lines.join("\n"))
}

/// Why a recording stops where it does.
fn lost(recording: &Recording) -> String {
    match &recording.ending {
        Ending::Finished => "nothing more was recorded".to_owned(),
        Ending::Lost { what, .. } | Ending::Infrastructure { what, .. } => what.clone(),
    }
}

/// A process at one moment.
struct State {
    /// Which record says so.
    record: usize,
    process: Process,
    hostname: String,
}

/// A child or grandchild of the program.
struct Life {
    creator: Process,
    /// From its first instruction on; never empty.
    states: Vec<State>,
}

impl Life {
    fn pid(&self) -> i32 {
        self.first().process.pid
    }

    fn first(&self) -> &State {
        &self.states[0]
    }

    fn last(&self) -> &State {
        &self.states[self.states.len() - 1]
    }
}

/// The recording, told by process.
struct Story<'a> {
    recording: &'a Recording,
    machine: Machine,
    /// The program's own process, from its first system call of interest to its end.
    parent: Vec<State>,
    /// In the order of their creation.
    children: Vec<Life>,
    /// Calls that renamed the machine, as sentences with their records.
    renamed: Vec<(usize, String)>,
    outcome: Option<Outcome>,
    child1: Option<usize>,
    child2: Option<usize>,
}

impl<'a> Story<'a> {
    fn read(recording: &'a Recording, machine: Machine) -> Self {
        let mut story = Self {
            recording,
            machine,
            parent: Vec::new(),
            children: Vec::new(),
            renamed: Vec::new(),
            outcome: recording.first("outcome"),
            child1: None,
            child2: None,
        };
        for (index, record) in recording.records.iter().enumerate() {
            let data = || record.data.clone();
            match record.kind.as_str() {
                "born" => {
                    if let Ok(born) = serde_json::from_value::<Born>(data()) {
                        story.born(index, born);
                    }
                }
                "called" => {
                    if let Ok(called) = serde_json::from_value::<Called>(data()) {
                        story.called(index, called);
                    }
                }
                "exiting" => {
                    if let Ok(Exiting { process, hostname }) = serde_json::from_value(data()) {
                        story.saw(State { record: index, process, hostname });
                    }
                }
                "hostname" => {
                    if let Ok(Hostname { name }) = serde_json::from_value(data()) {
                        story.renamed.push((index, format!("the machine was called {name:?}")));
                    }
                }
                _ => {}
            }
        }
        story.child1 = story.find_child1();
        story.child2 = story.find_child2();
        story
    }

    fn born(&mut self, record: usize, born: Born) {
        if born.process.tgid != born.process.pid {
            return;
        }
        let known = self.children.iter().rev().find(|life| life.pid() == born.creator);
        let creator = known.map_or_else(
            || Process { pid: born.creator, namespaces: self.machine.namespaces, ..Process::default() },
            |life| life.last().process.clone(),
        );
        let state = State { record, process: born.process, hostname: born.hostname };
        self.children.push(Life { creator, states: vec![state] });
    }

    fn called(&mut self, record: usize, called: Called) {
        let uts = called.process.namespaces.uts;
        if called.call.name == "sethostname" && called.call.result == 0 && uts == self.machine.namespaces.uts
        {
            let what = format!(
                "process {} called sethostname in the machine's own UTS namespace ({:?})",
                called.process.pid, called.hostname
            );
            self.renamed.push((record, what));
        }
        self.saw(State { record, process: called.process, hostname: called.hostname });
    }

    fn saw(&mut self, state: State) {
        match self.children.iter_mut().rev().find(|life| life.pid() == state.process.tgid) {
            Some(life) => life.states.push(state),
            None => self.parent.push(state),
        }
    }

    /// Child 1 is the first process that is PID 1 of a new PID namespace; without one, the first that lives in a
    /// UTS namespace of its own; else the first.
    fn find_child1(&self) -> Option<usize> {
        let has_uts = |life: &Life| self.own_uts(life).is_some();
        (self.children.iter().position(|life| self.own_pid_namespace(life).is_some()))
            .or_else(|| self.children.iter().position(has_uts))
            .or((!self.children.is_empty()).then_some(0))
    }

    /// Child 2 is, of the later processes that were not created from inside child 1's PID namespace, the one that
    /// comes closest to child 1's namespaces; else whatever was created later.
    fn find_child2(&self) -> Option<usize> {
        let child1 = &self.children[self.child1?];
        let pid_namespace = self.own_pid_namespace(child1);
        let uts = self.own_uts(child1);
        let others: Vec<usize> =
            (0..self.children.len()).filter(|index| self.children[*index].pid() != child1.pid()).collect();
        let outside = |index: &&usize| !self.is_made_by_child1(&self.children[**index]);
        let in_pid = |index: &&usize| {
            pid_namespace.is_some_and(|ns| self.children[**index].first().process.namespaces.pid == ns)
        };
        let in_uts =
            |index: &&usize| uts.is_some_and(|ns| self.children[**index].last().process.namespaces.uts == ns);
        (others.iter().filter(outside).find(in_pid))
            .or_else(|| others.iter().filter(outside).find(in_uts))
            .or_else(|| others.iter().find(outside))
            .or_else(|| others.iter().find(in_pid))
            .or_else(|| others.first())
            .copied()
    }

    fn is_made_by_child1(&self, life: &Life) -> bool {
        let Some(child1) = self.child1.map(|index| &self.children[index]) else { return false };
        let inside = self.own_pid_namespace(child1).is_some_and(|ns| life.creator.namespaces.pid == ns);
        inside || life.creator.pid == child1.pid()
    }

    fn child1(&self) -> Option<&Life> {
        self.child1.map(|index| &self.children[index])
    }

    fn child2(&self) -> Option<&Life> {
        self.child2.map(|index| &self.children[index])
    }

    /// The PID namespace that a process is the first of, if that is not the machine's.
    fn own_pid_namespace(&self, life: &Life) -> Option<u64> {
        let process = &life.first().process;
        let namespace = process.namespaces.pid;
        (namespace != self.machine.namespaces.pid && process.own_pid() == 1).then_some(namespace)
    }

    /// The last UTS namespace a process lived in that is not the machine's.
    fn own_uts(&self, life: &Life) -> Option<u64> {
        let namespaces = life.states.iter().rev().map(|state| state.process.namespaces.uts);
        namespaces.into_iter().find(|uts| *uts != self.machine.namespaces.uts && *uts != 0)
    }

    fn proof(&self, record: usize) -> String {
        place(self.recording, record)
    }

    /// Whether anything of the task was done at all.
    fn has_namespaces(&self) -> bool {
        self.child1()
            .is_some_and(|child1| self.own_pid_namespace(child1).is_some() || self.own_uts(child1).is_some())
    }

    fn no_child(&self) -> String {
        let stopped = self.outcome.is_none().then(|| format!(" ({})", lost(self.recording)));
        format!("the program created no process{}", stopped.unwrap_or_default())
    }
}

fn child1_pid(story: &Story) -> Finding {
    let question = Question::new("1/child1-pid-namespace", "a process that is PID 1 of a new PID namespace");
    let Some(child1) = story.child1() else { return question.fail(story.no_child()) };
    let question = question.proof(story.proof(child1.first().record));
    let process = &child1.first().process;
    match story.own_pid_namespace(child1) {
        Some(namespace) => question.pass(format!(
            "process {} is PID 1 of the new PID namespace {namespace}, the machine's is {}",
            process.pid, story.machine.namespaces.pid
        )),
        None => question.fail(format!(
            "child 1 is process {} in {} PID namespace {}",
            process.own_pid(),
            if process.namespaces.pid == story.machine.namespaces.pid { "the machine's own" } else { "the" },
            process.namespaces.pid
        )),
    }
}

fn child1_uts(story: &Story) -> Finding {
    let question = Question::new(
        "1/child1-uts-namespace",
        format!("child 1 in a new UTS namespace that is called {NAME}"),
    );
    let Some(child1) = story.child1() else { return question.fail(story.no_child()) };
    let question = question.proof(story.proof(child1.last().record));
    let Some(namespace) = story.own_uts(child1) else {
        return question.fail(format!(
            "child 1 (process {}) stays in the machine's own UTS namespace {}",
            child1.pid(),
            story.machine.namespaces.uts
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
            "child 1 (process {}) in the new UTS namespace {namespace}, which is called {name:?}",
            child1.pid()
        ),
    )
}

fn child2_pid(story: &Story) -> Finding {
    let question = Question::new(
        "1/child2-joins-pid-namespace",
        "a second process, created from outside, in the PID namespace of child 1",
    );
    let Some(wanted) = story.child1().and_then(|child1| story.own_pid_namespace(child1)) else {
        return question.skip("child 1 has no PID namespace of its own that could be joined");
    };
    let Some(child2) = story.child2() else { return question.fail("no second process was created") };
    let question = question.proof(story.proof(child2.first().record));
    let process = &child2.first().process;
    if story.is_made_by_child1(child2) {
        return question.fail(format!(
            "process {} was created by child 1 itself: it inherits the namespace and joins nothing",
            process.pid
        ));
    }
    let whose = if process.namespaces.pid == story.machine.namespaces.pid {
        "the machine's own"
    } else if process.namespaces.pid == wanted {
        "child 1's"
    } else {
        "yet another"
    };
    question.answer(
        process.namespaces.pid == wanted,
        format!(
            "child 2 (process {}) is PID {} in {whose} PID namespace {}",
            process.pid,
            process.own_pid(),
            process.namespaces.pid
        ),
    )
}

fn child2_uts(story: &Story) -> Finding {
    let question = Question::new(
        "1/child2-joins-uts-namespace",
        "a second process, created from outside, in the UTS namespace of child 1",
    );
    let Some(wanted) = story.child1().and_then(|child1| story.own_uts(child1)) else {
        return question.skip("child 1 has no UTS namespace of its own that could be joined");
    };
    let Some(child2) = story.child2() else { return question.fail("no second process was created") };
    if story.is_made_by_child1(child2) {
        return question.proof(story.proof(child2.first().record)).fail(format!(
            "process {} was created by child 1 itself: it inherits the namespace and joins nothing",
            child2.pid()
        ));
    }
    let question = question.proof(story.proof(child2.last().record));
    let uts = child2.last().process.namespaces.uts;
    let whose = if uts == story.machine.namespaces.uts {
        "the machine's own"
    } else if uts == wanted {
        "child 1's"
    } else {
        "yet another"
    };
    question.answer(
        uts == wanted,
        format!("child 2 (process {}) is in {whose} UTS namespace {uts}", child2.pid()),
    )
}

fn parent_unchanged(story: &Story) -> Finding {
    let question = Question::new(
        "1/parent-unchanged",
        format!("the parent ends in the machine's UTS namespace, and the machine is always {:?}", {
            &story.machine.hostname
        }),
    );
    if !story.has_namespaces() {
        return question.skip("no namespace was created that the parent could have got into");
    }
    if let Some((record, what)) = story.renamed.first() {
        return question.proof(story.proof(*record)).fail(what);
    }
    let Some(last) = story.parent.last() else {
        return question.pass("the parent called neither setns nor unshare nor sethostname");
    };
    let uts = last.process.namespaces.uts;
    let question = question.proof(story.proof(last.record));
    if uts == story.machine.namespaces.uts {
        question.pass(format!("the parent is in the machine's UTS namespace {uts}, which kept its name"))
    } else {
        question.fail(format!(
            "the parent ends in the UTS namespace {uts}, called {:?}; it began in {}",
            last.hostname, story.machine.namespaces.uts
        ))
    }
}

fn transcript(story: &Story, facts: bool) -> Finding {
    let wanted = transcript::snapshot(SNAPSHOT);
    let question = Question::new("1/transcript", wanted.join("\n"))
        .proof(format!("evidence/{}/terminal.cast", story.recording.scenario));
    let difference = transcript::difference(&wanted, &redacted(story));
    if !difference.is_empty() {
        question.fail(difference)
    } else if facts {
        question.pass("the lines asked for, in their order")
    } else {
        question.skip("the lines asked for, but not all of what they say is so: see the checks above")
    }
}

/// The program's lines, with what varies from run to run named instead.
pub fn redacted_transcript(recording: &Recording) -> Vec<String> {
    let machine = recording.first::<Machine>("machine");
    machine.map_or_else(Vec::new, |machine| redacted(&Story::read(recording, machine)))
}

fn redacted(story: &Story) -> Vec<String> {
    let records = &story.recording.records;
    let start = records.iter().position(|record| record.kind == "compiled").map_or(0, |index| index + 1);
    let parent = story
        .outcome
        .as_ref()
        .map(|outcome| outcome.pid)
        .or_else(|| story.children.first().map(|life| life.creator.pid))
        .unwrap_or(0);
    let pid_line = format!("Parent Process PID: {parent}");
    let name_line = format!("Parent Hostname: {}", story.machine.hostname);
    transcript::lines(&transcript::text(&records[start..]))
        .into_iter()
        .map(|line| match line {
            line if line == pid_line => "Parent Process PID: [pid]".to_owned(),
            line if line == name_line => "Parent Hostname: [hostname]".to_owned(),
            line => line,
        })
        .collect()
}

fn exits_clean(story: &Story) -> Finding {
    let question = Question::new("1/exits-clean", "the program ends with status 0 and leaves no process");
    if !story.has_namespaces() {
        return question.skip("no namespace was created that the program could have left behind");
    }
    let Some(outcome) = &story.outcome else { return question.fail(lost(story.recording)) };
    let mut seen = match (outcome.stopped, outcome.end) {
        (Some(Stopped::Time), _) => {
            format!("it was still running after {:.0} s and was killed", outcome.limit)
        }
        (Some(Stopped::Output), _) => format!("it was stopped after {} bytes of output", outcome.output),
        (Some(Stopped::Processes), _) => "it was stopped for its many processes".to_owned(),
        (None, Some(End::Status(status))) => {
            format!("it ended with status {status} after {:.1} s", outcome.seconds)
        }
        (None, Some(End::Signal(signal))) => format!("it was killed by signal {signal}"),
        (None, None) => "it did not end".to_owned(),
    };
    if !outcome.left.is_empty() {
        let pids: Vec<String> = outcome.left.iter().map(|process| process.pid.to_string()).collect();
        let _ = write!(seen, "; a second later these were still running: {}", pids.join(", "));
    }
    let clean = outcome.stopped.is_none() && outcome.end == Some(End::Status(0)) && outcome.left.is_empty();
    question.answer(clean, seen)
}
