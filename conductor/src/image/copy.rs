//! `COPY`: copies sources from the context into a new layer.
//!
//! The rules are those of `cp -r`:
//! - A file is copied to the destination, or into it under its own name if that is a directory or ends in `/`.
//! - A directory becomes the destination if the destination does not exist. If it is a directory, the source is
//!   copied into it under its own name (`COPY app /` makes `/app`, and so does `COPY app /app`). `COPY app/. /` and
//!   `COPY . /` copy only the content of a directory.
//! - Several sources are copied into the destination under their own names.
//! - Missing directories are created with mode 755. A relative destination is relative to `/`.
//!
//! Modes, modification times, links and extended attributes are kept. Everything belongs to root, because users of
//! the host have no meaning in an image. Existing directories keep their attributes.
//!
//! Nothing is mounted: files are written into the layer's directory, and [`crate::image::merged`] looks up their
//! destinations in the layers below. A layer that only adds files needs neither whiteouts nor opaque directories. A
//! directory that exists below appears in this layer with the same attributes, as overlayfs itself would copy it.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Gid, Mode, OFlags, Timespec, Timestamps, Uid};
use rustix::io::Errno;

use crate::image::merged::{self, Entry, Place};
use crate::image::source_tree::{self, Node, NodeKind, Source, Stamp};
use crate::state::attributes;

/// Why a source cannot be copied.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The destination cannot be resolved.
    #[error(transparent)]
    Destination(#[from] merged::Error),
    /// A directory would replace a file.
    #[error("/{0} is a file: a directory cannot take its place")]
    DirectoryOverFile(PathBuf),
    /// A file would replace a directory.
    #[error("/{0} is a directory: a file cannot take its place")]
    FileOverDirectory(PathBuf),
    /// The source has changed since its key was computed.
    #[error("{0} changed while it was copied: build again")]
    Changed(PathBuf),
    /// The source cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file or directory.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// The layer cannot be written.
    #[error("cannot write /{path}")]
    Write {
        /// The path in the image.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
}

fn write_error(path: &Path) -> impl Fn(Errno) -> Error + '_ {
    move |error| Error::Write { path: path.to_owned(), source: error.into() }
}

fn read_error(path: &Path) -> impl Fn(Errno) -> Error + '_ {
    move |error| Error::Read { path: path.to_owned(), source: error.into() }
}

/// Copies `sources` to `destination` in the layer `diff` on top of `lowers`.
pub fn copy(sources: &[Source], destination: &str, diff: &Path, lowers: &[PathBuf]) -> Result<(), Error> {
    let layer = Layer { diff, lowers, stack: [&[diff.to_owned()], lowers].concat() };
    let umask = rustix::process::umask(Mode::empty());
    let result = sources.iter().try_for_each(|source| layer.put(source, destination, sources.len() > 1));
    rustix::process::umask(umask);
    result
}

/// Creates the layer's root directory with the attributes of the root below.
pub fn make_root(diff: &Path, lowers: &[PathBuf]) -> io::Result<()> {
    rustix::fs::mkdir(diff, Mode::from_raw_mode(0o755))?;
    let made = rustix::fs::open(diff, DIRECTORY, Mode::empty())?;
    Ok(make_like(made.as_fd(), lowers.first().map(PathBuf::as_path))?)
}

const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Gives a new directory the owner, mode and attributes of `like`, or mode 755.
fn make_like(made: BorrowedFd<'_>, like: Option<&Path>) -> Result<(), Errno> {
    let Some(like) = like else { return rustix::fs::fchmod(made, Mode::from_raw_mode(0o755)) };
    let like = rustix::fs::open(like, DIRECTORY, Mode::empty())?;
    let stat = rustix::fs::fstat(&like)?;
    rustix::fs::fchown(made, Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid)))?;
    rustix::fs::fchmod(made, Mode::from_raw_mode(stat.st_mode))?;
    attributes::set(made, &attributes::of_file(like.as_fd())?)
}

/// The layer to write, and the layers below it.
struct Layer<'a> {
    diff: &'a Path,
    lowers: &'a [PathBuf],
    /// `diff`, then `lowers`.
    stack: Vec<PathBuf>,
}

/// A directory of the layer that receives files.
struct Target<'a> {
    open: BorrowedFd<'a>,
    /// Its path in the image.
    path: &'a Path,
    /// The same directory in the layers below, top first. Empty if it is new.
    below: &'a [PathBuf],
    /// Whether new entries inherit a group or an access control list from it.
    hands_down: bool,
}

impl<'a> Target<'a> {
    fn new(open: &'a OwnedFd, path: &'a Path, below: &'a [PathBuf]) -> Result<Self, Error> {
        let open = open.as_fd();
        let hands_down = attributes::hands_down(open).map_err(write_error(path))?;
        Ok(Self { open, path, below, hands_down })
    }
}

/// A directory of the context.
struct From<'a> {
    open: BorrowedFd<'a>,
    path: &'a Path,
}

impl Layer<'_> {
    /// Copies one source. `several` means that it is one of several.
    fn put(&self, source: &Source, destination: &str, several: bool) -> Result<(), Error> {
        let mut place = merged::resolve(&self.stack, Path::new(destination))?;
        let is_directory = matches!(source.node.kind, NodeKind::Directory { .. });
        let under_its_name = match place.entry {
            Entry::Directory(_) => true,
            _ => several || (destination.ends_with('/') && !is_directory),
        };
        if let (true, Some(name)) = (under_its_name, &source.name) {
            if place.entry == Entry::File {
                return Err(merged::Error::NotDirectory(place.path).into());
            }
            place = merged::resolve(&self.stack, &place.path.join(name))?;
        }
        match &source.node.kind {
            NodeKind::Directory { children, .. } => self.put_directory(source, children, &place),
            _ => self.put_file(source, &place),
        }
    }

    fn put_directory(
        &self,
        source: &Source,
        children: &[(OsString, Node)],
        place: &Place,
    ) -> Result<(), Error> {
        if place.entry == Entry::File {
            return Err(Error::DirectoryOverFile(place.path.clone()));
        }
        let (open, below) = self.open_directory(&place.path)?;
        let target = Target::new(&open, &place.path, &below)?;
        let from = From { open: source.open.as_fd(), path: &source.path };
        self.fill(&from, children, &target)?;
        if place.entry == Entry::Missing {
            finish_directory(&from, &source.node, &target)?;
        }
        Ok(())
    }

    fn put_file(&self, source: &Source, place: &Place) -> Result<(), Error> {
        let (Some(parent), Some(name)) = (place.path.parent(), place.path.file_name()) else {
            return Err(Error::FileOverDirectory(place.path.clone()));
        };
        if let Entry::Directory(_) = place.entry {
            return Err(Error::FileOverDirectory(place.path.clone()));
        }
        let (open, below) = self.open_directory(parent)?;
        let target = Target::new(&open, parent, &below)?;
        write_file(source.open.as_fd(), &source.path, &source.node, &target, name)
    }

    /// Opens the directory `path`, which must contain no links, in this layer. Missing directories are created, with the
    /// attributes of those below. Also returns the same directory in the layers below.
    fn open_directory(&self, path: &Path) -> Result<(OwnedFd, Vec<PathBuf>), Error> {
        let root = rustix::fs::open(self.diff, DIRECTORY, Mode::empty());
        let mut open = root.map_err(write_error(Path::new("")))?;
        let mut below = self.lowers.to_vec();
        for name in path {
            below = match merged::lookup(&below, name)? {
                Entry::Directory(directories) => directories,
                _ => Vec::new(),
            };
            let like = below.first().map(PathBuf::as_path);
            open = make_directory(open.as_fd(), name, like).map_err(write_error(path))?.0;
        }
        Ok((open, below))
    }

    fn fill(&self, from: &From, children: &[(OsString, Node)], target: &Target) -> Result<(), Error> {
        for (name, node) in children {
            match &node.kind {
                NodeKind::Directory { children, .. } => {
                    self.fill_child(from, name, node, children, target)?;
                }
                NodeKind::File { .. } => {
                    keep_directories(target, name)?;
                    let path = from.path.join(name);
                    let open = source_tree::open_file(from.open, name).map_err(read_error(&path))?;
                    write_file(open.as_fd(), &path, node, target, name)?;
                }
                NodeKind::Link { target: points_to } => {
                    keep_directories(target, name)?;
                    write_link(points_to, node, target, name)?;
                }
            }
        }
        Ok(())
    }

    /// Copies the directory `name` of `from` into `target`.
    fn fill_child(
        &self,
        from: &From,
        name: &OsStr,
        node: &Node,
        children: &[(OsString, Node)],
        target: &Target,
    ) -> Result<(), Error> {
        let source_path = from.path.join(name);
        let open = rustix::fs::openat(from.open, name, DIRECTORY, Mode::empty())
            .map_err(read_error(&source_path))?;
        let from = From { open: open.as_fd(), path: &source_path };
        let path = target.path.join(name);
        match merged::lookup(target.below, name)? {
            Entry::File => Err(Error::DirectoryOverFile(path)),
            // A link to a directory, such as /lib to /usr/lib, stays, and the content is copied to its target.
            Entry::Link(_) => {
                let place = merged::resolve(&self.stack, &path)?;
                let Entry::Directory(_) = place.entry else { return Err(Error::DirectoryOverFile(path)) };
                let (open, below) = self.open_directory(&place.path)?;
                self.fill(&from, children, &Target::new(&open, &place.path, &below)?)
            }
            entry => {
                let below = if let Entry::Directory(below) = entry { below } else { Vec::new() };
                let like = below.first().map(PathBuf::as_path);
                let (open, is_new) = make_directory(target.open, name, like).map_err(write_error(&path))?;
                let target = Target::new(&open, &path, &below)?;
                self.fill(&from, children, &target)?;
                if is_new && below.is_empty() { finish_directory(&from, node, &target) } else { Ok(()) }
            }
        }
    }
}

/// Fails if a file would hide a directory of the layers below.
fn keep_directories(target: &Target, name: &OsStr) -> Result<(), Error> {
    if target.below.is_empty() {
        return Ok(());
    }
    match merged::lookup(target.below, name)? {
        Entry::Directory(_) => Err(Error::FileOverDirectory(target.path.join(name))),
        _ => Ok(()),
    }
}

/// Makes a new file or directory root's and removes what it inherited.
fn disinherit(made: BorrowedFd<'_>) -> Result<(), Errno> {
    rustix::fs::fchown(made, Some(Uid::ROOT), Some(Gid::ROOT))?;
    attributes::remove_inherited(made)
}

/// Creates `name` in `parent`, or opens it if it exists. Returns whether it was created.
fn make_directory(
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
        make_like(open.as_fd(), like)?;
    }
    Ok((open, made))
}

/// Gives a new directory, now filled, the attributes of its source.
fn finish_directory(from: &From, node: &Node, target: &Target) -> Result<(), Error> {
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

/// Runs `create`, which creates `name` in `target`. If an earlier source of the same `COPY` left a file there, deletes it
/// first.
fn replacing<T>(target: &Target, name: &OsStr, create: impl Fn() -> Result<T, Errno>) -> Result<T, Error> {
    let path = || target.path.join(name);
    match create() {
        Err(Errno::EXIST) => match rustix::fs::unlinkat(target.open, name, AtFlags::empty()) {
            Err(Errno::ISDIR) => Err(Error::FileOverDirectory(path())),
            removed => removed.and_then(|()| create()).map_err(write_error(&path())),
        },
        created => created.map_err(|error| write_error(&path())(error)),
    }
}

fn write_link(points_to: &OsStr, node: &Node, target: &Target, name: &OsStr) -> Result<(), Error> {
    replacing(target, name, || rustix::fs::symlinkat(points_to, target.open, name))?;
    if target.hands_down {
        let (user, group) = (Some(Uid::ROOT), Some(Gid::ROOT));
        rustix::fs::chownat(target.open, name, user, group, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|error| write_error(&target.path.join(name))(error))?;
    }
    rustix::fs::utimensat(target.open, name, &times(node), AtFlags::SYMLINK_NOFOLLOW)
        .map_err(|error| write_error(&target.path.join(name))(error))
}

/// Copies the file `from`, called `source_path` in errors, to `name` in `target`.
fn write_file(
    from: BorrowedFd<'_>,
    source_path: &Path,
    node: &Node,
    target: &Target,
    name: &OsStr,
) -> Result<(), Error> {
    let NodeKind::File { stamp, .. } = &node.kind else {
        return Err(Error::Changed(source_path.to_owned()));
    };
    let attributes = attributes::of_file(from).map_err(read_error(source_path))?;
    let to = replacing(target, name, || {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        rustix::fs::openat(target.open, name, flags, Mode::from_raw_mode(node.mode))
    })?;
    let write = || {
        if target.hands_down {
            disinherit(to.as_fd())?;
            rustix::fs::fchmod(&to, Mode::from_raw_mode(node.mode))?;
        }
        copy_contents(from, to.as_fd(), stamp.size)?;
        attributes::set(to.as_fd(), &attributes)?;
        rustix::fs::futimens(&to, &times(node))
    };
    write().map_err(|error| write_error(&target.path.join(name))(error))?;
    let now = rustix::fs::fstat(from).map_err(read_error(source_path))?;
    if Stamp::of(&now) == *stamp { Ok(()) } else { Err(Error::Changed(source_path.to_owned())) }
}

/// Copies `size` bytes, or fewer if the file ends before.
fn copy_contents(from: BorrowedFd<'_>, to: BorrowedFd<'_>, size: u64) -> Result<(), Errno> {
    let mut left = size;
    while left > 0 {
        match rustix::fs::copy_file_range(from, None, to, None, left as usize) {
            Ok(0) => return Ok(()),
            Ok(len) => left -= len as u64,
            Err(Errno::INTR) => {}
            // Different file systems, or one without this call: copy through memory.
            Err(Errno::XDEV | Errno::INVAL | Errno::OPNOTSUPP | Errno::NOSYS) => {
                return copy_through_memory(from, to);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn copy_through_memory(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<(), Errno> {
    let mut buffer = vec![0; 128 << 10];
    loop {
        let len = match rustix::io::read(from, &mut buffer) {
            Ok(0) => return Ok(()),
            Err(Errno::INTR) => continue,
            read => read?,
        };
        let mut rest = &buffer[..len];
        while !rest.is_empty() {
            match rustix::io::write(to, rest) {
                Err(Errno::INTR) => {}
                written => rest = &rest[written?..],
            }
        }
    }
}
