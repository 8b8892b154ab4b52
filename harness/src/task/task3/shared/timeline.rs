//! Reads a recording of task 3 or 4: records by their step, and the reason why a record is missing.

use serde::de::DeserializeOwned;

use super::command::Command;
use super::launch::Absent;
use crate::evidence::{Bundle, Recording, place};
use crate::task::check::Row;
use crate::task::finding::{self, Question};
use crate::verdict::Finding;

/// The most characters of one line that are quoted.
const LONGEST: usize = 400;

/// How much of a terminal is quoted, in lines from its end.
const QUOTED: usize = 4;

/// One scenario's recording.
#[derive(Clone, Copy, Debug)]
pub struct Timeline<'a> {
    recording: &'a Recording,
}

/// A record and where it is in the bundle.
#[derive(Clone, Debug)]
pub struct Seen<T> {
    /// `evidence/<scenario>/records.jsonl#<line>`.
    pub place: String,
    /// What was recorded.
    pub value: T,
}

impl<'a> Timeline<'a> {
    /// A scenario's timeline, or one error for every check where there is none to judge by.
    pub fn open<J>(
        bundle: &'a Bundle,
        scenario: &str,
        rows: &'static [Row<J>],
    ) -> Result<Self, Vec<Finding>> {
        finding::recording(bundle, scenario, rows).map(|recording| Self { recording })
    }

    /// The timeline of a recording that is there.
    pub fn of(recording: &'a Recording) -> Self {
        Self { recording }
    }

    /// The recording itself.
    pub fn recording(&self) -> &'a Recording {
        self.recording
    }

    /// All records of a kind, in order.
    pub fn all<T: DeserializeOwned>(&self, kind: &str) -> Vec<Seen<T>> {
        let records = self.recording.records.iter().enumerate().filter(|(_, record)| record.kind == kind);
        let seen = |(index, record): (usize, &crate::evidence::Record)| {
            let value = T::deserialize(&record.data).ok()?;
            Some(Seen { place: place::of(self.recording, index), value })
        };
        records.filter_map(seen).collect()
    }

    /// The first record of a kind that belongs to a step.
    pub fn at<T: DeserializeOwned>(&self, kind: &str, step: &str) -> Option<Seen<T>> {
        self.recording.records.iter().enumerate().find_map(|(index, record)| {
            let mine = record.kind == kind && record.data["step"] == step;
            let value = mine.then(|| T::deserialize(&record.data).ok()).flatten()?;
            Some(Seen { place: place::of(self.recording, index), value })
        })
    }

    /// The first record of a kind.
    pub fn first<T: DeserializeOwned>(&self, kind: &str) -> Option<T> {
        self.recording.first(kind)
    }

    /// This run's names and words.
    pub fn plan<T: DeserializeOwned>(&self) -> Option<T> {
        T::deserialize(&self.recording.plan).ok()
    }

    /// The answer to a question for which there is no record: the machine was lost, or `because`.
    pub fn missing(&self, question: Question, because: impl Into<String>) -> Finding {
        match self.recording.cut() {
            Some(cut) => question.fail(cut.sentence),
            None => question.skip(because),
        }
    }

    /// The answer to a question that is not judged because a check that it needs did not pass: the
    /// machine was lost, or `needed` and what was `seen` of it.
    pub fn unmet(&self, question: Question, needed: &'static str, seen: &str) -> Finding {
        match self.recording.cut() {
            Some(cut) => question.fail(cut.sentence),
            None => question.unmet(needed, seen),
        }
    }

    /// Whether the recording does not come to its end.
    pub fn is_cut(&self) -> bool {
        self.recording.cut().is_some()
    }

    /// Whether a command was expected to start and did not.
    pub fn is_absent(&self, step: &str) -> bool {
        self.recording.all::<Absent>("absent").any(|(_, absent)| absent.step == step)
    }

    /// Why a command never started: what its tool said and how it ended.
    pub fn why_absent(&self, step: &str) -> String {
        let mut absents = self.recording.all::<Absent>("absent").map(|(_, absent)| absent);
        match absents.find(|absent| absent.step == step) {
            Some(absent) => {
                let how = if absent.ended { "ended" } else { "kept running" };
                format!(
                    "`{}` {how}, but the command never started{}",
                    absent.argv.join(" "),
                    quote(&absent.screen)
                )
            }
            None => self.recording.cut().map_or_else(
                || format!("not reached: the scenario ended before the step {step}"),
                |cut| cut.sentence,
            ),
        }
    }

    /// Why there is no image with FROM alone: how its `build` ended. Where a container runs there
    /// is one, whatever `build` said: the status of a script is easily that of its last test.
    pub fn why_unbuilt(&self) -> Option<String> {
        let ran = self.recording.records.iter().any(|record| record.kind == "container");
        if ran { None } else { self.why_failed("build") }
    }

    /// How a `build` that did not say that all is well ended.
    pub fn why_failed(&self, step: &str) -> Option<String> {
        let build = self.at::<Command>("command", step)?.value;
        (!build.succeeded()).then(|| format!("{}{}", build.ending(), quote(&build.screen)))
    }
}

/// The end of what a terminal showed, as part of a sentence.
pub fn quote(screen: &str) -> String {
    // If a line was overwritten with a carriage return (a progress bar), keep only its final text.
    let last = |line: &str| {
        let line = line.trim_end_matches('\r');
        line.rsplit('\r').next().unwrap_or_default().chars().take(LONGEST).collect::<String>()
    };
    let shown: Vec<String> = screen.split('\n').map(last).collect();
    let lines = crate::task::transcript::lines(&shown.join("\n"));
    let last = &lines[lines.len().saturating_sub(QUOTED)..];
    if last.is_empty() { String::new() } else { format!("; its terminal showed: {}", last.join(" / ")) }
}

#[cfg(test)]
mod tests {
    use super::quote;

    #[test]
    fn progress_that_was_written_over_is_not_quoted() {
        let screen = "one\r\nReading... 0%\rReading... 50%\rReading... Done\r\n\r\nE: failed\r\n";
        assert_eq!(quote(screen), "; its terminal showed: one / Reading... Done / E: failed");
        assert_eq!(quote("\r\n"), "");
    }
}
