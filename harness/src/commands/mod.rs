//! One file for each command. A command loads its input, calls the library and prints the outcome;
//! parsing is in [`crate::cli`], decisions are in the library.

pub mod check;
pub mod checks;
pub mod class;
pub mod completions;
pub mod corpus;
pub mod debug;
pub mod doctor;
pub mod grade;
mod here;
pub mod judge;
pub mod man;
pub mod show;
mod stop;
pub mod vm;

use std::error::Error;
use std::fmt::{self, Display};
use std::path::Path;
use std::process::ExitCode;

use harness::judge::Outcome;
use harness::report::terminal;
use harness::verdict::Report;
use harness::{reports, say, submission};

/// The exit status of `harness`. Scripts rely on it; `harness --help` documents it.
#[derive(Clone, Copy, Debug)]
pub enum Status {
    /// Every check passed, or the command succeeded.
    Good = 0,
    /// Some marks were lost, or `doctor` found a missing requirement.
    Lacking = 1,
    /// The submission or the arguments cannot be read.
    Unreadable = 2,
    /// The infrastructure failed.
    Infrastructure = 3,
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> Self {
        Self::from(status as u8)
    }
}

impl From<Outcome> for Status {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::AllPassed => Self::Good,
            Outcome::MarksLost => Self::Lacking,
            Outcome::NoVerdict => Self::Infrastructure,
        }
    }
}

/// Fails if some of the result could not be printed.
pub fn printed() -> Result<(), Failure> {
    let failed =
        |error| Failure::infrastructure(format!("cannot write the result to standard output: {error}"));
    say::finish().map_err(failed)
}

/// Fails if some of the result could not be printed. The error then says where the report is.
pub fn printed_from(report: &Path) -> Result<(), Failure> {
    let there = report.display();
    printed().map_err(|Failure { status, message }| Failure {
        status,
        message: format!("{message}; the report is in {there}"),
    })
}

/// The terminal's width, or that of a report where standard output is no terminal.
fn width() -> usize {
    let size = rustix::termios::tcgetwinsize(std::io::stdout());
    size.ok().map(|size| usize::from(size.ws_col)).filter(|columns| *columns > 0).unwrap_or(terminal::WIDTH)
}

/// Prints a report. Its prose fits the terminal.
fn print_report(report: &Report, verbose: bool) {
    say::styled(&terminal::render_within(width().min(terminal::WIDTH), report, verbose));
}

/// Why a command failed, and the exit status for that.
#[derive(Debug)]
pub struct Failure {
    status: Status,
    message: String,
}

impl Failure {
    /// The submission or the arguments are at fault.
    pub fn unreadable(error: impl Into<Box<dyn Error>>) -> Self {
        Self { status: Status::Unreadable, message: ::vm::chain(&*error.into()) }
    }

    /// The infrastructure is at fault.
    pub fn infrastructure(error: impl Into<Box<dyn Error>>) -> Self {
        Self { status: Status::Infrastructure, message: ::vm::chain(&*error.into()) }
    }

    /// A submission could not be opened. The submission is at fault unless our copy of it failed.
    pub fn submission(error: submission::Error) -> Self {
        if error.is_ours() { Self::infrastructure(error) } else { Self::unreadable(error) }
    }

    /// The report's folder could not be claimed or written.
    pub fn place(error: reports::Error) -> Self {
        if error.is_of_the_arguments() { Self::unreadable(error) } else { Self::infrastructure(error) }
    }

    /// The exit status for this failure.
    pub fn status(&self) -> Status {
        self.status
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
