//! One file for each command. A command parses nothing and decides nothing: it loads, calls the library and
//! says how that ended.

pub mod check;
pub mod completions;
pub mod corpus;
pub mod doctor;
pub mod grade;
pub mod judge;
pub mod man;
pub mod vm;

use std::fmt::{self, Display};
use std::path::Path;
use std::process::ExitCode;

use harness::judge::Outcome;
use harness::{reports, say, submission};

/// The exit status of `harness`: a contract, see `harness --help`.
#[derive(Clone, Copy, Debug)]
pub enum Status {
    /// Every check passed, or the command did what it was asked.
    Good = 0,
    /// Marks were lost, or something needs a remedy.
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

/// Whether all of the result could be printed.
pub fn printed() -> Result<(), Failure> {
    let failed = |error| Failure::infrastructure(format!("cannot print the result: {error}"));
    say::finish().map_err(failed)
}

/// Whether all of it could be printed; where not, its report is still there.
pub fn printed_from(report: &Path) -> Result<(), Failure> {
    let there = report.display();
    printed().map_err(|Failure { status, message }| Failure {
        status,
        message: format!("{message}; the report is in {there}"),
    })
}

/// Why a command came to no result.
#[derive(Debug)]
pub struct Failure {
    status: Status,
    message: String,
}

impl Failure {
    /// Of the submission or the arguments.
    pub fn unreadable(error: impl Display) -> Self {
        Self { status: Status::Unreadable, message: error.to_string() }
    }

    /// Of the infrastructure.
    pub fn infrastructure(error: impl Display) -> Self {
        Self { status: Status::Infrastructure, message: error.to_string() }
    }

    /// Of taking a submission in: its own, unless our copy could not be made.
    pub fn submission(error: submission::Error) -> Self {
        if error.is_ours() { Self::infrastructure(error) } else { Self::unreadable(error) }
    }

    /// Of a report that has no place.
    pub fn place(error: reports::Error) -> Self {
        if error.is_of_the_arguments() { Self::unreadable(error) } else { Self::infrastructure(error) }
    }

    /// The exit status that it makes.
    pub fn status(&self) -> Status {
        self.status
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
