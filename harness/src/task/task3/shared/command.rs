//! The record of a program that ran on one of the [terminals](super::terminals).

use serde::{Deserialize, Serialize};

use crate::evidence::exhausted::Exhausted;
use crate::evidence::program::{End, Stopped};

/// A program that was run to its end; the record `command`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Command {
    /// What the scenario calls this step.
    pub step: String,
    /// What was run.
    pub argv: Vec<String>,
    /// How it ended; `None` where it could not even be killed.
    pub end: Option<End>,
    /// Why it was stopped, if it was.
    pub stopped: Option<Stopped>,
    /// Seconds from its start to its end.
    pub seconds: f64,
    /// The end of what its terminal showed.
    pub screen: String,
}

impl Command {
    /// Whether it ended by itself and said that all is well.
    pub fn succeeded(&self) -> bool {
        self.end == Some(End::Status(0)) && self.stopped.is_none()
    }

    /// How it ended, in words.
    pub fn ending(&self) -> String {
        let name = self.argv.join(" ");
        match (self.stopped, self.end) {
            (Some(Stopped::Time), _) => format!("`{name}` did not end within {:.0} s", self.seconds),
            (Some(Stopped::Still), _) => {
                format!(
                    "`{name}` did not end: it was stopped after {:.0} s, when no process was active any more",
                    self.seconds
                )
            }
            (Some(Stopped::Working), _) => {
                format!(
                    "`{name}` was stopped after {:.0} s, while known work was still running",
                    self.seconds
                )
            }
            (Some(Stopped::Output), _) => format!("`{name}` was stopped because it wrote too much"),
            (Some(Stopped::Exhausted(Exhausted::Processes)), _) => {
                format!("`{name}` was stopped: it or another program was filling the machine with processes")
            }
            (Some(Stopped::Exhausted(Exhausted::Disk)), _) => {
                format!("`{name}` was stopped: it or another program was filling the machine's disk")
            }
            (None, Some(End::Status(status))) => format!("`{name}` ended with status {status}"),
            (None, Some(End::Signal(signal))) => format!("`{name}` was killed by signal {signal}"),
            (None, None) => format!("`{name}` did not end"),
        }
    }
}
