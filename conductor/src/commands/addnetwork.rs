//! `conductor addnetwork`.

use crate::cli::Addnetwork;
use crate::commands::Outcome;
use crate::settings::Settings;

/// Runs the command.
pub fn run(_settings: &Settings, _args: &Addnetwork) -> Outcome {
    Err("addnetwork: not there yet".into())
}
