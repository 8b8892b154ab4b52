//! Locks between conductor processes.
//!
//! A lock is a `flock` on a directory that exists anyway. The kernel releases it when its holder
//! dies, and no lock file stays behind.
//!
//! A process that takes several locks takes them in this order: cache, images, containers, one
//! container.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use super::error::{Error, at};

/// Whether other processes may hold the lock at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    /// Shared lock: for readers.
    Shared,
    /// Exclusive lock: for writers.
    Exclusive,
}

/// A lock on a directory. It is released when dropped or when the process ends.
#[derive(Debug)]
pub struct Lock {
    directory: OwnedFd,
}

impl Lock {
    /// Waits for the lock on `path`, an existing directory.
    pub fn wait(path: &Path, share: Share) -> Result<Self, Error> {
        let operation = match share {
            Share::Shared => FlockOperation::LockShared,
            Share::Exclusive => FlockOperation::LockExclusive,
        };
        loop {
            if let Some(lock) = Self::take(path, operation)? {
                return Ok(lock);
            }
        }
    }

    /// Takes the lock on `path`, or returns `None` if another process holds it.
    pub fn attempt(path: &Path, share: Share) -> Result<Option<Self>, Error> {
        Self::take(
            path,
            match share {
                Share::Shared => FlockOperation::NonBlockingLockShared,
                Share::Exclusive => FlockOperation::NonBlockingLockExclusive,
            },
        )
    }

    fn take(path: &Path, operation: FlockOperation) -> Result<Option<Self>, Error> {
        loop {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let directory = at(rustix::fs::open(path, flags, Mode::empty()), "open", path)?;
            match rustix::fs::flock(&directory, operation) {
                Err(Errno::WOULDBLOCK) => return Ok(None),
                Err(Errno::INTR) => continue,
                result => at(result, "lock", path)?,
            }
            // The directory may have been replaced while we waited: then the lock is on the old
            // one.
            let ours = at(rustix::fs::fstat(&directory), "look at", path)?;
            let there = at(rustix::fs::stat(path), "find", path)?;
            if (ours.st_dev, ours.st_ino) == (there.st_dev, there.st_ino) {
                return Ok(Some(Self { directory }));
            }
        }
    }
}

impl AsFd for Lock {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }
}
