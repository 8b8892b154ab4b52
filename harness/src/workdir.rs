//! Where a run keeps what only it needs: unpacked submissions, payload disks. Removed when the run ends, and by
//! the next one where it was killed.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

/// A directory of this run's own, locked as long as it lives.
#[derive(Debug)]
pub struct Workdir {
    // Dropped in this order: the directory goes while its lock is still held.
    directory: tempfile::TempDir,
    _lock: File,
}

/// Why there is no place to work in.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what} {}: {source}; set HARNESS_CACHE to a directory that can be written", path.display())]
pub struct Error {
    what: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl Workdir {
    /// A new one in the cache at `cache`. Removes those that killed runs left there.
    pub fn new(cache: &Path) -> Result<Self, Error> {
        let runs = cache.join("runs");
        let failed = |what, path: &Path| {
            let path = path.to_owned();
            move |source| Error { what, path, source }
        };
        fs::create_dir_all(&runs).map_err(failed("create", &runs))?;
        // Whoever sweeps or makes a directory does it under this lock, so that none is swept before it is locked.
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

    /// Its path.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// A new, empty folder in it.
    pub fn folder(&self, name: &str) -> Result<PathBuf, Error> {
        let path = self.path().join(name);
        fs::create_dir_all(&path).map_err(|source| Error { what: "create", path: path.clone(), source })?;
        Ok(path)
    }
}

fn sweep(runs: &Path) -> io::Result<()> {
    for entry in fs::read_dir(runs)? {
        let path = entry?.path();
        if !path.is_dir() {
            continue;
        }
        let lock = File::open(&path)?;
        match lock.try_lock() {
            Ok(()) => fs::remove_dir_all(&path)?,
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
    fn what_a_killed_run_left_is_swept_and_a_living_run_is_left_alone() {
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
