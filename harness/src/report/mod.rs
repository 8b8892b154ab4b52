//! A judged run in words: one module for each reader. All are pure functions of a [`Report`].

pub mod github;
pub mod json;
pub mod junit;
pub mod markdown;
pub mod terminal;
pub(crate) mod text;

use std::path::Path;

use crate::bundle::{self, write_atomically};
use crate::verdict::Report;

/// The files that [`write()`] writes.
pub const FILES: [&str; 4] = ["report.json", "junit.xml", "summary.md", "annotations.txt"];

/// Writes `report.json`, `junit.xml`, `summary.md` and `annotations.txt` into a directory.
pub fn write(directory: &Path, report: &Report) -> Result<(), bundle::Error> {
    for (name, text) in [
        ("report.json", json::render(report)),
        ("junit.xml", junit::render(report)),
        ("summary.md", markdown::render(report)),
        ("annotations.txt", github::render(report)),
    ] {
        write_atomically(&directory.join(name), |out| out.write_all(text.as_bytes()))?;
    }
    Ok(())
}
