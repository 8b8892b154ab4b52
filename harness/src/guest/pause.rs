//! Stops a scenario at one moment and gives a person a shell in the machine as it is then (`harness
//! debug`).

use std::io::{self, BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::wire;

/// A stop that is still to come.
#[derive(Debug)]
pub struct Pause {
    plan: wire::Pause,
    /// The shell's working directory.
    folder: PathBuf,
    /// The number of records of the moment's kind so far.
    seen: usize,
}

impl Pause {
    /// A stop as `plan` says, with a shell in `folder`.
    pub fn new(plan: wire::Pause, folder: PathBuf) -> Self {
        Self { plan, folder, seen: 0 }
    }

    /// Counts a record. True if the scenario stops after it.
    pub fn is_after(&mut self, kind: &str) -> bool {
        let Some(moment) = self.plan.at.as_ref().filter(|moment| moment.kind == kind) else { return false };
        self.seen += 1;
        self.seen == moment.number
    }

    /// Whether the scenario was to stop at a moment before its end.
    pub fn has_moment(&self) -> bool {
        self.plan.at.is_some()
    }

    /// Starts the shell. Returns when it has the console: before that, input is lost.
    ///
    /// # Errors
    /// When the shell cannot be started.
    pub fn open_shell(&self) -> io::Result<Child> {
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", &self.plan.script]).current_dir(&self.folder);
        let mut shell = shell.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        if let Some(stdout) = shell.stdout.take() {
            BufReader::new(stdout).read_line(&mut String::new())?;
        }
        Ok(shell)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Moment;

    #[test]
    fn the_moment_is_counted_among_records_of_its_kind() {
        let at = Some(Moment { kind: "command".into(), number: 2 });
        let plan = wire::Pause { at, script: String::new() };
        let mut pause = Pause::new(plan, PathBuf::from("/"));
        let kinds = ["command", "output", "command", "command"];
        assert_eq!(kinds.map(|kind| pause.is_after(kind)), [false, false, true, false]);
    }
}
