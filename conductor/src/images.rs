//! What an image is on disk: a folder with a `layers` file.
//!
//! `layers` is one line: the directories of the image's layers, separated by colons, **top layer first and base
//! system last**, just as overlayfs takes them in `lowerdir=`. All of them lie in the cache and are shared
//! between images; an image has no tree of its own.

use std::fs;
use std::io;
use std::path::PathBuf;

use crate::names::ImageName;
use crate::store::{self, Store};

/// Name of the file that lists an image's layers.
pub const LAYERS_FILE: &str = "layers";

/// Why an image cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such image.
    #[error("no image '{0}': `images` lists what there is, `build {0}` makes one")]
    Missing(ImageName),
    /// The image names a layer that the cache no longer has.
    #[error("image '{image}' needs layer {layer}, which is gone: build it again")]
    LayerGone {
        /// Which image.
        image: ImageName,
        /// The missing directory.
        layer: PathBuf,
    },
    /// A state folder could not be used.
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// The layers of an image, top first, base system last; each is there. Hold a shared lock on
/// [`Store::images`] until the container that uses them is recorded, so that neither `rmi` nor `rmcache`
/// comes between.
pub fn lowerdirs(store: &Store, name: &ImageName) -> Result<Vec<PathBuf>, Error> {
    let path = store.image(name).join(LAYERS_FILE);
    let text = match fs::read_to_string(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Error::Missing(name.clone())),
        text => store::at(text, "read", &path)?,
    };
    let layers: Vec<PathBuf> = text.trim_end().split(':').map(PathBuf::from).collect();
    match layers.iter().find(|layer| !layer.is_dir()) {
        Some(layer) => Err(Error::LayerGone { image: name.clone(), layer: layer.clone() }),
        None => Ok(layers),
    }
}
