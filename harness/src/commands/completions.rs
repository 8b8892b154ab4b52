//! `harness completions`: prints a shell completion script, generated from [`crate::cli`].

use clap::CommandFactory;

use super::Status;
use crate::cli::{Cli, Completions};

/// Prints the completion script for the given shell.
pub fn run(arguments: &Completions) -> Status {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Cli::command(), "harness", &mut script);
    harness::say!("{}", String::from_utf8_lossy(&script).trim_end());
    Status::Good
}
