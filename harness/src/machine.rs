//! The machine that submissions meet, and the folder in which the harness keeps it.

use std::env;
use std::path::PathBuf;

use crate::guest::world::{LAN, UPLINK, WORLD};

/// What course staff and students have on their own machines, beyond a bare Debian or Ubuntu.
pub fn setup() -> vm::Setup {
    vm::Setup {
        name: "cs695".to_owned(),
        packages: include_str!("../assets/machine/packages").to_owned(),
        cards: [LAN, WORLD, UPLINK].map(str::to_owned),
        warm_up: include_str!("../assets/machine/warm-up.sh").to_owned(),
    }
}

/// Neither `$HARNESS_CACHE`, `$XDG_CACHE_HOME` nor `$HOME` is set.
#[derive(Debug, thiserror::Error)]
#[error("no place for the cache: set HARNESS_CACHE to a folder")]
pub struct NoCache;

/// The cache: `$HARNESS_CACHE`, else `$XDG_CACHE_HOME/harness`, else `~/.cache/harness`.
///
/// # Errors
/// When none of these variables is set.
pub fn cache() -> Result<vm::Cache, NoCache> {
    let var = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    var("HARNESS_CACHE")
        .or_else(|| var("XDG_CACHE_HOME").map(|dir| dir.join("harness")))
        .or_else(|| var("HOME").map(|dir| dir.join(".cache/harness")))
        .map(vm::Cache::at)
        .ok_or(NoCache)
}
