//! The `harness` program: parses the command line, runs one command and prints its error, if any.

mod cli;
mod commands;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Command};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match &cli.command {
        Command::Grade(arguments) => commands::grade::run(arguments),
        Command::Check(arguments) => commands::check::run(arguments),
        Command::Judge(arguments) => commands::judge::run(arguments),
        Command::Checks(arguments) => commands::checks::list(arguments),
        Command::Explain(arguments) => commands::checks::explain(arguments),
        Command::Show(arguments) => commands::show::run(arguments),
        Command::Debug(arguments) => commands::debug::run(arguments),
        Command::Class(arguments) => commands::class::run(arguments),
        Command::Doctor => commands::doctor::run(),
        Command::Vm(arguments) => commands::vm::run(arguments),
        Command::Completions(arguments) => Ok(commands::completions::run(arguments)),
        Command::Man => commands::man::run(),
        Command::Corpus(arguments) => commands::corpus::run(arguments),
    };
    // A result that could not be printed is a failure, unless the command already failed.
    let done = done.and_then(|status| commands::printed().map(|()| status));
    match done {
        Ok(status) => status.into(),
        Err(failure) => {
            harness::note!("harness: {failure}");
            failure.status().into()
        }
    }
}
