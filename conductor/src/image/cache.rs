//! Deletes the cache of base systems and layers.

use std::fs;
use std::io;
use std::path::Path;

use crate::image::cache_key::CacheKey;
use crate::image::stat_index::StatIndex;
use crate::image::{base, build, catalog, layer};
use crate::settings::Settings;
use crate::state::lock::{Lock, Share};
use crate::state::names::{ContainerName, ImageName};
use crate::state::store::Store;
use crate::state::{self, at, half_made, if_there, overlays};

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
/// stays, also below `base`, `layers` and `index`: it may be `~/.cache`.
pub fn clear(settings: &Settings, store: &Store, force: bool) -> Result<(), Error> {
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
    for (folder, is_ours) in [
        (base::FOLDER, base::names(settings, &layers[0])),
        (layer::FOLDER, Box::new(CacheKey::is_key)),
        (build::INDEX_FOLDER, Box::new(StatIndex::is_name)),
    ] {
        let folder = store.cache.join(folder);
        if delete_ours(&folder, &is_ours)? {
            delete_empty(&folder)?;
        }
    }
    delete_ours(&store.cache, &|_| false)?;
    Ok(())
}

/// Deletes what `is_ours` names in `folder`, and what is half-made there. Returns whether nothing
/// else was in the folder.
fn delete_ours(folder: &Path, is_ours: &dyn Fn(&str) -> bool) -> Result<bool, state::Error> {
    let Some(read) = if_there(fs::read_dir(folder), "list", folder)? else { return Ok(false) };
    let entries = at(read.collect::<io::Result<Vec<_>>>(), "list", folder)?;
    let (ours, others): (Vec<_>, Vec<_>) = entries.into_iter().partition(|entry| {
        let name = entry.file_name();
        half_made::is_name(&name) || name.to_str().is_some_and(is_ours)
    });
    for entry in ours {
        let path = entry.path();
        if at(entry.file_type(), "look at", &path)?.is_dir() {
            half_made::remove(&path)?;
        } else {
            at(fs::remove_file(&path), "delete", &path)?;
        }
    }
    Ok(others.is_empty())
}

/// Deletes an empty folder. One that is a link or a mount point stays.
fn delete_empty(folder: &Path) -> Result<(), state::Error> {
    match fs::remove_dir(folder) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotADirectory | io::ErrorKind::ResourceBusy) => {
            Ok(())
        }
        deleted => at(deleted, "delete", folder),
    }
}
