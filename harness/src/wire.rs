//! The protocol between guest half and host. A record is one line: a token that only the two halves
//! know, a number, and JSON. The host adds the time of arrival.
//!
//! The submission owns the machine and may try to write to the guest half's standard output. A
//! guarded kernel refuses that. In any case, a line with a wrong token, a wrong number or a time in
//! the future ends the recording, and the recording says why.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::evidence::Record;
use crate::weight::{self, Budget};

/// The longest line that the host accepts, in bytes, and the largest number of lines.
pub(crate) const MAX_LINE: usize = 4 << 20;
pub(crate) const MAX_RECORDS: usize = 200_000;
/// The most memory that the records of one recording may take ([`weight::of`]), and those of a run.
pub(crate) const MAX_WEIGHT: u64 = 48 << 20;
const MAX_WEIGHT_OF_RUN: u64 = 128 << 20;
/// A guest's clock may be this much faster than the host's, and this much ahead: root can make the
/// clock run faster, and the guest half starts counting a moment after the host.
const FASTER: f64 = 1.25;
const AHEAD: Duration = Duration::from_secs(2);

/// The standard input of the guest half, as JSON.
#[derive(Debug, Serialize, Deserialize)]
pub struct Job {
    /// The random names, seeds and limits of this run.
    pub plan: Value,
    /// Student time limits are multiplied by this.
    pub slowdown: f64,
    /// The prefix of each line that the guest half writes.
    pub token: String,
    /// Where to stop for a person, and the person's shell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pause: Option<Pause>,
}

/// A stop of a scenario, with a shell for a person.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Pause {
    /// When to stop; at the scenario's end if absent, or if the moment does not come.
    pub at: Option<Moment>,
    /// A script for `/bin/sh` that is the shell.
    pub script: String,
}

/// A moment of a scenario: just after a record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// The record's kind.
    pub kind: String,
    /// The record's number among those of its kind, from 1.
    pub number: usize,
}

/// The kind of the record that says that a scenario has stopped for a person. Its data is true if
/// the moment came.
pub const PAUSED: &str = "paused";

/// The exit status of a guest half whose machine ran out of a resource. The submission caused that.
pub const SPOILT: u8 = 75;

/// A writer that puts token and number before each line. Each write must be a whole line.
#[derive(Debug)]
pub struct Marked<W> {
    out: W,
    token: String,
    number: u64,
}

impl<W: Write> Marked<W> {
    /// Wraps `out`.
    pub fn new(out: W, token: String) -> Self {
        Self { out, token, number: 0 }
    }
}

impl<W: Write> Write for Marked<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut marked = format!("{} {} ", self.token, self.number).into_bytes();
        marked.extend_from_slice(line);
        self.out.write_all(&marked)?;
        self.number += 1;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// The memory that all recordings of a run may take together.
pub fn budget_of_run() -> Arc<Budget> {
    Arc::new(Budget::new(MAX_WEIGHT_OF_RUN))
}

/// The host's reader of lines.
#[derive(Debug)]
pub struct Inbox {
    token: String,
    records: Vec<Record>,
    spoilt: Option<String>,
    weight: u64,
    budget: Arc<Budget>,
    opened: Instant,
}

impl Inbox {
    /// Expects lines with the prefix `token`.
    pub fn new(token: String) -> Self {
        Self {
            token,
            records: vec![],
            spoilt: None,
            weight: 0,
            budget: budget_of_run(),
            opened: Instant::now(),
        }
    }

    /// Takes memory from a budget that the run's recordings share.
    #[must_use]
    pub fn within(self, budget: &Arc<Budget>) -> Self {
        Self { budget: Arc::clone(budget), ..self }
    }

    /// Starts the host's clock. Call this just before the guest half starts.
    pub fn open(&mut self) {
        self.opened = Instant::now();
    }

    /// Parses one line, without its newline. After the first line that the guest half did not
    /// write, all further lines are ignored.
    pub fn take(&mut self, line: &[u8]) -> Option<&Record> {
        self.take_at(line, self.opened.elapsed())
    }

    fn take_at(&mut self, line: &[u8], arrived: Duration) -> Option<&Record> {
        if self.spoilt.is_some() {
            return None;
        }
        match self.read(line, arrived) {
            Ok(record) => {
                self.weight += weight::of(line);
                self.records.push(record);
                self.records.last()
            }
            Err(why) => {
                self.spoilt = Some(why.to_owned());
                None
            }
        }
    }

    /// The memory that the records take. Give it back to the budget if the records are dropped.
    pub fn weight(&self) -> u64 {
        self.weight
    }

    /// The records, and the reason if the recording ended early.
    pub fn finish(self) -> (Vec<Record>, Option<String>) {
        (self.records, self.spoilt)
    }

    fn read(&self, line: &[u8], arrived: Duration) -> Result<Record, &'static str> {
        const FORGED: &str = "something other than the guest half wrote to its channel";
        const TOO_MUCH: &str = "the guest half sent more to record than the limit allows";
        if line.len() > MAX_LINE || self.records.len() >= MAX_RECORDS {
            return Err(TOO_MUCH);
        }
        let line = std::str::from_utf8(line).map_err(|_| FORGED)?;
        let mut parts = line.splitn(3, ' ');
        let (token, number, record) = (parts.next(), parts.next(), parts.next());
        if token != Some(&self.token)
            || number.and_then(|number| number.parse().ok()) != Some(self.records.len())
        {
            return Err(FORGED);
        }
        let weight = weight::of(line.as_bytes());
        if self.weight + weight > MAX_WEIGHT || !self.budget.take(weight) {
            return Err(TOO_MUCH);
        }
        let record: Record = serde_json::from_str(record.unwrap_or_default()).map_err(|_| FORGED)?;
        let latest = arrived.mul_f64(FASTER) + AHEAD;
        if u128::from(record.ms) > latest.as_millis() {
            return Err("the time of a record lies in the future");
        }
        if self.records.last().is_some_and(|last| last.ms > record.ms) {
            return Err("a record is older than the one before it");
        }
        Ok(Record { host_ms: Some(arrived.as_millis() as u64), ..record })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guest::recorder::Recorder;

    fn recorded() -> Vec<Vec<u8>> {
        let mut out = Vec::new();
        let recorder = Recorder::new(Marked::new(&mut out, "word".into()));
        for number in 0..3 {
            recorder.record("count", &number).unwrap();
        }
        drop(recorder);
        out.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(Vec::from).collect()
    }

    fn taken(lines: &[Vec<u8>]) -> (usize, Option<String>) {
        let mut inbox = Inbox::new("word".into());
        for line in lines {
            inbox.take(line);
        }
        let (records, spoilt) = inbox.finish();
        (records.len(), spoilt)
    }

    #[test]
    fn what_a_recorder_writes_is_taken_whole() {
        assert_eq!(taken(&recorded()), (3, None));
    }

    #[test]
    fn a_forged_line_ends_the_recording_wherever_it_comes() {
        for forged in [
            "{\"ms\":1,\"kind\":\"count\",\"data\":7}",
            "other 1 {\"ms\":1,\"kind\":\"count\",\"data\":7}",
            "\x07",
        ] {
            let mut lines = recorded();
            lines.insert(1, forged.as_bytes().to_vec());
            let (records, spoilt) = taken(&lines);
            assert_eq!(records, 1);
            assert!(spoilt.is_some());
        }
    }

    #[test]
    fn records_that_would_grow_in_memory_are_not_parsed() {
        let line = |number: usize, data: &str| {
            format!("word {number} {{\"ms\":1,\"kind\":\"count\",\"data\":{data}}}").into_bytes()
        };
        let zeros = format!("[{}0]", "0,".repeat(1 << 20));
        let tooth = format!("[{}0]", "{\"\":0},".repeat(100_000));
        for data in [zeros, tooth] {
            assert!(data.len() < MAX_LINE);
            let (records, spoilt) = taken(&[line(0, "1"), line(1, &data), line(2, "1")]);
            assert_eq!(records, 1);
            assert!(spoilt.unwrap().contains("more to record"));
        }
        let many: Vec<_> = (0..100_000).map(|number| line(number, "[{},{},{}]")).collect();
        assert!(taken(&many).0 < 30_000);
    }

    #[test]
    fn the_recordings_of_a_run_share_a_budget() {
        let taken = |budget: &Arc<Budget>| {
            let mut inbox = Inbox::new("word".into()).within(budget);
            for line in recorded() {
                inbox.take(&line);
            }
            (inbox.weight(), inbox.finish().0.len())
        };
        let (weight, whole) = taken(&budget_of_run());
        let budget = Arc::new(Budget::new(weight + weight / 2));
        assert_eq!((whole, taken(&budget).1, taken(&budget).1), (3, 3, 1));
        budget.give_back(weight);
        assert_eq!(taken(&budget).1, 3);
    }

    #[test]
    fn a_record_of_the_future_or_older_than_the_last_ends_the_recording() {
        let line =
            |number: u32, ms: u64| format!("word {number} {{\"ms\":{ms},\"kind\":\"count\",\"data\":1}}");
        let taken = |lines: &[(u64, u64)]| {
            let mut inbox = Inbox::new("word".into());
            for (number, (ms, arrived)) in (0..).zip(lines) {
                inbox.take_at(line(number, *ms).as_bytes(), Duration::from_millis(*arrived));
            }
            let (records, spoilt) = inbox.finish();
            (records.iter().map(|record| record.host_ms.unwrap()).collect::<Vec<_>>(), spoilt.is_some())
        };
        assert_eq!(taken(&[(10, 50), (11_000, 10_000)]), (vec![50, 10_000], false));
        assert_eq!(taken(&[(10, 50), (15_000, 10_000), (15_000, 20_000)]), (vec![50], true));
        assert_eq!(taken(&[(900, 950), (899, 951)]), (vec![950], true));
    }

    #[test]
    fn a_line_with_the_right_token_but_out_of_turn_ends_it_too() {
        let mut lines = recorded();
        lines.insert(1, lines[0].clone());
        assert_eq!(taken(&lines).0, 1);
        lines = recorded();
        lines.remove(1);
        assert_eq!(taken(&lines).0, 1);
    }
}
