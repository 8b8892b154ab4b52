//! A judged run in words: one module for each reader. All are pure functions of a [`Report`]; the page also shows the
//! evidence that it rests on.

pub mod github;
pub mod json;
pub mod junit;
pub mod markdown;
pub mod page;
pub mod terminal;
pub(crate) mod text;

use std::path::Path;

use crate::bundle::{self, write_atomically};
use crate::evidence::Bundle;
use crate::verdict::Report;

/// The files that [`write()`] writes.
pub const FILES: [&str; 5] = ["index.html", "report.json", "junit.xml", "summary.md", "annotations.txt"];

/// Writes `index.html`, `report.json`, `junit.xml`, `summary.md` and `annotations.txt` into a directory.
pub fn write(directory: &Path, report: &Report, bundle: &Bundle) -> Result<(), bundle::Error> {
    for (name, text) in [
        ("index.html", page::render(report, bundle)),
        ("report.json", json::render(report)),
        ("junit.xml", junit::render(report)),
        ("summary.md", markdown::render(report)),
        ("annotations.txt", github::render(report)),
    ] {
        write_atomically(&directory.join(name), |out| out.write_all(text.as_bytes()))?;
    }
    Ok(())
}
