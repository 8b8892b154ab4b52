//! `conductor rmcache`.

use crate::cli::Rmcache;
use crate::commands::Outcome;
use crate::settings::Settings;

/// Runs the command.
pub fn run(_settings: &Settings, _args: &Rmcache) -> Outcome {
    Err("rmcache: not there yet".into())
}
