//! Deletes trees that a container wrote: they may be arbitrarily deep, and something may be mounted
//! in them.

use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir, RenameFlags, ResolveFlags, SeekFrom};
use rustix::io::Errno;

use crate::state::{self, at, mounts};

/// Deletes a tree; a missing tree is no error. Fails if something is mounted in it, and keeps what
/// is mounted.
pub fn tree(path: &Path) -> Result<(), state::Error> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match rustix::fs::open(path, flags, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(()),
        directory => {
            let mut tree = Tree { top: &at(directory, "open", path)?, moved: 0 };
            loop {
                let moved = tree.moved;
                at(tree.delete_children(tree.top, 0), "delete what is in", path)?;
                if tree.moved == moved {
                    break;
                }
            }
        }
    }
    match rustix::fs::rmdir(path) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(state::Error::new("delete", path, error)),
    }
}

/// Like [`tree`], but first detaches what is mounted in the tree. Nearly always nothing is, so the
/// table of mounts is read only after the tree could not be deleted.
pub fn tree_with_mounts(path: &Path) -> Result<(), state::Error> {
    match tree(path) {
        Err(error) if error.is_mounted() => {
            mounts::detach_below(path)?;
            tree(path)
        }
        done => done,
    }
}

/// How many directories are open at once. Deeper directories are first moved to the top: a
/// container can create trees that are deeper than the limit of open files.
const DEPTH: u32 = 100;

/// How many bytes of a directory are read at once.
const LISTING: usize = 4096;

/// Removes an empty directory. Many are empty, and this call costs less than looking into them.
fn is_removed(parent: &OwnedFd, name: &CStr) -> bool {
    rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR).is_ok()
}

/// The tree to delete.
struct Tree<'a> {
    top: &'a OwnedFd,
    /// How many directories were moved to the top.
    moved: u32,
}

impl Tree<'_> {
    fn delete_children(&mut self, directory: &OwnedFd, depth: u32) -> Result<(), Errno> {
        rustix::fs::seek(directory, SeekFrom::Start(0))?;
        let mut buffer = [MaybeUninit::uninit(); LISTING];
        let mut entries = RawDir::new(directory, &mut buffer);
        while let Some(entry) = entries.next() {
            let entry = entry?;
            let name: &CStr = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            let mut is_directory = entry.file_type() == FileType::Directory;
            if !is_directory {
                match rustix::fs::unlinkat(directory, name, AtFlags::empty()) {
                    Ok(()) | Err(Errno::NOENT) => {}
                    Err(Errno::ISDIR) => is_directory = true,
                    Err(error) => return Err(error),
                }
            }
            if is_directory && !is_removed(directory, name) {
                if depth == DEPTH {
                    self.move_to_top(directory, name)?;
                } else {
                    self.delete_child(directory, name, depth)?;
                }
            }
        }
        Ok(())
    }

    fn delete_child(&mut self, directory: &OwnedFd, name: &CStr, depth: u32) -> Result<(), Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        // EXDEV means that something is mounted there, which is not ours to delete.
        match rustix::fs::openat2(directory, name, flags, Mode::empty(), ResolveFlags::NO_XDEV) {
            Err(Errno::NOENT) => return Ok(()),
            child => self.delete_children(&child?, depth + 1)?,
        }
        match rustix::fs::unlinkat(directory, name, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn move_to_top(&mut self, directory: &OwnedFd, name: &CStr) -> Result<(), Errno> {
        loop {
            self.moved += 1;
            let new = format!("deep-{}", self.moved);
            match rustix::fs::renameat_with(directory, name, self.top, new, RenameFlags::NOREPLACE) {
                Err(Errno::EXIST) => {}
                Err(Errno::NOENT) => return Ok(()),
                moved => return moved,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rustix::process::{Resource, Rlimit};

    use super::*;

    #[test]
    fn a_tree_deeper_than_we_may_open_files_is_removed() {
        // The usual limit of a process. No other test needs more.
        let limit = rustix::process::getrlimit(Resource::Nofile);
        rustix::process::setrlimit(Resource::Nofile, Rlimit { current: Some(1024), ..limit }).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let tree = folder.path().join("tree");
        fs::create_dir(&tree).unwrap();
        let open = |path| rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
        let mut deepest = open(&tree).unwrap();
        let name = "a name as long as names are".repeat(5);
        for _ in 0..2000 {
            rustix::fs::mkdirat(&deepest, &name, Mode::from_raw_mode(0o700)).unwrap();
            let flags = OFlags::PATH | OFlags::CLOEXEC;
            deepest = rustix::fs::openat(&deepest, &name, flags, Mode::empty()).unwrap();
        }
        super::tree(&tree).unwrap();
        assert!(!tree.exists());
    }
}
