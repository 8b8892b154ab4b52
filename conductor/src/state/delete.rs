//! Deletes trees that a container wrote: they may be arbitrarily deep, and something may be mounted
//! in them.

use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, FileType, IFlags, Mode, OFlags, RawDir, RenameFlags, ResolveFlags, SeekFrom};
use rustix::io::Errno;

use crate::state::{self, at, mounts};

/// Deletes a tree; a missing tree is no error. Fails if something is mounted in it, and keeps what
/// is mounted.
pub fn tree(path: &Path) -> Result<(), state::Error> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = match rustix::fs::open(path, flags, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(()),
        directory => at(directory, "open", path)?,
    };
    let mut tree = Tree { top: &directory, moved: 0 };
    loop {
        let moved = tree.moved;
        at(tree.delete_children(tree.top, 0), "delete what is in", path)?;
        if tree.moved == moved {
            break;
        }
    }
    let removed = match rustix::fs::rmdir(path) {
        Err(Errno::PERM) if clear(&directory) => rustix::fs::rmdir(path),
        removed => removed,
    };
    match removed {
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

/// Calls `change`, which removes or renames `name`. If `chattr +i` or `chattr +a` keeps it from
/// that, removes these marks from the file or directory and from its parent, and calls it again.
fn despite_marks(parent: &OwnedFd, name: &CStr, change: impl Fn() -> Result<(), Errno>) -> Result<(), Errno> {
    match change() {
        Err(Errno::PERM) if unmark(parent, name) => change(),
        done => done,
    }
}

/// Whether there were marks that keep `name` in `parent`, and they could be removed.
fn unmark(parent: &OwnedFd, name: &CStr) -> bool {
    // Opening a device or a pipe can have effects, and these cannot be marked.
    let stat = rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW);
    let kind = stat.map_or(FileType::Unknown, |stat| FileType::from_raw_mode(stat.st_mode));
    let mut unmarked = clear(parent);
    if matches!(kind, FileType::RegularFile | FileType::Directory) {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let child = rustix::fs::openat2(parent, name, flags, Mode::empty(), ResolveFlags::NO_XDEV);
        unmarked |= child.is_ok_and(|child| clear(&child));
    }
    unmarked
}

/// Removes the marks of chattr that forbid changes. Returns whether there were any.
fn clear(open: &OwnedFd) -> bool {
    let marks = IFlags::IMMUTABLE | IFlags::APPEND;
    let Ok(flags) = rustix::fs::ioctl_getflags(open) else { return false };
    flags.intersects(marks) && rustix::fs::ioctl_setflags(open, flags - marks).is_ok()
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
                let unlink = || rustix::fs::unlinkat(directory, name, AtFlags::empty());
                match despite_marks(directory, name, unlink) {
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
        let remove = || rustix::fs::unlinkat(directory, name, AtFlags::REMOVEDIR);
        match despite_marks(directory, name, remove) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn move_to_top(&mut self, directory: &OwnedFd, name: &CStr) -> Result<(), Errno> {
        loop {
            self.moved += 1;
            let new = format!("deep-{}", self.moved);
            let rename =
                || rustix::fs::renameat_with(directory, name, self.top, &new, RenameFlags::NOREPLACE);
            match despite_marks(directory, name, rename) {
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
    fn what_chattr_protects_is_deleted() {
        let folder = tempfile::tempdir().unwrap();
        let tree = folder.path().join("tree");
        let mark = |path: &str, mark: IFlags| {
            let open = fs::File::open(tree.join(path)).unwrap();
            let flags = rustix::fs::ioctl_getflags(&open)?;
            rustix::fs::ioctl_setflags(&open, flags | mark)
        };
        fs::create_dir_all(tree.join("full/inner")).unwrap();
        fs::create_dir_all(tree.join("empty")).unwrap();
        fs::write(tree.join("full/file"), "").unwrap();
        fs::write(tree.join("log"), "").unwrap();
        std::os::unix::fs::symlink("file", tree.join("full/link")).unwrap();
        if mark("log", IFlags::APPEND).is_err() {
            eprintln!("skipped: needs root and a file system with the marks of chattr");
            return;
        }
        for path in ["full/file", "full/inner", "full", "empty"] {
            mark(path, IFlags::IMMUTABLE).unwrap();
        }
        mark("", IFlags::APPEND).unwrap();
        super::tree(&tree).unwrap();
        assert!(!tree.exists());
        fs::create_dir(&tree).unwrap();
        mark("", IFlags::IMMUTABLE).unwrap();
        super::tree(&tree).unwrap();
        assert!(!tree.exists());
    }

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
