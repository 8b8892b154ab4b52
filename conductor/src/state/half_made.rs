//! Directories that appear complete or not at all.
//!
//! A new directory gets a name that begins with [`HALF_MADE`] and is renamed when it is complete.
//! An old one is renamed to such a name before it is deleted. So a directory without that prefix is
//! always complete, and a killed process leaves only half-made directories, which [`sweep`]
//! deletes.

use std::ffi::OsStr;
use std::fs;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::{CWD, Gid, Mode};
use rustix::io::Errno;

use super::error::{Error, at};
use super::lock::{Lock, Share};
use super::{attributes, delete};

/// Prefix of the names of incomplete directories.
pub const HALF_MADE: &str = ".half-made-";
/// What follows the prefix for a directory that is being made.
const NEW: &str = "new";
/// What follows the prefix for a directory that is being deleted.
const REMOVED: &str = "removed";

/// A locked directory that is not complete. If it is dropped before [`HalfMade::finish`], it is
/// deleted.
#[derive(Debug)]
pub struct HalfMade {
    path: PathBuf,
    lock: Option<Lock>,
}

impl HalfMade {
    /// Creates a directory in `folder`, which must exist.
    pub fn begin(folder: &Path) -> Result<Self, Error> {
        loop {
            let path = unused(folder, NEW);
            match rustix::fs::mkdir(&path, Mode::from_raw_mode(0o700)) {
                Err(Errno::EXIST) => continue,
                made => at(made, "make a directory in", folder)?,
            }
            // Another process may have swept it before we locked it: try again.
            match Lock::attempt(&path, Share::Exclusive) {
                Ok(Some(lock)) => {
                    let half_made = Self { path, lock: Some(lock) };
                    half_made.disinherit()?;
                    return Ok(half_made);
                }
                Ok(None) => {}
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Removes what the directory inherited, so that files in it inherit nothing.
    fn disinherit(&self) -> Result<(), Error> {
        let Some(lock) = &self.lock else { return Ok(()) };
        let clear = || {
            if rustix::fs::fstat(lock)?.st_gid != 0 {
                rustix::fs::fchown(lock, None, Some(Gid::ROOT))?;
            }
            attributes::remove_inherited(lock.as_fd())?;
            // Removing an access control list leaves its mode; the set-group-ID bit is inherited
            // too.
            rustix::fs::fchmod(lock, Mode::from_raw_mode(0o700))
        };
        at(clear(), "set the owner and mode of", &self.path)
    }

    /// Its current path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Waits until its file system is on the disk (syncfs(2)). Layers and images need this: after a
    /// crash of the machine the directory could otherwise exist with empty files.
    pub fn sync(&self) -> Result<(), Error> {
        let Some(lock) = &self.lock else { return Ok(()) };
        at(rustix::fs::syncfs(lock), "sync the file system of", &self.path)
    }

    /// Renames it to `name`. Returns the lock on it, or `None` if a complete directory has that
    /// name already; that one is kept.
    pub fn finish(mut self, name: &Path) -> Result<Option<Lock>, Error> {
        match rustix::fs::renameat_with(CWD, &self.path, CWD, name, rustix::fs::RenameFlags::NOREPLACE) {
            Ok(()) => Ok(self.lock.take()),
            Err(Errno::EXIST) => Ok(None),
            Err(error) => Err(Error::new("rename a finished directory to", name, error)),
        }
    }

    /// Renames it to `name`. If a directory has that name, the two are exchanged atomically and the
    /// old one is deleted.
    pub fn replace(mut self, name: &Path) -> Result<(), Error> {
        let exchange = rustix::fs::RenameFlags::EXCHANGE;
        match rustix::fs::renameat_with(CWD, &self.path, CWD, name, exchange) {
            // `self.path` is now the old directory; dropping `self` deletes it.
            Ok(()) => Ok(()),
            Err(Errno::NOENT) => {
                at(fs::rename(&self.path, name), "rename a finished directory to", name)?;
                self.lock = None;
                Ok(())
            }
            Err(error) => Err(Error::new("replace", name, error)),
        }
    }
}

impl Drop for HalfMade {
    fn drop(&mut self) {
        if self.lock.is_some() {
            // If it cannot be deleted now, the next sweep tries again.
            let _ = delete::tree(&self.path);
        }
    }
}

/// Deletes the half-made directories in `folder` that killed processes left behind, except those in
/// which something is mounted. Errors are ignored: the next sweep tries again.
pub fn sweep(folder: &Path) {
    sweep_with(folder, delete::tree);
}

/// Like [`sweep`], but detaches what is mounted in the directories: only a container that was being
/// deleted can have mounts.
pub fn sweep_with_mounts(folder: &Path) {
    sweep_with(folder, delete::tree_with_mounts);
}

fn sweep_with(folder: &Path, delete: impl Fn(&Path) -> Result<(), Error>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if !is_name(&entry.file_name()) {
            continue;
        }
        if let Ok(Some(_lock)) = Lock::attempt(&entry.path(), Share::Exclusive) {
            let _ = delete(&entry.path());
        }
    }
}

/// Deletes the directory `path`: it vanishes at once, then its content is deleted. Never enters
/// another mount.
///
/// The directory is renamed in its folder, which needs no space on a full disk. If even the rename
/// lacks space, the directory is deleted under its own name, its files last; after a crash, it is
/// incomplete but can still be deleted.
pub fn remove(path: &Path) -> Result<(), Error> {
    // A sweep skips locked directories.
    let _lock = Lock::attempt(path, Share::Exclusive)?;
    remove_with(path, delete::tree)
}

/// Like [`remove`], but detaches what is mounted in the directory. The caller holds the exclusive
/// lock on it.
pub fn remove_with_mounts(path: &Path) -> Result<(), Error> {
    remove_with(path, delete::tree_with_mounts)
}

fn remove_with(path: &Path, delete: impl Fn(&Path) -> Result<(), Error>) -> Result<(), Error> {
    let grave = unused(path.parent().unwrap_or(path), REMOVED);
    match rustix::fs::renameat_with(CWD, path, CWD, &grave, rustix::fs::RenameFlags::NOREPLACE) {
        Ok(()) => delete(&grave),
        Err(Errno::NOSPC | Errno::DQUOT) => {
            // One of the files shows that it is a container.
            for entry in at(fs::read_dir(path), "list", path)? {
                let entry = at(entry, "list", path)?;
                if at(entry.file_type(), "look at", &entry.path())?.is_dir() {
                    delete(&entry.path())?;
                }
            }
            delete(path)
        }
        Err(error) => Err(Error::new("remove", path, error)),
    }
}

/// Whether a name has the form that `unused` gives. Other programs may use the prefix too.
pub fn is_name(name: &OsStr) -> bool {
    let parts = || {
        let (purpose, rest) = name.to_str()?.strip_prefix(HALF_MADE)?.split_once('-')?;
        let (pid, moment) = rest.split_once('-')?;
        Some((purpose, pid, moment))
    };
    let is_made_of =
        |text: &str, digit: fn(&u8) -> bool| !text.is_empty() && text.as_bytes().iter().all(digit);
    parts().is_some_and(|(purpose, pid, moment)| {
        matches!(purpose, NEW | REMOVED)
            && is_made_of(pid, u8::is_ascii_digit)
            && is_made_of(moment, u8::is_ascii_hexdigit)
    })
}

/// An unused name in `folder`. A process makes or deletes one directory at a time, so PID and time
/// are unique, except for processes of several PID namespaces.
fn unused(folder: &Path, purpose: &str) -> PathBuf {
    let moment = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
    folder.join(format!("{HALF_MADE}{purpose}-{}-{moment:x}", std::process::id()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exclusive_lock_keeps_others_out_until_it_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let lock = Lock::wait(folder.path(), Share::Exclusive).unwrap();
        assert!(Lock::attempt(folder.path(), Share::Shared).unwrap().is_none());
        drop(lock);
        let _one = Lock::attempt(folder.path(), Share::Shared).unwrap().unwrap();
        let _two = Lock::attempt(folder.path(), Share::Shared).unwrap().unwrap();
        assert!(Lock::attempt(folder.path(), Share::Exclusive).unwrap().is_none());
    }

    #[test]
    fn a_dropped_half_made_directory_is_removed_and_a_finished_one_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let dropped = HalfMade::begin(folder.path()).unwrap();
        fs::create_dir_all(dropped.path().join("a/b")).unwrap();
        drop(dropped);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        let kept = HalfMade::begin(folder.path()).unwrap();
        fs::write(kept.path().join("file"), "").unwrap();
        assert!(kept.finish(&folder.path().join("name")).unwrap().is_some());
        assert!(folder.path().join("name/file").exists());
        let late = HalfMade::begin(folder.path()).unwrap();
        assert!(late.finish(&folder.path().join("name")).unwrap().is_none());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_sweep_takes_what_the_dead_left_and_leaves_what_the_living_make() {
        let folder = tempfile::tempdir().unwrap();
        let living = HalfMade::begin(folder.path()).unwrap();
        fs::create_dir_all(unused(folder.path(), NEW).join("a")).unwrap();
        fs::create_dir_all(unused(folder.path(), REMOVED).join("a")).unwrap();
        fs::create_dir(folder.path().join("whole")).unwrap();
        // Another program made these.
        let others = ["mine", "new-1", "new-1-", "old-1-2", "new-x-2", "new-1-2.txt"];
        for name in others {
            fs::create_dir(folder.path().join(HALF_MADE.to_owned() + name)).unwrap();
        }
        sweep(folder.path());
        assert!(living.path().exists());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2 + others.len());
        assert_eq!(crate::state::store::entries(folder.path()).unwrap(), ["whole"]);
    }

    #[test]
    fn removing_does_not_follow_links() {
        let folder = tempfile::tempdir().unwrap();
        let precious = folder.path().join("precious");
        fs::create_dir(&precious).unwrap();
        fs::write(precious.join("file"), "").unwrap();
        let tree = folder.path().join("tree");
        fs::create_dir(&tree).unwrap();
        std::os::unix::fs::symlink(&precious, tree.join("link")).unwrap();
        remove(&tree).unwrap();
        assert!(!tree.exists());
        assert!(precious.join("file").exists());
    }
}
