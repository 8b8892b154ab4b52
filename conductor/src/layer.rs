//! Layers in the cache: `layers/<key>/diff` is what one instruction changed, `layers/<key>/metadata` says which.
//!
//! A layer is made half-made, and renamed to its key when it is whole and on the disk, so whatever bears a key can be
//! used, after a crash of the machine too. Layers are never changed afterwards; only `rmcache` deletes them.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::cache_key::CacheKey;
use crate::copy;
use crate::delete;
use crate::store::{self, HalfMade, Store, at};

/// Folder of the layers in the cache.
pub const FOLDER: &str = "layers";
/// What the layer adds and hides, in a layer's folder.
const DIFF: &str = "diff";
/// JSON about the layer.
const METADATA: &str = "metadata";

/// A committed layer, or a base system.
#[derive(Debug, Clone)]
pub struct Layer {
    /// Its identity.
    pub key: CacheKey,
    /// The tree that is mounted.
    pub tree: PathBuf,
    /// Whether it was in the cache already.
    pub cached: bool,
}

/// What is noted of a layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    /// The instruction that made it, as the Conductorfile has it.
    pub instruction: String,
    /// Key of the layer below; none for a base system.
    pub parent: Option<String>,
    /// Bytes in its files.
    pub size: u64,
    /// When it was made, in seconds since 1970.
    pub created: u64,
}

impl Metadata {
    /// What is to be noted of a layer that is made now.
    pub(crate) fn new(instruction: String, parent: Option<&CacheKey>, size: u64) -> Self {
        let created = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
        Self { instruction, parent: parent.map(CacheKey::to_string), size, created }
    }

    pub(crate) fn write(&self, path: &Path) -> Result<(), store::Error> {
        let text = serde_json::to_string_pretty(self).unwrap_or_default() + "\n";
        at(fs::write(path, text), "write", path)
    }

    /// The note on the layer whose tree is `tree`, if there is one.
    pub fn read(tree: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(Self::path(tree)).ok()?).ok()
    }

    /// Where the note on the layer whose tree is `tree` lies: beside `diff`, or beside `base/debian-bookworm` as
    /// `debian-bookworm.metadata`.
    pub(crate) fn path(tree: &Path) -> PathBuf {
        match tree.file_name() {
            Some(name) if name != DIFF => {
                tree.with_file_name(format!("{}.{METADATA}", name.to_string_lossy()))
            }
            _ => tree.with_file_name(METADATA),
        }
    }
}

/// Bytes in the files of a tree; a file with several names counts for each.
pub(crate) fn size(tree: &Path) -> Result<u64, store::Error> {
    let open = at(rustix::fs::openat(CWD, tree, OPEN_DIRECTORY, Mode::empty()), "list", tree)?;
    at(size_below(&open), "measure", tree)
}

const OPEN_DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// From directory to directory: a `RUN` can make trees deeper than paths may be long.
fn size_below(directory: &OwnedFd) -> Result<u64, Errno> {
    let mut total = 0;
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        let stat = rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
        total += if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            size_below(&rustix::fs::openat(directory, name, OPEN_DIRECTORY, Mode::empty())?)?
        } else {
            stat.st_size as u64
        };
    }
    Ok(total)
}

/// A layer being made. Dropped, it is gone.
#[derive(Debug)]
pub struct Draft {
    folder: HalfMade,
    key: CacheKey,
    scratch: Vec<PathBuf>,
}

/// The layer `key`, if the cache has it.
pub fn find(store: &Store, key: &CacheKey) -> Option<Layer> {
    let tree = tree(store, key);
    tree.is_dir().then(|| Layer { key: key.clone(), tree, cached: true })
}

fn tree(store: &Store, key: &CacheKey) -> PathBuf {
    store.cache.join(FOLDER).join(key.as_str()).join(DIFF)
}

impl Draft {
    /// Begins the layer `key`, empty, on top of `lowers`.
    pub fn begin(store: &Store, key: CacheKey, lowers: &[PathBuf]) -> Result<Self, store::Error> {
        let layers = store.cache.join(FOLDER);
        store::make_folder(&layers)?;
        let draft = Self { folder: HalfMade::begin(&layers)?, key, scratch: Vec::new() };
        let diff = draft.diff();
        at(copy::make_root(&diff, lowers), "make", &diff)?;
        Ok(draft)
    }

    /// The directory to fill.
    pub fn diff(&self) -> PathBuf {
        self.folder.path().join(DIFF)
    }

    /// Makes a directory beside `diff` for what is needed only until the commit.
    pub fn scratch(&mut self, name: &str) -> Result<PathBuf, store::Error> {
        let path = self.folder.path().join(name);
        at(fs::create_dir(&path), "make", &path)?;
        self.scratch.push(path.clone());
        Ok(path)
    }

    /// Commits the layer. Where another process was quicker to make the same, that one is kept.
    pub fn commit(self, store: &Store, metadata: &Metadata) -> Result<Layer, store::Error> {
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
