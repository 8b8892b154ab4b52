//! The `conductor` program: parse the command line, run the command, report its error.

use std::process::ExitCode;

use conductor::commands;
use conductor::commands::cli::Cli;

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
