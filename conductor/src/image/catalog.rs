//! Images on disk: a folder with a `layers` file for each.
//!
//! `layers` is one line: the directories of the image's layers, separated by colons, **top layer
//! first and base system last**, in the order of overlayfs's `lowerdir=`. All layers are in the
//! cache and shared between images; an image has no tree of its own.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::{Dir, FileType, Mode, OFlags, ResolveFlags};
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
    /// Something else has the name of the image.
    #[error(
        "image '{name}': conductor did not make {path}, because an image is a folder with one file, \
         '{LAYERS_FILE}'; move it away, or choose another name"
    )]
    Foreign {
        /// The name.
        name: ImageName,
        /// The file or folder with this name.
        path: PathBuf,
    },
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
    match if_there(fs::read(&path), "read", &path)? {
        Some(line) => Ok(parse_layers(&line)),
        // Something without the file has the name, or nothing has.
        None => is_there(store, name).and(Err(Error::Missing(name.clone()))),
    }
}

/// Whether there is an image `name`. Anything else with this name is an error: conductor neither
/// replaces nor deletes it.
pub fn is_there(store: &Store, name: &ImageName) -> Result<bool, Error> {
    let path = store.image(name);
    let Some(images) = if_there(read::folder(&store.images), "open", &store.images)? else {
        return Ok(false);
    };
    let ours = match open_inside(&images, name.as_ref(), OFlags::RDONLY | OFlags::DIRECTORY) {
        Err(Errno::NOENT) => return Ok(false),
        Err(Errno::NOTDIR | Errno::LOOP | Errno::XDEV) => false,
        folder => at(folder.and_then(|folder| has_only_layers(&folder)), "look into", &path)?,
    };
    if ours { Ok(true) } else { Err(foreign(store, name)) }
}

fn foreign(store: &Store, name: &ImageName) -> Error {
    Error::Foreign { name: name.clone(), path: store.image(name) }
}

/// Opens `name` in `folder`. A link is `ELOOP`, and a mount point `EXDEV`.
fn open_inside(folder: &OwnedFd, name: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    let inside = ResolveFlags::NO_XDEV | ResolveFlags::NO_SYMLINKS;
    rustix::fs::openat2(folder, name, flags | OFlags::CLOEXEC, Mode::empty(), inside)
}

/// Whether a folder has the file of an image, and nothing else.
fn has_only_layers(folder: &OwnedFd) -> Result<bool, Errno> {
    for entry in Dir::read_from(folder)? {
        if !matches!(entry?.file_name().to_bytes(), b"." | b".." | b"layers") {
            return Ok(false);
        }
    }
    match open_inside(folder, LAYERS_FILE.as_ref(), OFlags::PATH) {
        Err(Errno::NOENT | Errno::LOOP | Errno::XDEV) => Ok(false),
        file => Ok(FileType::from_raw_mode(rustix::fs::fstat(file?)?.st_mode) == FileType::RegularFile),
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
/// identical image is left unchanged. Anything else of that name is an error.
pub fn record(store: &Store, name: &ImageName, layers: &[Layer]) -> Result<(), Error> {
    let trees: Vec<_> = layers.iter().rev().map(|layer| layer.tree.to_string_lossy()).collect();
    let text = trees.join(":") + "\n";
    store::make_folder(&store.images)?;
    let _lock = Lock::wait(&store.images, Share::Exclusive)?;
    half_made::sweep(&store.images);
    let folder = store.image(name);
    let is_there = is_there(store, name)?;
    if is_there && fs::read_to_string(folder.join(LAYERS_FILE)).is_ok_and(|there| there == text) {
        return Ok(());
    }
    let image = HalfMade::begin(&store.images)?;
    let path = image.path().join(LAYERS_FILE);
    at(fs::write(&path, text), "write", &path)?;
    image.sync()?;
    if is_there {
        return Ok(image.replace(&folder)?);
    }
    // Another program may have taken the name by now.
    image.finish(&folder)?.map(drop).ok_or_else(|| foreign(store, name))
}

/// Deletes an image. Its layers stay in the cache. Refuses if a container uses the image.
pub fn remove(store: &Store, name: &ImageName) -> Result<(), Error> {
    let missing = || Error::Missing(name.clone());
    let _lock = match Lock::wait(&store.images, Share::Exclusive) {
        Err(error) if error.is_not_found() => return Err(missing()),
        lock => lock?,
    };
    if !is_there(store, name)? {
        return Err(missing());
    }
    half_made::sweep(&store.images);
    let user = store.containers()?.into_iter().find(|(_, image)| image.as_ref() == Some(name));
    match user {
        Some((container, _)) => Err(Error::InUse { image: name.clone(), container }),
        None => Ok(half_made::remove(&store.image(name))?),
    }
}
