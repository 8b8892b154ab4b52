//! Finds the folders of images, layers and containers by the names that the scenario gave, because
//! submissions put them in different places.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::io::Read;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::colons;
use crate::evidence::process::Directory;
use crate::guest::observe::handles;
use crate::guest::observe::processes;

/// Where tools keep state that is not in their own folder.
const ELSEWHERE: [&str; 12] = [
    "/var/lib",
    "/var/cache",
    "/var/local",
    "/var/tmp",
    "/opt",
    "/srv",
    "/run",
    "/tmp",
    "/mnt",
    "/home",
    "/usr/local",
    "/root",
];
/// Folders with thousands of others, and no state: on the machine of a person they take seconds.
const SKIPPED: [&str; 2] = [".cargo", ".rustup"];
/// How far below these a folder is looked for.
const DEPTH: usize = 5;
/// How much of a `layers` file is read.
const LAYERS_CAP: u64 = 64 << 10;
/// Most files and folders of which the size is added up.
const ENTRIES_CAP: u64 = 2_000_000;
/// Most parts of a `layers` file that are looked up.
const PARTS_CAP: usize = 200;

/// An image on disk; the record `image`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Image {
    /// What the scenario calls this moment.
    pub step: String,
    /// The image's name.
    pub name: String,
    /// Its folder.
    pub dir: Option<String>,
    /// What the folder takes up.
    pub size: Size,
    /// The text of its `layers` file.
    pub layers: Option<String>,
    /// The folders that this text names.
    pub named: Vec<Directory>,
    /// What the biggest of them takes up: the base, in an image that has one.
    pub base: Size,
}

/// Disk use of a folder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Size {
    /// Files, folders and links.
    pub entries: u64,
    /// Bytes on the disk.
    pub bytes: u64,
}

/// The submission and the usual places.
fn roots(submission: &Path) -> impl Iterator<Item = &Path> {
    std::iter::once(submission).chain(ELSEWHERE.iter().map(Path::new))
}

/// A folder called `name`, in the submission or in one of the usual places.
pub fn find(submission: &Path, name: &str) -> Option<PathBuf> {
    found(submission, name, |_| true)
}

fn found(submission: &Path, name: &str, wanted: impl Fn(&Path) -> bool) -> Option<PathBuf> {
    roots(submission).find_map(|root| {
        folders(root).find(|dir| dir.file_name().is_some_and(|own| own == name) && wanted(dir))
    })
}

/// The folder of an image: one with a `layers` file, or else any folder of this name. A link to
/// such a folder is as good.
fn find_image(submission: &Path, name: &str) -> Option<PathBuf> {
    let linked = |wanted: fn(&Path) -> bool| {
        let link = move |dir: PathBuf| {
            let link = dir.join(name);
            (link.is_symlink() && wanted(&link)).then_some(link)
        };
        roots(submission).find_map(|root| folders(root).find_map(link))
    };
    let has_layers = |dir: &Path| dir.join("layers").is_file();
    found(submission, name, has_layers)
        .or_else(|| linked(has_layers))
        .or_else(|| find(submission, name))
        .or_else(|| linked(Path::is_dir))
}

/// Folders below `root`, nearest first. Does not look into root file systems or other mounts.
fn folders(root: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let device = fs::metadata(root).map_or(0, |meta| meta.dev());
    let mut next = VecDeque::from([(root.to_path_buf(), 0)]);
    std::iter::from_fn(move || {
        let (dir, depth) = next.pop_front()?;
        if depth < DEPTH && !is_root_tree(&dir) {
            let entries = fs::read_dir(&dir).into_iter().flatten().flatten();
            let is_state = |entry: &fs::DirEntry| !SKIPPED.iter().any(|name| entry.file_name() == *name);
            let below =
                entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()) && is_state(entry));
            let here = below.filter(|entry| entry.metadata().is_ok_and(|meta| meta.dev() == device));
            next.extend(here.map(|entry| (entry.path(), depth + 1)));
        }
        Some(dir)
    })
}

/// Whether a folder looks like the root of a system.
pub fn is_root_tree(dir: &Path) -> bool {
    ["etc", "usr", "var"].iter().all(|name| dir.join(name).is_dir())
}

/// Every folder that has a `layers` file, whatever it is called, with the folders
/// that this file names.
pub fn layered(submission: &Path) -> Vec<(PathBuf, Vec<Directory>)> {
    let with_file = everywhere(submission).filter(|dir| dir.join("layers").is_file());
    let read = |dir: PathBuf| {
        let text = layers_text(&dir)?;
        let named = named(&text, &dir, submission);
        Some((dir, named))
    };
    with_file.filter_map(read).collect()
}

/// Every folder that looks like the root of a system and is not mounted, in the submission or
/// in the usual places.
pub fn root_trees(submission: &Path) -> Vec<Directory> {
    everywhere(submission)
        .filter(|dir| is_root_tree(dir))
        .filter_map(|dir| processes::directory(&dir))
        .collect()
}

/// A folder of the submission, or of the usual places for state, with this file.
pub fn with_file(
    submission: &Path,
    name: &str,
    text: &str,
    wanted: impl Fn(&Path) -> bool,
) -> Option<PathBuf> {
    let holds = |dir: &PathBuf| {
        let file = dir.join(name);
        let is_file =
            fs::symlink_metadata(&file).is_ok_and(|meta| meta.is_file() && meta.len() == text.len() as u64);
        is_file && wanted(dir) && fs::read(&file).is_ok_and(|bytes| bytes == text.as_bytes())
    };
    everywhere(submission).find(holds)
}

/// All folders of the submission and of the usual places for state.
fn everywhere(submission: &Path) -> impl Iterator<Item = PathBuf> + use<'_> {
    let elsewhere = ELSEWHERE.iter().map(Path::new).flat_map(folders);
    folders(submission).chain(elsewhere.filter(move |dir| !dir.starts_with(submission)))
}

/// The text of an image's `layers` file.
fn layers_text(image: &Path) -> Option<String> {
    let mut bytes = Vec::new();
    let _ = fs::File::open(image.join("layers")).ok()?.take(LAYERS_CAP).read_to_end(&mut bytes);
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

impl Image {
    /// The image as it lies on the disk now.
    pub fn read(step: &str, submission: &Path, name: &str) -> Self {
        let dir = find_image(submission, name);
        let layers = dir.as_deref().and_then(layers_text);
        let named = match (&dir, &layers) {
            (Some(dir), Some(text)) => named(text, dir, submission),
            _ => Vec::new(),
        };
        let sizes = named.iter().map(|dir| size(Path::new(&dir.path), &[]));
        Self {
            step: step.to_owned(),
            name: name.to_owned(),
            size: dir.as_deref().map(|dir| size(dir, &[])).unwrap_or_default(),
            base: sizes.max_by_key(|size| size.bytes).unwrap_or_default(),
            dir: dir.map(|dir| dir.to_string_lossy().into_owned()),
            layers,
            named,
        }
    }
}

/// The folders that a `layers` file names, in whatever format: absolute, or relative to any
/// folder of the state. A line or a word that is a folder is not divided at its colons.
fn named(text: &str, image: &Path, submission: &Path) -> Vec<Directory> {
    let mut looked: BTreeMap<String, bool> = BTreeMap::new();
    let mut found: Vec<Directory> = Vec::new();
    let mut take = |part: &str| {
        let path = colons::without_escapes(part);
        if path.is_empty() || path == "/" || looked.len() == PARTS_CAP {
            return false;
        }
        *looked.entry(path).or_insert_with_key(|path| {
            let dir = resolve(path, image, submission);
            let is_there = dir.is_some();
            found.extend(dir.filter(|dir| !found.iter().any(|known| known.is(dir))));
            is_there
        })
    };
    for line in text.lines().map(str::trim) {
        if take(line) {
            continue;
        }
        for word in line.split(|char: char| char.is_whitespace() || ";,=\"'[]{}".contains(char)) {
            if !take(word) {
                for part in colons::split(word) {
                    take(&part);
                }
            }
        }
    }
    found
}

/// The folder that a path means which may be relative to an unknown folder of the tool's: where
/// several folders hold it, a root tree that is not mounted.
pub fn resolve(path: &str, image: &Path, submission: &Path) -> Option<Directory> {
    let at = |path: &Path| path.is_dir().then(|| processes::directory(path)).flatten();
    let inside = |base: &Path| at(&base.join(path)).or_else(|| at(&base.join("layers").join(path)));
    if path.starts_with('/') {
        return at(Path::new(path));
    }
    inside(image).or_else(|| {
        let all = folders(submission).filter(|dir| dir != submission);
        let mut found: Vec<Directory> = all.filter_map(|dir| inside(&dir)).collect();
        let is_tree =
            |dir: &Directory| is_root_tree(Path::new(&dir.path)) && !is_mounted(Path::new(&dir.path));
        let best = found.iter().position(is_tree).unwrap_or(0);
        (best < found.len()).then(|| found.swap_remove(best))
    })
}

/// Whether something is mounted at a folder, such as a container's overlay.
fn is_mounted(dir: &Path) -> bool {
    let device = |dir: &Path| fs::metadata(dir).map(|meta| meta.dev()).ok();
    device(dir) != device(&dir.join(".."))
}

/// A container's folder, held so that it is known again under another name.
#[derive(Debug)]
pub struct Folder(fs::File);

impl Folder {
    /// The folder called `name`.
    pub fn open(submission: &Path, name: &str) -> Option<Self> {
        let dir = find(submission, name)?;
        fs::OpenOptions::new().read(true).custom_flags(nix::libc::O_PATH).open(dir).ok().map(Self)
    }

    /// Where it is now; `None` when it is deleted.
    pub fn still_there(&self) -> Option<String> {
        let now = fs::read_link(handles::proc(format!("thread-self/fd/{}", self.0.as_raw_fd()))).ok()?;
        let deleted = self.0.metadata().is_ok_and(|meta| meta.nlink() == 0) || !now.exists();
        (!deleted).then(|| now.to_string_lossy().into_owned())
    }
}

/// What a folder takes up, without what is mounted below it and without `known` folders. The size
/// stops growing at some number of files.
pub fn size(dir: &Path, known: &[Directory]) -> Size {
    let mut total = Size::default();
    let device = fs::symlink_metadata(dir).map_or(0, |meta| meta.dev());
    let mut next = vec![dir.to_path_buf()];
    while let Some(dir) = next.pop().filter(|_| total.entries < ENTRIES_CAP) {
        for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
            let Ok(meta) = entry.metadata() else { continue };
            total.entries += 1;
            total.bytes += meta.blocks() * 512;
            let is_known = known.iter().any(|known| (known.dev, known.ino) == (meta.dev(), meta.ino()));
            if meta.is_dir() && meta.dev() == device && !is_known {
                next.push(entry.path());
            }
        }
    }
    total
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use super::{Image, resolve};

    fn trees(home: &Path, paths: &[&str]) {
        for folder in
            paths.iter().flat_map(|path| ["etc", "usr", "var"].map(|name| home.join(path).join(name)))
        {
            fs::create_dir_all(folder).unwrap();
        }
    }

    #[test]
    fn a_line_or_a_word_that_is_a_folder_is_not_divided_at_its_colons() {
        let home = tempfile::tempdir().unwrap();
        trees(home.path(), &["base/debian:bookworm"]);
        for folder in ["base/debian", "bookworm", "layers/one two", "images/ab"] {
            fs::create_dir_all(home.path().join(folder)).unwrap();
        }
        let base = home.path().join("base/debian:bookworm").to_str().unwrap().to_owned();
        let layer = home.path().join("layers/one two").to_str().unwrap().to_owned();
        let named = |text: String| {
            fs::write(home.path().join("images/ab/layers"), text).unwrap();
            let named = Image::read("built", home.path(), "ab").named;
            named.into_iter().map(|dir| dir.path).collect::<Vec<_>>()
        };
        assert_eq!(named(format!("{layer}\n{base}\n")), [layer, base.clone()]);
        assert_eq!(named(format!("[\"{base}\"]")), std::slice::from_ref(&base));
        let images = home.path().join("images").to_str().unwrap().to_owned();
        let escaped = base.replace(':', "\\:");
        assert_eq!(named(format!("lowerdir={images}:{escaped}")), [images, base]);
    }

    #[test]
    fn a_relative_path_is_the_root_tree_among_the_folders_of_this_name() {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir_all(home.path().join("a/rootfs")).unwrap();
        trees(home.path(), &["cache/base/debian/rootfs"]);
        let found = resolve("rootfs", home.path(), home.path()).unwrap();
        assert!(found.path.ends_with("debian/rootfs"), "{}", found.path);
    }

    #[test]
    fn an_image_is_found_behind_a_link() {
        let home = tempfile::tempdir().unwrap();
        let (store, images) = (home.path().join("store/9f86d081"), home.path().join("images"));
        fs::create_dir_all(&store).unwrap();
        fs::create_dir_all(home.path().join("base")).unwrap();
        fs::create_dir_all(&images).unwrap();
        fs::write(store.join("layers"), home.path().join("base").to_str().unwrap()).unwrap();
        symlink("../store/9f86d081", images.join("ab-123")).unwrap();
        let image = Image::read("built", home.path(), "ab-123");
        assert_eq!(image.named.len(), 1);
        fs::remove_file(images.join("ab-123")).unwrap();
        assert_eq!(Image::read("removed", home.path(), "ab-123").dir, None);
    }
}
