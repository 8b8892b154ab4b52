//! `conductor exec`.

use crate::cli::Exec;
use crate::commands::Outcome;
use crate::settings::Settings;

/// Runs the command.
pub fn run(_settings: &Settings, _args: &Exec) -> Outcome {
    Err("exec: not there yet".into())
}
