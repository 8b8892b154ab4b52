//! What the program had printed by a moment. The terminal is read before each event of a process is
//! recorded, and the process stands still meanwhile: text that was recorded before a process began
//! cannot be that process's own. Text that was recorded later may have been printed earlier.

use super::timeline::ProcessTimeline;
use crate::task::transcript;

/// The block of the parent in which its host name is judged, counted from 1.
const LAST_BLOCK: usize = 3;

impl ProcessTimeline<'_> {
    /// A line of a child that was printed before the child existed, as a sentence.
    pub fn early_line(&self) -> Option<String> {
        let children = [("Child1", self.child1()), ("Child2", self.child2())];
        children.into_iter().find_map(|(name, life)| {
            let born = life?.first().record;
            let facts = [format!("{name} Process PID:"), format!("{name} Hostname:")];
            let is_fact = |line: &String| facts.iter().any(|fact| line.starts_with(fact));
            let line = self.printed_by(born).into_iter().find(is_fact)?;
            Some(format!("another process printed `{line}`: {name} did not exist at that time"))
        })
    }

    /// The return of the parent to the machine's UTS namespace, and the namespace from which it
    /// returned, if the parent printed its last block there: after child 2 began, and before the
    /// return.
    pub fn printed_elsewhere(&self) -> Option<(usize, u64)> {
        let began = self.child2()?.first().record;
        let own = self.machine.namespaces.uts;
        let at_birth = self.parent.iter().rfind(|state| state.record < began)?;
        let uts = at_birth.process.namespaces.uts;
        let back =
            self.parent.iter().find(|state| state.record > began && state.process.namespaces.uts == own)?;
        (uts != own && self.has_last_block_by(back.record)).then_some((back.record, uts))
    }

    /// Whether the parent's last block was printed by a record, after all lines of child 2.
    fn has_last_block_by(&self, record: usize) -> bool {
        let lines = self.printed_by(record);
        let starts = |text: &'static str| move |line: &String| line.starts_with(text);
        let child2 = lines.iter().position(starts("Child2 Hostname:"));
        child2.is_some_and(|at| {
            let blocks = lines.iter().filter(|line| line.starts_with("Parent Hostname:")).count();
            blocks >= LAST_BLOCK && lines[at..].iter().any(starts("Parent Hostname:"))
        })
    }

    /// The lines that the terminal had shown before a record.
    fn printed_by(&self, record: usize) -> Vec<String> {
        let records = &self.recording.records;
        let start = records.iter().position(|record| record.kind == "compiled").map_or(0, |index| index + 1);
        transcript::lines(&transcript::text(&records[start.min(record)..record]))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::evidence::process::{Namespaces, Process};
    use crate::evidence::program::{Call, Output};
    use crate::evidence::{Ending, Record, Recording};
    use crate::task::task1::{Born, Called, Machine};

    fn process(pid: i32, own_pid: i32, pid_namespace: u64, uts: u64) -> Process {
        let namespaces = Namespaces { pid: pid_namespace, uts, ..Namespaces::default() };
        Process { pid, tgid: pid, nspid: vec![pid, own_pid], namespaces, ..Process::default() }
    }

    fn born(pid: i32, own_pid: i32) -> (&'static str, Value) {
        ("born", json!(Born { creator: 10, process: process(pid, own_pid, 2, 2), hostname: "m".into() }))
    }

    fn setns(uts: u64) -> (&'static str, Value) {
        let call = Call { name: "setns".into(), arguments: [9, 0x0400_0000], result: 0 };
        ("called", json!(Called { call, process: process(10, 10, 1, uts), hostname: "m".into() }))
    }

    fn prints(text: &str) -> (&'static str, Value) {
        ("output", json!(Output { terminal: 0, text: text.into() }))
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
        Machine { hostname: "m".into(), namespaces: process(1, 1, 1, 1).namespaces }
    }

    const BEFORE: &str = "Parent Hostname: m\nParent Hostname: m\n";
    const CHILD2: &str = "Child2 Process PID: 2\nChild2 Hostname: Child1Hostname\n";
    const AFTER: &str = "Parent Hostname: m\n";

    #[test]
    fn a_line_of_a_child_that_does_not_exist_yet_is_told() {
        let told = |records| ProcessTimeline::read(&recording(records), machine()).early_line();
        let early = told(vec![born(11, 1), prints(CHILD2), born(12, 2)]);
        assert!(early.unwrap_or_default().contains("`Child2 Process PID: 2`"));
        assert_eq!(told(vec![born(11, 1), born(12, 2), prints(CHILD2)]), None);
    }

    #[test]
    fn the_parent_prints_after_its_return() {
        let told = |records| ProcessTimeline::read(&recording(records), machine()).printed_elsewhere();
        let begin = || vec![born(11, 1), prints(BEFORE), setns(2), born(12, 2), setns(2), prints(CHILD2)];
        assert_eq!(told([begin(), vec![prints(AFTER), setns(1)]].concat()), Some((7, 2)));
        assert_eq!(told([begin(), vec![setns(1), prints(AFTER)]].concat()), None);
        // It returned in time, and was heard late.
        let helper = vec![born(11, 1), setns(2), setns(1), born(12, 2), prints(BEFORE), prints(CHILD2)];
        assert_eq!(told([helper, vec![prints(AFTER), setns(1)]].concat()), None);
    }
}
