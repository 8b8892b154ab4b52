//! Deletes the cache of base systems and layers.

use std::ffi::OsStr;
use std::fs;
use std::io;

use crate::image::{base, build, catalog, layer};
use crate::state::lock::{Lock, Share};
use crate::state::names::{ContainerName, ImageName};
use crate::state::store::Store;
use crate::state::{self, at, half_made, overlays};

/// The folders that conductor makes in the cache.
pub(crate) const FOLDERS: [&str; 3] = [base::FOLDER, layer::FOLDER, build::INDEX_FOLDER];

/// Why the cache is kept.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A build uses it.
    #[error("a build uses the cache: try again when it has ended")]
    Building,
    /// A container uses its layers.
    #[error("container '{0}' uses the cache: `stop {0}` first")]
    Container(ContainerName),
    /// A container of another folder uses its layers.
    #[error(transparent)]
    Overlay(overlays::User),
    /// An image consists of its layers.
    #[error(
        "image '{0}' consists of layers in the cache: delete it first (rmi), or use --force and build it again"
    )]
    Image(ImageName),
    /// The images cannot be read.
    #[error(transparent)]
    Images(#[from] catalog::Error),
    /// A state folder cannot be used.
    #[error(transparent)]
    Store(#[from] state::Error),
}

/// Deletes all base systems and layers. Refuses if a build or a container uses them, and without
/// `force` also if an image does. A missing cache is empty. What other programs keep in the folder
/// stays: it may be `~/.cache`.
pub fn clear(store: &Store, force: bool) -> Result<(), Error> {
    let _cache = match Lock::attempt(&store.cache, Share::Exclusive) {
        Err(error) if error.is_not_found() => return Ok(()),
        lock => lock?.ok_or(Error::Building)?,
    };
    // This lock keeps `run` from starting on an image. Without the folder there is no image; the
    // folder is not created, because the disk may be full.
    let _images = match Lock::wait(&store.images, Share::Exclusive) {
        Err(error) if error.is_not_found() => None,
        lock => Some(lock?),
    };
    if let Some((container, _)) = store.containers()?.into_iter().next() {
        return Err(Error::Container(container));
    }
    let layers = [base::FOLDER, layer::FOLDER].map(|folder| store.cache.join(folder));
    if let Some(user) = overlays::user_of(&layers)? {
        return Err(Error::Overlay(user));
    }
    if let (false, Some(image)) = (force, catalog::list(store)?.into_iter().next()) {
        return Err(Error::Image(image.name));
    }
    let read = at(fs::read_dir(&store.cache), "list", &store.cache)?;
    for entry in
        read.collect::<io::Result<Vec<_>>>().map_err(|e| state::Error::new("list", &store.cache, e))?
    {
        let path = entry.path();
        if !is_ours(&entry.file_name()) {
            continue;
        }
        if at(entry.file_type(), "look at", &path)?.is_dir() {
            half_made::remove(&path)?;
        } else {
            at(fs::remove_file(&path), "delete", &path)?;
        }
    }
    Ok(())
}

fn is_ours(name: &OsStr) -> bool {
    FOLDERS.iter().any(|ours| name == *ours)
        || name.as_encoded_bytes().starts_with(half_made::HALF_MADE.as_bytes())
}
