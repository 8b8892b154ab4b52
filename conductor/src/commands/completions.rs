//! `conductor completions`: a completion script, generated from [`crate::commands::cli`].

use std::io::{self, Write};

use clap::CommandFactory;

use crate::commands::Outcome;
use crate::commands::cli::{Cli, Completions};

/// Prints the completion script for one shell.
pub fn run(args: &Completions) -> Outcome {
    // Written to memory first: clap_complete panics if its writer fails.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "conductor", &mut script);
    io::stdout().write_all(&script)?;
    Ok(0)
}
