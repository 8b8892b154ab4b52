//! `harness man`: the man page, made from the definition in [`crate::cli`].

use clap::CommandFactory;

use super::{Failure, Status};
use crate::cli::Cli;

/// Prints the page.
pub fn run() -> Result<Status, Failure> {
    let mut page = Vec::new();
    clap_mangen::Man::new(Cli::command()).render(&mut page).map_err(Failure::infrastructure)?;
    harness::say!("{}", String::from_utf8_lossy(&page).trim_end());
    Ok(Status::Good)
}
