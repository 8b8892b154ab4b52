//! `conductor rmcache`.

use std::io::{self, Write};

use crate::commands::Outcome;
use crate::commands::cli::Rmcache;
use crate::image::cache;
use crate::settings::Settings;
use crate::state::store::Store;

/// Deletes the cache.
pub fn run(settings: &Settings, args: &Rmcache) -> Outcome {
    cache::clear(settings, &Store::new(settings), args.force)?;
    writeln!(io::stdout(), "Cache succesfully removed")?;
    Ok(0)
}
