//! `harness man`: the man page, made from the definition in [`crate::cli`].

use std::io;

use clap::CommandFactory;

use super::{Failure, Status};
use crate::cli::Cli;

/// Prints the page.
pub fn run() -> Result<Status, Failure> {
    clap_mangen::Man::new(Cli::command()).render(&mut io::stdout()).map_err(Failure::infrastructure)?;
    Ok(Status::Good)
}
