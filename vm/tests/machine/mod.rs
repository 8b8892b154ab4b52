//! The cache and the machine of these tests: those of the harness, so that one image serves the
//! tests of both crates.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::env;
use std::path::PathBuf;

use vm::{Cache, Setup};

/// `$HARNESS_CACHE`, else the user's.
pub fn cache() -> Cache {
    let usual = || PathBuf::from(env::var_os("HOME").unwrap()).join(".cache/harness");
    Cache::at(env::var_os("HARNESS_CACHE").map_or_else(usual, PathBuf::from))
}

/// As `harness::machine::setup` has it.
pub fn setup() -> Setup {
    Setup {
        name: "cs695".to_owned(),
        packages: include_str!("../../../harness/assets/machine/packages").to_owned(),
        cards: ["lan0", "world0", "uplink0"].map(str::to_owned),
        warm_up: include_str!("../../../harness/assets/machine/warm-up.sh").to_owned(),
    }
}
