//! `conductor peer`.

use crate::cli::Peer;
use crate::commands::Outcome;
use crate::settings::Settings;

/// Runs the command.
pub fn run(_settings: &Settings, _args: &Peer) -> Outcome {
    Err("peer: not there yet".into())
}
