//! `conductor run`.

use crate::cli::Run;
use crate::commands::Outcome;
use crate::settings::Settings;

/// Runs the command.
pub fn run(_settings: &Settings, _args: &Run) -> Outcome {
    Err("run: not there yet".into())
}
