//! Where images and templates live, who may change them, and what of them can go.

use std::path::{Path, PathBuf};

use crate::Error;

/// A directory with images, templates and verdicts. Any number of processes may use one at once.
#[derive(Debug, Clone)]
pub struct Cache {
    root: PathBuf,
}

/// Something in the cache, for listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Image, template or download.
    pub kind: EntryKind,
    /// The name to remove it by.
    pub id: String,
    /// What it is, in words: "Debian 12 from packages", "TCG, QEMU 7.2.22".
    pub title: String,
    /// What it takes on disk, in bytes.
    pub bytes: u64,
    /// Whether a process uses or makes it just now.
    pub in_use: bool,
}

/// The kinds of [`Entry`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// A provisioned disk with its kernel.
    Image,
    /// A booted machine at rest.
    Template,
    /// A download, whole or begun.
    Download,
}

impl Cache {
    /// `$HARNESS_CACHE`, else `$XDG_CACHE_HOME/harness`, else `~/.cache/harness`.
    pub fn from_env() -> Result<Cache, Error> {
        let var = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        var("HARNESS_CACHE")
            .or_else(|| var("XDG_CACHE_HOME").map(|dir| dir.join("harness")))
            .or_else(|| var("HOME").map(|dir| dir.join(".cache/harness")))
            .map(Cache::at)
            .ok_or(Error::NoCache)
    }

    /// A cache at a given place. Nothing is created yet.
    pub fn at(root: impl Into<PathBuf>) -> Cache {
        Cache { root: root.into() }
    }

    /// Where it is.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Everything in it: images first, each with its templates after it.
    pub fn list(&self) -> Result<Vec<Entry>, Error> {
        unimplemented!()
    }

    /// Removes an entry, and with an image its templates. Fails where a process uses it.
    pub fn remove(&self, id: &str) -> Result<(), Error> {
        let _ = id;
        unimplemented!()
    }
}
