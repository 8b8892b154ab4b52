//! Paths that are longer than one system call accepts.
//!
//! A tree can be deeper than `PATH_MAX`: programs descend into it by descriptors. A path into such
//! a tree is opened piece by piece here.

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;

/// The longest path of one system call: `PATH_MAX` without the terminating NUL.
const LONGEST: usize = 4095;

/// Runs `call` with a directory and a path relative to it, which together mean `path` in `root`. A
/// path that is short enough is passed on unchanged. The leading directories of a longer one are
/// opened, and must not be symbolic links.
pub fn at<T>(
    root: BorrowedFd<'_>,
    path: &Path,
    call: impl FnOnce(BorrowedFd<'_>, &Path) -> Result<T, Errno>,
) -> Result<T, Errno> {
    let mut open: Option<OwnedFd> = None;
    let mut rest = path.as_os_str().as_bytes();
    while rest.len() > LONGEST {
        let end = rest[..LONGEST].iter().rposition(|byte| *byte == b'/').ok_or(Errno::NAMETOOLONG)?;
        // The root directory itself is "/".
        let piece = Path::new(OsStr::from_bytes(&rest[..end.max(1)]));
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let parent = open.as_ref().map_or(root, AsFd::as_fd);
        open = Some(rustix::fs::openat(parent, piece, flags, Mode::empty())?);
        rest = &rest[end + 1..];
    }
    call(open.as_ref().map_or(root, AsFd::as_fd), Path::new(OsStr::from_bytes(rest)))
}

/// Like [`at`], for a path that is absolute or relative to the current folder.
pub fn near<T>(
    path: &Path,
    call: impl FnOnce(BorrowedFd<'_>, &Path) -> Result<T, Errno>,
) -> Result<T, Errno> {
    at(CWD, path, call)
}

/// The path for a message: its middle is left out if it is very long.
pub fn shown(path: &Path) -> String {
    const ENDS: usize = 120;
    let text = path.to_string_lossy();
    let count = text.chars().count();
    if count <= 3 * ENDS {
        return text.into_owned();
    }
    let head: String = text.chars().take(ENDS).collect();
    let tail: String = text.chars().skip(count - ENDS).collect();
    format!("{head}[…]{tail}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_longer_than_a_system_call_takes_is_opened() {
        let folder = tempfile::tempdir().unwrap();
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let mut open = rustix::fs::open(folder.path(), flags, Mode::empty()).unwrap();
        let (name, mut path) = ("n".repeat(200), folder.path().to_owned());
        for _ in 0..50 {
            rustix::fs::mkdirat(&open, &name, Mode::from_raw_mode(0o700)).unwrap();
            open = rustix::fs::openat(&open, &name, flags, Mode::empty()).unwrap();
            path.push(&name);
        }
        let deepest = rustix::fs::fstat(&open).unwrap().st_ino;
        let stat = |directory: BorrowedFd<'_>, path: &Path| {
            rustix::fs::statat(directory, path, rustix::fs::AtFlags::SYMLINK_NOFOLLOW)
        };
        assert_eq!(near(&path, stat).unwrap().st_ino, deepest);
        assert!(shown(&path).len() < 400);
        let root = rustix::fs::open(folder.path(), flags, Mode::empty()).unwrap();
        let below = path.strip_prefix(folder.path()).unwrap();
        assert_eq!(at(root.as_fd(), below, stat).unwrap().st_ino, deepest);
        crate::state::delete::tree(&folder.path().join(&name)).unwrap();
    }
}
