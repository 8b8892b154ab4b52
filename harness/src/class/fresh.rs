//! A folder whose content is replaced as a whole: the new files are written in a folder inside it,
//! and take the place of the old ones only when all of them are there. So a full disk or a wrong
//! option costs nothing of what was there.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use vm::FileError;

/// The folder for files that are not complete yet.
const UNFINISHED: &str = ".unfinished";

/// Why it cannot be replaced.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A folder cannot be made or emptied.
    #[error(transparent)]
    File(#[from] FileError),
    /// Something else is there.
    #[error("{} has other files in it: name an empty folder or one that `class {command}` made", path.display())]
    NotOurs {
        /// The folder.
        path: PathBuf,
        /// Whose folder it must be.
        command: &'static str,
    },
}

/// The new content. Dropping it leaves the folder as it was.
#[derive(Debug)]
pub struct Fresh<'a> {
    into: &'a Path,
    new: PathBuf,
    marker: &'static str,
}

impl<'a> Fresh<'a> {
    /// Begins new content. The folder must be empty, or have the file `marker`, which tells that
    /// `harness class COMMAND` made it.
    ///
    /// # Errors
    /// When something else is there, or the folder cannot be made.
    pub fn begin(into: &'a Path, marker: &'static str, command: &'static str) -> Result<Self, Error> {
        let failed = || FileError::at("write", into);
        fs::create_dir_all(into).map_err(failed())?;
        let new = into.join(UNFINISHED);
        let is_ours = into.join(marker).is_file() || new.is_dir();
        if !is_ours && fs::read_dir(into).map_err(failed())?.next().is_some() {
            return Err(Error::NotOurs { path: into.to_owned(), command });
        }
        remove(&new).and_then(|()| fs::create_dir(&new)).map_err(failed())?;
        Ok(Self { into, new, marker })
    }

    /// Where the new files are written.
    pub fn path(&self) -> &Path {
        &self.new
    }

    /// Replaces the old files, which `is_old` tells by their names, with the new ones.
    ///
    /// # Errors
    /// When they cannot be moved.
    pub fn finish(self, is_old: impl Fn(&OsStr) -> bool) -> Result<(), Error> {
        self.swap(is_old).map_err(FileError::at("replace the files in", self.into))?;
        Ok(())
    }

    fn swap(&self, is_old: impl Fn(&OsStr) -> bool) -> io::Result<()> {
        let (new, old) = (names(&self.new)?, self.new.join(".old"));
        fs::create_dir(&old)?;
        // First to go and last to come: a folder without it is unfinished.
        let is_marker = |name: &&std::ffi::OsString| **name == *self.marker;
        let there = names(self.into)?;
        let there: Vec<_> = there.iter().filter(|name| **name != *UNFINISHED && is_old(name)).collect();
        for name in
            there.iter().filter(|name| is_marker(name)).chain(there.iter().filter(|name| !is_marker(name)))
        {
            fs::rename(self.into.join(name), old.join(name))?;
        }
        for name in new.iter().filter(|name| !is_marker(name)).chain(new.iter().filter(is_marker)) {
            fs::rename(self.new.join(name), self.into.join(name))?;
        }
        Ok(())
    }
}

impl Drop for Fresh<'_> {
    fn drop(&mut self) {
        // What cannot be removed now is removed by the next run. A folder that was made for
        // nothing is empty.
        let _ = remove(&self.new).and_then(|()| fs::remove_dir(self.into));
    }
}

fn names(folder: &Path) -> io::Result<Vec<std::ffi::OsString>> {
    fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.file_name())).collect()
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_files_stay_until_the_new_ones_are_complete() {
        let home = tempfile::tempdir().unwrap();
        let into = home.path().join("out");
        let make = |text: &str| {
            let fresh = Fresh::begin(&into, "marker", "x").unwrap();
            fs::write(fresh.path().join("a"), text).unwrap();
            fs::write(fresh.path().join("marker"), "").unwrap();
            fresh
        };
        drop(make("none"));
        assert!(!into.exists());
        make("one").finish(|_| true).unwrap();
        fs::write(into.join("old"), "").unwrap();
        fs::write(into.join("mine"), "").unwrap();
        drop(make("two"));
        assert_eq!(fs::read_to_string(into.join("a")).unwrap(), "one");
        make("three").finish(|name| name != "mine").unwrap();
        assert_eq!(fs::read_to_string(into.join("a")).unwrap(), "three");
        let mut left = names(&into).unwrap();
        left.sort();
        assert_eq!(left, ["a", "marker", "mine"]);
        fs::remove_file(into.join("marker")).unwrap();
        assert!(matches!(Fresh::begin(&into, "marker", "x"), Err(Error::NotOurs { .. })));
    }
}
