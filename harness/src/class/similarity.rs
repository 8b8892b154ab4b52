//! What students wrote themselves, as a folder for each submission: programs such as `JPlag`, Dolos
//! and copydetect compare those. What was handed out is left out, so that it makes nobody alike.
//! There is no detector here.

use std::collections::BTreeMap;
use std::path::Path;

use super::code::Key;
use super::entry::{Class, Entry};
use super::fetch::fetch;
use super::fresh::{self, Fresh};
use crate::bundle::{self, write_atomically};
use crate::submission::{self, Limits, marked};

/// The files that are compared, with the names that say their language to other programs.
const COMPARED: [(&str, &str); 5] = [
    ("task1/namespace_prog.c", "namespace_prog.c"),
    ("task2/simple_container.sh", "simple_container.sh"),
    ("task3/conductor.sh", "conductor.sh"),
    ("task3/setup.sh", "setup.sh"),
    ("task4/service-orchestrator.sh", "service-orchestrator.sh"),
];

/// Marks a folder that `class similarity` made, so that the next run may replace it.
const MARKER: &str = ".similarity";

/// What is to be written.
#[derive(Debug)]
pub struct Request<'a> {
    /// The class.
    pub class: &'a Class,
    /// Where the folders go.
    pub into: &'a Path,
    /// The files as students were handed them.
    pub starter: Option<&'a Path>,
    /// The key for codes in place of ids.
    pub key: Option<&'a Key>,
    /// For what only this run needs.
    pub scratch: &'a Path,
}

/// Why nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be written.
    #[error(transparent)]
    Write(#[from] bundle::Error),
    /// The starter cannot be read.
    #[error(transparent)]
    Starter(#[from] submission::Error),
    /// The folder cannot be replaced.
    #[error(transparent)]
    Fresh(#[from] fresh::Error),
}

/// What was written.
#[derive(Debug, Default)]
pub struct Written {
    /// How many folders.
    pub folders: usize,
    /// Who has none, and why.
    pub remarks: Vec<String>,
}

/// Writes the folders.
///
/// # Errors
/// When they cannot be written. A submission that cannot be read has none, and is named.
pub fn write(request: &Request) -> Result<Written, Error> {
    let mut starter = BTreeMap::new();
    for (path, _) in COMPARED {
        let text = request.starter.map(|starter| marked::handed_out(starter, path)).transpose()?.flatten();
        starter.insert(path, text);
    }
    let fresh = Fresh::begin(request.into, MARKER, "similarity")?;
    let mut written = Written::default();
    for entry in &request.class.entries {
        match own_files(request, entry, &starter) {
            Err(why) => written.remarks.push(format!("{}: left out: {why}", entry.id)),
            Ok(files) if files.is_empty() => {
                written
                    .remarks
                    .push(format!("{}: left out: nothing in it was written by the student", entry.id));
            }
            Ok(files) => {
                let name = request.key.map_or_else(|| entry.id.clone(), |key| key.code(&entry.id));
                for (file, text) in files {
                    let path = fresh.path().join(&name).join(file);
                    write_atomically(&path, |out| out.write_all(text.as_bytes()))?;
                }
                written.folders += 1;
            }
        }
    }
    write_atomically(&fresh.path().join(MARKER), |_| Ok(()))?;
    fresh.finish(|_| true)?;
    Ok(written)
}

type Files = Vec<(&'static str, String)>;

fn own_files(
    request: &Request,
    entry: &Entry,
    starter: &BTreeMap<&str, Option<String>>,
) -> Result<Files, String> {
    if let Some(problem) = entry.problems.first() {
        return Err(problem.clone());
    }
    let fetched =
        fetch(request.class, entry, &request.scratch.join("entry")).map_err(|error| error.to_string())?;
    let into = tempfile::tempdir_in(request.scratch).map_err(|error| error.to_string())?;
    let opened = submission::open(&fetched.source, into.path(), &Limits::default(), None)
        .map_err(|error| vm::chain(&error))?;
    let mut files = vec![];
    for (path, name) in COMPARED {
        let Ok(content) = opened.read(Path::new(path), marked::MOST_BYTES) else { continue };
        let before = starter.get(path).and_then(Option::as_deref);
        let own = marked::own_work(before, &String::from_utf8_lossy(&content));
        if !own.trim().is_empty() {
            files.push((name, own));
        }
    }
    Ok(files)
}
