//! Removes folders into which a submission may have written: with `--here` its files lie in a
//! folder of this machine, and its root can make them immutable (chattr(1)).

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags};
use walkdir::WalkDir;

/// Flags of a file or folder that forbid even root to remove it.
const FIXED: IFlags = IFlags::IMMUTABLE.union(IFlags::APPEND);

/// Removes a folder with all that is in it. A folder that is not there is no error.
///
/// # Errors
/// When a file cannot be removed although it is not immutable, such as the place of a mount.
pub fn folder(path: &Path) -> io::Result<()> {
    if is_gone(fs::remove_dir_all(path)).is_ok() {
        return Ok(());
    }
    release(path);
    is_gone(fs::remove_dir_all(path))
}

fn is_gone(removed: io::Result<()>) -> io::Result<()> {
    removed.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
}

/// Takes the flags from the folder and all that is in it, follows no link and opens no device.
fn release(path: &Path) {
    for entry in WalkDir::new(path).same_file_system(true).into_iter().flatten() {
        let kind = entry.file_type();
        if !kind.is_dir() && !kind.is_file() {
            continue;
        }
        let without_waiting = nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK;
        let Ok(file) = OpenOptions::new().read(true).custom_flags(without_waiting).open(entry.path()) else {
            continue;
        };
        let flags = ioctl_getflags(&file).unwrap_or(IFlags::empty());
        if flags.intersects(FIXED) {
            // If this fails, the second attempt to remove the folder says so.
            let _ = ioctl_setflags(&file, flags - FIXED);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn immutable_and_append_only_files_are_removed() {
        let place = tempfile::tempdir_in("/var/tmp").unwrap();
        let tree = place.path().join("tree");
        fs::create_dir_all(tree.join("below/deeper")).unwrap();
        fs::write(tree.join("below/file"), "").unwrap();
        fs::write(tree.join("below/log"), "").unwrap();
        let fix = |flag: IFlags, name: &str| {
            let file = fs::File::open(tree.join(name)).unwrap();
            ioctl_getflags(&file).and_then(|flags| ioctl_setflags(&file, flags | flag))
        };
        if fix(IFlags::IMMUTABLE, "below/file").is_err() {
            crate::note!("skipped: only root on a file system with attributes can make a file immutable");
            return;
        }
        fix(IFlags::APPEND, "below/log").unwrap();
        fix(IFlags::IMMUTABLE, "below/deeper").unwrap();
        fix(IFlags::IMMUTABLE, "below").unwrap();
        assert!(fs::remove_dir_all(&tree).is_err());
        folder(&tree).unwrap();
        assert!(!tree.exists());
        folder(&tree).unwrap();
    }
}
