//! Where the guest half's observations go: one JSON object a line on its standard output, which the
//! channel carries to the host.

use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use serde::Serialize;
use serde_json::Value;

use super::pause::Pause;
use crate::evidence::Record;
use crate::wire::PAUSED;

/// Writes records as they are made, from any thread.
pub struct Recorder<'a> {
    started: Instant,
    sink: Mutex<Sink<'a>>,
}

struct Sink<'a> {
    out: Box<dyn Write + Send + 'a>,
    pause: Option<Pause>,
}

impl<'a> Recorder<'a> {
    /// A recorder whose clock starts now.
    pub fn new(out: impl Write + Send + 'a) -> Self {
        let sink = Sink { out: Box::new(out), pause: None };
        Self { started: Instant::now(), sink: Mutex::new(sink) }
    }

    /// The same recorder, which stops the scenario once for a person.
    #[must_use]
    pub fn pausing(self, pause: Option<Pause>) -> Self {
        let Sink { out, .. } = self.sink.into_inner().unwrap_or_else(PoisonError::into_inner);
        Self { sink: Mutex::new(Sink { out, pause }), ..self }
    }

    /// Writes one record and flushes it, so that it survives whatever happens next.
    ///
    /// # Errors
    /// When the channel is gone, or `data` has no JSON form.
    pub fn record(&self, kind: &str, data: &impl Serialize) -> io::Result<()> {
        let data = serde_json::to_value(data)?;
        // The time is taken when it is this record's turn: later records are never older.
        let mut sink = self.sink.lock().unwrap_or_else(PoisonError::into_inner);
        self.write(&mut sink, kind, data)?;
        if sink.pause.as_mut().is_some_and(|pause| pause.is_after(kind)) {
            self.stop(&mut sink, true)?;
        }
        Ok(())
    }

    /// Stops at the scenario's end, unless it stopped before.
    ///
    /// # Errors
    /// When the channel is gone, or there is no shell.
    pub fn end(&self) -> io::Result<()> {
        let mut sink = self.sink.lock().unwrap_or_else(PoisonError::into_inner);
        let has_moment = sink.pause.as_ref().map(Pause::has_moment);
        has_moment.map_or(Ok(()), |has_moment| self.stop(&mut sink, !has_moment))
    }

    /// Gives a person a shell, and ends the scenario with it. No other thread records.
    fn stop(&self, sink: &mut Sink, is_the_moment: bool) -> io::Result<()> {
        if let Some(pause) = sink.pause.take() {
            let mut shell = pause.open_shell()?;
            self.write(sink, PAUSED, is_the_moment.into())?;
            shell.wait()?;
        }
        std::process::exit(0)
    }

    fn write(&self, sink: &mut Sink, kind: &str, data: Value) -> io::Result<()> {
        let ms = self.started.elapsed().as_millis().try_into().unwrap_or(u64::MAX);
        let record = Record { ms, host_ms: None, kind: kind.to_owned(), data };
        let mut line = serde_json::to_vec(&record)?;
        line.push(b'\n');
        sink.out.write_all(&line)?;
        sink.out.flush()
    }
}
