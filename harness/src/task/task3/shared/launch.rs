//! Starts containers and commands in them, and finds the process that was asked for.

use std::collections::BTreeSet;
use std::io;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::command::Command;
use super::terminals::{TerminalId, Terminals};
use super::tool::Tool;
use super::view::{ContainerView, Machine};
use crate::evidence::process::Process;
use crate::guest::observe::processes;

/// A command that was expected to start did not; the record `absent`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Absent {
    /// What the scenario calls this step.
    pub step: String,
    /// What was run.
    pub argv: Vec<String>,
    /// Whether the tool had ended by itself.
    pub ended: bool,
    /// What its terminal showed.
    pub screen: String,
}

/// A file of ours could not be laid into the submission's folder; the record `obstructed`. What
/// needs it is tried all the same, and fails by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Obstruction {
    /// What the scenario calls this step.
    pub step: String,
    /// One sentence without a full stop.
    pub what: String,
}

/// The kind of an [`Obstruction`] record.
pub const OBSTRUCTED: &str = "obstructed";

/// A command that runs on a terminal of its own.
#[derive(Clone, Debug)]
pub struct Running {
    /// Its terminal.
    pub terminal: TerminalId,
    /// What was seen of it.
    pub view: ContainerView,
}

/// A scenario at work.
pub struct ToolSession<'a, 'r> {
    /// Where observations go.
    pub recorder: &'a crate::guest::recorder::Recorder<'r>,
    /// Its terminals.
    pub terminals: Terminals<'a, 'r>,
    /// The submission's tool.
    pub tool: &'a Tool,
    /// The machine as it was.
    pub machine: &'a Machine,
}

impl ToolSession<'_, '_> {
    /// Calls the tool and waits for its end.
    ///
    /// # Errors
    /// When the channel is gone.
    pub fn call(&mut self, step: &str, words: &[&str], limit: Duration) -> io::Result<Command> {
        self.terminals.run(step, &self.tool.call(words), limit)
    }

    /// Writes a file into the tool's folder, such as a Conductorfile. Once the submission has had
    /// its turn, a folder that it moved or locked is recorded and no error.
    ///
    /// # Errors
    /// When the channel is gone.
    pub fn write(&self, step: &str, name: &str, content: &str) -> io::Result<()> {
        self.unless_obstructed(step, self.tool.write(name, content))
    }

    /// Records what kept a file of ours from being laid into the submission's folder.
    ///
    /// # Errors
    /// When the channel is gone.
    pub fn unless_obstructed(&self, step: &str, done: io::Result<()>) -> io::Result<()> {
        let Err(error) = done else { return Ok(()) };
        let obstruction = Obstruction { step: step.to_owned(), what: error.to_string() };
        self.recorder.record(OBSTRUCTED, &obstruction)
    }

    /// `run` or `exec` with a command that goes on: first as the transcripts have it, then with the
    /// `--` of the usage lines. Records a `container` or `absent` record.
    ///
    /// # Errors
    /// When the channel is gone.
    pub fn start(&mut self, step: &str, verb: &[&str], command: &[&str]) -> io::Result<Option<Running>> {
        let with_dashes = [verb, &["--"], command].concat();
        if let Some(running) = self.attempt(step, &[verb, command].concat(), command)? {
            return Ok(Some(running));
        }
        if let ["run", _, name] = verb {
            self.call("retry", &["stop", name], self.tool.limit(10.0, 2.0))?;
        }
        self.attempt(step, &with_dashes, command)
    }

    /// `run` or `exec` without a command: a shell that waits at its prompt.
    ///
    /// # Errors
    /// When the channel is gone.
    pub fn start_shell(&mut self, step: &str, verb: &[&str]) -> io::Result<Option<Running>> {
        let before: Vec<i32> = self.machine.contained().iter().map(|process| process.pid).collect();
        let program = self.tool.call(verb);
        let terminal = self.terminals.start(&program)?;
        let limit = self.tool.limit(15.0, 3.0);
        self.terminals
            .until(limit, |terminals| terminals.at_prompt(terminal) || terminals.end(terminal).is_some())?;
        let is_new = |process: &Process| !before.contains(&process.pid);
        let mut shells: Vec<Process> = self.machine.contained().into_iter().filter(is_new).collect();
        // Of a wrapper and the shell it waits for, the shell.
        let parents: Vec<i32> = shells.iter().map(|process| process.ppid).collect();
        shells.retain(|process| {
            !parents.contains(&process.pid) || self.terminals.foreground(terminal) == Some(process.pid)
        });
        let main = shells.into_iter().next_back().filter(|_| self.terminals.at_prompt(terminal));
        self.note(step, terminal, program.argv, main)
    }

    fn attempt(&mut self, step: &str, words: &[&str], command: &[&str]) -> io::Result<Option<Running>> {
        let program = self.tool.call(words);
        let before = self.machine.arrived().iter().map(identity).collect();
        let terminal = self.terminals.start(&program)?;
        // A tool without overlays copies a whole system first.
        let limit = self.tool.limit(40.0, 4.0);
        let machine = self.machine;
        let mut main = None;
        self.terminals.until(limit, |terminals| {
            main = machine.arrived().into_iter().find(|process| runs_in_part(process, command));
            main.is_some() || terminals.end(terminal).is_some()
        })?;
        if main.is_none() && self.terminals.end(terminal).is_some() {
            main = self.left_running(&before, command)?;
        }
        self.note(step, terminal, program.argv, main)
    }

    /// Waits for a command whose tool has ended: the tool may have left it to a process in the
    /// background. Without such a process, there is nothing to wait for.
    fn left_running(
        &mut self,
        before: &BTreeSet<(i32, u64)>,
        command: &[&str],
    ) -> io::Result<Option<Process>> {
        let (machine, own) = (self.machine, processes::own());
        let mut main = None;
        let (began, limit) = (Instant::now(), self.tool.limit(5.0, 2.0));
        // Not a limit of the terminals: what is waited for here is no sign of a tool that hangs.
        self.terminals.until(limit * 8, |_| {
            let mut new = machine.arrived();
            new.retain(|process| is_left(process, before, &own));
            main = new.iter().find(|process| runs_in_part(process, command)).cloned();
            main.is_some() || new.is_empty() || began.elapsed() >= limit
        })?;
        Ok(main)
    }

    fn note(
        &mut self,
        step: &str,
        terminal: TerminalId,
        argv: Vec<String>,
        main: Option<Process>,
    ) -> io::Result<Option<Running>> {
        if let Some(main) = main {
            let view = ContainerView::of(step, self.machine, main);
            self.recorder.record("container", &view)?;
            return Ok(Some(Running { terminal, view }));
        }
        let ended = self.terminals.end(terminal).is_some();
        let screen = self.terminals.screen_end(terminal).to_owned();
        self.recorder.record("absent", &Absent { step: step.to_owned(), argv, ended, screen })?;
        self.terminals.kill(terminal)?;
        Ok(None)
    }
}

/// Whether a process was left by a tool that has ended: it came since `before`, and it is neither a
/// thread of the kernel nor the leader of a terminal's session, which is a copy of `own`.
fn is_left(process: &Process, before: &BTreeSet<(i32, u64)>, own: &Process) -> bool {
    !process.cmdline.is_empty() && process.cmdline != own.cmdline && !before.contains(&identity(process))
}

fn identity(process: &Process) -> (i32, u64) {
    (process.pid, process.start)
}

/// Whether a process runs exactly this command.
pub fn runs(process: &Process, command: &[&str]) -> bool {
    let (Some((file, rest)), Some((wanted, arguments))) =
        (process.cmdline.split_first(), command.split_first())
    else {
        return false;
    };
    file.rsplit('/').next() == wanted.rsplit('/').next() && rest == arguments
}

/// Whether a process runs this command, or its program with the first arguments only. A tool that
/// loses the others loses the mark for them, and its containers are judged all the same.
fn runs_in_part(process: &Process, command: &[&str]) -> bool {
    (command.len().min(2)..=command.len()).any(|words| runs(process, &command[..words]))
}

#[cfg(test)]
mod tests {
    use super::{is_left, runs, runs_in_part};
    use crate::evidence::process::Process;

    #[test]
    fn a_tool_that_has_ended_left_what_came_since_and_is_no_thread_of_the_kernel() {
        let shell = Process { pid: 7, start: 70, ..process(&["bash"]) };
        let own = process(&["harness-guest", "drive"]);
        assert!(is_left(&shell, &[(7, 60), (8, 70)].into(), &own));
        assert!(!is_left(&shell, &[(7, 70)].into(), &own));
        assert!(!is_left(&Process { pid: 9, ..own.clone() }, &[].into(), &own));
        assert!(!is_left(&Process { cmdline: vec![], ..shell }, &[].into(), &own));
    }

    fn process(cmdline: &[&str]) -> Process {
        Process { cmdline: cmdline.iter().map(|word| (*word).to_owned()).collect(), ..Process::default() }
    }

    #[test]
    fn a_command_that_lost_its_last_words_is_found_and_is_not_the_whole_command() {
        let command = ["sleep", "123456", "7"];
        for cmdline in [&["sleep", "123456"][..], &["/usr/bin/sleep", "123456", "7"]] {
            assert!(runs_in_part(&process(cmdline), &command), "{cmdline:?}");
        }
        let others: [&[&str]; 6] = [
            &["sleep"],
            &["sleep", "7"],
            &["sleep", "123456 7"],
            &["sleep", "123456", "8"],
            &["bash", "-c", "sleep 123456 7"],
            &[],
        ];
        for cmdline in others {
            assert!(!runs_in_part(&process(cmdline), &command), "{cmdline:?}");
        }
        assert!(!runs(&process(&["sleep", "123456"]), &command));
        assert!(!runs_in_part(&process(&["sleep"]), &["sleep", "123456"]));
    }
}
