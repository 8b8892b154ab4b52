//! `conductor completions`: a completion script, made from the definition in [`crate::cli`].

use std::io::{self, Write};

use clap::CommandFactory;

use crate::cli::{Cli, Completions};
use crate::commands::Outcome;

/// Prints the script for one shell.
pub fn run(args: &Completions) -> Outcome {
    // Into memory first: clap_complete panics where it cannot write.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "conductor", &mut script);
    io::stdout().write_all(&script)?;
    Ok(0)
}
