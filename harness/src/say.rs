//! The one way to a terminal or a file that stands for it. Control characters and characters that hide or turn text
//! are made visible, whatever the text came from; of colours, those that a report has are kept.
//!
//! A result that cannot be printed (a full disk) is not lost without a word: the first failure is kept, and
//! [`finish`] returns it. Notes are best effort: where nobody can read them, there is nobody to tell.

use std::io::{self, Write};
use std::sync::Mutex;

use crate::report::text::visible;

static FAILED: Mutex<Option<io::Error>> = Mutex::new(None);

/// Prints a line of the result, formatted as by `println!`.
#[macro_export]
macro_rules! say {
    ($($words:tt)*) => { $crate::say::line(&format!($($words)*)) };
}

/// Prints a line on standard error, formatted as by `eprintln!`.
#[macro_export]
macro_rules! note {
    ($($words:tt)*) => { $crate::say::note(&format!($($words)*)) };
}

/// Prints a line of the result.
pub fn line(text: &str) {
    keep(writeln!(io::stdout().lock(), "{}", visible(text)));
}

/// Prints text of our own that has colours. They go where they are not wanted: a file, `NO_COLOR`.
pub fn styled(text: &str) {
    keep(write!(anstream::stdout().lock(), "{}", with_styles(text)));
}

/// Prints a line on standard error. What has several lines is set in, so that none of them can pass for another's.
pub fn note(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{}", shown(text));
}

/// Begins a line on standard error; a note ends it.
pub fn begin(text: &str) {
    let mut out = io::stderr().lock();
    let _ = write!(out, "{}", visible(text)).and_then(|()| out.flush());
}

/// A note's text as it is printed: for a progress bar's own line, too.
pub fn shown(text: &str) -> String {
    visible(text.trim_end()).replace('\n', "\n  ")
}

/// Writes out what is left, and returns the first failure of all.
///
/// # Errors
/// When something of the result could not be printed. A reader that went away wanted no more.
pub fn finish() -> io::Result<()> {
    keep(io::stdout().lock().flush());
    let first = FAILED.lock().map(|mut failed| failed.take()).unwrap_or_default();
    match first {
        Some(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
        _ => Ok(()),
    }
}

fn keep(printed: io::Result<()>) {
    if let (Err(error), Ok(mut failed)) = (printed, FAILED.lock()) {
        failed.get_or_insert(error);
    }
}

/// Text with its colours kept (`ESC [ digits m`) and every other control made visible.
fn with_styles(text: &str) -> String {
    let mut parts = text.split("\x1b[");
    let mut out = visible(parts.next().unwrap_or_default());
    for part in parts {
        let end = part.find(|c: char| !c.is_ascii_digit() && c != ';').unwrap_or(part.len());
        if part[end..].starts_with('m') {
            out.push_str("\x1b[");
            out.push_str(&part[..=end]);
            out.push_str(&visible(&part[end + 1..]));
        } else {
            out.push_str(&visible("\x1b["));
            out.push_str(&visible(part));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn colours_are_kept_and_nothing_else_acts_on_a_terminal() {
        assert_eq!(
            with_styles("\x1b[1mbold\x1b[0m \x1b]0;title\x07\x1b[2J"),
            "\x1b[1mbold\x1b[0m ␛]0;title␇␛[2J"
        );
        assert_eq!(shown("a\x1b[1mb\nharness: c\u{202e}\n"), "a␛[1mb\n  harness: c<U+202E>");
    }

    /// Whether a line of code prints by itself.
    fn prints(line: &str) -> bool {
        const WAYS: [&str; 9] = [
            "println!",
            "print!(",
            "eprint!",
            "anstream::",
            "stdout()",
            "stderr()",
            "dbg!",
            ".set_message(",
            "/dev/tty",
        ];
        let code = line.split("//").next().unwrap_or_default();
        WAYS.iter().any(|way| code.contains(way))
            && !code.contains("is_terminal()")
            && !code.contains(".set_message(shown(")
    }

    fn sources(folder: &Path, found: &mut Vec<std::path::PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }

    /// The guest half runs in the guest and prints records; everything else prints by this module.
    #[test]
    fn nothing_is_printed_past_this_module() {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut found = vec![];
        sources(&source, &mut found);
        let ours = |path: &Path| {
            let path = path.strip_prefix(&source).unwrap();
            path != Path::new("say.rs") && !path.starts_with("guest") && !path.starts_with("bin")
        };
        let mut past = vec![];
        for path in found.iter().filter(|path| ours(path)) {
            for (number, line) in fs::read_to_string(path).unwrap().lines().enumerate() {
                if prints(line) {
                    past.push(format!("{}:{}: {}", path.display(), number + 1, line.trim()));
                }
            }
        }
        assert!(past.is_empty(), "use say! and note! (harness/src/say.rs) in:\n{}", past.join("\n"));
    }
}
