//! A program that was stopped, ended too early, or waits for somebody to type.

use serde::Deserialize;

use super::{Found, cut, shell};
use crate::evidence::process::Process;
use crate::evidence::{Recording, place};
use crate::task::transcript;
use crate::verdict::Cause;

/// The record kinds that tell of an end: of a traced program, of a command of the container tool,
/// of a command whose program was never seen.
const KINDS: [&str; 3] = ["outcome", "command", "absent"];

/// Steps whose command is to end with a status other than 0, or may: a build whose RUN fails, a
/// `run` with a name that is taken, a `stop` of a container that may not be there.
const TO_FAIL: [&str; 4] = ["fails", "fails-again", "again-after-exit", "retry"];

/// The most characters of a question that are quoted.
const LONGEST_QUESTION: usize = 120;

/// What the records of those kinds have in common.
#[derive(Deserialize)]
struct Ended {
    #[serde(default)]
    step: String,
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

/// The ends that were not as they should be, in order. Each file is named as the shell named
/// it. Some may be as a check asks: whether one kept checks from being seen is for those
/// checks' texts to say.
pub fn all(recording: &Recording) -> Vec<Found> {
    let bad = ends(recording).filter(|(_, end)| end.is_bad());
    bad.map(|(index, end)| found(recording, index, &end)).collect()
}

/// The commands that ended as they should, or as a step asks, each as a check's text names it.
pub fn as_asked(recording: &Recording) -> Vec<String> {
    let (bad, good): (Vec<Ended>, Vec<Ended>) =
        ends(recording).map(|(_, end)| end).filter(|end| !end.argv.is_empty()).partition(Ended::is_bad);
    let is_good = |end: &&Ended| !bad.iter().any(|other| other.argv == end.argv);
    good.iter().filter(is_good).map(|end| format!("`{}`", end.argv.join(" "))).collect()
}

fn ends(recording: &Recording) -> impl Iterator<Item = (usize, Ended)> {
    let records = recording.records.iter().enumerate();
    let ends = records.filter(|(_, record)| KINDS.contains(&record.kind.as_str()));
    ends.filter_map(|(index, record)| Some((index, Ended::deserialize(&record.data).ok()?)))
}

/// The first command whose program could not be started: status 127, and nothing on its terminal.
/// Returns the index of its record, and the program's name.
pub fn never_started(recording: &Recording) -> Option<(usize, String)> {
    recording.records.iter().enumerate().find_map(|(index, record)| {
        let end = Ended::deserialize(&record.data).ok().filter(|_| KINDS.contains(&record.kind.as_str()))?;
        let screen = end.screen_before(recording, index);
        let program = end.argv_of(recording, index).into_iter().next()?;
        (end.status() == Some(127) && screen.trim().is_empty()).then_some((index, program))
    })
}

fn found(recording: &Recording, index: usize, end: &Ended) -> Found {
    let argv = end.argv_of(recording, index);
    let name = argv.join(" ");
    let screen = end.screen_before(recording, index);
    let lines: Vec<String> = transcript::lines(&screen);
    let question = end.question(&screen);
    let what = match &question {
        Some(question) => {
            format!("`{name}` waits for input: the last line on its screen was \"{question}\".")
        }
        None => end.told(&name, lines.len()),
    };
    let hint = if question.is_some() {
        "Nobody types while a script is graded: take what you need from arguments or from setup.sh."
    } else {
        match end.by_itself {
            Some(true) => "Run the same command with `bash -x` before it, and find the line where it stops.",
            _ => "Run the same command by hand. Its last lines say why it ended.",
        }
    };
    // Of a container tool, what counts is its command: each step has other names.
    let command = argv.iter().take(2).map(String::as_str).collect::<Vec<_>>().join(" ");
    let complaint = lines.iter().rev().take(4).find_map(|line| shell::complaint(line));
    let (file, line) = complaint.map_or((None, None), |message| (Some(message.file), message.line));
    let mut marks = vec![format!("`{command}"), what.trim_end_matches('.').to_owned()];
    if let [tool, build, image, ..] = argv.as_slice()
        && build == "build"
    {
        // What runs an image that was not built fails because of the build.
        marks.push(format!("`{tool} run {image} "));
    }
    Found {
        marks,
        cause: Cause {
            what,
            quote: cut(&lines[lines.len().saturating_sub(4)..].join("\n")),
            hint: hint.to_owned(),
            evidence: vec![place::of(recording, index)],
            file,
            line,
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
    /// What was run: where the record does not say it, the program of the last start.
    fn argv_of(&self, recording: &Recording, index: usize) -> Vec<String> {
        if self.argv.is_empty() { started(recording, index) } else { self.argv.clone() }
    }

    fn screen_before(&self, recording: &Recording, index: usize) -> String {
        self.screen.clone().unwrap_or_else(|| transcript::text(&recording.records[..index]))
    }

    fn is_bad(&self) -> bool {
        let is_asked =
            || self.status() == Some(0) || self.status().is_some() && TO_FAIL.contains(&&*self.step);
        self.stopped.is_some() || self.by_itself.is_some() || !is_asked()
    }

    fn status(&self) -> Option<i64> {
        self.how.get("status").and_then(serde_json::Value::as_i64)
    }

    /// The question that stood on its screen while nothing else happened: text in the last line,
    /// which no line end follows.
    fn question(&self, screen: &str) -> Option<String> {
        let is_idle = self.stopped.as_ref().is_some_and(|why| why == "time" || why == "still")
            || self.by_itself == Some(false);
        let sleeps = self.running.iter().any(|process| process.exe.ends_with("/sleep"));
        let last = transcript::without_escapes(screen.rsplit('\n').next().unwrap_or_default());
        let question: String = last.trim().chars().take(LONGEST_QUESTION).collect();
        (is_idle && !sleeps && !question.is_empty()).then_some(question)
    }

    fn told(&self, name: &str, lines: usize) -> String {
        let shown = match lines {
            0 => "without a line on its terminal".to_owned(),
            1 => "after one line on its terminal".to_owned(),
            lines => format!("after {lines} lines on its terminal"),
        };
        let seconds = self.seconds;
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
            (None, Some(false)) => format!("`{name}` kept running, but its command never started."),
            (None, Some(true)) => format!("`{name}` ended before it ran what it should run, {shown}."),
            (None, None) => match self.status() {
                Some(status) => format!("`{name}` ended with status {status}, {shown}."),
                None => format!("`{name}` was killed by a signal, {shown}."),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{Ending, Record};

    fn recording(kind: &str, data: serde_json::Value) -> Recording {
        Recording {
            scenario: "3-run".to_owned(),
            plan: serde_json::Value::Null,
            ending: Ending::Finished,
            seconds: 1.0,
            records: vec![Record { ms: 0, host_ms: None, kind: kind.to_owned(), data }],
        }
    }

    fn cause(screen: &str) -> Cause {
        let data = serde_json::json!({
            "argv": ["./conductor.sh", "run", "img", "web"], "ended": false, "screen": screen, "step": "worker",
        });
        all(&recording("absent", data)).pop().unwrap().cause
    }

    #[test]
    fn a_build_that_is_to_fail_is_a_cause_only_if_it_was_stopped() {
        let command = |step: &str, stopped: Option<&str>| {
            let argv = ["./conductor.sh", "build", "img", "Conductorfile.fails"];
            let end = serde_json::json!({ "status": 1 });
            let data = serde_json::json!({ "step": step, "argv": argv, "end": end, "stopped": stopped, "screen": "" });
            let recording = recording("command", data);
            (all(&recording).len(), as_asked(&recording).len())
        };
        assert_eq!(command("fails", None), (0, 1));
        assert_eq!(command("fails", Some("time")), (1, 0));
        assert_eq!(command("run-echo", None), (1, 0));
    }

    #[test]
    fn a_command_that_asks_waits_for_input_though_nothing_stopped_it() {
        let asks = cause("CS695 Conductor\r\nWhich port? ");
        assert_eq!(
            asks.what,
            "`./conductor.sh run img web` waits for input: the last line on its screen was \"Which port?\"."
        );
        assert!(cause("CS695 Conductor\r\n").what.contains("but its command never started"));
    }
}
