//! Files with a random name in the machine's own folders, and where else they are seen. The
//! machine's own files in `/etc` serve as well: a submission can hide or delete the laid ones.
//!
//! An overlay of the machine's root has a device and an inode of its own, and its folders below may
//! be unmounted. Its files tell what it shows.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::handles;
use crate::evidence::marker::Marker;
use crate::evidence::mount::Mount;

/// What no container is to see. Folders with libraries and devices may be shown.
const FOLDERS: [&str; 4] = ["/", "/etc", "/root", "/home"];
/// An overlay may put a number of its own into the upper half of an inode number (`xino`).
const OWN_HALF: u64 = 0xffff_ffff;
/// How the types of file systems begin that a program may serve.
const SERVED: [&str; 6] = ["fuse", "autofs", "nfs", "9p", "cifs", "smb"];

/// Where the machine's own files are taken from, and most of them.
const SETTINGS: &str = "/etc";
const OWN_CAP: usize = 40;
/// So many of the machine's own files in one place are its folder. Fewer may be mounted one by one.
const ENOUGH: usize = 10;

/// The files that were laid; removed when this is dropped.
#[derive(Debug)]
pub struct Laid {
    /// One for each folder that is there and can be written, then some of the machine's own.
    pub markers: Vec<Marker>,
    laid: usize,
}

impl Laid {
    /// Lays a file into each folder.
    pub fn now() -> Self {
        Self::below(Path::new("/"))
    }

    fn below(machine: &Path) -> Self {
        let name = format!("{:016x}", rand::random::<u64>());
        let lay = |folder: &str| {
            let path = machine.join(folder.trim_start_matches('/')).join(&name);
            let ino = fs::File::create_new(&path).and_then(|file| file.metadata()).ok()?.ino();
            Some(Marker { path: path.to_string_lossy().into_owned(), ino })
        };
        let mut markers: Vec<Marker> = FOLDERS.into_iter().filter_map(lay).collect();
        let laid = markers.len();
        markers.extend(own_files(&machine.join(&SETTINGS[1..]), &name));
        Self { markers, laid }
    }
}

/// Some regular files of a folder, but for the laid one.
fn own_files(folder: &Path, laid: &str) -> Vec<Marker> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let own = entries.filter(|entry| entry.file_name() != laid).filter_map(|entry| {
        let meta = entry.metadata().ok().filter(fs::Metadata::is_file)?;
        Some(Marker { path: entry.path().to_string_lossy().into_owned(), ino: meta.ino() })
    });
    own.take(OWN_CAP).collect()
}

impl Drop for Laid {
    fn drop(&mut self) {
        for marker in &self.markers[..self.laid] {
            let _ = fs::remove_file(&marker.path);
        }
    }
}

/// Which files are seen in a folder, or in its folders with the names of the machine's. Links are
/// not followed, because an absolute one leads out of the container. The `silent` are left alone.
pub fn seen(markers: &[Marker], folder: &Path, silent: &[PathBuf]) -> Vec<String> {
    let is_folder =
        |path: &PathBuf| !silent.contains(path) && fs::symlink_metadata(path).is_ok_and(|meta| meta.is_dir());
    let below = FOLDERS[1..].iter().map(|own| folder.join(&own[1..])).filter(is_folder);
    let places: Vec<PathBuf> = [folder.to_owned()].into_iter().chain(below).collect();
    let name = |marker: &Marker| Path::new(&marker.path).file_name().map(ToOwned::to_owned);
    let is_in = |place: &Path, marker: &Marker| {
        let meta = name(marker).and_then(|name| fs::symlink_metadata(place.join(name)).ok());
        meta.is_some_and(|meta| (meta.ino() ^ marker.ino) & OWN_HALF == 0)
    };
    let laid_name = markers.first().and_then(name);
    let (laid, own): (Vec<&Marker>, Vec<&Marker>) =
        markers.iter().partition(|marker| name(marker) == laid_name);
    let laid = laid.into_iter().filter(|marker| places.iter().any(|place| is_in(place, marker)));
    let own = places
        .iter()
        .map(|place| own.iter().copied().filter(|marker| is_in(place, marker)).collect::<Vec<_>>())
        .find(|here| here.len() >= ENOUGH)
        .unwrap_or_default();
    laid.chain(own).map(|marker| marker.path.clone()).collect()
}

/// The mount points of a process, as paths outside, whose file systems a program of the submission
/// may serve: such a one may not answer.
pub fn silent(pid: i32, mounts: &[Mount]) -> Vec<PathBuf> {
    let is_served = |mount: &&Mount| SERVED.iter().any(|kind| mount.fs_type.starts_with(kind));
    let outside = |mount: &Mount| PathBuf::from(handles::proc(format!("{pid}/root{}", mount.mount_point)));
    mounts.iter().filter(is_served).map(outside).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    fn machine() -> (tempfile::TempDir, Laid) {
        let machine = tempfile::tempdir().unwrap();
        for folder in ["etc", "root"] {
            fs::create_dir(machine.path().join(folder)).unwrap();
        }
        let laid = Laid::below(machine.path());
        assert_eq!(laid.markers.len(), 3);
        (machine, laid)
    }

    #[test]
    fn the_machines_folders_are_seen_and_a_copy_is_not() {
        let (machine, laid) = machine();
        let Laid { markers, .. } = &laid;
        let all: Vec<String> = markers.iter().map(|marker| marker.path.clone()).collect();
        assert_eq!(seen(markers, machine.path(), &[]), all);
        assert_eq!(seen(markers, &machine.path().join("etc"), &[]), all[1..2]);

        let copy = tempfile::tempdir().unwrap();
        let name = Path::new(&all[0]).file_name().unwrap();
        fs::create_dir(copy.path().join("etc")).unwrap();
        fs::copy(&all[1], copy.path().join("etc").join(name)).unwrap();
        assert!(seen(markers, copy.path(), &[]).is_empty());
    }

    /// Two machines may share a few files that are mounted one by one; hard links are as good.
    #[test]
    fn the_machines_settings_are_seen_without_the_laid_files() {
        let machine = tempfile::tempdir().unwrap();
        let etc = machine.path().join("etc");
        fs::create_dir(&etc).unwrap();
        for number in 0..ENOUGH {
            fs::write(etc.join(number.to_string()), "").unwrap();
        }
        let laid = Laid::below(machine.path());
        assert_eq!((laid.laid, laid.markers.len()), (2, 2 + ENOUGH));

        let container = tempfile::tempdir().unwrap();
        fs::create_dir(container.path().join("etc")).unwrap();
        for number in 0..ENOUGH {
            assert!(seen(&laid.markers, container.path(), &[]).is_empty());
            let name = number.to_string();
            fs::hard_link(etc.join(&name), container.path().join("etc").join(name)).unwrap();
        }
        assert_eq!(seen(&laid.markers, container.path(), &[]).len(), ENOUGH);
        assert_eq!(seen(&laid.markers, &container.path().join("etc"), &[]).len(), ENOUGH);
    }

    #[test]
    fn links_and_what_may_not_answer_are_left_alone() {
        let (machine, laid) = machine();
        let container = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(machine.path().join("etc"), container.path().join("etc")).unwrap();
        assert!(seen(&laid.markers, container.path(), &[]).is_empty());
        let silent = [machine.path().join("etc"), machine.path().join("root")];
        assert_eq!(seen(&laid.markers, machine.path(), &silent).len(), 1);
    }

    #[test]
    fn an_overlay_that_numbers_its_files_shows_the_same_files() {
        let (machine, mut laid) = machine();
        for marker in &mut laid.markers {
            marker.ino |= 1 << 60;
        }
        assert_eq!(seen(&laid.markers, machine.path(), &[]).len(), 3);
    }

    #[test]
    fn nothing_is_left_of_the_files() {
        let (machine, laid) = machine();
        drop(laid);
        let files =
            ["", "etc", "root"].map(|folder| fs::read_dir(machine.path().join(folder)).unwrap().count());
        assert_eq!(files, [2, 0, 0]);
    }
}
