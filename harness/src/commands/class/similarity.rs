//! `harness class similarity`: what students wrote themselves, for a program that compares it.

use harness::class::code::Key;
use harness::class::{input, similarity};
use harness::workdir::Workdir;
use harness::{note, say};

use super::{Failure, Status, left_aside};
use crate::cli::class::Similarity;

/// Writes the folders and says where.
pub fn run(arguments: &Similarity) -> Result<Status, Failure> {
    let class = input::read(&arguments.class.input).map_err(Failure::unreadable)?;
    let key = arguments.anonymous.as_deref().map(Key::read).transpose().map_err(Failure::unreadable)?;
    let cache = harness::machine::cache().map_err(Failure::infrastructure)?;
    let workdir = Workdir::new(cache.root()).map_err(Failure::infrastructure)?;
    let scratch = workdir.folder("class").map_err(Failure::infrastructure)?;
    let request = similarity::Request {
        class: &class,
        into: &arguments.into,
        starter: arguments.starter.as_deref(),
        key: key.as_ref(),
        scratch: &scratch,
    };
    let written = similarity::write(&request).map_err(Failure::unreadable)?;
    left_aside(&class);
    for remark in &written.remarks {
        note!("{remark}");
    }
    say!("{} folders in {}", written.folders, arguments.into.display());
    Ok(Status::Good)
}
