//! A program that was stopped, ended too early, or waits for somebody to type.

use serde::Deserialize;

use super::Found;
use crate::evidence::process::Process;
use crate::evidence::{Recording, place};
use crate::task::transcript;
use crate::verdict::Cause;

/// The record kinds that tell of an end: of a traced program, of a command of the container tool,
/// of a command whose program was never seen.
const KINDS: [&str; 3] = ["outcome", "command", "absent"];

/// What the records of those kinds have in common.
#[derive(Deserialize)]
struct Ended {
    #[serde(default)]
    argv: Vec<String>,
    #[serde(default, rename = "end")]
    how: serde_json::Value,
    #[serde(default)]
    stopped: Option<serde_json::Value>,
    #[serde(default)]
    #[serde(rename = "ended")]
    by_itself: Option<bool>,
    #[serde(default)]
    seconds: f64,
    #[serde(default)]
    screen: Option<String>,
    #[serde(default)]
    running: Vec<Process>,
}

/// The ends that were not as they should be, in order. Some may be as a check asks: whether one
/// kept checks from being seen is for those checks' texts to say.
pub fn all(recording: &Recording) -> Vec<Found> {
    let ends =
        recording.records.iter().enumerate().filter(|(_, record)| KINDS.contains(&record.kind.as_str()));
    ends.filter_map(|(index, record)| Some((index, Ended::deserialize(&record.data).ok()?)))
        .filter(|(_, end)| end.is_bad())
        .map(|(index, end)| found(recording, index, &end))
        .collect()
}

fn found(recording: &Recording, index: usize, end: &Ended) -> Found {
    let argv = if end.argv.is_empty() { started(recording, index) } else { end.argv.clone() };
    let name = argv.join(" ");
    let screen = end.screen.clone().unwrap_or_else(|| transcript::text(&recording.records[..index]));
    let lines: Vec<String> = transcript::lines(&screen);
    let waits = end.waits_for_input(&screen);
    let what = end.told(&name, lines.len(), waits);
    let hint = if waits {
        "Nobody types while a script is graded: take what you need from arguments or from setup.sh."
    } else {
        "Run the same command by hand: its own last lines say what it came to."
    };
    // Of a container tool, what counts is its command: each step has other names.
    let command = argv.iter().take(2).map(String::as_str).collect::<Vec<_>>().join(" ");
    Found {
        marks: vec![format!("`{command}"), what.trim_end_matches('.').to_owned()],
        cause: Cause {
            what,
            quote: lines[lines.len().saturating_sub(4)..].join("\n"),
            hint: hint.to_owned(),
            evidence: vec![place::of(recording, index)],
            ..Cause::default()
        },
    }
}

/// The program of the last start before a record.
fn started(recording: &Recording, index: usize) -> Vec<String> {
    #[derive(Deserialize)]
    struct Start {
        argv: Vec<String>,
    }
    let starts = recording.records[..index].iter().rev().filter(|record| record.kind == "start");
    starts
        .filter_map(|record| Start::deserialize(&record.data).ok())
        .map(|start| start.argv)
        .next()
        .unwrap_or_default()
}

impl Ended {
    fn is_bad(&self) -> bool {
        self.stopped.is_some() || self.by_itself.is_some() || self.status() != Some(0)
    }

    fn status(&self) -> Option<i64> {
        self.how.get("status").and_then(serde_json::Value::as_i64)
    }

    /// Whether it was stopped while a question stood on its screen: text in the last line, which
    /// no line end follows.
    fn waits_for_input(&self, screen: &str) -> bool {
        let is_idle = self.stopped.as_ref().is_some_and(|why| why == "time" || why == "still");
        let last = screen.rsplit('\n').next().unwrap_or_default();
        let sleeps = self.running.iter().any(|process| process.exe.ends_with("/sleep"));
        is_idle && !sleeps && !transcript::without_escapes(last).trim().is_empty()
    }

    fn told(&self, name: &str, lines: usize, waits: bool) -> String {
        let shown = match lines {
            0 => "without a line on its terminal".to_owned(),
            1 => "after one line on its terminal".to_owned(),
            lines => format!("after {lines} lines on its terminal"),
        };
        let seconds = self.seconds;
        if waits {
            return format!(
                "`{name}` waits for input: it was stopped after {seconds:.0} s, and its last line is a question."
            );
        }
        match (&self.stopped, self.by_itself) {
            (Some(why), _) => {
                let busy = self
                    .running
                    .iter()
                    .max_by_key(|process| process.start)
                    .map(|process| process.cmdline.join(" "));
                let busy = busy.filter(|busy| !busy.is_empty() && busy != name);
                let busy = busy.map_or_else(String::new, |busy| format!(", in `{busy}`"));
                let why = match why.as_str() {
                    Some("output") => " because it wrote too much",
                    Some("processes") => " because it made too many processes",
                    Some("disk") => " because it filled the disk",
                    Some("still") => ", when nothing worked any more",
                    _ => "",
                };
                format!("`{name}` was stopped after {seconds:.0} s{busy}{why}, {shown}.")
            }
            (None, Some(false)) => format!("`{name}` went on, but what it should run was never seen."),
            (None, Some(true)) => format!("`{name}` ended before it ran what it should run, {shown}."),
            (None, None) => match self.status() {
                Some(status) => format!("`{name}` ended with status {status}, {shown}."),
                None => format!("`{name}` was killed by a signal, {shown}."),
            },
        }
    }
}
