//! `conductor images`.

use crate::cli::Listing;
use crate::commands::Outcome;
use crate::settings::Settings;

/// Runs the command.
pub fn run(_settings: &Settings, _args: &Listing) -> Outcome {
    Err("images: not there yet".into())
}
