//! Finds the submission's own folder within the directory or archive.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::Error;

/// The greatest depth of a submission's folder: one folder may surround `<rollnumber>_assignment3`.
const DEEPEST: usize = 2;

/// A submission's folder.
#[derive(Debug)]
pub struct Root {
    /// The path from the top.
    pub path: PathBuf,
    /// How many levels below the top the folder is.
    pub depth: usize,
}

/// Finds the topmost folder of `source` that contains task folders. Among several at one depth, the
/// one named `<rollnumber>_assignment3` is chosen. If no folder contains task folders, a folder
/// with such a name is chosen. `folders` lists the subfolders of a folder; `top` is the name of the
/// topmost folder.
pub fn find(
    source: &Path,
    top: Option<&str>,
    folders: &dyn Fn(&Path) -> Result<Vec<OsString>, Error>,
) -> Result<Root, Error> {
    let mut level = vec![PathBuf::new()];
    let mut named = vec![];
    let roll = |folder: &Path| match folder.file_name() {
        Some(name) => roll_number(Path::new(name)).map(str::to_owned),
        None => top.and_then(|top| roll_number(Path::new(top))).map(str::to_owned),
    };
    for depth in 0..=DEEPEST {
        let (mut with_tasks, mut below) = (vec![], vec![]);
        for folder in level {
            let inner: Vec<_> = folders(&folder)?.into_iter().filter(is_looked_into).collect();
            if inner.iter().any(is_task) {
                with_tasks.push(folder);
            } else {
                below.extend(inner.into_iter().map(|name| folder.join(name)));
                if roll(&folder).is_some() {
                    named.push(Root { path: folder, depth });
                }
            }
        }
        if with_tasks.len() > 1 && with_tasks.iter().filter(|folder| roll(folder).is_some()).count() == 1 {
            with_tasks.retain(|folder| roll(folder).is_some());
        }
        match with_tasks.as_slice() {
            [] => level = below,
            [path] => return Ok(Root { path: path.clone(), depth }),
            several => return Err(Error::Several { path: source.to_owned(), folders: names(several) }),
        }
    }
    match named.len() {
        0 => Err(Error::NoSubmission { path: source.to_owned() }),
        1 => Ok(named.remove(0)),
        _ => {
            let folders: Vec<_> = named.into_iter().map(|root| root.path).collect();
            Err(Error::Several { path: source.to_owned(), folders: names(&folders) })
        }
    }
}

/// What Moodle writes before a file's own name, where its download has no folders.
const MOODLES: &str = "_assignsubmission_file_";

/// The roll number in the name of a folder or archive, `<rollnumber>_assignment3`.
pub fn roll_number(path: &Path) -> Option<&str> {
    let name = path.file_name()?.to_str()?;
    let name = name.rsplit_once(MOODLES).map_or(name, |(_, own)| own);
    let at = name.to_ascii_lowercase().find("_assignment3").filter(|at| *at > 0)?;
    name.get(..at)
}

/// Whether a folder is named `task1` to `task4`, in upper or lower case.
fn is_task(name: &OsString) -> bool {
    let name = name.to_str().unwrap_or_default();
    ["task1", "task2", "task3", "task4"].iter().any(|task| task.eq_ignore_ascii_case(name))
}

fn is_looked_into(name: &OsString) -> bool {
    !name.as_encoded_bytes().starts_with(b".") && name != "__MACOSX"
}

/// The names of the first ten folders, because there can be thousands.
fn names(folders: &[PathBuf]) -> Vec<String> {
    const MOST: usize = 10;
    let mut names: Vec<_> = folders.iter().take(MOST).map(|folder| folder.display().to_string()).collect();
    if folders.len() > MOST {
        names.push(format!("and {} more", folders.len() - MOST));
    }
    names
}
