//! `conductor rmi`.

use std::io::{self, Write};

use crate::cli::Rmi;
use crate::commands::Outcome;
use crate::images;
use crate::settings::Settings;
use crate::store::Store;

/// Deletes an image.
pub fn run(settings: &Settings, args: &Rmi) -> Outcome {
    images::remove(&Store::new(settings), &args.image)?;
    // Spelt as the assignment's transcripts spell it.
    writeln!(io::stdout(), "{} succesfully removed", args.image)?;
    Ok(0)
}
