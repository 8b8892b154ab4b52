//! `conductor rmi`.

use std::io::{self, Write};

use crate::commands::Outcome;
use crate::commands::cli::Rmi;
use crate::image::catalog;
use crate::settings::Settings;
use crate::state::store::Store;

/// Deletes an image.
pub fn run(settings: &Settings, args: &Rmi) -> Outcome {
    catalog::remove(&Store::new(settings), &args.image)?;
    // The assignment's transcripts spell it this way.
    writeln!(io::stdout(), "{} succesfully removed", args.image)?;
    Ok(0)
}
