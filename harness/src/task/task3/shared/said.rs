//! Lines typed at a prompt as the assignment's sample sessions have them, and what
//! the terminal showed.

use std::io;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::launch::ToolSession;
use super::terminals::TerminalId;

/// How much of an answer is kept, in characters.
const CAP: usize = 16 << 10;

/// A line that was typed and what followed it, up to the next prompt; the record `said`. For
/// people: no mark depends on it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    /// What the scenario calls this moment.
    pub step: String,
    /// What was typed. For the start of a shell, its command.
    pub line: String,
    /// What the terminal showed, with the prompt at its end; `None` where the
    /// prompt did not come back.
    pub shown: Option<String>,
}

impl ToolSession<'_, '_> {
    /// Records what a terminal has shown until its first prompt.
    ///
    /// # Errors
    /// When the channel is gone.
    pub fn keep_start(&self, step: &str, terminal: TerminalId, words: &[&str]) -> io::Result<()> {
        let shown = self.terminals.screen(terminal).to_owned();
        self.said(step, &format!("./conductor.sh {}", words.join(" ")), Some(shown))
    }

    /// Types a line and records the answer.
    ///
    /// # Errors
    /// When the channel is gone, or the machine exhausted.
    pub fn say(&mut self, step: &str, terminal: TerminalId, line: &str) -> io::Result<()> {
        let limit = self.tool.limit(5.0, 2.0);
        let shown = self.terminals.type_line(terminal, line, limit)?;
        self.said(step, line, shown)
    }

    /// Types a line whose program does not end by itself. Presses Ctrl-C when the answer contains
    /// `word` as many times as `times` says, and records the answer.
    ///
    /// # Errors
    /// As [`say`](Self::say).
    pub fn say_until(
        &mut self,
        step: &str,
        terminal: TerminalId,
        line: &str,
        (word, times): (&str, usize),
    ) -> io::Result<()> {
        let before = self.terminals.screen(terminal).len();
        self.terminals.type_last_line(terminal, line);
        let limit = self.tool.limit(5.0, 1.0);
        self.terminals.until(limit, |terminals| {
            let shown = terminals.screen(terminal).get(before..).unwrap_or_default();
            shown.matches(word).count() >= times
                || shown.contains("not found") && terminals.at_prompt(terminal)
                || terminals.end(terminal).is_some()
        })?;
        if !self.terminals.at_prompt(terminal) {
            self.terminals.interrupt(terminal);
        }
        let ended = self.terminals.until(limit, |terminals| terminals.at_prompt(terminal))?;
        let shown = self.terminals.screen(terminal).get(before..).unwrap_or_default().to_owned();
        self.said(step, line, ended.then_some(shown))
    }

    /// Leaves a shell by `exit` and records its last words.
    ///
    /// # Errors
    /// As [`say`](Self::say).
    pub fn leave(&mut self, step: &str, terminal: TerminalId, limit: Duration) -> io::Result<()> {
        let before = self.terminals.screen(terminal).len();
        self.terminals.type_last_line(terminal, "exit");
        self.terminals.finish(step, terminal, limit)?;
        let shown = self.terminals.screen(terminal).get(before..).unwrap_or_default().to_owned();
        let ended = self.terminals.end(terminal).is_some();
        self.said(step, "exit", ended.then_some(shown))
    }

    fn said(&self, step: &str, line: &str, shown: Option<String>) -> io::Result<()> {
        let shown = shown.map(|shown| shown.chars().take(CAP).collect());
        self.recorder.record("said", &Said { step: step.to_owned(), line: line.to_owned(), shown })
    }
}
