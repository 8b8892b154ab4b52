//! Programs of a submission: how each began, what it wrote to its terminal, which calls it
//! made, and how it ended.

use serde::{Deserialize, Serialize};

use super::exhausted::Exhausted;
use super::process::Process;

/// The record `start`: a program begins on a terminal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    /// The terminal's number, from 0 in the order of opening.
    #[serde(default)]
    pub terminal: usize,
    /// The command.
    pub argv: Vec<String>,
}

/// The record `output`: a piece of a terminal's output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// Which terminal, counted from 0 in the order in which they were opened.
    #[serde(default)]
    pub terminal: usize,
    /// The text, control characters included.
    pub text: String,
}

/// Why a program was stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stopped {
    /// Its time was over.
    Time,
    /// Nothing worked any more.
    Still,
    /// It wrote too much.
    Output,
    /// Its time was over several times, while known work was still running.
    Working,
    /// The machine had no more of something.
    #[serde(untagged)]
    Exhausted(Exhausted),
}

/// How the program's run ended; the record `outcome`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The program's PID.
    pub pid: i32,
    /// How it ended; `None` when it could not even be killed.
    pub end: Option<End>,
    /// Why it was stopped, if it was.
    pub stopped: Option<Stopped>,
    /// Seconds from its first instruction to its end.
    pub seconds: f64,
    /// The time limit, in seconds.
    pub limit: f64,
    /// Processes of its tree that were still there a moment after its end.
    pub left: Vec<Process>,
    /// Processes of its tree that were there when it was stopped.
    #[serde(default)]
    pub running: Vec<Process>,
    /// Bytes it wrote.
    pub output: u64,
}

/// A system call that returned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// Its name.
    pub name: String,
    /// Its first two arguments.
    pub arguments: [u64; 2],
    /// What it returned; an error as a negative number.
    pub result: i64,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum End {
    /// With this status.
    Status(i32),
    /// By this signal.
    Signal(i32),
}

/// The machine's host name changed; the record `hostname`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hostname {
    /// The new name.
    pub name: String,
}
