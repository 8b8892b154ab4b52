//! The `conductor` program: parse, do, say what went wrong.

use std::process::ExitCode;

use clap::Parser;
use conductor::cli::Cli;
use conductor::commands;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match commands::dispatch(&cli) {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            commands::complain(&*error);
            ExitCode::from(cli.command.failure_status())
        }
    }
}
