//! Where the guest half's observations go: one JSON object a line on its standard output, which the
//! channel carries to the host.

use std::io::{self, Write};
use std::sync::Mutex;
use std::time::Instant;

use serde::Serialize;

use crate::evidence::Record;

/// Writes records as they are made, from any thread.
pub struct Recorder<'a> {
    started: Instant,
    out: Mutex<Box<dyn Write + Send + 'a>>,
}

impl<'a> Recorder<'a> {
    /// A recorder whose clock starts now.
    pub fn new(out: impl Write + Send + 'a) -> Self {
        Self { started: Instant::now(), out: Mutex::new(Box::new(out)) }
    }

    /// Writes one record and flushes it, so that it survives whatever happens next.
    ///
    /// # Errors
    /// When the channel is gone, or `data` has no JSON form.
    pub fn record(&self, kind: &str, data: &impl Serialize) -> io::Result<()> {
        let data = serde_json::to_value(data)?;
        // The time is taken when it is this record's turn: later records are never older.
        let mut out = self.out.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let ms = self.started.elapsed().as_millis().try_into().unwrap_or(u64::MAX);
        let record = Record { ms, host_ms: None, kind: kind.to_owned(), data };
        let mut line = serde_json::to_vec(&record)?;
        line.push(b'\n');
        out.write_all(&line)?;
        out.flush()
    }
}
