//! All output to standard output and standard error goes through this module. It makes control
//! characters, invisible characters and text-direction marks visible, because a submission may have
//! chosen the text. Only the colours of a report are kept.
//!
//! If a part of the result cannot be printed (a full disk), [`finish`] returns the first such
//! error. Errors while printing notes are ignored.

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

/// Prints a report with its colours. Colours are removed in a file, in a pipe and with `NO_COLOR`.
pub fn styled(text: &str) {
    keep(write!(anstream::stdout().lock(), "{}", with_styles(text)));
}

/// Prints a note on standard error. Its second and further lines are indented, so that none of them
/// can pass for a note of its own.
pub fn note(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{}", shown(text));
}

/// Prints the beginning of a line on standard error. The next [`note()`] ends the line.
pub fn begin(text: &str) {
    let mut out = io::stderr().lock();
    let _ = write!(out, "{}", visible(text)).and_then(|()| out.flush());
}

/// Makes a text safe to print as a note or in a progress bar.
pub fn shown(text: &str) -> String {
    visible(text.trim_end()).replace('\n', "\n  ")
}

/// Flushes standard output and returns the first error since the program began.
///
/// # Errors
/// If a part of the result could not be printed. A closed pipe is no error: its reader wanted no
/// more.
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

/// Keeps colour sequences (`ESC [ digits m`) and makes every other control character visible.
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
    fn colours_are_kept_and_other_control_characters_are_made_visible() {
        assert_eq!(
            with_styles("\x1b[1mbold\x1b[0m \x1b]0;title\x07\x1b[2J"),
            "\x1b[1mbold\x1b[0m ␛]0;title␇␛[2J"
        );
        assert_eq!(shown("a\x1b[1mb\nharness: c\u{202e}\n"), "a␛[1mb\n  harness: c<U+202E>");
    }

    /// Whether a line of code prints without this module.
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
            && !code.contains("tcgetwinsize(")
            && !code.contains("strip_str(")
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

    /// The guest half is exempt: it runs in the guest and prints records.
    #[test]
    fn no_code_prints_without_this_module() {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut found = vec![];
        sources(&source, &mut found);
        let ours = |path: &Path| {
            let path = path.strip_prefix(&source).unwrap();
            path != Path::new("say.rs") && !path.starts_with("guest") && !path.starts_with("bin")
        };
        let mut bypasses = vec![];
        for path in found.iter().filter(|path| ours(path)) {
            for (number, line) in fs::read_to_string(path).unwrap().lines().enumerate() {
                if prints(line) {
                    bypasses.push(format!("{}:{}: {}", path.display(), number + 1, line.trim()));
                }
            }
        }
        assert!(bypasses.is_empty(), "use say! or note! (harness/src/say.rs) in:\n{}", bypasses.join("\n"));
    }
}
