//! Writes the entries of a layer: directories, links and files with their attributes.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Gid, Mode, OFlags, Timespec, Timestamps, Uid};
use rustix::io::Errno;

use super::{Error, contents, read_error, write_error};
use crate::image::source_tree::{Node, NodeKind, Stamp};
use crate::state::attributes::{self, DIRECTORY};
use crate::state::paths;
use crate::state::store::Inode;

/// A directory of the layer that receives files.
pub(super) struct Target<'a> {
    pub(super) open: BorrowedFd<'a>,
    /// Its path in the image.
    pub(super) path: &'a Path,
    /// The same directory in the layers below, top first. Empty if it is new.
    pub(super) below: &'a [PathBuf],
    /// Whether new entries inherit a group or an access control list from it.
    pub(super) hands_down: bool,
}

impl<'a> Target<'a> {
    pub(super) fn new(open: &'a OwnedFd, path: &'a Path, below: &'a [PathBuf]) -> Result<Self, Error> {
        let open = open.as_fd();
        let hands_down = attributes::hands_down(open).map_err(write_error(path))?;
        Ok(Self { open, path, below, hands_down })
    }
}

/// A directory of the context.
pub(super) struct From<'a> {
    pub(super) open: BorrowedFd<'a>,
    pub(super) path: &'a Path,
}

/// Makes a new file or directory root's and removes what it inherited.
fn disinherit(made: BorrowedFd<'_>) -> Result<(), Errno> {
    rustix::fs::fchown(made, Some(Uid::ROOT), Some(Gid::ROOT))?;
    attributes::remove_inherited(made)
}

/// Creates `name` in `parent`, or opens it if it exists. Returns whether it was created.
pub(super) fn make_directory(
    parent: BorrowedFd<'_>,
    name: &OsStr,
    like: Option<&Path>,
) -> Result<(OwnedFd, bool), Errno> {
    let made = match rustix::fs::mkdirat(parent, name, Mode::from_raw_mode(0o755)) {
        Ok(()) => true,
        Err(Errno::EXIST) => false,
        Err(error) => return Err(error),
    };
    let open = rustix::fs::openat(parent, name, DIRECTORY, Mode::empty())?;
    if made {
        if attributes::hands_down(parent)? {
            disinherit(open.as_fd())?;
        }
        attributes::make_like(open.as_fd(), like)?;
    }
    Ok((open, made))
}

/// Gives a new directory, now filled, the attributes of its source.
pub(super) fn finish_directory(from: &From, node: &Node, target: &Target) -> Result<(), Error> {
    let attributes = attributes::of_file(from.open).map_err(read_error(from.path))?;
    let finish = || {
        rustix::fs::fchmod(target.open, Mode::from_raw_mode(node.mode))?;
        attributes::set(target.open, &attributes)?;
        rustix::fs::futimens(target.open, &times(node))
    };
    finish().map_err(write_error(target.path))
}

fn times(node: &Node) -> Timestamps {
    let time = Timespec { tv_sec: node.modified.0, tv_nsec: node.modified.1 };
    Timestamps { last_access: time, last_modification: time }
}

/// Runs `create`, which creates `name` in `target`. If an earlier source of the same `COPY` left a
/// file there, deletes it first.
fn replacing<T>(
    target: &Target,
    name: &OsStr,
    written: &Written,
    create: impl Fn() -> Result<T, Errno>,
) -> Result<T, Error> {
    let path = || target.path.join(name);
    match create() {
        Err(Errno::EXIST) => match rustix::fs::unlinkat(target.open, name, AtFlags::empty()) {
            Err(Errno::ISDIR) => Err(Error::FileOverDirectory(path())),
            removed => {
                // Later names of the deleted file must not become links to the new one.
                written.borrow_mut().retain(|_, first| *first != path());
                removed.and_then(|()| create()).map_err(write_error(&path()))
            }
        },
        created => created.map_err(|error| write_error(&path())(error)),
    }
}

pub(super) fn write_link(
    points_to: &OsStr,
    node: &Node,
    target: &Target,
    name: &OsStr,
    written: &Written,
) -> Result<(), Error> {
    replacing(target, name, written, || rustix::fs::symlinkat(points_to, target.open, name))?;
    if target.hands_down {
        let (user, group) = (Some(Uid::ROOT), Some(Gid::ROOT));
        rustix::fs::chownat(target.open, name, user, group, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|error| write_error(&target.path.join(name))(error))?;
    }
    rustix::fs::utimensat(target.open, name, &times(node), AtFlags::SYMLINK_NOFOLLOW)
        .map_err(|error| write_error(&target.path.join(name))(error))
}

/// The files with several names that a `COPY` has written: for the inode of the source, the path in
/// the image.
pub(super) type Written = RefCell<HashMap<Inode, PathBuf>>;

/// Copies the file `from`, called `source_path` in errors, to `name` in `target`. Another name of a
/// file that was copied before becomes a hard link in `layer`, the root of the layer.
pub(super) fn write_file(
    from: BorrowedFd<'_>,
    source_path: &Path,
    node: &Node,
    target: &Target,
    name: &OsStr,
    (layer, written): (&Path, &Written),
) -> Result<(), Error> {
    let NodeKind::File { stamp, linked, sparse, .. } = &node.kind else {
        return Err(Error::Changed(source_path.to_owned()));
    };
    let path = target.path.join(name);
    let fail = |error: Errno| write_error(&path)(error);
    let first = written.borrow().get(&stamp.inode).filter(|_| *linked).cloned();
    match first {
        // Two sources are names of one file and have the same destination.
        Some(first) if first == path => return Ok(()),
        Some(first) => return link(&layer.join(first), target, name, written),
        None => {}
    }
    let attributes = attributes::of_file(from).map_err(read_error(source_path))?;
    let to = replacing(target, name, written, || {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        rustix::fs::openat(target.open, name, flags, Mode::from_raw_mode(node.mode))
    })?;
    let write = || {
        if target.hands_down {
            disinherit(to.as_fd())?;
            rustix::fs::fchmod(&to, Mode::from_raw_mode(node.mode))?;
        }
        contents::copy(from, to.as_fd(), stamp.size, *sparse)?;
        attributes::set(to.as_fd(), &attributes)?;
        rustix::fs::futimens(&to, &times(node))
    };
    write().map_err(fail)?;
    if *linked {
        written.borrow_mut().insert(stamp.inode, path.clone());
    }
    let now = rustix::fs::fstat(from).map_err(read_error(source_path))?;
    if Stamp::of(&now) == *stamp { Ok(()) } else { Err(Error::Changed(source_path.to_owned())) }
}

/// Makes `name` in `target` another name of the file `first`.
fn link(first: &Path, target: &Target, name: &OsStr, written: &Written) -> Result<(), Error> {
    replacing(target, name, written, || {
        paths::near(first, |at, path| rustix::fs::linkat(at, path, target.open, name, AtFlags::empty()))
    })
}
