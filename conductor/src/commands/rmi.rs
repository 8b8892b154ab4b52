//! `conductor rmi`.

use crate::cli::Rmi;
use crate::commands::Outcome;
use crate::settings::Settings;

/// Runs the command.
pub fn run(_settings: &Settings, _args: &Rmi) -> Outcome {
    Err("rmi: not there yet".into())
}
