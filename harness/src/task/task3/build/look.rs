//! Looks for files in the folders of layers.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::Found;
use crate::task::task3::shared::state;

/// How much of a file's text is kept.
const TEXT_CAP: usize = 200;
/// The folders of a base whose files are looked for in layers.
const SAMPLED: [&str; 2] = ["etc", "usr/bin"];
/// Most files of each of them.
const SAMPLE: usize = 100;
/// What an overlay gives each file that it copies up (the kernel's filesystems/overlayfs.rst).
const COPIED_UP: &str = "trusted.overlay.origin";

/// What a layer has at a path, and whether an overlay copied it up.
pub fn in_layer(layer: &Path, path: &str) -> Option<(Found, bool)> {
    let mut places = places(layer).into_iter();
    places
        .find_map(|place| Some((at(&place, path)?, is_copied_up(&place.join(path.trim_start_matches('/'))))))
}

/// The folder itself, and the folders in it, such as `diff`. A link may lead to another layer.
fn places(layer: &Path) -> Vec<PathBuf> {
    let mut places = vec![layer.to_path_buf()];
    if !state::is_root_tree(layer) {
        let below = fs::read_dir(layer).into_iter().flatten().flatten();
        let folders = below.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        places.extend(folders.map(|entry| entry.path()));
    }
    places
}

fn is_copied_up(path: &Path) -> bool {
    xattr::get(path, COPIED_UP).is_ok_and(|origin| origin.is_some())
}

/// Some of a base's files, as paths below it.
pub fn sample(base: &Path) -> Vec<PathBuf> {
    let of = |folder: &str| {
        let entries = fs::read_dir(base.join(folder)).into_iter().flatten().flatten();
        let files = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()));
        let mut files: Vec<PathBuf> = files.map(|entry| Path::new(folder).join(entry.file_name())).collect();
        files.sort();
        files.truncate(SAMPLE);
        files
    };
    SAMPLED.into_iter().flat_map(of).collect()
}

/// Whether a layer holds most files of a sample, other than those that an overlay copied up.
pub fn holds(layer: &Path, sample: &[PathBuf]) -> bool {
    let is_own = |path: &PathBuf| path.is_file() && !is_copied_up(path);
    let count = |place: PathBuf| sample.iter().filter(|file| is_own(&place.join(file))).count();
    !sample.is_empty() && places(layer).into_iter().any(|place| 2 * count(place) > sample.len())
}

/// What is at a path below a folder.
pub fn at(root: &Path, path: &str) -> Option<Found> {
    let path = root.join(path.trim_start_matches('/'));
    let meta = fs::symlink_metadata(&path).ok()?;
    let (kind, mut text) = if meta.is_file() {
        let is_short = meta.size() < 1 << 20;
        ("file", is_short.then(|| fs::read_to_string(&path).ok()).flatten().unwrap_or_default())
    } else if meta.is_symlink() {
        let target = fs::read_link(&path).unwrap_or_default();
        ("link", target.to_string_lossy().into_owned())
    } else if meta.is_dir() {
        ("folder", String::new())
    } else {
        ("other", String::new())
    };
    text.truncate((0..=TEXT_CAP.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0));
    Some(Found { kind: kind.to_owned(), mode: meta.mode() & 0o7777, text })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_layer_with_most_of_the_bases_files_holds_them_and_a_link_to_the_base_holds_nothing() {
        let home = tempfile::tempdir().unwrap();
        let at = |path: &str| home.path().join(path);
        for folder in ["base/etc", "base/usr/bin", "whole/diff/etc", "whole/diff/usr/bin", "part/diff/etc"] {
            fs::create_dir_all(at(folder)).unwrap();
        }
        for file in ["etc/issue", "usr/bin/env", "usr/bin/id"] {
            fs::write(at("base").join(file), "").unwrap();
            fs::hard_link(at("base").join(file), at("whole/diff").join(file)).unwrap();
        }
        fs::write(at("part/diff/etc/issue"), "").unwrap();
        symlink(at("base"), at("part/parent")).unwrap();
        let sample = sample(&at("base"));
        assert_eq!(sample.len(), 3);
        assert!(holds(&at("whole"), &sample));
        assert!(!holds(&at("part"), &sample));
        assert!(!holds(&at("whole"), &[]));
        assert!(in_layer(&at("part"), "/etc/issue").is_some());
        assert!(in_layer(&at("part"), "/usr/bin/env").is_none());
    }
}
