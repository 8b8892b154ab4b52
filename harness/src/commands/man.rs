//! `harness man`: prints the man page, generated from [`crate::cli`].

use clap::CommandFactory;

use super::{Failure, Status};
use crate::cli::Cli;

/// Prints the man page in roff format.
pub fn run() -> Result<Status, Failure> {
    let mut page = Vec::new();
    clap_mangen::Man::new(Cli::command()).render(&mut page).map_err(Failure::infrastructure)?;
    harness::say!("{}", String::from_utf8_lossy(&page).trim_end());
    Ok(Status::Good)
}
