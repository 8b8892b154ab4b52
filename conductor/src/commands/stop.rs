//! `conductor stop`.

use crate::cli::Stop;
use crate::commands::Outcome;
use crate::settings::Settings;

/// Runs the command.
pub fn run(_settings: &Settings, _args: &Stop) -> Outcome {
    Err("stop: not there yet".into())
}
