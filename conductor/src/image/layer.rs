//! Layers in the cache: `layers/<key>/diff` has the changes of one instruction,
//! `layers/<key>/metadata` describes it.
//!
//! A layer is written in a half-made directory. It is renamed to its key when it is complete and on
//! the disk, so every layer with a key is usable, even after a crash of the machine. Layers never
//! change; only `rmcache` deletes them.

use std::ffi::CString;
use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::image::cache_key::CacheKey;
use crate::image::copy;
use crate::state::delete;
use crate::state::half_made::HalfMade;
use crate::state::store::{self, Store};
use crate::state::{self, at, is_directory, read};

/// The folder of the layers in the cache.
pub const FOLDER: &str = "layers";
/// The changes of the layer, in its folder.
const DIFF: &str = "diff";
/// The metadata of a layer, in its folder, as JSON. Beside a base system, it is an extension.
pub(crate) const METADATA: &str = "metadata";

/// A committed layer, or a base system.
#[derive(Debug, Clone)]
pub struct Layer {
    /// Its key.
    pub key: CacheKey,
    /// Its directory, ready to be mounted.
    pub tree: PathBuf,
    /// Whether it was already in the cache.
    pub cached: bool,
}

/// The description of a layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    /// The instruction that created it.
    pub instruction: String,
    /// The key of the layer below. A base system has none.
    pub parent: Option<String>,
    /// The number of bytes in its files.
    pub size: u64,
    /// When it was created, in seconds since 1970.
    pub created: u64,
}

impl Metadata {
    /// The metadata of a layer that is created now.
    pub(crate) fn new(instruction: String, parent: Option<&CacheKey>, size: u64) -> Self {
        let created = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
        Self { instruction, parent: parent.map(CacheKey::to_string), size, created }
    }

    pub(crate) fn write(&self, path: &Path) -> Result<(), state::Error> {
        let text = serde_json::to_string_pretty(self).unwrap_or_default() + "\n";
        at(fs::write(path, text), "write", path)
    }

    /// The metadata of the layer whose directory is `tree`, if it has any.
    pub fn read(tree: &Path) -> Option<Self> {
        serde_json::from_slice(&read::file(CWD, &Self::path(tree)).ok()?).ok()
    }

    /// The path of the metadata for the layer whose directory is `tree`: beside `diff`, or beside
    /// `base/debian-bookworm` as `debian-bookworm.metadata`.
    pub(crate) fn path(tree: &Path) -> PathBuf {
        match tree.file_name() {
            Some(name) if name != DIFF => {
                tree.with_file_name(format!("{}.{METADATA}", name.to_string_lossy()))
            }
            _ => tree.with_file_name(METADATA),
        }
    }
}

/// The number of bytes in the files of a tree. A file with several names counts once for each.
pub(crate) fn size(tree: &Path) -> Result<u64, state::Error> {
    let open = at(rustix::fs::openat(CWD, tree, OPEN_DIRECTORY, Mode::empty()), "list", tree)?;
    at(size_below(open), "measure", tree)
}

const OPEN_DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Descends by descriptors, because a `RUN` can create trees that are deeper than the longest path.
/// Only one directory is open at a time: they can also be deeper than the limit of open files.
fn size_below(top: OwnedFd) -> Result<u64, Errno> {
    let mut total = 0;
    let mut here = top;
    // The directories ahead in each directory on the way to `here`.
    let mut ahead = vec![list(&here, &mut total)?];
    while let Some(names) = ahead.last_mut() {
        if let Some(name) = names.pop() {
            here = rustix::fs::openat(&here, name, OPEN_DIRECTORY, Mode::empty())?;
            ahead.push(list(&here, &mut total)?);
            continue;
        }
        ahead.pop();
        if !ahead.is_empty() {
            here = rustix::fs::openat(&here, c"..", OPEN_DIRECTORY, Mode::empty())?;
        }
    }
    Ok(total)
}

/// The directories in `directory`. Adds the bytes of its files to `total`.
fn list(directory: &OwnedFd, total: &mut u64) -> Result<Vec<CString>, Errno> {
    let mut directories = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        let stat = rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => directories.push(name.to_owned()),
            _ => *total += stat.st_size as u64,
        }
    }
    Ok(directories)
}

/// A layer that is not complete. It is deleted when dropped.
#[derive(Debug)]
pub struct Draft {
    folder: HalfMade,
    key: CacheKey,
    scratch: Vec<PathBuf>,
}

/// The layer `key`, if it is in the cache.
pub fn find(store: &Store, key: &CacheKey) -> Result<Option<Layer>, state::Error> {
    let tree = tree(store, key);
    Ok(is_directory(&tree)?.then(|| Layer { key: key.clone(), tree, cached: true }))
}

fn tree(store: &Store, key: &CacheKey) -> PathBuf {
    store.cache.join(FOLDER).join(key.as_str()).join(DIFF)
}

impl Draft {
    /// Creates the empty layer `key` on top of `lowers`.
    pub fn begin(store: &Store, key: CacheKey, lowers: &[PathBuf]) -> Result<Self, state::Error> {
        let layers = store.cache.join(FOLDER);
        store::make_folder(&layers)?;
        let draft = Self { folder: HalfMade::begin(&layers)?, key, scratch: Vec::new() };
        let diff = draft.diff();
        at(copy::make_root(&diff, lowers), "make", &diff)?;
        Ok(draft)
    }

    /// The directory for the layer's changes.
    pub fn diff(&self) -> PathBuf {
        self.folder.path().join(DIFF)
    }

    /// Creates a temporary directory beside `diff`, which the commit deletes.
    pub fn scratch(&mut self, name: &str) -> Result<PathBuf, state::Error> {
        let path = self.folder.path().join(name);
        at(fs::create_dir(&path), "make", &path)?;
        self.scratch.push(path.clone());
        Ok(path)
    }

    /// Commits the layer. If another process has committed the same layer first, that one is kept.
    pub fn commit(self, store: &Store, metadata: &Metadata) -> Result<Layer, state::Error> {
        for scratch in &self.scratch {
            delete::tree(scratch)?;
        }
        metadata.write(&self.folder.path().join(METADATA))?;
        self.folder.sync()?;
        let tree = tree(store, &self.key);
        self.folder.finish(tree.parent().unwrap_or(&tree))?;
        Ok(Layer { key: self.key, tree, cached: false })
    }
}
