//! `harness completions`: a completion script, made from the definition in [`crate::cli`].

use std::io;

use clap::CommandFactory;

use super::Status;
use crate::cli::{Cli, Completions};

/// Prints the script for one shell.
pub fn run(arguments: &Completions) -> Status {
    clap_complete::generate(arguments.shell, &mut Cli::command(), "harness", &mut io::stdout());
    Status::Good
}
