//! `conductor build`.

use crate::cli::Build;
use crate::commands::Outcome;
use crate::settings::Settings;

/// Runs the command.
pub fn run(_settings: &Settings, _args: &Build) -> Outcome {
    Err("build: not there yet".into())
}
