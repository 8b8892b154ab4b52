//! The traced processes of task 1 over time: which one is child 1, which one is child 2, and in
//! which namespaces each lived.

use std::collections::HashMap;

use nix::sys::signal::Signal;

use super::refused::refusal;
use super::{Born, Called, Ended, Exiting, Machine};
use crate::evidence::place;
use crate::evidence::process::Process;
use crate::evidence::program::End;
use crate::evidence::program::{Hostname, Outcome};
use crate::evidence::{Ending, Recording};

/// The name of the compiled program.
const PROGRAM: &str = "namespace_prog";

/// A process at one moment.
pub struct State {
    /// Which record says so.
    pub record: usize,
    pub process: Process,
    pub hostname: String,
}

/// A child or grandchild of the program.
pub struct Life {
    pub creator: Process,
    /// From its first instruction on; never empty.
    pub states: Vec<State>,
}

impl Life {
    pub fn pid(&self) -> i32 {
        self.first().process.pid
    }

    /// Whether the program itself, also if executed again, created it, and no tool that the program
    /// started: such a process begins with its creator's executable.
    pub fn is_of_program(&self) -> bool {
        let exe = self.first().process.exe.trim_end_matches(" (deleted)");
        exe.is_empty() || exe.rsplit('/').next() == Some(PROGRAM)
    }

    pub fn first(&self) -> &State {
        &self.states[0]
    }

    pub fn last(&self) -> &State {
        &self.states[self.states.len() - 1]
    }
}

/// The recording, sorted by process.
pub struct ProcessTimeline<'a> {
    pub recording: &'a Recording,
    pub machine: Machine,
    /// The program's own process, from its first system call of interest to its end.
    pub parent: Vec<State>,
    /// In the order of their creation.
    pub children: Vec<Life>,
    /// Calls that renamed the machine, as sentences with their records.
    pub renamed: Vec<(usize, String)>,
    pub outcome: Option<Outcome>,
    /// Processes that a signal ended.
    killed: Vec<(i32, i32)>,
    /// The process of each further thread.
    threads: HashMap<i32, i32>,
    /// System calls that failed, a few words each.
    refused: Vec<String>,
    child1: Option<usize>,
    child2: Option<usize>,
}

impl<'a> ProcessTimeline<'a> {
    pub fn read(recording: &'a Recording, machine: Machine) -> Self {
        let mut timeline = Self {
            recording,
            machine,
            parent: Vec::new(),
            children: Vec::new(),
            renamed: Vec::new(),
            outcome: recording.first("outcome"),
            killed: Vec::new(),
            threads: HashMap::new(),
            refused: Vec::new(),
            child1: None,
            child2: None,
        };
        for (index, record) in recording.records.iter().enumerate() {
            let data = || record.data.clone();
            match record.kind.as_str() {
                "born" => {
                    if let Ok(born) = serde_json::from_value::<Born>(data()) {
                        timeline.born(index, born);
                    }
                }
                "called" => {
                    if let Ok(called) = serde_json::from_value::<Called>(data()) {
                        timeline.called(index, called);
                    }
                }
                "exiting" => {
                    if let Ok(Exiting { process, hostname }) = serde_json::from_value(data()) {
                        timeline.saw(State { record: index, process, hostname });
                    }
                }
                "ended" => {
                    if let Ok(Ended { pid, end: End::Signal(signal) }) = serde_json::from_value(data()) {
                        timeline.killed.push((pid, signal));
                    }
                }
                "hostname" => {
                    if let Ok(Hostname { name }) = serde_json::from_value(data()) {
                        timeline.renamed.push((index, format!("the machine was called {name:?}")));
                    }
                }
                _ => {}
            }
        }
        timeline.child1 = timeline.find_child1();
        timeline.child2 = timeline.find_child2();
        timeline
    }

    fn born(&mut self, record: usize, born: Born) {
        if born.process.tgid != born.process.pid {
            self.threads.insert(born.process.pid, born.process.tgid);
            return;
        }
        // The number may have been that of a thread which has ended.
        self.threads.remove(&born.process.pid);
        let pid = self.threads.get(&born.creator).copied().unwrap_or(born.creator);
        let known = self.children.iter().rev().find(|life| life.pid() == pid);
        let creator = known.map_or_else(
            || Process { pid, namespaces: self.machine.namespaces, ..Process::default() },
            |life| life.last().process.clone(),
        );
        let state = State { record, process: born.process, hostname: born.hostname };
        self.children.push(Life { creator, states: vec![state] });
    }

    fn called(&mut self, record: usize, called: Called) {
        if called.call.result < 0 {
            self.refused.push(refusal(&called.call));
        }
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
            // setns(2) moves only the thread that calls it, which may end after the first one.
            None if state.process.pid != state.process.tgid => {}
            None => self.parent.push(state),
        }
    }

    /// The failed system calls about a namespace, such as `CLONE_NEWPID`, as the end of a sentence.
    pub fn refusals(&self, about: &str) -> String {
        // A call without flags may concern any namespace.
        let concerns = |call: &&str| call.contains(about) || !call.contains("CLONE_");
        let shown: Vec<&str> = self.refused.iter().map(String::as_str).filter(concerns).take(4).collect();
        if shown.is_empty() { String::new() } else { format!("; {}", shown.join(", ")) }
    }

    /// That child 1 crashed, if it did, as the end of a sentence.
    pub fn crash(&self) -> String {
        const FAULTS: [Signal; 4] = [Signal::SIGSEGV, Signal::SIGBUS, Signal::SIGILL, Signal::SIGFPE];
        let child1 = self.child1().map(Life::pid);
        let ended_by =
            |signal: Signal| self.killed.iter().any(|(pid, by)| Some(*pid) == child1 && *by == signal as i32);
        let fault = FAULTS.into_iter().find(|signal| ended_by(*signal));
        fault.map_or_else(String::new, |signal| format!("; child 1 crashed ({signal})"))
    }

    /// Child 1 is the first process that is PID 1 of a new PID namespace; without one, the first
    /// that lives in a UTS namespace of its own; else the first. The program itself created it.
    fn find_child1(&self) -> Option<usize> {
        let has_pid = |life: &Life| life.is_of_program() && self.own_pid_namespace(life).is_some();
        let has_uts = |life: &Life| life.is_of_program() && self.own_uts(life).is_some();
        (self.children.iter().position(has_pid))
            .or_else(|| self.children.iter().position(has_uts))
            .or((!self.children.is_empty()).then_some(0))
    }

    /// Child 2 is, of the later processes that were not created from inside child 1's
    /// PID namespace, the one that comes closest to child 1's namespaces; else
    /// whatever was created later.
    fn find_child2(&self) -> Option<usize> {
        let child1 = &self.children[self.child1?];
        let pid_namespace = self.own_pid_namespace(child1);
        let uts = self.own_uts(child1);
        let is_other = |index: &usize| {
            let life = &self.children[*index];
            life.pid() != child1.pid() && life.is_of_program()
        };
        let others: Vec<usize> = (0..self.children.len()).filter(is_other).collect();
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

    pub fn is_made_by_child1(&self, life: &Life) -> bool {
        let Some(child1) = self.child1.map(|index| &self.children[index]) else { return false };
        let inside = self.own_pid_namespace(child1).is_some_and(|ns| life.creator.namespaces.pid == ns);
        inside || life.creator.pid == child1.pid()
    }

    pub fn child1(&self) -> Option<&Life> {
        self.child1.map(|index| &self.children[index])
    }

    pub fn child2(&self) -> Option<&Life> {
        self.child2.map(|index| &self.children[index])
    }

    /// The PID namespace that a process is the first of, if that is not the machine's.
    pub fn own_pid_namespace(&self, life: &Life) -> Option<u64> {
        let process = &life.first().process;
        let namespace = process.namespaces.pid;
        (namespace != self.machine.namespaces.pid && process.own_pid() == 1).then_some(namespace)
    }

    /// The last UTS namespace a process lived in that is not the machine's.
    pub fn own_uts(&self, life: &Life) -> Option<u64> {
        let namespaces = life.states.iter().rev().map(|state| state.process.namespaces.uts);
        namespaces.into_iter().find(|uts| *uts != self.machine.namespaces.uts && *uts != 0)
    }

    pub fn proof(&self, record: usize) -> String {
        place::of(self.recording, record)
    }

    /// Whether anything of the task was done at all.
    pub fn has_namespaces(&self) -> bool {
        self.child1()
            .is_some_and(|child1| self.own_pid_namespace(child1).is_some() || self.own_uts(child1).is_some())
    }

    pub fn no_child(&self) -> String {
        let stopped = self.outcome.is_none().then(|| format!(" ({})", lost(self.recording)));
        format!("the program created no process{}", stopped.unwrap_or_default())
    }
}

/// Why a recording stops where it does.
pub fn lost(recording: &Recording) -> String {
    match &recording.ending {
        Ending::Finished => "nothing more was recorded".to_owned(),
        Ending::Lost { what, .. } | Ending::Infrastructure { what, .. } => what.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::evidence::Record;
    use crate::evidence::process::Namespaces;
    use crate::evidence::program::Call;

    /// What a thread group is in: 1 is the machine's, 2 is child 1's.
    fn process(pid: i32, tgid: i32, namespace: u64) -> Process {
        let namespaces = Namespaces { pid: namespace, uts: namespace, ..Namespaces::default() };
        let nspid = if namespace == 1 { vec![pid] } else { vec![pid, pid - 10] };
        Process { pid, tgid, nspid, namespaces, ..Process::default() }
    }

    fn recording(records: Vec<(&str, Value)>) -> Recording {
        let record = |(kind, data): (&str, Value)| Record { ms: 0, host_ms: None, kind: kind.into(), data };
        Recording {
            scenario: "1".into(),
            plan: Value::Null,
            ending: Ending::Finished,
            seconds: 0.0,
            records: records.into_iter().map(record).collect(),
        }
    }

    fn machine() -> Machine {
        Machine { hostname: "m".into(), namespaces: process(1, 1, 1).namespaces }
    }

    /// The record `born`.
    fn born(creator: i32, process: Process) -> (&'static str, Value) {
        ("born", json!(Born { creator, process, hostname: "m".into() }))
    }

    #[test]
    fn only_refused_calls_about_a_namespace_are_told() {
        let called = |flags: u64| {
            let call = Call { name: "setns".into(), arguments: [9, flags], result: -22 };
            ("called", json!(Called { call, process: process(10, 10, 1), hostname: "m".into() }))
        };
        let refusals = |flags, about| {
            let recording = recording(vec![called(flags)]);
            ProcessTimeline::read(&recording, machine()).refusals(about)
        };
        let told = "; setns(9, CLONE_NEWPID) failed: Invalid argument";
        assert_eq!(refusals(0x2000_0000, "CLONE_NEWPID"), told);
        assert_eq!(refusals(0x2000_0000, "CLONE_NEWUTS"), "");
        assert_eq!(refusals(0, "CLONE_NEWUTS"), "; setns(9, 0x0) failed: Invalid argument");
    }

    #[test]
    fn what_a_thread_of_child1_creates_is_made_by_child1() {
        let recording = recording(vec![
            born(10, process(11, 11, 2)),
            born(11, process(12, 11, 2)),
            born(12, process(13, 11, 2)),
            born(13, process(14, 14, 2)),
        ]);
        let timeline = ProcessTimeline::read(&recording, machine());
        let child2 = timeline.child2().unwrap();
        assert_eq!((child2.pid(), child2.creator.pid), (14, 11));
        assert!(timeline.is_made_by_child1(child2));
    }

    #[test]
    fn what_a_thread_of_the_parent_creates_is_made_from_outside() {
        let recording = recording(vec![
            born(10, process(15, 10, 1)),
            born(15, process(11, 11, 2)),
            born(11, process(16, 11, 2)),
            // The kernel gives the number of a thread that has ended to a process.
            born(10, process(16, 16, 1)),
            born(15, process(12, 12, 2)),
            born(16, process(17, 17, 1)),
        ]);
        let timeline = ProcessTimeline::read(&recording, machine());
        let child2 = timeline.child2().unwrap();
        assert_eq!((child2.pid(), child2.creator.pid), (12, 10));
        assert!(!timeline.is_made_by_child1(child2));
        assert_eq!(timeline.children.last().unwrap().creator.pid, 16);
    }

    #[test]
    fn a_thread_that_ends_in_child1s_namespaces_does_not_move_the_parent() {
        let exiting = |process| ("exiting", json!(Exiting { process, hostname: "m".into() }));
        let recording = recording(vec![exiting(process(10, 10, 1)), exiting(process(15, 10, 2))]);
        let timeline = ProcessTimeline::read(&recording, machine());
        assert_eq!(timeline.parent.last().unwrap().process.namespaces.uts, 1);
    }
    #[test]
    fn what_a_tool_creates_is_not_the_programs() {
        let by = |exe: &str, process: Process| born(10, Process { exe: exe.into(), ..process });
        let recording = recording(vec![
            by("/task1/namespace_prog", process(11, 11, 1)),
            by("/usr/bin/unshare", process(12, 12, 2)),
            by("/usr/bin/nsenter", process(13, 13, 2)),
        ]);
        let timeline = ProcessTimeline::read(&recording, machine());
        assert_eq!((timeline.child1().unwrap().pid(), timeline.has_namespaces()), (11, false));
        assert!(timeline.child2().is_none());
        assert!(timeline.tools().starts_with("; /usr/bin/unshare created process 12"));
    }

    #[test]
    fn what_the_program_creates_is_its_own_however_it_was_started() {
        for exe in ["/task1/namespace_prog", "/task1/namespace_prog (deleted)", ""] {
            let own = |process: Process| born(10, Process { exe: exe.into(), ..process });
            // Process 12 has PID 2 in the namespace of process 11.
            let recording = recording(vec![own(process(11, 11, 2)), own(process(12, 12, 2))]);
            let timeline = ProcessTimeline::read(&recording, machine());
            assert_eq!(timeline.child1().map(Life::pid), Some(11), "{exe}");
            assert_eq!(timeline.child2().map(Life::pid), Some(12), "{exe}");
        }
    }
}
