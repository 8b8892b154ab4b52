//! `terminal.cast`: what a scenario's terminals showed, for `asciinema play` (asciicast, version
//! 2). Each command stands in it as it was typed and has a marker, so that a player can go to it.
//! For people: no judge reads it.

use std::io::{self, Write};

use serde_json::{Value, json};

use crate::evidence::Recording;
use crate::report::text::visible;
use crate::terminals;

/// The size of the terminals, in columns and rows.
pub const SIZE: (usize, usize) = (80, 24);

/// Whether a recording has anything that could be shown.
pub fn is_empty(recording: &Recording) -> bool {
    terminals::sessions(recording).iter().all(|session| session.pieces.is_empty())
}

/// Writes the recording.
///
/// # Errors
/// When it cannot be written.
pub fn write(recording: &Recording, out: &mut dyn Write) -> io::Result<()> {
    let (width, height) = SIZE;
    writeln!(
        out,
        "{}",
        json!({ "version": 2, "width": width, "height": height, "title": recording.scenario })
    )?;
    let mut events: Vec<(u64, usize, Vec<Value>)> = Vec::new();
    for session in terminals::sessions(recording) {
        let command = visible(&session.command());
        if !command.is_empty() {
            let seconds = session.started as f64 / 1000.0;
            let typed = format!("{}\r\n", prompt(&command));
            let both = vec![json!([seconds, "m", command]), json!([seconds, "o", typed])];
            events.push((session.started, session.record, both));
        }
        let shown = session
            .pieces
            .iter()
            .map(|piece| (piece.ms, piece.record, vec![json!([piece.ms as f64 / 1000.0, "o", piece.text])]));
        events.extend(shown);
    }
    events.sort_by_key(|(_, record, _)| *record);
    events.iter().flat_map(|(.., lines)| lines).try_for_each(|line| writeln!(out, "{line}"))
}

/// A command behind a prompt, as a person would have typed it.
pub fn prompt(command: &str) -> String {
    format!("\x1b[0;1m# {command}\x1b[0m")
}
