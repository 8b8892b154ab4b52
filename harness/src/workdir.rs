//! A folder for temporary files of one run: unpacked submissions and disks. The run removes it at
//! its end. If the run was killed, the next run removes it, and its control groups.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use crate::{here, remove};

/// The temporary directory of this run. It is locked until it is removed.
#[derive(Debug)]
pub struct Workdir {
    // The directory is removed before its fields are dropped, so while the lock is held.
    directory: tempfile::TempDir,
    _lock: File,
}

/// Why the temporary directory cannot be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what} {} (set HARNESS_CACHE to a writable directory)", path.display())]
pub struct Error {
    what: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl Workdir {
    /// Makes a directory in the cache at `cache`. Removes directories that killed runs left there.
    pub fn new(cache: &Path) -> Result<Self, Error> {
        here::groups::sweep();
        let runs = cache.join("runs");
        let failed = |what, path: &Path| {
            let path = path.to_owned();
            move |source| Error { what, path, source }
        };
        fs::create_dir_all(&runs).map_err(failed("create", &runs))?;
        // This lock covers both sweeping and creation. So no run removes a new directory before its
        // own lock is taken.
        let gate = runs.join(".lock");
        let gate_lock = File::create(&gate).map_err(failed("create", &gate))?;
        gate_lock.lock().map_err(failed("lock", &gate))?;
        sweep(&runs).map_err(failed("clean", &runs))?;
        let directory = tempfile::Builder::new()
            .prefix("run-")
            .tempdir_in(&runs)
            .map_err(failed("create a folder in", &runs))?;
        let lock = File::open(directory.path()).map_err(failed("open", directory.path()))?;
        lock.lock().map_err(failed("lock", directory.path()))?;
        Ok(Self { directory, _lock: lock })
    }

    /// The path of the directory.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Creates an empty folder in the directory.
    pub fn folder(&self, name: &str) -> Result<PathBuf, Error> {
        let path = self.path().join(name);
        fs::create_dir_all(&path).map_err(|source| Error { what: "create", path: path.clone(), source })?;
        Ok(path)
    }
}

impl Drop for Workdir {
    fn drop(&mut self) {
        // What cannot be removed now is named by the next run.
        let _ = remove::folder(self.path());
    }
}

/// Removes the folders of killed runs. One that cannot be removed stops nobody's run.
fn sweep(runs: &Path) -> io::Result<()> {
    for entry in fs::read_dir(runs)? {
        let path = entry?.path();
        if !path.is_dir() {
            continue;
        }
        let lock = File::open(&path)?;
        match lock.try_lock() {
            Ok(()) => {
                if let Err(error) = remove::folder(&path) {
                    crate::note!("cannot remove {}, which an earlier run left: {error}", path.display());
                }
            }
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_of_killed_runs_are_removed_and_those_of_live_runs_stay() {
        let cache = tempfile::tempdir().unwrap();
        let living = Workdir::new(cache.path()).unwrap();
        let dead = cache.path().join("runs/run-dead/submission");
        fs::create_dir_all(&dead).unwrap();
        let next = Workdir::new(cache.path()).unwrap();
        assert!(!dead.exists());
        assert!(living.path().exists() && next.path().exists());
        let path = living.path().to_owned();
        drop(living);
        assert!(!path.exists());
    }
}
