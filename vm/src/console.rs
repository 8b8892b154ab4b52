//! The last output of a guest's serial console.

use std::io::{Read, Write};
use std::sync::{Arc, Mutex, PoisonError};

use crate::Console;

/// The most that is kept, in bytes.
const MEMORY: usize = 64 << 10;

/// The most lines that an outcome quotes.
const QUOTED: usize = 30;

/// A running record of a console; clones share it.
#[derive(Clone, Default)]
pub(crate) struct Record(Arc<Mutex<Text>>);

impl std::fmt::Debug for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Record").field(&self.position()).finish()
    }
}

#[derive(Default)]
struct Text {
    bytes: Vec<u8>,
    echo: Option<Box<dyn Write + Send>>,
    /// The number of bytes before `bytes`.
    forgotten: usize,
}

impl Record {
    /// Reads to the end, on a thread of its own.
    pub(crate) fn follow(&self, mut console: impl Read + Send + 'static) -> std::thread::JoinHandle<()> {
        let record = self.clone();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = console.read(&mut buffer) {
                record.push(&buffer[..count]);
            }
        })
    }

    /// From now on, also writes the output to a watcher.
    pub(crate) fn echo_to(&self, watcher: impl Write + Send + 'static) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).echo = Some(Box::new(watcher));
    }

    fn push(&self, bytes: &[u8]) {
        let mut text = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(echo) = &mut text.echo {
            let _ = echo.write_all(bytes).and_then(|()| echo.flush());
        }
        text.bytes.extend_from_slice(bytes);
        let surplus = text.bytes.len().saturating_sub(MEMORY);
        text.bytes.drain(..surplus);
        text.forgotten += surplus;
    }

    /// The present end of the record, for [`Record::since`].
    pub(crate) fn position(&self) -> usize {
        let text = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        text.forgotten + text.bytes.len()
    }

    /// The output after `position` that is still kept.
    pub(crate) fn since(&self, position: usize) -> String {
        let text = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let start = position.saturating_sub(text.forgotten).min(text.bytes.len());
        String::from_utf8_lossy(&text.bytes[start..]).into_owned()
    }

    /// The last lines.
    pub(crate) fn tail(&self) -> Console {
        let lines = lines(&self.since(0));
        Console(lines[lines.len().saturating_sub(QUOTED)..].to_vec())
    }

    /// The lines from the last one that contains `words`, at most as many as an outcome quotes.
    pub(crate) fn from(&self, words: &str) -> Console {
        let lines = lines(&self.since(0));
        let start = lines.iter().rposition(|line| line.contains(words)).unwrap_or(0);
        Console(lines[start..].iter().take(QUOTED).cloned().collect())
    }
}

fn lines(text: &str) -> Vec<String> {
    text.lines().map(|line| line.trim_end().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_kept_and_output_since_a_position_is_found() {
        let record = Record::default();
        record.push(&vec![b'x'; MEMORY]);
        let before = record.position();
        record.push(b"\nKernel panic - not syncing\r\n");
        assert_eq!(record.since(before), "\nKernel panic - not syncing\r\n");
        assert_eq!(record.tail().0.last().unwrap(), "Kernel panic - not syncing");
        assert_eq!(record.since(0).len(), MEMORY);
        record.push(&b"trace\n".repeat(2 * QUOTED));
        assert_eq!(record.tail().0, vec!["trace"; QUOTED]);
        assert_eq!(record.from("Kernel panic").0[..2], ["Kernel panic - not syncing", "trace"]);
    }
}
