//! Resolves paths in a stack of layers without mounting it.
//!
//! The rules are those of overlayfs ("Upper and Lower", "whiteouts and opaque directories" in
//! Documentation/filesystems/overlayfs.rst): the topmost layer that has a name decides. Directories
//! merge with those below, down to the first opaque one. A character device 0/0 (a whiteout) means
//! that the name is deleted.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, fgetxattr, openat, readlinkat, statat};
use rustix::io::Errno;

use crate::state::paths::{self, shown};

/// How many symbolic links a path may contain: the kernel's limit.
const MAX_LINKS: u32 = 40;

/// An entry of a merged directory.
#[derive(Debug, PartialEq, Eq)]
pub enum Entry {
    /// There is no entry.
    Missing,
    /// A directory: the directories of the layers that it merges, top first.
    Directory(Vec<PathBuf>),
    /// A symbolic link, with its target.
    Link(PathBuf),
    /// Anything else.
    File,
}

/// The result of resolving a path: all links are followed.
#[derive(Debug, PartialEq, Eq)]
pub struct Place {
    /// The path from the root, without a leading `/` and without links.
    pub path: PathBuf,
    /// The entry at the path: never a link.
    pub entry: Entry,
}

/// Why a path cannot be resolved.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The path has too many links, or a loop.
    #[error("{0} leads through too many links")]
    Loop(PathBuf),
    /// A file is used as a directory.
    #[error("/{0} is not a directory")]
    NotDirectory(PathBuf),
    /// `..` after a directory that does not exist.
    #[error("{0} has a '..' after a directory that does not exist")]
    UpFromMissing(PathBuf),
    /// A layer cannot be read.
    #[error("cannot read {}", shown(path))]
    Read {
        /// The file or directory.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
}

/// What one layer has at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// No entry: the layers below decide.
    Nothing,
    /// A directory.
    Directory {
        /// Whether it hides the directories below instead of merging with them.
        opaque: bool,
    },
    /// A symbolic link, with its target.
    Link(PathBuf),
    /// A whiteout: the name is deleted.
    Whiteout,
    /// Anything else.
    File,
}

/// A way to find out what a layer has at a path: [`look`], or [`Seen::look`].
pub type Look<'a> = &'a dyn Fn(&Path) -> Result<Found, Errno>;

/// Looks at a path of a layer.
pub fn look(path: &Path) -> Result<Found, Errno> {
    let stat = match paths::near(path, |at, path| statat(at, path, AtFlags::SYMLINK_NOFOLLOW)) {
        Err(Errno::NOENT) => return Ok(Found::Nothing),
        stat => stat?,
    };
    Ok(match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => Found::Directory { opaque: paths::near(path, is_opaque)? },
        FileType::Symlink => {
            let target = paths::near(path, |at, path| readlinkat(at, path, Vec::new()))?;
            Found::Link(OsStr::from_bytes(target.to_bytes()).into())
        }
        _ if is_whiteout(&stat) => Found::Whiteout,
        _ => Found::File,
    })
}

/// What a build has found in layers. A layer never changes, so the build looks at each path once,
/// and a step does not grow with the layers below it.
#[derive(Debug, Default)]
pub struct Seen {
    found: RefCell<HashMap<PathBuf, Found>>,
}

impl Seen {
    /// Looks at a path of a complete layer, unless that was done before.
    pub fn look(&self, path: &Path) -> Result<Found, Errno> {
        if let Some(found) = self.found.borrow().get(path) {
            return Ok(found.clone());
        }
        let found = look(path)?;
        self.found.borrow_mut().insert(path.to_owned(), found.clone());
        Ok(found)
    }
}

/// Looks up `name` in the merged directory of `directories`, top first.
pub fn lookup(directories: &[PathBuf], name: &OsStr, look: Look<'_>) -> Result<Entry, Error> {
    let mut merged = Vec::new();
    for directory in directories {
        let path = directory.join(name);
        let found = look(&path).map_err(|error| Error::Read { path: path.clone(), source: error.into() })?;
        match found {
            Found::Nothing => {}
            Found::Directory { opaque } => {
                merged.push(path);
                if opaque {
                    break;
                }
            }
            _ if !merged.is_empty() => break,
            Found::Whiteout => break,
            Found::Link(target) => return Ok(Entry::Link(target)),
            Found::File => return Ok(Entry::File),
        }
    }
    Ok(if merged.is_empty() { Entry::Missing } else { Entry::Directory(merged) })
}

fn is_whiteout(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0
}

fn is_opaque(parent: BorrowedFd<'_>, path: &Path) -> Result<bool, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = openat(parent, path, flags, Mode::empty())?;
    let mut value = [0; 1];
    match fgetxattr(&directory, "trusted.overlay.opaque", &mut value[..]) {
        Ok(len) => Ok(value[..len] == *b"y"),
        Err(Errno::NODATA | Errno::NOTSUP) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Resolves `path` from the root of `stack` and follows links.
pub fn resolve(stack: &[PathBuf], path: &Path, look: Look<'_>) -> Result<Place, Error> {
    let mut ahead: VecDeque<OsString> = names(path).collect();
    // The directories on the way, with their names. The last is the current one.
    let mut trail: Vec<(OsString, Vec<PathBuf>)> = Vec::new();
    let mut links = 0;
    let walked = |trail: &[(OsString, Vec<PathBuf>)]| trail.iter().map(|(name, _)| name).collect::<PathBuf>();
    while let Some(name) = ahead.pop_front() {
        if name == ".." {
            trail.pop();
            continue;
        }
        let here = trail.last().map_or(stack, |(_, directories)| directories);
        match lookup(here, &name, look)? {
            Entry::Directory(directories) => trail.push((name, directories)),
            Entry::Link(target) => {
                links += 1;
                if links > MAX_LINKS {
                    return Err(Error::Loop(path.to_owned()));
                }
                if target.is_absolute() {
                    trail.clear();
                }
                for name in names(&target).rev() {
                    ahead.push_front(name);
                }
            }
            Entry::File if ahead.is_empty() => {
                return Ok(Place { path: walked(&trail).join(name), entry: Entry::File });
            }
            Entry::File => return Err(Error::NotDirectory(walked(&trail).join(name))),
            Entry::Missing if ahead.iter().any(|name| name == "..") => {
                return Err(Error::UpFromMissing(path.to_owned()));
            }
            Entry::Missing => {
                let mut path = walked(&trail).join(name);
                path.extend(ahead);
                return Ok(Place { path, entry: Entry::Missing });
            }
        }
    }
    let path = walked(&trail);
    let directories = trail.pop().map_or_else(|| stack.to_vec(), |(_, directories)| directories);
    Ok(Place { path, entry: Entry::Directory(directories) })
}

/// The names in a path, including `..`.
fn names(path: &Path) -> impl DoubleEndedIterator<Item = OsString> + '_ {
    path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    /// Two layers, the top one first.
    fn stack() -> (tempfile::TempDir, Vec<PathBuf>) {
        let folder = tempfile::tempdir().unwrap();
        let (top, base) = (folder.path().join("top"), folder.path().join("base"));
        fs::create_dir_all(base.join("usr/bin")).unwrap();
        fs::create_dir_all(base.join("etc/conf")).unwrap();
        fs::write(base.join("etc/passwd"), "").unwrap();
        symlink("usr/bin", base.join("bin")).unwrap();
        symlink("/etc/../bin/sub", base.join("usr/up")).unwrap();
        symlink("loop", base.join("loop")).unwrap();
        fs::create_dir_all(top.join("usr/local")).unwrap();
        (folder, vec![top, base])
    }

    fn path_of(stack: &[PathBuf], path: &str) -> (String, bool) {
        let place = resolve(stack, Path::new(path), &look).unwrap();
        (place.path.to_str().unwrap().into(), place.entry == Entry::Missing)
    }

    #[test]
    fn links_are_followed_inside_the_stack() {
        let (_folder, stack) = stack();
        assert_eq!(path_of(&stack, "/bin"), ("usr/bin".into(), false));
        assert_eq!(path_of(&stack, "bin/new/deep"), ("usr/bin/new/deep".into(), true));
        assert_eq!(path_of(&stack, "/usr/up/x"), ("usr/bin/sub/x".into(), true));
        assert_eq!(path_of(&stack, "/../../etc/./passwd"), ("etc/passwd".into(), false));
        assert_eq!(path_of(&stack, "/"), (String::new(), false));
    }

    #[test]
    fn directories_of_all_layers_merge() {
        let (_folder, stack) = stack();
        let place = resolve(&stack, Path::new("usr"), &look).unwrap();
        assert_eq!(place.entry, Entry::Directory(vec![stack[0].join("usr"), stack[1].join("usr")]));
        assert!(matches!(lookup(&stack, OsStr::new("bin"), &look).unwrap(), Entry::Link(_)));
    }

    #[test]
    fn paths_that_cannot_be_resolved_are_errors() {
        let (_folder, stack) = stack();
        assert!(matches!(resolve(&stack, Path::new("loop/a"), &look), Err(Error::Loop(_))));
        assert!(matches!(resolve(&stack, Path::new("etc/passwd/x"), &look), Err(Error::NotDirectory(_))));
        assert!(matches!(resolve(&stack, Path::new("none/../x"), &look), Err(Error::UpFromMissing(_))));
    }

    #[test]
    fn whiteouts_and_opaque_directories_hide_what_is_below() {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: making whiteouts needs root");
            return;
        }
        let (_folder, stack) = stack();
        let device = rustix::fs::makedev(0, 0);
        let whiteout = stack[0].join("bin");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &whiteout,
            rustix::fs::FileType::CharacterDevice,
            rustix::fs::Mode::empty(),
            device,
        )
        .unwrap();
        assert_eq!(lookup(&stack, OsStr::new("bin"), &look).unwrap(), Entry::Missing);
        let opaque = stack[0].join("etc");
        fs::create_dir(&opaque).unwrap();
        let flags = rustix::fs::XattrFlags::empty();
        rustix::fs::setxattr(&opaque, "trusted.overlay.opaque", b"y", flags).unwrap();
        assert_eq!(path_of(&stack, "etc/passwd"), ("etc/passwd".into(), true));
    }
}
