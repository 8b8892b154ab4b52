//! How records travel from the guest half to the host: one line each, numbered, and behind a word that only the
//! two halves know.
//!
//! The machine is the submission's: it may write to whatever it finds, the guest half's own standard output
//! included. A line without the word of this run, or out of turn, ends the recording there, and says why.

use std::io::{self, Write};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::evidence::Record;

/// The longest line that is taken, and how many of them.
const MAX_LINE: usize = 4 << 20;
const MAX_RECORDS: usize = 500_000;

/// What the guest half is given on its standard input, as JSON.
#[derive(Debug, Serialize, Deserialize)]
pub struct Errand {
    /// The random names, seeds and limits of this run.
    pub plan: Value,
    /// Student time limits are multiplied by this.
    pub slowdown: f64,
    /// Stands before each line that the guest half writes.
    pub word: String,
}

/// The exit status of a guest half whose machine had no more of something it needs: the submission's doing.
pub const SPOILT: u8 = 75;

/// Numbers and marks the lines that are written through it. Expects whole lines, as a recorder writes them.
#[derive(Debug)]
pub struct Marked<W> {
    out: W,
    word: String,
    number: u64,
}

impl<W: Write> Marked<W> {
    /// Writes to `out`.
    pub fn new(out: W, word: String) -> Self {
        Self { out, word, number: 0 }
    }
}

impl<W: Write> Write for Marked<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut marked = format!("{} {} ", self.word, self.number).into_bytes();
        marked.extend_from_slice(line);
        self.out.write_all(&marked)?;
        self.number += 1;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Takes lines in on the host.
#[derive(Debug)]
pub struct Inbox {
    word: String,
    records: Vec<Record>,
    spoilt: Option<String>,
}

impl Inbox {
    /// For lines behind `word`.
    pub fn new(word: String) -> Self {
        Self { word, records: vec![], spoilt: None }
    }

    /// Takes one line, without its newline, and returns its record. After one that is not the guest half's, nothing more
    /// is believed.
    pub fn take(&mut self, line: &[u8]) -> Option<&Record> {
        if self.spoilt.is_some() {
            return None;
        }
        match self.read(line) {
            Ok(record) => {
                self.records.push(record);
                self.records.last()
            }
            Err(why) => {
                self.spoilt = Some(why.to_owned());
                None
            }
        }
    }

    /// The records, and why they stop short if they do.
    pub fn finish(self) -> (Vec<Record>, Option<String>) {
        (self.records, self.spoilt)
    }

    fn read(&self, line: &[u8]) -> Result<Record, &'static str> {
        const FORGED: &str = "something other than the guest half wrote to its channel";
        if line.len() > MAX_LINE || self.records.len() >= MAX_RECORDS {
            return Err("there was more to record than is taken");
        }
        let line = std::str::from_utf8(line).map_err(|_| FORGED)?;
        let mut parts = line.splitn(3, ' ');
        let (word, number, record) = (parts.next(), parts.next(), parts.next());
        if word != Some(&self.word)
            || number.and_then(|number| number.parse().ok()) != Some(self.records.len())
        {
            return Err(FORGED);
        }
        serde_json::from_str(record.unwrap_or_default()).map_err(|_| FORGED)
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
    fn a_line_with_the_right_word_but_out_of_turn_ends_it_too() {
        let mut lines = recorded();
        lines.insert(1, lines[0].clone());
        assert_eq!(taken(&lines).0, 1);
        lines = recorded();
        lines.remove(1);
        assert_eq!(taken(&lines).0, 1);
    }
}
