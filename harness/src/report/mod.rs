//! A judged run in words: one module for each reader. All are pure functions of a [`Report`]; the
//! page also shows the evidence that it rests on.

pub mod changes;
pub mod detail;
pub mod github;
pub mod gradescope;
pub mod json;
pub mod junit;
pub mod markdown;
pub mod page;
pub mod sessions;
pub mod terminal;
pub mod text;

use std::collections::BTreeMap;
use std::path::Path;

use crate::bundle::{self, write_atomically};
use crate::evidence::Bundle;
use crate::verdict::Report;

/// The files that [`write()`] writes.
pub const FILES: [&str; 5] = ["index.html", "report.json", "junit.xml", "summary.md", "annotations.txt"];

/// Writes `index.html`, `report.json`, `junit.xml`, `summary.md` and
/// `annotations.txt` into a directory.
pub fn write(directory: &Path, report: &Report, bundle: &Bundle) -> Result<(), bundle::Error> {
    let page = match report.detail {
        None => page::render(report, bundle),
        // The page shows what was recorded; a reader of less gets none of it.
        Some(_) => page::render(report, &Bundle { recordings: BTreeMap::new(), ..bundle.clone() }),
    };
    for (name, text) in [
        ("index.html", page),
        ("report.json", json::render(report)),
        ("junit.xml", junit::render(report)),
        ("summary.md", markdown::render(report)),
        ("annotations.txt", github::render(report)),
    ] {
        write_atomically(&directory.join(name), |out| out.write_all(text.as_bytes()))?;
    }
    Ok(())
}
