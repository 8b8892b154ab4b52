//! The output of `simple_container.sh` for one subtask, with placeholders for what varies from run
//! to run.

use serde::Deserialize as _;

use super::ScriptPlan;
use super::benchmark;
use super::timeline::{Round, ScriptTimeline};
use crate::task::check::Verdicts;
use crate::task::finding::Question;
use crate::task::session;
use crate::task::transcript;
use crate::verdict::Finding;

const RULE: &str = "_ _ _ _ _ _ _ _ _ _ _ _ _ _";
const LISTING: &str = "Files/Directories in root directory:";
const BENCHMARK: &str = "Computation Benchmark:";
const VALUE: &str = "Value (Ignore): ";
const HOST: &str = "Hostname in the host: ";
const CHILD: &str = "Child Process PID: ";
/// Stands for the names in the root directory.
const NAMES: &str = "[names in container_root]";

/// Compares with what the assignment shows. What the text says must also have been seen: the
/// check needs these facts.
pub fn judge(
    timeline: &ScriptTimeline,
    subtask: usize,
    question: Question,
    shown: &str,
    verdicts: &Verdicts,
) -> Finding {
    let mut wanted = transcript::lines(shown);
    if subtask == 2 && timeline.rounds[2].as_ref().is_some_and(Round::computes_nothing) {
        wanted.truncate(wanted.iter().position(|line| line == BENCHMARK).unwrap_or(wanted.len()));
    }
    let question = question
        .expects(wanted.join("\n"))
        .proof(format!("evidence/{}/terminal.cast", timeline.recording.scenario));
    let seen = redacted(timeline, subtask);
    if seen.is_empty() {
        return question.fail(format!(
            "no output of container_prog; {}{}",
            timeline.fate(),
            timeline.complaint(subtask)
        ));
    }
    if !transcript::is_complete(&wanted, &seen) {
        question.fail(transcript::difference(&wanted, &seen))
    } else if verdicts.needs_met() {
        question.pass("the output matches, and what it claims is true")
    } else {
        question.skip("the output matches, but not everything it claims is true: see the checks above")
    }
}

/// The sample session, which decides no marks.
pub fn as_shown(timeline: &ScriptTimeline, question: Question, verdicts: &Verdicts) -> Finding {
    session::judge(timeline.recording, question, verdicts)
}

/// The lines of one subtask (0 for 2a), from `Process PID` on.
pub fn redacted(timeline: &ScriptTimeline, subtask: usize) -> Vec<String> {
    let lines = timeline.lines(subtask);
    let round = timeline.rounds[subtask].as_ref();
    let is_header = |line: &String| line.starts_with("Process PID:");
    let first = lines.iter().position(is_header);
    // Without a run of its own, its lines begin with those of the one before.
    let has_earlier = || timeline.rounds[..subtask].iter().any(Option::is_some);
    let start = match round {
        Some(_) => first,
        None => lines.iter().rposition(is_header).filter(|last| !has_earlier() || Some(*last) != first),
    };
    let Some(start) = start else { return Vec::new() };
    let lines = &lines[start..];
    let last = if subtask == 0 {
        lines.iter().enumerate().filter(|(_, line)| *line == RULE).map(|(index, _)| index).nth(1)
    } else {
        lines.iter().position(|line| line.starts_with(VALUE))
    };
    let mut block = lines[..last.map_or(lines.len().min(40), |last| last + 1)].to_vec();
    if subtask == 1 && last.is_some() {
        block.extend(lines[block.len()..].iter().find(|line| line.starts_with(HOST)).cloned());
    }
    let block = without_names(timeline, round, block);
    let value = block.iter().any(|line| line.starts_with(VALUE)).then(|| expected_value(timeline)).flatten();
    block.into_iter().map(|line| redact(timeline, round, subtask, value.as_deref(), line)).collect()
}

/// The time that the benchmark of a subtask (0 for 2a) printed.
pub fn time(timeline: &ScriptTimeline, subtask: usize) -> Option<f64> {
    let lines = timeline.lines(subtask);
    lines.iter().find_map(|line| line.strip_prefix("Time Taken: ")?.strip_suffix(" ms")?.parse().ok())
}

fn expected_value(timeline: &ScriptTimeline) -> Option<String> {
    let seed = ScriptPlan::deserialize(&timeline.recording.plan).ok()?.seed;
    let loops = timeline.supplied.as_ref()?.loops.min(1_000_000_000);
    Some(format!("{VALUE}{}", benchmark::sum(seed, loops)))
}

fn redact(
    timeline: &ScriptTimeline,
    round: Option<&Round>,
    subtask: usize,
    value: Option<&str>,
    line: String,
) -> String {
    let pid = round.map(|round| round.process().own_pid());
    let child = round.and_then(|round| Some(round.child.as_ref()?.own_pid()));
    // In 2b and 2c, the PID of container_prog is part of what is asked for. Its child is PID 2, or
    // more if the script started programs in the new namespace before: `mount`, for example.
    if subtask > 0 && pid == Some(1) && child.is_some_and(|child| line == format!("{CHILD}{child}")) {
        return format!("{CHILD}2");
    }
    if subtask == 0 {
        for (label, pid) in [("Process PID: ", pid), (CHILD, child)] {
            let Some(number) = line.strip_prefix(label).and_then(|number| number.parse::<i32>().ok()) else {
                continue;
            };
            if round.is_none() || pid == Some(number) {
                return format!("{label}[pid]");
            }
        }
    }
    if Some(line.as_str()) == value {
        return format!("{VALUE}[value of this run]");
    }
    if line == format!("{HOST}{}", timeline.machine.hostname) {
        return format!("{HOST}[hostname]");
    }
    let time = line.strip_prefix("Time Taken: ").and_then(|rest| rest.strip_suffix(" ms"));
    if time.is_some_and(|time| time.parse::<u64>().is_ok()) {
        return "Time Taken: [time] ms".to_owned();
    }
    line
}

fn is_entry(round: Option<&Round>, name: &String) -> bool {
    round.is_none_or(|round| round.run.entries.contains(name))
}

/// The names in the root directory in one line, if all that were seen there are among them, and
/// there is nothing of the machine's own root; else sorted. What else stands there is kept.
fn without_names(timeline: &ScriptTimeline, round: Option<&Round>, block: Vec<String>) -> Vec<String> {
    let Some(first) = block.iter().position(|line| line == LISTING).map(|index| index + 1) else {
        return block;
    };
    let count = block[first..].iter().position(|line| line == RULE).unwrap_or(block.len() - first);
    let mut names = block[first..first + count].to_vec();
    names.sort();
    let has = |name: &str| names.iter().any(|seen| seen == name);
    let right = has("container_prog")
        && has(".")
        && has("..")
        && round.is_none_or(|round| {
            let isolated = !round.process().root.is(&timeline.machine.root);
            isolated && round.run.entries.iter().all(|entry| has(entry))
        });
    if right {
        let is_name = |name: &String| matches!(name.as_str(), "." | "..") || is_entry(round, name);
        names.retain(|name| !is_name(name));
        names.insert(0, NAMES.to_owned());
    }
    [&block[..first], &names, &block[first + count..]].concat()
}
