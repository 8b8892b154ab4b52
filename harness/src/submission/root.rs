//! Where in what was handed in the submission's own folder is.

use std::fs;
use std::path::{Path, PathBuf};

use super::Error;

/// How far below the top a submission's folder may lie: one folder around `<rollnumber>_assignment3`.
const DEEPEST: usize = 2;

/// A submission's folder.
#[derive(Debug)]
pub struct Root {
    /// Where it is.
    pub path: PathBuf,
    /// How many folders below the top.
    pub depth: usize,
}

/// The topmost folder in `top` with task folders in it; where there is none, one with the right name. Of several
/// at one depth, the one with the right name.
pub fn find(top: &Path) -> Result<Root, Error> {
    let mut level = vec![top.to_owned()];
    let mut named = vec![];
    for depth in 0..=DEEPEST {
        let (mut with_tasks, mut below) = (vec![], vec![]);
        for folder in level {
            let inner = folders(&folder)?;
            if inner.iter().any(|folder| is_task(folder)) {
                with_tasks.push(folder);
            } else {
                if roll_number(&folder).is_some() {
                    named.push(Root { path: folder, depth });
                }
                below.extend(inner);
            }
        }
        if with_tasks.len() > 1
            && with_tasks.iter().filter(|folder| roll_number(folder).is_some()).count() == 1
        {
            with_tasks.retain(|folder| roll_number(folder).is_some());
        }
        match with_tasks.as_slice() {
            [] => level = below,
            [path] => return Ok(Root { path: path.clone(), depth }),
            several => return Err(Error::Several { path: top.to_owned(), folders: names(several, top) }),
        }
    }
    match named.len() {
        0 => Err(Error::NoSubmission { path: top.to_owned() }),
        1 => Ok(named.remove(0)),
        _ => {
            let folders: Vec<_> = named.into_iter().map(|root| root.path).collect();
            Err(Error::Several { path: top.to_owned(), folders: names(&folders, top) })
        }
    }
}

/// The roll number in a folder's or archive's name, `<rollnumber>_assignment3`.
pub fn roll_number(path: &Path) -> Option<&str> {
    let name = path.file_name()?.to_str()?;
    let at = name.to_ascii_lowercase().find("_assignment3").filter(|at| *at > 0)?;
    name.get(..at)
}

/// Whether a folder is called `task1` to `task4`, in whatever case.
fn is_task(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    ["task1", "task2", "task3", "task4"].iter().any(|task| task.eq_ignore_ascii_case(name))
}

fn folders(path: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut folders = vec![];
    for entry in fs::read_dir(path).map_err(Error::io("read", path))? {
        let (entry, kind) = entry
            .and_then(|entry| entry.file_type().map(|kind| (entry, kind)))
            .map_err(Error::io("read", path))?;
        let hidden =
            entry.file_name().as_encoded_bytes().starts_with(b".") || entry.file_name() == "__MACOSX";
        if kind.is_dir() && !hidden {
            folders.push(entry.path());
        }
    }
    folders.sort();
    Ok(folders)
}

fn names(folders: &[PathBuf], top: &Path) -> Vec<String> {
    folders.iter().map(|folder| folder.strip_prefix(top).unwrap_or(folder).display().to_string()).collect()
}
