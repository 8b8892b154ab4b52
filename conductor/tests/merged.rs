//! [`conductor::image::merged`] resolves paths in a stack of layers like the kernel's overlayfs.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

use conductor::image::merged::{Entry, look, resolve};
use conductor::sandbox::overlay::{self, Flags};
use proptest::prelude::*;
use rustix::fs::{CWD, FileType, Mode, XattrFlags, makedev, mknodat, setxattr};
use rustix::mount::{MountPropagationFlags, mount_change};

#[derive(Debug, Clone, Copy)]
enum Kind {
    File,
    Directory,
    Opaque,
    Whiteout,
}

const PATHS: [&str; 8] = ["a", "a/a", "a/a/a", "a/a/b", "a/b", "b", "b/a", "b/a/b"];

fn make(layer: &Path, entries: &[Option<Kind>]) {
    fs::create_dir_all(layer).unwrap();
    for (path, kind) in PATHS.iter().zip(entries) {
        let path = layer.join(path);
        if !path.parent().unwrap().is_dir() {
            continue;
        }
        match kind {
            None => {}
            Some(Kind::File) => fs::write(path, "").unwrap(),
            Some(Kind::Directory) => fs::create_dir(path).unwrap(),
            Some(Kind::Opaque) => {
                fs::create_dir(&path).unwrap();
                setxattr(&path, "trusted.overlay.opaque", b"y", XattrFlags::empty()).unwrap();
            }
            Some(Kind::Whiteout) => {
                mknodat(CWD, &path, FileType::CharacterDevice, Mode::empty(), makedev(0, 0)).unwrap();
            }
        }
    }
}

/// The kind of entry at each path: `d`, `f` or nothing.
fn as_we_say(stack: &[PathBuf]) -> Vec<Option<char>> {
    let entry = |path: &&str| match resolve(stack, Path::new(path), &look).map(|place| place.entry) {
        Ok(Entry::Directory(_)) => Some('d'),
        Ok(Entry::File | Entry::Link(_)) => Some('f'),
        Ok(Entry::Missing) | Err(_) => None,
    };
    PATHS.iter().map(entry).collect()
}

fn as_the_kernel_says(root: &Path) -> Vec<Option<char>> {
    let entry = |path: &&str| {
        let metadata = fs::symlink_metadata(root.join(path)).ok()?;
        Some(if metadata.is_dir() { 'd' } else { 'f' })
    };
    PATHS.iter().map(entry).collect()
}

#[test]
fn the_kernel_agrees() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: needs root");
        return;
    }
    // Only this thread is affected.
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).unwrap();
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).unwrap();
    let kind = prop_oneof![
        Just(Some(Kind::Directory)),
        Just(Some(Kind::Directory)),
        Just(Some(Kind::Opaque)),
        Just(Some(Kind::File)),
        Just(Some(Kind::Whiteout)),
        Just(None),
        Just(None),
    ];
    let layer = prop::collection::vec(kind, PATHS.len());
    let config = ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let compare = |layers: Vec<Vec<Option<Kind>>>| {
        let folder = tempfile::tempdir().unwrap();
        let [upper, work, root] = ["upper", "work", "root"].map(|name| folder.path().join(name));
        for path in [&upper, &work, &root] {
            fs::create_dir(path).unwrap();
        }
        let stack: Vec<_> = (0..layers.len()).map(|number| folder.path().join(number.to_string())).collect();
        for (path, entries) in stack.iter().zip(&layers) {
            make(path, entries);
        }
        let mount = overlay::mount(&stack, &upper, &work, &root, Flags { volatile: true }).unwrap();
        let kernel = as_the_kernel_says(&root);
        mount.unmount().unwrap();
        prop_assert_eq!(as_we_say(&stack), kernel);
        Ok(())
    };
    runner.run(&prop::collection::vec(layer, 1..4), compare).unwrap();
}
