//! The sources of a `COPY`: files and directories of the context with everything below them.
//!
//! A source cannot lead out of the context, neither by `..` nor by a symbolic link (`openat2` with
//! `RESOLVE_BENEATH`). A source may itself be a link to something in the context; links below it
//! stay links.

use std::ffi::{CStr, OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, RawMode, ResolveFlags, Stat};
use rustix::io::Errno;

use crate::image::ignore::Ignore;
use crate::state::attributes;
use crate::state::paths::shown;
use crate::state::store::Inode;

/// The BLAKE3 digest of a file's contents and extended attributes, see
/// `image/file_digest.rs`.
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
    /// Entries of the tree that cannot be copied: sockets, pipes and devices.
    pub skipped: Vec<PathBuf>,
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
        /// The digest of contents and attributes. It is zero until [`crate::image::stat_index`]
        /// computes it.
        digest: FileDigest,
        /// Whether the file has other names (hard links), in the source or elsewhere.
        linked: bool,
        /// Whether parts of the file may be holes, which take no space on the disk.
        sparse: bool,
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
    #[error("'{source_path}' is not in the context {context}{note}")]
    Missing {
        /// The path in the Conductorfile.
        source_path: String,
        /// The context.
        context: PathBuf,
        /// What may be the reason.
        note: String,
    },
    /// The source is a symbolic link without a target.
    #[error("'{source_path}' is a link to '{target}', which is not in the context {context}", target = target.display())]
    Dangling {
        /// The path in the Conductorfile.
        source_path: String,
        /// The target of the link.
        target: PathBuf,
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
    #[error("{} is a device, socket or pipe: COPY takes only files, directories and links", shown(.0))]
    Kind(PathBuf),
    /// The source cannot be read.
    #[error("cannot read {}", shown(path))]
    Read {
        /// The file or directory.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
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
        // `st_blocks` counts 512 bytes, whatever the file system.
        let sparse = stat.st_blocks * 512 < stat.st_size;
        let (stamp, digest, linked) = (Stamp::of(stat), FileDigest::default(), stat.st_nlink > 1);
        Self::of(stat, NodeKind::File { stamp, digest, linked, sparse })
    }
}

impl Source {
    #[cfg(test)]
    pub(crate) fn for_test(path: PathBuf, node: Node) -> Self {
        let open = rustix::fs::open("/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap();
        Self { path, name: None, open, node, skipped: Vec::new() }
    }

    /// Finds `source_path` in `context` and reads its tree, without the contents of files. A
    /// leading `/` means the context, unless the path is an absolute path into the context.
    pub fn find(context: &Path, source_path: &str, exclude: &Exclude<'_>) -> Result<Self, Error> {
        let given = Path::new(source_path);
        let inside = given.strip_prefix(context).unwrap_or(given);
        let is_name = |component: &Component| !matches!(component, Component::RootDir | Component::CurDir);
        let path: PathBuf = inside.components().filter(is_name).collect();
        let contents = source_path.ends_with("/.") || path.file_name().is_none();
        let name = path.file_name().filter(|_| !contents).map(OsStr::to_os_string);
        let missing =
            |note| Error::Missing { source_path: source_path.into(), context: context.into(), note };
        if exclude.ignore.ignores(&path) && !exclude.ignore.has_exceptions() {
            return Err(missing(format!(": {} excludes it", exclude.ignore.file())));
        }
        let open = open_source(context, &path, source_path)?;
        let full = context.join(&path);
        let stat = rustix::fs::fstat(&open).map_err(|error| Error::read(&full, error))?;
        let mut walk = Walk { context, exclude, skipped: Vec::new() };
        let node = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => walk.directory(open.as_fd(), &stat, &mut path.clone())?,
            FileType::RegularFile => Node::file(&stat),
            _ => return Err(Error::Kind(full)),
        };
        let is_empty = matches!(&node.kind, NodeKind::Directory { children, .. } if children.is_empty());
        if exclude.ignore.ignores(&path) && (is_empty || matches!(node.kind, NodeKind::File { .. })) {
            return Err(missing(format!(": {} excludes it", exclude.ignore.file())));
        }
        Ok(Self { path, name, open, node, skipped: walk.skipped })
    }
}

/// Opens a source, which must be in the context.
fn open_source(context: &Path, path: &Path, source_path: &str) -> Result<OwnedFd, Error> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = rustix::fs::open(context, flags, Mode::empty()).map_err(|e| Error::read(context, e))?;
    let lookup = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let found = rustix::fs::openat2(&folder, lookup, flags, Mode::empty(), ResolveFlags::BENEATH);
    let (source_path, context) = (source_path.to_owned(), context.to_owned());
    found.map_err(|error| match error {
        Errno::XDEV => Error::Outside { source_path, context },
        Errno::NOENT | Errno::NOTDIR => {
            if let Ok(target) = rustix::fs::readlinkat(&folder, lookup, Vec::new()) {
                let target = OsStr::from_bytes(target.to_bytes()).into();
                return Error::Dangling { source_path, target, context };
            }
            let is_pattern = source_path.contains(['*', '?', '[']);
            let note = if is_pattern { "; COPY takes names, no patterns" } else { "" };
            Error::Missing { source_path, context, note: note.into() }
        }
        Errno::NXIO => Error::Kind(context.join(path)),
        _ => Error::read(&context.join(path), error),
    })
}

/// The entries of a context that `COPY` skips.
#[derive(Debug, Clone, Copy)]
pub struct Exclude<'a> {
    /// Directories, whatever their names: the state folders are beside the Conductorfile by
    /// default.
    pub folders: &'a [Inode],
    /// The patterns of the ignore file.
    pub ignore: &'a Ignore,
}

/// Reads the tree of one source.
struct Walk<'a> {
    context: &'a Path,
    exclude: &'a Exclude<'a>,
    skipped: Vec<PathBuf>,
}

impl Walk<'_> {
    fn fail(&self, path: &Path, error: Errno) -> Error {
        Error::read(&self.context.join(path), error)
    }

    /// Reads the directory `open`, at `path` in the context, with its whole tree.
    fn directory(&mut self, open: BorrowedFd<'_>, stat: &Stat, path: &mut PathBuf) -> Result<Node, Error> {
        let mut children = Vec::new();
        for entry in Dir::read_from(open).map_err(|error| self.fail(path, error))? {
            let entry = entry.map_err(|error| self.fail(path, error))?;
            let name = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            path.push(OsStr::from_bytes(name.to_bytes()));
            let child = self.child(open, name, path)?;
            path.pop();
            children.extend(child.map(|child| (OsStr::from_bytes(name.to_bytes()).to_owned(), child)));
        }
        children.sort_by(|(one, _), (two, _)| one.cmp(two));
        let attributes = attributes::of_file(open).map_err(|error| self.fail(path, error))?;
        Ok(Node::of(stat, NodeKind::Directory { attributes: attributes::encode(&attributes), children }))
    }

    /// Reads an entry of a directory. `None` if it is skipped.
    fn child(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &CStr,
        path: &mut PathBuf,
    ) -> Result<Option<Node>, Error> {
        let ignored = self.exclude.ignore.ignores(path);
        if ignored && !self.exclude.ignore.has_exceptions() {
            return Ok(None);
        }
        let stat = rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|error| self.fail(path, error))?;
        let node = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory if self.exclude.folders.contains(&(stat.st_dev, stat.st_ino)) => {
                return Ok(None);
            }
            FileType::Directory => {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let open = rustix::fs::openat(parent, name, flags, Mode::empty())
                    .map_err(|error| self.fail(path, error))?;
                let node = self.directory(open.as_fd(), &stat, path)?;
                // An ignored directory appears only if an exception keeps something in it.
                let is_empty =
                    matches!(&node.kind, NodeKind::Directory { children, .. } if children.is_empty());
                return Ok((!ignored || !is_empty).then_some(node));
            }
            _ if ignored => return Ok(None),
            FileType::RegularFile => Node::file(&stat),
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(parent, name, Vec::new())
                    .map_err(|error| self.fail(path, error))?;
                let target = OsStr::from_bytes(target.to_bytes()).to_owned();
                Node::of(&stat, NodeKind::Link { target })
            }
            _ => {
                self.skipped.push(path.clone());
                return Ok(None);
            }
        };
        Ok(Some(node))
    }
}

/// Opens the file `name` in `parent` for reading. Never follows a symbolic link.
pub(crate) fn open_file(parent: BorrowedFd<'_>, name: &OsStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    rustix::fs::openat(parent, name, flags, Mode::empty())
}
