//! What an image is on disk: a folder with a `layers` file.
//!
//! `layers` is one line: the directories of the image's layers, separated by colons, **top layer first and base
//! system last**, just as overlayfs takes them in `lowerdir=`. All of them lie in the cache and are shared
//! between images; an image has no tree of its own.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::SystemTime;

use crate::layer::{self, Layer, Metadata};
use crate::names::{ContainerName, ImageName};
use crate::store::{self, HalfMade, Lock, Share, Store, at};

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
    /// A container was made from it.
    #[error("image '{image}' is used by container '{container}': stop that first")]
    InUse {
        /// Which image.
        image: ImageName,
        /// By whom.
        container: ContainerName,
    },
    /// A state folder could not be used.
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// The layers of an image, top first, base system last; each is there. Hold a shared lock on
/// [`Store::images`] until the container that uses them is recorded, so that neither `rmi` nor `rmcache`
/// comes between.
pub fn lowerdirs(store: &Store, name: &ImageName) -> Result<Vec<PathBuf>, Error> {
    let layers = read_layers(store, name)?;
    match layers.iter().find(|layer| !layer.is_dir()) {
        Some(layer) => Err(Error::LayerGone { image: name.clone(), layer: layer.clone() }),
        None => Ok(layers),
    }
}

/// The layers that an image names, there or not.
fn read_layers(store: &Store, name: &ImageName) -> Result<Vec<PathBuf>, Error> {
    let path = store.image(name).join(LAYERS_FILE);
    match fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Error::Missing(name.clone())),
        line => {
            let line = at(line, "read", &path)?;
            let paths = line.trim_ascii_end().split(|byte| *byte == b':');
            Ok(paths.map(|path| OsStr::from_bytes(path).into()).collect())
        }
    }
}

/// An image as it is listed.
#[derive(Debug)]
pub struct Image {
    /// Its name.
    pub name: ImageName,
    /// Bytes in the files of all its layers, shared or not.
    pub size: u64,
    /// When it was built.
    pub built: SystemTime,
    /// Its layers, top first.
    pub layers: Vec<PathBuf>,
}

/// All images, in the order of their names.
pub fn list(store: &Store) -> Result<Vec<Image>, Error> {
    let mut images = Vec::new();
    for name in store::entries(&store.images)?.iter().filter_map(|name| name.parse().ok()) {
        match describe(store, name) {
            // Deleted while we looked, or never an image.
            Err(Error::Missing(_)) => {}
            image => images.push(image?),
        }
    }
    Ok(images)
}

fn describe(store: &Store, name: ImageName) -> Result<Image, Error> {
    let layers = read_layers(store, &name)?;
    let path = store.image(&name).join(LAYERS_FILE);
    let built = at(path.metadata().and_then(|metadata| metadata.modified()), "look at", &path)?;
    // What is gone has no size; what has no note is measured.
    let size =
        |tree: &PathBuf| Metadata::read(tree).map_or_else(|| layer::size(tree), |noted| Ok(noted.size));
    let size = layers.iter().filter(|tree| tree.is_dir()).map(size).sum::<Result<u64, _>>()?;
    Ok(Image { name, size, built, layers })
}

/// Makes `name` the image of `layers` (base system first), in place of what had that name. An image that is
/// the same already stays as it is.
pub fn record(store: &Store, name: &ImageName, layers: &[Layer]) -> Result<(), store::Error> {
    let trees: Vec<_> = layers.iter().rev().map(|layer| layer.tree.to_string_lossy()).collect();
    let text = trees.join(":") + "\n";
    store::make_folder(&store.images)?;
    let _lock = Lock::wait(&store.images, Share::Exclusive)?;
    store::sweep(&store.images);
    let folder = store.image(name);
    if fs::read_to_string(folder.join(LAYERS_FILE)).is_ok_and(|there| there == text) {
        return Ok(());
    }
    let image = HalfMade::begin(&store.images)?;
    let path = image.path().join(LAYERS_FILE);
    at(fs::write(&path, text), "write", &path)?;
    image.sync()?;
    image.replace(&folder)
}

/// Deletes an image. Its layers stay in the cache. An image that a container was made from stays.
pub fn remove(store: &Store, name: &ImageName) -> Result<(), Error> {
    let folder = store.image(name);
    let lock = Lock::wait(&store.images, Share::Exclusive);
    if !folder.join(LAYERS_FILE).exists() {
        return Err(Error::Missing(name.clone()));
    }
    let _lock = lock?;
    store::sweep(&store.images);
    let user = store.containers()?.into_iter().find(|(_, image)| image.as_ref() == Some(name));
    match user {
        Some((container, _)) => Err(Error::InUse { image: name.clone(), container }),
        None => Ok(store::remove(&folder)?),
    }
}
