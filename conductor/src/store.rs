//! Where images, containers and the cache lie on disk, and how several `conductor`s share them.
//!
//! Every lock is a `flock` on a directory that is there anyway: the kernel lets go of it when its holder dies,
//! and no lock files are left. Everything new is made under a name that begins with [`HALF_MADE`] and renamed when it is
//! whole; everything old is renamed to such a name before it is deleted. So a name without that prefix always
//! stands for something complete, and a killed process leaves only half-made things, which
//! [`sweep`] removes.
//!
//! Lock order, to be kept by whoever takes more than one: cache, images, containers, then one container.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::{CWD, FlockOperation, Gid, Mode, OFlags};
use rustix::io::Errno;

use crate::attributes;
use crate::delete;
use crate::names::{ContainerName, ImageName};
use crate::settings::Settings;

/// What the names of half-made and half-deleted things begin with.
pub const HALF_MADE: &str = ".half-made-";

/// File of a container that holds the name of the image it was made from, and a newline.
pub const IMAGE_FILE: &str = "image";

/// Device and inode, by which a folder is known whatever it is called.
pub type Inode = (u64, u64);

/// The three folders that hold all state.
#[derive(Debug, Clone)]
pub struct Store {
    /// One folder an image, each with its `layers` file.
    pub images: PathBuf,
    /// One folder a container.
    pub containers: PathBuf,
    /// `base/` and `layers/`, shared by all images.
    pub cache: PathBuf,
}

/// An operation on a state folder that failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {path}")]
pub struct Error {
    action: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl Error {
    pub(crate) fn new(action: &'static str, path: &Path, source: impl Into<io::Error>) -> Self {
        Self { action, path: path.to_owned(), source: source.into() }
    }

    /// Whether the thing asked for was not there.
    pub fn is_not_found(&self) -> bool {
        self.source.kind() == io::ErrorKind::NotFound
    }
}

/// Names `action` and `path` in an error.
pub(crate) fn at<T, E: Into<io::Error>>(
    result: Result<T, E>,
    action: &'static str,
    path: &Path,
) -> Result<T, Error> {
    result.map_err(|source| Error::new(action, path, source))
}

impl Store {
    /// The folders that `settings` name. Nothing is made yet.
    pub fn new(settings: &Settings) -> Self {
        Self {
            images: settings.images.clone(),
            containers: settings.containers.clone(),
            cache: settings.cache.clone(),
        }
    }

    /// The state folders that are there.
    pub fn identities(&self) -> Vec<Inode> {
        let folders = [&self.images, &self.containers, &self.cache].into_iter();
        folders.filter_map(|folder| fs::metadata(folder).ok()).map(|data| (data.dev(), data.ino())).collect()
    }

    /// The folder of an image, whether it exists or not.
    pub fn image(&self, name: &ImageName) -> PathBuf {
        self.images.join(name)
    }

    /// The folder of a container, whether it exists or not.
    pub fn container(&self, name: &ContainerName) -> PathBuf {
        self.containers.join(name)
    }

    /// Containers that exist, running or exited, with the image each was made from where that is recorded.
    pub fn containers(&self) -> Result<Vec<(ContainerName, Option<ImageName>)>, Error> {
        let names = entries(&self.containers)?.into_iter().filter_map(|name| name.parse().ok());
        let image = |name: &ContainerName| {
            fs::read_to_string(self.container(name).join(IMAGE_FILE)).ok()?.trim().parse().ok()
        };
        Ok(names.map(|name: ContainerName| (name.clone(), image(&name))).collect())
    }
}

/// Names in a state folder that stand for something complete, sorted; none where there is no folder.
pub fn entries(folder: &Path) -> Result<Vec<String>, Error> {
    let read = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        read => at(read, "list", folder)?,
    };
    let mut names = Vec::new();
    for entry in read {
        let name = at(entry, "list", folder)?.file_name();
        names.extend(name.into_string().ok().filter(|name| !name.starts_with('.')));
    }
    names.sort();
    Ok(names)
}

/// Makes a state folder and those above it, for root only: the trees inside have set-user-ID programs in them
/// (compare CVE-2021-41091).
pub fn make_folder(path: &Path) -> Result<(), Error> {
    at(fs::DirBuilder::new().recursive(true).mode(0o700).create(path), "make", path)
}

/// Whether others may hold a lock at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    /// Others may share it: for who only needs the thing to stay as it is.
    Shared,
    /// Nobody else: for who changes it.
    Exclusive,
}

/// A lock on a directory, held until dropped or until the process ends.
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

    /// Takes the lock on `path` if nobody is in the way.
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
            // While we waited, the directory may have been replaced: the lock is then on the old one.
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

/// A directory being made: locked, and removed when dropped unless [`HalfMade::finish`] gave it its name.
#[derive(Debug)]
pub struct HalfMade {
    path: PathBuf,
    lock: Option<Lock>,
}

impl HalfMade {
    /// Begins a directory in `folder`, which must exist.
    pub fn begin(folder: &Path) -> Result<Self, Error> {
        loop {
            let made = tempfile::Builder::new().prefix(HALF_MADE).tempdir_in(folder);
            let path = at(made, "make a directory in", folder)?.keep();
            // A sweep may have come between; then there is nothing to lock, and we begin again.
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

    /// Removes what the directory took from its folder, so that nothing made in it takes anything either.
    fn disinherit(&self) -> Result<(), Error> {
        let Some(lock) = &self.lock else { return Ok(()) };
        let clear = || {
            if rustix::fs::fstat(lock)?.st_gid != 0 {
                rustix::fs::fchown(lock, None, Some(Gid::ROOT))?;
            }
            attributes::remove_inherited(lock.as_fd())?;
            // What is left of a removed list is the mode; a set-group-ID bit is inherited too.
            rustix::fs::fchmod(lock, Mode::from_raw_mode(0o700))
        };
        at(clear(), "set the owner and mode of", &self.path)
    }

    /// Where it is for now.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Waits until all that was written to its file system is on the disk, by one syncfs(2). Without it a crash of the
    /// machine may leave the name, and behind it files without contents: for what is used again after a restart.
    pub fn sync(&self) -> Result<(), Error> {
        let Some(lock) = &self.lock else { return Ok(()) };
        at(rustix::fs::syncfs(lock), "sync the file system of", &self.path)
    }

    /// Gives it its name. Returns the lock on it, and whether it is ours: `None` where a complete one of that
    /// name was there already, which is kept.
    pub fn finish(mut self, name: &Path) -> Result<Option<Lock>, Error> {
        match rustix::fs::renameat_with(CWD, &self.path, CWD, name, rustix::fs::RenameFlags::NOREPLACE) {
            Ok(()) => Ok(self.lock.take()),
            Err(Errno::EXIST) => Ok(None),
            Err(error) => Err(Error::new("rename a finished directory to", name, error)),
        }
    }

    /// Gives it its name in place of what has that name now, at once; that is deleted.
    pub fn replace(mut self, name: &Path) -> Result<(), Error> {
        let exchange = rustix::fs::RenameFlags::EXCHANGE;
        match rustix::fs::renameat_with(CWD, &self.path, CWD, name, exchange) {
            // Ours is the old one from here on, and goes as this is dropped.
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
            // What cannot be removed now is left to the next sweep.
            let _ = delete::tree(&self.path);
        }
    }
}

/// Removes what a killed process left half-made in `folder`. Tidying up keeps nobody from work: what cannot be removed
/// now, as where somebody has mounted something in it, is left to the next sweep.
pub fn sweep(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if !entry.file_name().as_encoded_bytes().starts_with(HALF_MADE.as_bytes()) {
            continue;
        }
        if let Ok(Some(_lock)) = Lock::attempt(&entry.path(), Share::Exclusive) {
            let _ = delete::tree(&entry.path());
        }
    }
}

/// Makes the directory `path` vanish at once, then deletes what was in it. Never goes into another mount.
///
/// It is renamed where it is, which needs no room on a full disk. Where even that fails for want of room, it is deleted
/// under its own name: what a crash then leaves is incomplete, but still there to be deleted.
pub fn remove(path: &Path) -> Result<(), Error> {
    // Whoever sweeps meanwhile leaves a locked directory alone.
    let _lock = Lock::attempt(path, Share::Exclusive)?;
    let grave = grave(path);
    match rustix::fs::renameat_with(CWD, path, CWD, &grave, rustix::fs::RenameFlags::NOREPLACE) {
        Ok(()) => delete::tree(&grave),
        Err(Errno::NOSPC | Errno::DQUOT) => delete::tree(path),
        Err(error) => Err(Error::new("remove", path, error)),
    }
}

/// A name beside `path` that nothing has: by our pid and the moment, since a process deletes one directory at a time.
fn grave(path: &Path) -> PathBuf {
    let moment = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
    path.with_file_name(format!("{HALF_MADE}removed-{}-{moment:x}", std::process::id()))
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
        fs::create_dir_all(folder.path().join(HALF_MADE.to_owned() + "dead/a")).unwrap();
        fs::create_dir(folder.path().join("whole")).unwrap();
        sweep(folder.path());
        assert!(living.path().exists());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
        assert_eq!(entries(folder.path()).unwrap(), ["whole"]);
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
