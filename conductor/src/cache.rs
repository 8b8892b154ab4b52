//! Emptying the cache of base systems and layers.

use std::fs;
use std::io;

use crate::images;
use crate::names::{ContainerName, ImageName};
use crate::store::{self, Lock, Share, Store};

/// Why the cache stays as it is.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A build is going on.
    #[error("a build is using the cache: try again when it is done")]
    Building,
    /// A container stands on layers of the cache.
    #[error("container '{0}' uses the cache: stop it first")]
    Container(ContainerName),
    /// An image consists of layers of the cache.
    #[error(
        "image '{0}' consists of layers in the cache: delete it first (rmi), or use --force and build it again"
    )]
    Image(ImageName),
    /// The images could not be read.
    #[error(transparent)]
    Images(#[from] images::Error),
    /// A state folder could not be used.
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// Deletes all base systems and layers, unless a build or a container uses them; unless images consist of
/// them, too, where `force` is not set. A cache that is not there is empty.
pub fn clear(store: &Store, force: bool) -> Result<(), Error> {
    let _cache = match Lock::attempt(&store.cache, Share::Exclusive) {
        Err(error) if error.is_not_found() => return Ok(()),
        lock => lock?.ok_or(Error::Building)?,
    };
    // Keeps `run` from starting on an image meanwhile. Where there is no folder, there is no image: none is made here,
    // for the disk may be full.
    let _images = match Lock::wait(&store.images, Share::Exclusive) {
        Err(error) if error.is_not_found() => None,
        lock => Some(lock?),
    };
    if let Some((container, _)) = store.containers()?.into_iter().next() {
        return Err(Error::Container(container));
    }
    if let (false, Some(image)) = (force, images::list(store)?.into_iter().next()) {
        return Err(Error::Image(image.name));
    }
    let read = store::at(fs::read_dir(&store.cache), "list", &store.cache)?;
    for entry in
        read.collect::<io::Result<Vec<_>>>().map_err(|e| store::Error::new("list", &store.cache, e))?
    {
        let path = entry.path();
        if path.is_dir() {
            store::remove(&path)?;
        } else {
            store::at(fs::remove_file(&path), "delete", &path)?;
        }
    }
    Ok(())
}
