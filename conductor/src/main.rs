//! The `conductor` program: parse, do, say what went wrong.

use std::process::ExitCode;

use conductor::cli::Cli;
use conductor::commands;

fn main() -> ExitCode {
    let cli = Cli::from_command_line();
    match commands::dispatch(&cli) {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            commands::complain(&*error);
            ExitCode::from(cli.command.failure_status())
        }
    }
}
