//! `harness completions`: a completion script, made from the definition in [`crate::cli`].

use clap::CommandFactory;

use super::Status;
use crate::cli::{Cli, Completions};

/// Prints the script for one shell.
pub fn run(arguments: &Completions) -> Status {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Cli::command(), "harness", &mut script);
    harness::say!("{}", String::from_utf8_lossy(&script).trim_end());
    Status::Good
}
