//! A recording's terminals as lines, each with the record that completed it.

use crate::evidence::Recording;
use crate::task::transcript;
use crate::terminals::{self, Session};

/// Most of a line that is read: no message of a shell or a compiler is longer.
const LINE_CAP: usize = 2000;
/// Most of one terminal. A flood repeats itself.
const TEXT_CAP: usize = 1 << 20;

/// One line that a terminal showed.
pub struct Line {
    /// The index of its record.
    pub record: usize,
    /// Its text, without escape sequences.
    pub text: String,
}

/// All lines, by terminal in the order in which these were started.
pub fn lines(recording: &Recording) -> Vec<Line> {
    terminals::sessions(recording).iter().flat_map(of).collect()
}

fn of(session: &Session) -> Vec<Line> {
    let (mut lines, mut open, mut record, mut read) = (Vec::new(), String::new(), session.record, 0);
    for piece in &session.pieces {
        read += piece.text.len();
        if read > TEXT_CAP {
            break;
        }
        record = piece.record;
        open.push_str(piece.text);
        while let Some(end) = open.find('\n') {
            let line: String = open.drain(..=end).collect();
            lines.push(Line { record, text: plain(&line) });
        }
    }
    lines.push(Line { record, text: plain(&open) });
    lines
}

fn plain(line: &str) -> String {
    let end = line.char_indices().nth(LINE_CAP).map_or(line.len(), |(at, _)| at);
    transcript::without_escapes(&line[..end]).trim_end().to_owned()
}
