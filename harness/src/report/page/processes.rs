//! The processes of containers as a tree, each with the namespaces that it does not
//! share with the machine.

use std::collections::BTreeMap;

use maud::{Markup, PreEscaped, html};
use serde::Deserialize;
use serde_json::Value;

use super::size::Budget;
use crate::evidence::Recording;
use crate::evidence::process::{Namespaces, Process};
use crate::report::text::{start_of, visible};

/// Most moments of one recording, and most processes of one moment.
const MOMENTS: usize = 6;
const PROCESSES: usize = 40;
/// Most of a command.
const COMMAND: usize = 90;

/// Some processes at one moment.
struct Moment {
    title: String,
    processes: Vec<Process>,
}

/// The processes that a recording shows; nothing where it shows none.
pub fn of(recording: &Recording, budget: &mut Budget) -> Markup {
    let Some(machine) = recording.first::<Machine>("machine").map(|machine| machine.namespaces) else {
        return html! {};
    };
    let parts: Vec<String> = moments(recording)
        .iter()
        .take(MOMENTS)
        .filter_map(|moment| budget.admit(drawn(moment, machine).into_string()))
        .collect();
    if parts.is_empty() {
        return html! {};
    }
    html! {
        h3 { "Processes and their namespaces" }
        p.quiet {
            "A box names a namespace that is not the machine's. Equal letters are one namespace. What has no box is shared with \
             the machine."
        }
        @for part in &parts { (PreEscaped(part)) }
    }
}

#[derive(Deserialize)]
struct Machine {
    namespaces: Namespaces,
}

/// The moments of all tasks: what each task calls its processes differs.
fn moments(recording: &Recording) -> Vec<Moment> {
    let containers: Vec<Moment> =
        recording.all::<Container>("container").map(|(_, seen)| seen.moment()).collect();
    if !containers.is_empty() {
        return containers;
    }
    let runs: Vec<usize> = places(recording, "run");
    if runs.is_empty() {
        return whole(recording).into_iter().collect();
    }
    let ends = runs.iter().skip(1).copied().chain([recording.records.len()]);
    runs.iter()
        .zip(ends)
        .enumerate()
        .filter_map(|(number, (start, end))| run(recording, number, *start, end))
        .collect()
}

fn places(recording: &Recording, kind: &str) -> Vec<usize> {
    let records = recording.records.iter().enumerate();
    records.filter(|(_, record)| record.kind == kind).map(|(index, _)| index).collect()
}

/// A container as the record `container` of task 3 has it.
#[derive(Deserialize)]
struct Container {
    step: String,
    main: Process,
    processes: Vec<Process>,
}

impl Container {
    fn moment(self) -> Moment {
        let mut processes = self.processes;
        if processes.iter().all(|process| process.pid != self.main.pid) {
            processes.push(self.main);
        }
        Moment { title: format!("The container of the step {}", self.step), processes }
    }
}

/// One run of `container_prog` in task 2: itself, its children, and who shares its namespace.
fn run(recording: &Recording, number: usize, start: usize, end: usize) -> Option<Moment> {
    let mut processes: BTreeMap<i32, Process> = BTreeMap::new();
    for record in recording.records.get(start..end)? {
        let members: Vec<&Value> = match record.kind.as_str() {
            "run" => {
                let fellows = record.data.get("fellows").and_then(Value::as_array).into_iter().flatten();
                record.data.get("member").into_iter().chain(fellows).collect()
            }
            "born" => record.data.get("member").into_iter().collect(),
            _ => continue,
        };
        for member in members {
            if let Some(process) =
                member.get("process").and_then(|process| Process::deserialize(process).ok())
            {
                processes.insert(process.pid, process);
            }
        }
    }
    let processes = processes.into_values().collect();
    Some(Moment { title: format!("Run {} of container_prog", number + 1), processes })
}

/// All processes of a traced program, each as it was when it was last seen.
fn whole(recording: &Recording) -> Option<Moment> {
    let mut processes: BTreeMap<i32, Process> = BTreeMap::new();
    for record in
        recording.records.iter().filter(|record| ["born", "called", "exiting"].contains(&&*record.kind))
    {
        if let Some(process) =
            record.data.get("process").and_then(|process| Process::deserialize(process).ok())
        {
            processes.insert(process.pid, process);
        }
    }
    let processes: Vec<Process> = processes.into_values().collect();
    (!processes.is_empty())
        .then(|| Moment { title: "Each process as it was at its end".to_owned(), processes })
}

fn drawn(moment: &Moment, machine: Namespaces) -> Markup {
    let letters = Letters::of(&moment.processes, machine);
    let processes: Vec<&Process> = moment.processes.iter().take(PROCESSES).collect();
    let is_root = |process: &&&Process| processes.iter().all(|other| other.pid != process.ppid);
    html! {
        details.figure {
            summary { (visible(&moment.title)) ", " (counted(moment.processes.len())) }
            ul.tree {
                li {
                    strong { "the machine" }
                    ul { @for root in processes.iter().filter(is_root) { (branch(root, &processes, &letters, 0)) } }
                }
            }
        }
    }
}

fn counted(processes: usize) -> String {
    if processes == 1 { "one process".to_owned() } else { format!("{processes} processes") }
}

/// A process and its children. Records are data of a guest: the depth is bounded,
/// so that a circle ends.
fn branch(process: &Process, all: &[&Process], letters: &Letters, depth: usize) -> Markup {
    let children: Vec<&&Process> = all
        .iter()
        .filter(|child| child.ppid == process.pid && child.pid != process.pid && depth < 12)
        .collect();
    html! {
        li {
            code { (start_of(&process.cmdline.join(" "), COMMAND, 1)) } " "
            span.quiet { "PID " (process.pid) @if process.own_pid() != process.pid { ", inside " (process.own_pid()) } }
            @for name in letters.own(process) { " " span.chip { (name) } }
            @if !children.is_empty() {
                ul { @for child in children { (branch(child, all, letters, depth + 1)) } }
            }
        }
    }
}

/// Letters for the namespaces that are not the machine's.
struct Letters {
    machine: Namespaces,
    known: Vec<(&'static str, u64)>,
}

impl Letters {
    fn of(processes: &[Process], machine: Namespaces) -> Self {
        let mut known: Vec<(&'static str, u64)> = Vec::new();
        for process in processes {
            for one in differing(process, machine) {
                if !known.contains(&one) {
                    known.push(one);
                }
            }
        }
        Self { machine, known }
    }

    /// Such as `pid A`: the first PID namespace that was seen beside the machine's.
    fn own(&self, process: &Process) -> Vec<String> {
        let letter = |(kind, inode): (&'static str, u64)| {
            let mut of_kind = self.known.iter().filter(|(other, _)| *other == kind);
            let at = of_kind.position(|(_, known)| *known == inode).unwrap_or(0);
            let letter = char::from(b'A' + u8::try_from(at.min(25)).unwrap_or(25));
            format!("{kind} {letter}")
        };
        differing(process, self.machine).into_iter().map(letter).collect()
    }
}

fn differing(process: &Process, machine: Namespaces) -> Vec<(&'static str, u64)> {
    let own = process.namespaces;
    [
        ("pid", own.pid, machine.pid),
        ("uts", own.uts, machine.uts),
        ("mnt", own.mnt, machine.mnt),
        ("net", own.net, machine.net),
        ("ipc", own.ipc, machine.ipc),
        ("user", own.user, machine.user),
    ]
    .into_iter()
    .filter(|(_, own, machine)| own != machine && *own != 0)
    .map(|(kind, own, _)| (kind, own))
    .collect()
}
