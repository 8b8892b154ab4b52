//! Where images, containers and the cache are on disk.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::settings::Settings;
use crate::state::names::{ContainerName, ImageName};
use crate::state::{Error, at, if_there, is_directory};

/// File of a container that holds the name of the image it was made from, and a newline.
pub const IMAGE_FILE: &str = "image";

/// Device and inode: they identify a folder whatever its path is.
pub type Inode = (u64, u64);

/// The three folders that hold all state.
#[derive(Debug, Clone)]
pub struct Store {
    /// One folder for each image, with its `layers` file.
    pub images: PathBuf,
    /// One folder for each container.
    pub containers: PathBuf,
    /// `base/` and `layers/`, shared by all images.
    pub cache: PathBuf,
}

impl Store {
    /// The folders that `settings` name. They are created when something is stored in them.
    pub fn new(settings: &Settings) -> Self {
        Self {
            images: settings.images.clone(),
            containers: settings.containers.clone(),
            cache: settings.cache.clone(),
        }
    }

    /// The state folders that exist.
    pub fn identities(&self) -> Result<Vec<Inode>, Error> {
        let find = |folder: &PathBuf| if_there(fs::metadata(folder), "find", folder).transpose();
        let folders = [&self.images, &self.containers, &self.cache].into_iter().filter_map(find);
        folders.map(|found| found.map(|data| (data.dev(), data.ino()))).collect()
    }

    /// The folder of an image, whether it exists or not.
    pub fn image(&self, name: &ImageName) -> PathBuf {
        self.images.join(name)
    }

    /// The folder of a container, whether it exists or not.
    pub fn container(&self, name: &ContainerName) -> PathBuf {
        self.containers.join(name)
    }

    /// All containers, running or exited, each with its image if the record can be read. Other
    /// folders do not count.
    pub fn containers(&self) -> Result<Vec<(ContainerName, Option<ImageName>)>, Error> {
        let names = entries(&self.containers)?.into_iter().filter_map(|name| name.parse().ok());
        let with_image = |name| -> Result<_, Error> {
            let folder = self.container(&name);
            Ok(if is_container(&folder)? { Some((name, image_of(&folder)?)) } else { None })
        };
        names.filter_map(|name| with_image(name).transpose()).collect()
    }
}

/// Whether conductor made `folder` as a container: it has its record, and is no link.
pub fn is_container(folder: &Path) -> Result<bool, Error> {
    let there = if_there(fs::symlink_metadata(folder), "find", folder)?;
    if !there.is_some_and(|data| data.is_dir()) {
        return Ok(false);
    }
    let path = folder.join(IMAGE_FILE);
    Ok(if_there(fs::symlink_metadata(&path), "find", &path)?.is_some_and(|data| data.is_file()))
}

/// The image of the container in `folder`, if it is recorded.
pub fn image_of(folder: &Path) -> Result<Option<ImageName>, Error> {
    let path = folder.join(IMAGE_FILE);
    let text = if_there(fs::read(&path), "read", &path)?;
    Ok(text.and_then(|text| std::str::from_utf8(&text).ok()?.trim().parse().ok()))
}

/// The names of the complete entries of a state folder, sorted. A missing folder has no entries.
pub fn entries(folder: &Path) -> Result<Vec<String>, Error> {
    let read = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        read => at(read, "list", folder)?,
    };
    let mut names = Vec::new();
    for entry in read {
        let name = at(entry, "list", folder)?.file_name();
        names.extend(name.into_string().ok().filter(|name| !name.starts_with('.')));
    }
    names.sort();
    Ok(names)
}

/// Creates a state folder and its parents, for root only: the trees inside contain set-user-ID
/// programs (compare CVE-2021-41091).
pub fn make_folder(path: &Path) -> Result<(), Error> {
    if is_directory(path)? {
        return Ok(());
    }
    at(fs::DirBuilder::new().recursive(true).mode(0o700).create(path), "make", path)
}
