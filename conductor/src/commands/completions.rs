//! `conductor completions`: a completion script, made from the definition in [`crate::cli`].

use std::io;

use clap::CommandFactory;

use crate::cli::{Cli, Completions};
use crate::commands::Outcome;

/// Prints the script for one shell.
pub fn run(args: &Completions) -> Outcome {
    clap_complete::generate(args.shell, &mut Cli::command(), "conductor", &mut io::stdout());
    Ok(0)
}
