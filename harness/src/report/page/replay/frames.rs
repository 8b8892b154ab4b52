//! What a terminal showed, as frames: each says which rows of the screen changed. A terminal
//! emulator on this host acts on the submission's control sequences; the page gets
//! characters and colours.

use avt::observer::Transcript;
use avt::{Cell, Color, Line, Terminal};
use serde::Serialize;
use serde_json::{Value, json};

use crate::cast::{self, SIZE};
use crate::report::text::visible;
use crate::terminals::Session;

/// Output within this time is one frame.
const TOGETHER_MS: u64 = 60;
/// Most frames of one terminal.
const FRAMES: usize = 500;
/// Most of one terminal's output that is played, from its start.
const PLAYED: usize = 96 << 10;
/// Lines of the text that are shown, from its start and from its end.
const TEXT: (usize, usize) = (60, 60);

/// One terminal's film.
#[derive(Debug)]
pub struct Film {
    /// The frames, each a JSON array: milliseconds since its start, rows that
    /// moved up, changed rows.
    pub frames: Vec<Value>,
    /// All that it showed as text, without what was written over.
    pub text: Vec<String>,
    /// Milliseconds from its start to the last change.
    pub length: u64,
    /// Whether there was more output than is played.
    pub cut: bool,
}

/// A piece of a row in one style; the style is a list of class names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Run(String, String);

type Row = Vec<Run>;

/// Plays a session. `None` where the emulator does not take the size, which is fixed.
pub fn film(session: &Session) -> Option<Film> {
    let mut terminal = Terminal::new(SIZE.0, SIZE.1).ok()?;
    let mut transcript = Transcript::new();
    let mut text = Vec::new();
    let mut film = Film { frames: Vec::new(), text: Vec::new(), length: 0, cut: false };
    let mut shown: Vec<Row> = vec![Vec::new(); SIZE.1];

    let command = visible(&session.command());
    if !command.is_empty() {
        // The command is this program's own line: it is typed at the start, and is
        // no part of the text.
        terminal.feed(format!("{}\r\n", cast::prompt(&command)).as_str());
        film.take(0, &terminal, &mut shown);
    }
    let mut played = 0;
    let mut pieces = session.pieces.iter().peekable();
    while let Some(piece) = pieces.next() {
        let budget = PLAYED.saturating_sub(played);
        let end =
            (0..=piece.text.len().min(budget)).rev().find(|at| piece.text.is_char_boundary(*at)).unwrap_or(0);
        film.cut |= end < piece.text.len();
        played += piece.text.len();
        text.extend(terminal.feed_with(&piece.text[..end], &mut transcript));
        let at = piece.ms.saturating_sub(session.started);
        let is_last =
            pieces.peek().is_none_or(|next| next.ms.saturating_sub(session.started) > at + TOGETHER_MS);
        if is_last && (film.frames.len() < FRAMES || pieces.peek().is_none()) {
            film.take(at, &terminal, &mut shown);
        }
        if film.cut {
            film.take(at, &terminal, &mut shown);
            break;
        }
    }
    text.extend(transcript.finish(&terminal));
    film.text = readable(&text, &command);
    Some(film)
}

impl Film {
    /// Adds a frame, if the screen is another one than before.
    fn take(&mut self, at: u64, terminal: &Terminal, shown: &mut Vec<Row>) {
        let now: Vec<Row> = terminal.screen().visible_lines().map(row).collect();
        let moved = moved(&now, shown);
        let before = |index: usize| shown.get(index + moved).cloned().unwrap_or_default();
        let changed: Vec<Value> = now
            .iter()
            .enumerate()
            .filter(|(index, row)| **row != before(*index))
            .map(|(index, row)| json!([index, row]))
            .collect();
        if moved > 0 || !changed.is_empty() {
            self.frames.push(json!([at, moved, changed]));
            self.length = at;
        }
        *shown = now;
    }
}

/// By how many rows the screen moved up: where most of its rows are found again.
fn moved(now: &[Row], shown: &[Row]) -> usize {
    let found = |by: usize| {
        let pairs = now.iter().zip(shown.iter().skip(by));
        pairs.filter(|(row, before)| !row.is_empty() && row == before).count()
    };
    // Among equals the least: `max_by_key` takes the last one.
    (0..now.len()).rev().max_by_key(|by| found(*by)).filter(|by| found(*by) > 0).unwrap_or(0)
}

fn row(line: &Line) -> Row {
    let cells = line.cells();
    let is_blank = |cell: &Cell| cell.char() == ' ' && !cell.pen().is_inverse() && !cell.pen().is_underline();
    let end = cells.iter().rposition(|cell| !is_blank(cell)).map_or(0, |last| last + 1);
    let mut row: Row = Vec::new();
    for cell in cells[..end].iter().filter(|cell| cell.width() > 0) {
        let style = style(cell);
        match row.last_mut() {
            Some(run) if run.0 == style => run.1.push(printable(cell.char())),
            _ => row.push(Run(style, printable(cell.char()).to_string())),
        }
    }
    row
}

/// A character that hides or turns text keeps its cell and loses its power.
fn printable(char: char) -> char {
    if visible(char.encode_utf8(&mut [0; 4])).chars().eq([char]) && char != '\n' && char != '\t' {
        char
    } else {
        '\u{fffd}'
    }
}

/// Class names: `b`old, `d`im, `i`talic, `u`nderlined, `s`truck, in`v`erse, and
/// the colour's number.
fn style(cell: &Cell) -> String {
    let pen = cell.pen();
    let flags = [
        (pen.is_bold(), "b"),
        (pen.is_faint(), "d"),
        (pen.is_italic(), "i"),
        (pen.is_underline(), "u"),
        (pen.is_strikethrough(), "s"),
        (pen.is_inverse(), "v"),
    ];
    let mut names: Vec<String> =
        flags.iter().filter(|(is_set, _)| *is_set).map(|(_, name)| (*name).to_owned()).collect();
    names.extend(pen.foreground().map(|color| format!("f{}", basic(color))));
    names.join(" ")
}

/// The nearest of the sixteen colours that the page has, all of which can be read on its ground.
fn basic(color: Color) -> u8 {
    let (r, g, b) = match color {
        Color::Indexed(index @ 0..=15) => return index,
        Color::Indexed(index @ 16..=231) => {
            let level = |step: u8| [0, 95, 135, 175, 215, 255][usize::from(step % 6)];
            let index = index - 16;
            (level(index / 36), level(index / 6), level(index))
        }
        Color::Indexed(index) => {
            let grey = 8 + (index - 232) * 10;
            (grey, grey, grey)
        }
        Color::RGB(rgb) => (rgb.r, rgb.g, rgb.b),
    };
    let most = r.max(g).max(b);
    let bit = |part: u8, value: u8| if part > most / 2 { value } else { 0 };
    let bright = if most > 200 { 8 } else { 0 };
    bit(r, 1) + bit(g, 2) + bit(b, 4) + bright
}

/// The text as lines, without the command, and without its middle where it is long.
fn readable(text: &[String], command: &str) -> Vec<String> {
    let is_own =
        |(index, line): &(usize, &String)| *index == 0 && !command.is_empty() && line.starts_with("# ");
    let lines: Vec<String> = text
        .iter()
        .enumerate()
        .filter(|numbered| !is_own(numbered))
        .map(|(_, line)| visible(line.trim_end()))
        .collect();
    let end = lines.iter().rposition(|line| !line.is_empty()).map_or(0, |last| last + 1);
    let lines = &lines[..end];
    if lines.len() <= TEXT.0 + TEXT.1 {
        return lines.to_vec();
    }
    let left_out = format!("… {} lines …", lines.len() - TEXT.0 - TEXT.1);
    [&lines[..TEXT.0], &[left_out], &lines[lines.len() - TEXT.1..]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::terminals::Piece;

    fn session<'a>(texts: &[&'a str]) -> Session<'a> {
        let pieces = texts.iter().enumerate();
        let piece = |(index, text): (usize, &&'a str)| Piece { record: index, ms: index as u64 * 1000, text };
        Session::of(vec!["ls"], pieces.map(piece).collect())
    }

    #[test]
    fn a_frame_has_what_changed_since_the_one_before() {
        let film = film(&session(&["one\r\n", "\x1b[31mtwo\x1b[0m\r\n"])).unwrap();
        assert_eq!(film.frames[0], json!([0, 0, [[0, [["b", "# ls"]]]]]));
        assert_eq!(film.frames[1], json!([0, 0, [[1, [["", "one"]]]]]));
        assert_eq!(film.frames[2], json!([1000, 0, [[2, [["f1", "two"]]]]]));
        assert_eq!(film.text, ["one", "two"]);
    }

    #[test]
    fn a_screen_that_scrolls_is_moved_and_not_sent_again() {
        let lines = (0..40).fold(String::new(), |lines, line| lines + &format!("line {line}\r\n"));
        let film = film(&session(&[&lines, "next\r\n"])).unwrap();
        let last = film.frames.last().unwrap();
        assert_eq!(last[1], 1);
        assert_eq!(last[2].as_array().unwrap().len(), 1, "{last}");
    }

    #[test]
    fn no_control_sequence_or_hidden_character_gets_through() {
        let film =
            film(&session(&["a\x1b]0;title\x07\x1b[2J\u{202e}b\u{200b}\x1bPq#0\x1b\\<script>\x08"])).unwrap();
        let all = serde_json::to_string(&film.frames).unwrap() + &film.text.concat();
        assert!(!all.chars().any(|c| c.is_control() || c == '\u{202e}' || c == '\u{200b}'), "{all:?}");
    }

    #[test]
    fn a_flood_is_cut() {
        let flood = "y\r\n".repeat(1 << 20);
        let film = film(&session(&[&flood])).unwrap();
        assert!(film.cut && film.text.len() <= TEXT.0 + TEXT.1 + 1);
    }
}
