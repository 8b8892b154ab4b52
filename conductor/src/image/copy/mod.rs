//! `COPY`: copies sources from the context into a new layer.
//!
//! The rules are those of `cp -r`:
//! - A file is copied to the destination, or into it under its own name if that is a directory or
//!   ends in `/`.
//! - A directory becomes the destination if the destination does not exist. If it is a directory,
//!   the source is copied into it under its own name (`COPY app /` makes `/app`, and so does `COPY
//!   app /app`). `COPY app/. /` and `COPY . /` copy only the content of a directory.
//! - Several sources are copied into the destination under their own names.
//! - Missing directories are created with mode 755. A relative destination is relative to `/`.
//!
//! Modes, modification times, links, hard links, holes and extended attributes are kept. Everything
//! belongs to root, because users of the host have no meaning in an image. Existing directories
//! keep their attributes.
//!
//! Nothing is mounted: files are written into the layer's directory, and [`crate::image::merged`]
//! looks up their destinations in the layers below. A layer that only adds files needs neither
//! whiteouts nor opaque directories. A directory that exists below appears in this layer with the
//! same attributes, as overlayfs itself would copy it.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::Mode;
use rustix::io::Errno;

mod contents;
mod write;

use write::{From, Target, Written, finish_directory, make_directory, write_file, write_link};

use crate::image::merged::{self, Entry, Place, Seen};
use crate::image::source_tree::{self, Node, NodeKind, Source};
use crate::state::attributes::{self, DIRECTORY};
use crate::state::paths::shown;

/// Why a source cannot be copied.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The destination cannot be resolved.
    #[error(transparent)]
    Destination(#[from] merged::Error),
    /// A directory would replace a file.
    #[error("/{} is a file: a directory cannot take its place", shown(.0))]
    DirectoryOverFile(PathBuf),
    /// A directory would be copied into a link without a target.
    #[error(
        "/{} is a link to /{}, which does not exist: create that directory first",
        shown(path),
        shown(target)
    )]
    DanglingLink {
        /// The path in the image.
        path: PathBuf,
        /// The target of the link.
        target: PathBuf,
    },
    /// A file would replace a directory.
    #[error("/{} is a directory: a file cannot take its place", shown(.0))]
    FileOverDirectory(PathBuf),
    /// The source has changed since its key was computed.
    #[error("{} changed while it was copied: build again", shown(.0))]
    Changed(PathBuf),
    /// The source cannot be read.
    #[error("cannot read {}", shown(path))]
    Read {
        /// The file or directory.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// The layer cannot be written.
    #[error("cannot write /{}", shown(path))]
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
pub fn copy(
    sources: &[Source],
    destination: &str,
    diff: &Path,
    lowers: &[PathBuf],
    seen: &Seen,
) -> Result<(), Error> {
    let stack = [&[diff.to_owned()], lowers].concat();
    let layer = Layer { diff, lowers, stack, seen, written: Written::default() };
    let umask = rustix::process::umask(Mode::empty());
    let result = sources.iter().try_for_each(|source| layer.put(source, destination, sources.len() > 1));
    rustix::process::umask(umask);
    result
}

/// Creates the layer's root directory with the attributes of the root below.
pub fn make_root(diff: &Path, lowers: &[PathBuf]) -> io::Result<()> {
    rustix::fs::mkdir(diff, Mode::from_raw_mode(0o755))?;
    let made = rustix::fs::open(diff, DIRECTORY, Mode::empty())?;
    Ok(attributes::make_like(made.as_fd(), lowers.first().map(PathBuf::as_path))?)
}

/// The layer to write, and the layers below it.
struct Layer<'a> {
    diff: &'a Path,
    lowers: &'a [PathBuf],
    /// `diff`, then `lowers`.
    stack: Vec<PathBuf>,
    /// What the build has found in `lowers`.
    seen: &'a Seen,
    written: Written,
}

impl Layer<'_> {
    /// Resolves a path in this layer and those below. This layer changes, so it is always looked
    /// at.
    fn resolve(&self, path: &Path) -> Result<Place, merged::Error> {
        let look = |path: &Path| {
            if path.starts_with(self.diff) { merged::look(path) } else { self.seen.look(path) }
        };
        merged::resolve(&self.stack, path, &look)
    }

    /// Copies one source. `several` means that it is one of several.
    fn put(&self, source: &Source, destination: &str, several: bool) -> Result<(), Error> {
        let mut place = self.resolve(Path::new(destination))?;
        let is_directory = matches!(source.node.kind, NodeKind::Directory { .. });
        let under_its_name = match place.entry {
            Entry::Directory(_) => true,
            _ => several || (destination.ends_with('/') && !is_directory),
        };
        if let (true, Some(name)) = (under_its_name, &source.name) {
            if place.entry == Entry::File {
                return Err(merged::Error::NotDirectory(place.path).into());
            }
            place = self.resolve(&place.path.join(name))?;
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
        let written = (self.diff, &self.written);
        write_file(source.open.as_fd(), &source.path, &source.node, &target, name, written)
    }

    /// Opens the directory `path`, which must contain no links, in this layer. Missing directories
    /// are created, with the attributes of those below. Also returns the same directory in the
    /// layers below.
    fn open_directory(&self, path: &Path) -> Result<(OwnedFd, Vec<PathBuf>), Error> {
        let root = rustix::fs::open(self.diff, DIRECTORY, Mode::empty());
        let mut open = root.map_err(write_error(Path::new("")))?;
        let mut below = self.lowers.to_vec();
        for name in path {
            below = match merged::lookup(&below, name, &|path| self.seen.look(path))? {
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
                    write_file(open.as_fd(), &path, node, target, name, (self.diff, &self.written))?;
                }
                NodeKind::Link { target: points_to } => {
                    keep_directories(target, name)?;
                    write_link(points_to, node, target, name, &self.written)?;
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
        match merged::lookup(target.below, name, &merged::look)? {
            Entry::File => Err(Error::DirectoryOverFile(path)),
            // A link to a directory, such as /lib to /usr/lib, stays, and the content is copied to
            // its target.
            Entry::Link(_) => {
                let place = self.resolve(&path)?;
                match place.entry {
                    Entry::Directory(_) => {}
                    Entry::Missing => return Err(Error::DanglingLink { path, target: place.path }),
                    _ => return Err(Error::DirectoryOverFile(path)),
                }
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
    match merged::lookup(target.below, name, &merged::look)? {
        Entry::Directory(_) => Err(Error::FileOverDirectory(target.path.join(name))),
        _ => Ok(()),
    }
}
