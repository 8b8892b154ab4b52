//! The sources of a `COPY`: files and directories of the context with everything below them.
//!
//! A source cannot lead out of the context, neither by `..` nor by a symbolic link (`openat2` with
//! `RESOLVE_BENEATH`). A source may itself be a link to something in the context; links below it stay links.

use std::ffi::{CStr, OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, RawMode, ResolveFlags, Stat};
use rustix::io::Errno;

use crate::state::attributes;
use crate::state::store::Inode;

/// SHA-256 of a file's contents and extended attributes.
pub type FileDigest = [u8; 32];

/// One source of a `COPY`.
#[derive(Debug)]
pub struct Source {
    /// The path in the context, without a leading `/`.
    pub path: PathBuf,
    /// Its name in a destination directory. `None` if only its content is copied (`dir/.`).
    pub name: Option<OsString>,
    /// The source, open for reading.
    pub open: OwnedFd,
    /// The file or tree.
    pub node: Node,
}

/// A file, directory or link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// The permission bits, 07777.
    pub mode: RawMode,
    /// The modification time: seconds and nanoseconds.
    pub modified: (i64, i64),
    /// The kind, with its content.
    pub kind: NodeKind,
}

/// The kind of a [`Node`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeKind {
    /// A directory.
    Directory {
        /// Its extended attributes, encoded.
        attributes: Vec<u8>,
        /// Its entries, sorted by name.
        children: Vec<(OsString, Node)>,
    },
    /// A regular file.
    File {
        /// It changes whenever the file changes.
        stamp: Stamp,
        /// The digest of contents and attributes. It is zero until [`crate::image::stat_index`] computes it.
        digest: FileDigest,
    },
    /// A symbolic link.
    Link {
        /// The target of the link.
        target: OsString,
    },
}

/// The fields of `stat` that change whenever the contents or attributes of a file change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stamp {
    /// Device and inode.
    pub inode: (u64, u64),
    /// Size in bytes.
    pub size: u64,
    /// Modification time, seconds and nanoseconds.
    pub modified: (i64, i64),
    /// Change time, seconds and nanoseconds. Programs cannot set it.
    pub changed: (i64, i64),
}

impl Stamp {
    pub(crate) fn of(stat: &Stat) -> Self {
        Self {
            inode: (stat.st_dev, stat.st_ino),
            size: stat.st_size as u64,
            modified: (stat.st_mtime, stat.st_mtime_nsec as i64),
            changed: (stat.st_ctime, stat.st_ctime_nsec as i64),
        }
    }
}

/// Why a source cannot be copied.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The source does not exist.
    #[error("'{source_path}' is not in the context {context}{}", no_wildcards(source_path))]
    Missing {
        /// The path in the Conductorfile.
        source_path: String,
        /// The context.
        context: PathBuf,
    },
    /// `..` or a symbolic link leads out of the context.
    #[error("'{source_path}' leads out of the context {context}: copy from inside it, or set --context")]
    Outside {
        /// The path in the Conductorfile.
        source_path: String,
        /// The context.
        context: PathBuf,
    },
    /// Not a file, directory or symbolic link.
    #[error("{0} is a device, socket or pipe: COPY takes only files, directories and links")]
    Kind(PathBuf),
    /// The source cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file or directory.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
}

/// A note for a path that looks like a pattern.
fn no_wildcards(source_path: &str) -> &'static str {
    if source_path.contains(['*', '?', '[']) { "; COPY takes names, no patterns" } else { "" }
}

impl Error {
    pub(crate) fn read(path: &Path, source: impl Into<io::Error>) -> Self {
        Self::Read { path: path.to_owned(), source: source.into() }
    }
}

impl Node {
    /// A node without a time.
    #[cfg(test)]
    pub(crate) fn new(mode: RawMode, kind: NodeKind) -> Self {
        Self { mode, modified: (0, 0), kind }
    }

    /// The number of bytes in its files.
    pub fn size(&self) -> u64 {
        match &self.kind {
            NodeKind::File { stamp, .. } => stamp.size,
            NodeKind::Directory { children, .. } => children.iter().map(|(_, child)| child.size()).sum(),
            NodeKind::Link { .. } => 0,
        }
    }

    fn of(stat: &Stat, kind: NodeKind) -> Self {
        Self { mode: stat.st_mode & 0o7777, modified: (stat.st_mtime, stat.st_mtime_nsec as i64), kind }
    }

    fn file(stat: &Stat) -> Self {
        let kind = NodeKind::File { stamp: Stamp::of(stat), digest: FileDigest::default() };
        Self::of(stat, kind)
    }
}

impl Source {
    #[cfg(test)]
    pub(crate) fn for_test(path: PathBuf, node: Node) -> Self {
        let open = rustix::fs::open("/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap();
        Self { path, name: None, open, node }
    }

    /// Finds `source_path` in `context` and reads its tree, without the contents of files. A leading `/` means the context,
    /// unless the path is an absolute path into the context. Directories in `left_out` are skipped: the state folders are
    /// beside the Conductorfile by default.
    pub fn find(context: &Path, source_path: &str, left_out: &[Inode]) -> Result<Self, Error> {
        let outside = || Error::Outside { source_path: source_path.into(), context: context.to_owned() };
        let given = Path::new(source_path);
        let inside = given.strip_prefix(context).unwrap_or(given);
        let path: PathBuf = inside.components().filter(|c| !matches!(c, Component::RootDir)).collect();
        let contents = source_path.ends_with("/.") || path.file_name().is_none();
        let name = path.file_name().filter(|_| !contents).map(OsStr::to_os_string);
        let lookup = if path.as_os_str().is_empty() { Path::new(".") } else { &path };

        let folder =
            rustix::fs::open(context, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
                .map_err(|error| Error::read(context, error))?;
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let found = rustix::fs::openat2(&folder, lookup, flags, Mode::empty(), ResolveFlags::BENEATH);
        let full = context.join(&path);
        let open = found.map_err(|error| match error {
            Errno::XDEV => outside(),
            Errno::NOENT | Errno::NOTDIR => {
                Error::Missing { source_path: source_path.into(), context: context.to_owned() }
            }
            Errno::NXIO => Error::Kind(full.clone()),
            _ => Error::read(&full, error),
        })?;
        let stat = rustix::fs::fstat(&open).map_err(|error| Error::read(&full, error))?;
        let node = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => directory(open.as_fd(), &stat, &full, left_out)?,
            FileType::RegularFile => Node::file(&stat),
            _ => return Err(Error::Kind(full)),
        };
        Ok(Self { path, name, open, node })
    }
}

/// Reads the directory `open`, called `path` in errors, with its whole tree.
fn directory(open: BorrowedFd<'_>, stat: &Stat, path: &Path, left_out: &[Inode]) -> Result<Node, Error> {
    let fail = |error: Errno| Error::read(path, error);
    let mut children = Vec::new();
    for entry in Dir::read_from(open).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        let name = OsStr::from_bytes(name.to_bytes());
        let child = child(open, entry.file_name(), &path.join(name), left_out)?;
        children.extend(child.map(|child| (name.to_owned(), child)));
    }
    children.sort_by(|(one, _), (two, _)| one.cmp(two));
    let attributes = attributes::encode(&attributes::of_file(open).map_err(fail)?);
    Ok(Node::of(stat, NodeKind::Directory { attributes, children }))
}

/// Reads an entry of a directory. `None` if it is skipped.
fn child(
    parent: BorrowedFd<'_>,
    name: &CStr,
    path: &Path,
    left_out: &[Inode],
) -> Result<Option<Node>, Error> {
    let fail = |error: Errno| Error::read(path, error);
    let stat = rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW).map_err(fail)?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Ok(Some(Node::file(&stat))),
        FileType::Symlink => {
            let target = rustix::fs::readlinkat(parent, name, Vec::new()).map_err(fail)?;
            let target = OsStr::from_bytes(target.to_bytes()).to_owned();
            Ok(Some(Node::of(&stat, NodeKind::Link { target })))
        }
        FileType::Directory if left_out.contains(&(stat.st_dev, stat.st_ino)) => Ok(None),
        FileType::Directory => {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let open = rustix::fs::openat(parent, name, flags, Mode::empty()).map_err(fail)?;
            directory(open.as_fd(), &stat, path, left_out).map(Some)
        }
        _ => Err(Error::Kind(path.to_owned())),
    }
}

/// Opens the file `name` in `parent` for reading. Never follows a symbolic link.
pub(crate) fn open_file(parent: BorrowedFd<'_>, name: &OsStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    rustix::fs::openat(parent, name, flags, Mode::empty())
}
