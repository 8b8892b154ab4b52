//! A recording's terminals: what was started on each of them, and what each showed when.
//!
//! The records of all tasks are read alike. One that has another form is passed
//! over, as everywhere.

use crate::evidence::{Recording, STARTS};

/// A program on a terminal of its own.
#[derive(Debug)]
pub struct Session<'a> {
    /// The index of the record that starts it.
    pub record: usize,
    /// When it was started, in the scenario's milliseconds.
    pub started: u64,
    /// What was run.
    pub argv: Vec<&'a str>,
    /// What the terminal showed, in order.
    pub pieces: Vec<Piece<'a>>,
    terminal: Option<u64>,
}

/// What a terminal showed at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Piece<'a> {
    /// The index of its record.
    pub record: usize,
    /// When, in the scenario's milliseconds.
    pub ms: u64,
    /// The text, control characters included.
    pub text: &'a str,
}

/// All sessions in the order in which they were started. Where no record says which terminal showed
/// something, it was the last one.
pub fn sessions(recording: &Recording) -> Vec<Session<'_>> {
    let mut sessions: Vec<Session> = Vec::new();
    for (index, record) in recording.records.iter().enumerate() {
        let terminal = record.data.get("terminal").and_then(serde_json::Value::as_u64);
        if record.kind == STARTS {
            let argv = record.data.get("argv").and_then(serde_json::Value::as_array);
            let argv = argv.into_iter().flatten().filter_map(serde_json::Value::as_str).collect();
            sessions.push(Session { record: index, started: record.ms, argv, pieces: Vec::new(), terminal });
        } else if record.kind == "output"
            && let Some(text) = record.data.get("text").and_then(serde_json::Value::as_str)
        {
            let piece = Piece { record: index, ms: record.ms, text };
            match sessions.iter_mut().rev().find(|session| session.terminal == terminal) {
                Some(session) => session.pieces.push(piece),
                // Evidence of older runs does not say what was started.
                None => sessions.push(Session {
                    record: index,
                    started: record.ms,
                    argv: Vec::new(),
                    pieces: vec![piece],
                    terminal,
                }),
            }
        }
    }
    sessions
}

impl Session<'_> {
    /// A session as tests need it.
    #[cfg(test)]
    pub fn of<'a>(argv: Vec<&'a str>, pieces: Vec<Piece<'a>>) -> Session<'a> {
        Session { record: 0, started: 0, argv, pieces, terminal: None }
    }

    /// What was run, as one would type it.
    pub fn command(&self) -> String {
        let quoted = |word: &&str| {
            let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,+@%".contains(c);
            if !word.is_empty() && word.chars().all(is_plain) {
                (*word).to_owned()
            } else {
                format!("'{}'", word.replace('\'', r"'\''"))
            }
        };
        self.argv.iter().map(quoted).collect::<Vec<_>>().join(" ")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::evidence::{Ending, Record};

    fn recording(records: &[(&str, Value)]) -> Recording {
        let record = |(index, (kind, data)): (usize, &(&str, Value))| Record {
            ms: index as u64,
            host_ms: None,
            kind: (*kind).to_owned(),
            data: data.clone(),
        };
        Recording {
            scenario: "3-run".into(),
            plan: Value::Null,
            ending: Ending::Finished,
            seconds: 1.0,
            records: records.iter().enumerate().map(record).collect(),
        }
    }

    fn told(recording: &Recording) -> Vec<String> {
        let all = |session: &Session| session.pieces.iter().map(|piece| piece.text).collect::<String>();
        sessions(recording).iter().map(|session| format!("{}: {}", session.command(), all(session))).collect()
    }

    #[test]
    fn what_a_terminal_shows_belongs_to_the_program_on_it() {
        let recording = recording(&[
            ("start", json!({"terminal": 0, "argv": ["./conductor.sh", "run", "a b"]})),
            ("start", json!({"terminal": 1, "argv": ["ps"]})),
            ("output", json!({"terminal": 0, "text": "one "})),
            ("output", json!({"terminal": 1, "text": "two"})),
            ("output", json!({"terminal": 0, "text": "three"})),
        ]);
        assert_eq!(told(&recording), ["./conductor.sh run 'a b': one three", "ps: two"]);
    }

    #[test]
    fn without_terminals_it_belongs_to_the_program_that_was_started_last() {
        let recording = recording(&[
            ("output", json!({"text": "older"})),
            ("start", json!({"argv": ["gcc"]})),
            ("output", json!({"text": "warning"})),
            ("output", json!(7)),
            ("start", json!({"argv": ["./prog"]})),
            ("output", json!({"text": "hello"})),
        ]);
        assert_eq!(told(&recording), [": older", "gcc: warning", "./prog: hello"]);
    }
}
