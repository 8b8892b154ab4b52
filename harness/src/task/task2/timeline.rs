//! The containers of task 2 over time: which run of `container_prog` belongs to which subtask, and
//! its processes from the first instruction to the end.

use serde::de::DeserializeOwned;

use super::{
    Born, Ended, Exiting, Groups, HEADINGS, Limit, Machine, Member, Place, Probe, Reachable, Run, Sample,
    Stranger, Supplied,
};
use crate::evidence::cgroup::{self, Group};
use crate::evidence::process::Process;
use crate::evidence::program::{End, Hostname, Outcome, Stopped};
use crate::evidence::{Bundle, Ending, Record, Recording, place};
use crate::task::check::{self, Row};
use crate::task::{finding, transcript};
use crate::verdict::Finding;

/// Most characters of a line of the terminal in a sentence.
const LINE_CAP: usize = 200;

/// All that is known of one scenario.
pub struct ScriptTimeline<'a> {
    pub recording: &'a Recording,
    pub machine: Machine,
    pub supplied: Option<Supplied>,
    /// Of 2a, 2b and 2c.
    pub rounds: [Option<Round>; 3],
    /// Processes that went into another root directory and ended there without
    /// becoming `container_prog`.
    pub entered: Vec<(usize, Process)>,
    /// Host names that the machine had while the script ran.
    pub renamed: Vec<(usize, String)>,
    /// Groups made while the script ran, with each limit they had.
    pub limits: Vec<Limit>,
    /// Processes in these groups that were not the containers'.
    strangers: Vec<Stranger>,
    pub groups: Option<Groups>,
    pub probe: Option<Probe>,
    pub outcome: Option<Outcome>,
}

/// One run of `container_prog`.
pub struct Round {
    /// The record of its first instruction.
    pub record: usize,
    pub run: Run,
    /// Its first child, from the child's first instruction on.
    pub child: Option<Process>,
    /// Its processes in their groups, in the order of time.
    pub moments: Vec<Moment>,
    /// The groups as they were at the end of `container_prog` itself.
    pub last_chain: Vec<Group>,
    pub end: Option<End>,
    members: Vec<i32>,
}

/// A process of a container in its group at one moment.
pub struct Moment {
    pub record: usize,
    pub ms: u64,
    pub pid: i32,
    pub when: When,
    pub cgroup: String,
    /// Of that group and its ancestors, innermost first.
    pub limits: Vec<Limit>,
}

/// Which moment of a process's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    First,
    Later,
    Last,
}

impl Moment {
    fn of(record: usize, ms: u64, when: When, member: &Member) -> Self {
        let limit = |group: &Group| Limit { group: group.path.clone(), cpu_max: group.cpu_max.clone() };
        Self {
            record,
            ms,
            pid: member.process.pid,
            when,
            cgroup: member.process.cgroup.clone(),
            limits: member.chain.iter().map(limit).collect(),
        }
    }

    /// The tightest limit on it, in cores, and the group that sets it.
    pub fn cap(&self) -> Option<(f64, &str)> {
        let caps = self
            .limits
            .iter()
            .filter_map(|limit| Some((cgroup::cores(limit.cpu_max.as_deref()?)?, limit.group.as_str())));
        caps.min_by(|one, other| one.0.total_cmp(&other.0))
    }
}

impl Round {
    pub fn process(&self) -> &Process {
        &self.run.member.process
    }

    /// Whether it was run with the argument of 2a, which only lists. The script's comments
    /// ask for that in 2c too.
    pub fn computes_nothing(&self) -> bool {
        self.argument() == Some("subtask1")
    }

    /// The argument of `container_prog`. If a dynamic loader was called to start it, the loader's
    /// own options and the program come before.
    fn argument(&self) -> Option<&str> {
        let Process { cmdline, .. } = self.process();
        let argument = if self.process().is_loader() { cmdline.last() } else { cmdline.get(1) };
        argument.map(String::as_str)
    }
}

impl<'a> ScriptTimeline<'a> {
    /// The timeline of a run, or one finding for each row where there is none to tell.
    pub fn open<J>(bundle: &'a Bundle, rows: &'static [Row<J>]) -> Result<Self, Vec<Finding>> {
        Self::read(finding::recording(bundle, "2", rows)?).ok_or_else(|| {
            check::all(rows, |question| {
                question.expects("the script runs").fail("the script was never started")
            })
        })
    }

    /// `None` when not even the machine was recorded.
    pub fn read(recording: &'a Recording) -> Option<Self> {
        let mut timeline = Self {
            recording,
            machine: recording.first("machine")?,
            supplied: recording.first("supplied"),
            rounds: [None, None, None],
            entered: Vec::new(),
            renamed: Vec::new(),
            limits: Vec::new(),
            strangers: Vec::new(),
            groups: recording.first("groups"),
            probe: recording.first("probe"),
            outcome: recording.first("outcome"),
        };
        let mut rounds = Vec::new();
        for (index, record) in recording.records.iter().enumerate() {
            timeline.tell(&mut rounds, index, record);
        }
        timeline.rounds = by_subtask(rounds);
        Some(timeline)
    }

    fn tell(&mut self, rounds: &mut Vec<Round>, index: usize, record: &Record) {
        let ms = record.ms;
        match record.kind.as_str() {
            "run" => rounds.extend(data(record).map(|run| Round::begin(index, ms, run))),
            "born" => {
                let Some(Born { creator, member }) = data(record) else { return };
                if let Some(round) = round_of(rounds, creator) {
                    round.members.push(member.process.pid);
                    round.moments.push(Moment::of(index, ms, When::First, &member));
                    if creator == round.process().pid && round.child.is_none() {
                        round.child = Some(member.process);
                    }
                }
            }
            "exiting" => {
                let Some(Exiting { member }) = data(record) else { return };
                if let Some(round) = round_of(rounds, member.process.pid) {
                    round.moments.push(Moment::of(index, ms, When::Last, &member));
                    if member.process.pid == round.process().pid {
                        round.last_chain = member.chain;
                    }
                }
            }
            "ended" => {
                let Some(Ended { pid, end }) = data(record) else { return };
                if let Some(round) = round_of(rounds, pid).filter(|round| round.process().pid == pid) {
                    round.end = Some(end);
                }
            }
            "sample" => {
                let Some(Sample { members, groups, others }) = data(record) else { return };
                for stranger in others {
                    if !self.strangers.contains(&stranger) {
                        self.strangers.push(stranger);
                    }
                }
                for limit in groups {
                    if !self.limits.contains(&limit) {
                        self.limits.push(limit);
                    }
                }
                for Place { pid, cgroup, limits } in members {
                    let known = rounds.iter().rposition(|round| round.members.contains(&pid));
                    let running = rounds.iter().rposition(|round| round.end.is_none());
                    if let Some(round) = known.or(running) {
                        let when = When::Later;
                        rounds[round].moments.push(Moment { record: index, ms, pid, when, cgroup, limits });
                    }
                }
            }
            "reachable" => {
                let Some(Reachable { pid, mounts, machine_files }) = data(record) else { return };
                if let Some(round) = rounds.iter_mut().rfind(|round| round.process().pid == pid) {
                    round.run.mounts.extend(mounts);
                    round.run.machine_files.extend(machine_files);
                }
            }
            "entered" => {
                self.entered.extend(data(record).map(|exiting: Exiting| (index, exiting.member.process)));
            }
            "hostname" => self.renamed.extend(data(record).map(|hostname: Hostname| (index, hostname.name))),
            _ => {}
        }
    }

    pub fn proof(&self, record: usize) -> String {
        place::of(self.recording, record)
    }

    /// The terminal's lines from the start of a subtask's run to the next run; without a run, those
    /// between its neighbours' runs.
    pub fn lines(&self, subtask: usize) -> Vec<String> {
        let records = &self.recording.records;
        let end = records.iter().position(|record| record.kind == "outcome").unwrap_or(records.len());
        let starts = |rounds: &[Option<Round>]| -> Vec<usize> {
            rounds.iter().flatten().map(|round| round.record).collect()
        };
        let from = starts(&self.rounds[..=subtask]).pop().unwrap_or(0);
        let later = records.iter().enumerate().skip(from + 1).find(|(_, record)| record.kind == "run");
        let to = if self.rounds[subtask].is_some() {
            later.map_or(end, |(index, _)| index)
        } else {
            starts(&self.rounds[subtask + 1..]).first().copied().unwrap_or(end)
        };
        transcript::lines(&transcript::text(&records[from.min(to)..to]))
    }

    /// A line of the terminal that says that a group's file did not take a value, as
    /// the end of a sentence.
    pub fn refused_write(&self) -> String {
        let refuses = |line: &String| line.contains("cpu.max") || line.contains("write error");
        let lines = transcript::lines(&transcript::text(&self.recording.records));
        lines
            .into_iter()
            .find(refuses)
            .map_or_else(String::new, |line| format!("; the terminal said: {line}"))
    }

    /// Which processes outside the containers were in these groups, as the end of a sentence.
    pub fn inside(&self, groups: &[&str]) -> String {
        let is_there = |stranger: &&Stranger| groups.contains(&stranger.group.as_str());
        let told: Vec<String> = self
            .strangers
            .iter()
            .filter(is_there)
            .take(3)
            .map(|one| format!("; process {} (`{}`) was in {}", one.pid, one.command, one.group))
            .collect();
        told.concat()
    }

    /// What may say why a subtask's part of the script did not do what it should, as the end of a
    /// sentence: the last line of the terminal that complains.
    pub fn complaint(&self, subtask: usize) -> String {
        const WORDS: [&str; 9] = [
            "error",
            "denied",
            "not found",
            "no such",
            "invalid",
            "cannot",
            "failed",
            "usage",
            "not permitted",
        ];
        let lines = self.lines(subtask);
        let lines = transcript::under_heading(&lines, &HEADINGS, subtask);
        let complains = |line: &&String| {
            let line = line.to_lowercase();
            WORDS.iter().any(|word| line.contains(word))
        };
        lines.iter().rev().find(complains).map_or_else(String::new, |line| {
            format!("; the terminal said: {}", line.chars().take(LINE_CAP).collect::<String>())
        })
    }

    /// Why the script did not come to where it should have, as part of a sentence.
    pub fn fate(&self) -> String {
        if let Ending::Lost { what, .. } = &self.recording.ending {
            return what.clone();
        }
        match &self.outcome {
            None => "the script's end was not recorded".to_owned(),
            Some(outcome) => match (outcome.stopped, outcome.end) {
                (Some(Stopped::Time | Stopped::Still), _) => {
                    let running = outcome.running.iter().filter(|process| process.pid != outcome.pid);
                    let commands: Vec<String> =
                        running.map(|process| process.cmdline.join(" ")).take(3).collect();
                    let what = if commands.is_empty() {
                        String::new()
                    } else {
                        format!(" in `{}`", commands.join("`, `"))
                    };
                    format!("the script was stopped after {:.0} s{what}", outcome.limit)
                }
                (Some(Stopped::Working), _) => {
                    format!("the script was stopped after {:.0} s, while known work was still running", outcome.limit)
                }
                (Some(Stopped::Output), _) => {
                    format!("the script was stopped after {} bytes of output", outcome.output)
                }
                (Some(Stopped::Exhausted(_)), _) => "the script was stopped because it had too many processes".to_owned(),
                // Where it did not start, nothing was written.
                (None, Some(End::Status(127))) if outcome.output == 0 => {
                    "simple_container.sh is missing, or the interpreter in its first line is missing. With Windows line \
                     ends, the \\r is part of the interpreter's name"
                        .to_owned()
                }
                (None, Some(End::Status(status))) => format!("the script ended with status {status}"),
                (None, Some(End::Signal(signal))) => format!("the script was killed by signal {signal}"),
                (None, None) => "the script could not be stopped".to_owned(),
            },
        }
    }
}

impl Round {
    fn begin(record: usize, ms: u64, run: Run) -> Self {
        let members = std::iter::once(&run.member).chain(&run.fellows);
        Self {
            record,
            moments: members.clone().map(|member| Moment::of(record, ms, When::First, member)).collect(),
            members: members.map(|member| member.process.pid).collect(),
            child: None,
            last_chain: Vec::new(),
            end: None,
            run,
        }
    }
}

fn data<T: DeserializeOwned>(record: &Record) -> Option<T> {
    T::deserialize(&record.data).ok()
}

fn round_of(rounds: &mut [Round], pid: i32) -> Option<&mut Round> {
    rounds.iter_mut().rev().find(|round| round.members.contains(&pid))
}

/// A run is of the subtask that its argument names; one whose argument names a subtask that another
/// run has taken is of the subtask between whose neighbours it came.
fn by_subtask(mut runs: Vec<Round>) -> [Option<Round>; 3] {
    let mut rounds = [None, None, None];
    for (index, round) in rounds.iter_mut().enumerate() {
        let argument = format!("subtask{}", index + 1);
        let named = runs.iter().position(|run| run.argument() == Some(&argument));
        *round = named.map(|named| runs.remove(named));
    }
    for index in 0..rounds.len() {
        let after = rounds[..index].iter().flatten().map(|round: &Round| round.record).max().unwrap_or(0);
        let before = rounds[index..].iter().flatten().map(|round| round.record).min().unwrap_or(usize::MAX);
        if rounds[index].is_none()
            && let Some(fits) = runs.iter().position(|run| run.record > after && run.record < before)
        {
            rounds[index] = Some(runs.remove(fits));
        }
    }
    rounds
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_its_own_end_ends_container_prog() {
        let member = |pid| {
            let cmdline = vec!["container_prog".to_owned(), "subtask2".to_owned()];
            json!({ "process": Process { pid, cmdline, ..Process::default() }, "chain": [] })
        };
        let record = |kind: &str, data| Record { ms: 0, host_ms: None, kind: kind.into(), data };
        let own = member(1)["process"].take();
        let machine = json!({ "hostname": "m", "namespaces": own["namespaces"], "root": own["root"],
            "subtree_control": "" });
        let records = vec![
            record("machine", machine),
            record("run", json!({ "member": member(10), "entries": [], "fellows": [] })),
            record("born", json!({ "creator": 10, "member": member(11) })),
            record("ended", json!(Ended { pid: 11, end: End::Status(1) })),
        ];
        let (scenario, plan, ending) = ("2".to_owned(), json!(null), Ending::Finished);
        let recording = Recording { scenario, plan, ending, seconds: 0.0, records };
        let timeline = ScriptTimeline::read(&recording);
        assert_eq!(timeline.and_then(|timeline| timeline.rounds[1].as_ref()?.end), None);
    }
}
