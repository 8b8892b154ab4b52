//! `conductor rmcache`.

use std::io::{self, Write};

use crate::cache;
use crate::cli::Rmcache;
use crate::commands::Outcome;
use crate::settings::Settings;
use crate::store::Store;

/// Empties the cache.
pub fn run(settings: &Settings, args: &Rmcache) -> Outcome {
    cache::clear(&Store::new(settings), args.force)?;
    writeln!(io::stdout(), "Cache succesfully removed")?;
    Ok(0)
}
