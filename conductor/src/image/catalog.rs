//! Images on disk: a folder with a `layers` file for each.
//!
//! `layers` is one line: the directories of the image's layers, separated by colons, **top layer first and base
//! system last**, in the order of overlayfs's `lowerdir=`. All layers are in the cache and shared between images;
//! an image has no tree of its own.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::SystemTime;

use crate::image::layer::{self, Layer, Metadata};
use crate::state::half_made::HalfMade;
use crate::state::lock::{Lock, Share};
use crate::state::names::{ContainerName, ImageName};
use crate::state::store::{self, Store};
use crate::state::{self, at, half_made};

/// The name of the file that lists an image's layers.
pub const LAYERS_FILE: &str = "layers";

/// Why an image cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no image with this name.
    #[error("no image '{0}': `images` lists the images, `build {0}` builds it")]
    Missing(ImageName),
    /// A layer of the image is no longer in the cache.
    #[error("image '{image}' needs layer {layer}, which is gone: build it again")]
    LayerGone {
        /// The image.
        image: ImageName,
        /// The missing directory.
        layer: PathBuf,
    },
    /// A container uses the image.
    #[error("image '{image}' is used by container '{container}': stop that first")]
    InUse {
        /// The image.
        image: ImageName,
        /// The container.
        container: ContainerName,
    },
    /// A state folder cannot be used.
    #[error(transparent)]
    Store(#[from] state::Error),
}

/// The layers of an image, top first, base system last. All of them exist. The caller must hold a shared lock on
/// [`Store::images`] until the container that uses them is recorded; otherwise `rmi` or `rmcache` could delete them.
pub fn lowerdirs(store: &Store, name: &ImageName) -> Result<Vec<PathBuf>, Error> {
    let layers = read_layers(store, name)?;
    match layers.iter().find(|layer| !layer.is_dir()) {
        Some(layer) => Err(Error::LayerGone { image: name.clone(), layer: layer.clone() }),
        None => Ok(layers),
    }
}

/// The layers in the image's file, whether they exist or not.
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

/// One line of `images`.
#[derive(Debug)]
pub struct Image {
    /// Its name.
    pub name: ImageName,
    /// The number of bytes in the files of all its layers, shared or not.
    pub size: u64,
    /// When it was built.
    pub built: SystemTime,
    /// Its layers, top first.
    pub layers: Vec<PathBuf>,
}

/// Lists all images, sorted by name.
pub fn list(store: &Store) -> Result<Vec<Image>, Error> {
    let mut images = Vec::new();
    for name in store::entries(&store.images)?.iter().filter_map(|name| name.parse().ok()) {
        match describe(store, name) {
            // The image was deleted while it was listed, or the folder is not an image.
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
    // A missing layer has no size. A layer without metadata is measured.
    let size =
        |tree: &PathBuf| Metadata::read(tree).map_or_else(|| layer::size(tree), |noted| Ok(noted.size));
    let size = layers.iter().filter(|tree| tree.is_dir()).map(size).sum::<Result<u64, _>>()?;
    Ok(Image { name, size, built, layers })
}

/// Makes `name` the image of `layers` (base system first) and replaces an image of that name. An identical image is left
/// unchanged.
pub fn record(store: &Store, name: &ImageName, layers: &[Layer]) -> Result<(), state::Error> {
    let trees: Vec<_> = layers.iter().rev().map(|layer| layer.tree.to_string_lossy()).collect();
    let text = trees.join(":") + "\n";
    store::make_folder(&store.images)?;
    let _lock = Lock::wait(&store.images, Share::Exclusive)?;
    half_made::sweep(&store.images);
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

/// Deletes an image. Its layers stay in the cache. Refuses if a container uses the image.
pub fn remove(store: &Store, name: &ImageName) -> Result<(), Error> {
    let folder = store.image(name);
    let lock = Lock::wait(&store.images, Share::Exclusive);
    if !folder.join(LAYERS_FILE).exists() {
        return Err(Error::Missing(name.clone()));
    }
    let _lock = lock?;
    half_made::sweep(&store.images);
    let user = store.containers()?.into_iter().find(|(_, image)| image.as_ref() == Some(name));
    match user {
        Some((container, _)) => Err(Error::InUse { image: name.clone(), container }),
        None => Ok(half_made::remove(&folder)?),
    }
}
