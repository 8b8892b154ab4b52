//! Images on disk: a folder with a `layers` file for each.
//!
//! `layers` is one line: the directories of the image's layers, separated by colons, **top layer
//! first and base system last**, in the order of overlayfs's `lowerdir=`. All layers are in the
//! cache and shared between images; an image has no tree of its own.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::io::Errno;

use crate::image::layer::{self, Layer, Metadata};
use crate::state::half_made::HalfMade;
use crate::state::lock::{Lock, Share};
use crate::state::names::{ContainerName, ImageName};
use crate::state::store::{self, Store};
use crate::state::{self, at, half_made, if_there, is_directory, read};

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
    #[error("image '{image}' is used by container '{container}': `stop {container}` first")]
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

/// The layers of an image, top first, base system last. All of them exist. The caller must hold a
/// shared lock on [`Store::images`] until the container that uses them is recorded; otherwise `rmi`
/// or `rmcache` could delete them.
pub fn lowerdirs(store: &Store, name: &ImageName) -> Result<Vec<PathBuf>, Error> {
    let layers = read_layers(store, name)?;
    for layer in &layers {
        if !is_directory(layer)? {
            return Err(Error::LayerGone { image: name.clone(), layer: layer.clone() });
        }
    }
    Ok(layers)
}

/// The layers in the image's file, whether they exist or not.
fn read_layers(store: &Store, name: &ImageName) -> Result<Vec<PathBuf>, Error> {
    let path = store.image(name).join(LAYERS_FILE);
    match fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Error::Missing(name.clone())),
        line => Ok(parse_layers(&at(line, "read", &path)?)),
    }
}

fn parse_layers(line: &[u8]) -> Vec<PathBuf> {
    line.trim_ascii_end().split(|byte| *byte == b':').map(|path| OsStr::from_bytes(path).into()).collect()
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
    let names = store::entries(&store.images)?;
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let folder = at(read::folder(&store.images), "open", &store.images)?;
    let mut sizes = HashMap::new();
    let mut images = Vec::new();
    for name in names.iter().filter_map(|name| name.parse::<ImageName>().ok()) {
        let path = Path::new(name.as_str()).join(LAYERS_FILE);
        let (line, built) = match read::with_time(&folder, &path) {
            // The image was deleted while it was listed, or the folder is not an image.
            Err(Errno::NOENT | Errno::NOTDIR) => continue,
            read => at(read, "read", &store.images.join(path))?,
        };
        let layers = parse_layers(&line);
        let mut size = 0;
        for layer in &layers {
            size += size_of_layer(layer, &mut sizes)?;
        }
        images.push(Image { name, size, built, layers });
    }
    Ok(images)
}

/// The size of a layer. Images share layers, so each is looked up once.
fn size_of_layer(tree: &PathBuf, known: &mut HashMap<PathBuf, u64>) -> Result<u64, Error> {
    if let Some(size) = known.get(tree) {
        return Ok(*size);
    }
    // A layer without metadata is measured. A missing layer has no size.
    let size = match Metadata::read(tree) {
        Some(noted) => noted.size,
        None if is_directory(tree)? => layer::size(tree)?,
        None => 0,
    };
    known.insert(tree.clone(), size);
    Ok(size)
}

/// Makes `name` the image of `layers` (base system first) and replaces an image of that name. An
/// identical image is left unchanged.
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
    let missing = || Error::Missing(name.clone());
    let _lock = match Lock::wait(&store.images, Share::Exclusive) {
        Err(error) if error.is_not_found() => return Err(missing()),
        lock => lock?,
    };
    let layers = folder.join(LAYERS_FILE);
    if_there(fs::metadata(&layers), "find", &layers)?.ok_or_else(missing)?;
    half_made::sweep(&store.images);
    let user = store.containers()?.into_iter().find(|(_, image)| image.as_ref() == Some(name));
    match user {
        Some((container, _)) => Err(Error::InUse { image: name.clone(), container }),
        None => Ok(half_made::remove(&folder)?),
    }
}
