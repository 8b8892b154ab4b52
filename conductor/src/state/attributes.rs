//! Extended attributes that are part of a file's content: capabilities, access control lists,
//! `user.*`. And new directories with the attributes of another one.
//!
//! `trusted.overlay.*` is overlayfs's own metadata and must never be copied from one tree to
//! another. Security labels belong to the host.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use rustix::fs::{Gid, Mode, OFlags, Uid, XattrFlags};
use rustix::io::Errno;

use super::paths;

/// How to open a directory, but no link to one.
pub const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Gives a new directory the owner, mode and attributes of `like`, or mode 755.
pub fn make_like(made: BorrowedFd<'_>, like: Option<&Path>) -> Result<(), Errno> {
    let Some(like) = like else { return rustix::fs::fchmod(made, Mode::from_raw_mode(0o755)) };
    let like = paths::near(like, |at, path| rustix::fs::openat(at, path, DIRECTORY, Mode::empty()))?;
    let stat = rustix::fs::fstat(&like)?;
    rustix::fs::fchown(made, Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid)))?;
    rustix::fs::fchmod(made, Mode::from_raw_mode(stat.st_mode))?;
    set(made, &of_file(like.as_fd())?)
}

/// Attribute names with their values, sorted by name.
pub type Attributes = Vec<(Vec<u8>, Vec<u8>)>;

/// The longest list of names and the longest value in Linux (`XATTR_LIST_MAX`, `XATTR_SIZE_MAX`).
const MAX: usize = 65536;

fn is_content(name: &[u8]) -> bool {
    name.starts_with(b"user.")
        || matches!(name, b"security.capability" | b"system.posix_acl_access" | b"system.posix_acl_default")
}

/// The attributes of an open file or directory. A file system without attributes has none.
pub fn of_file(open: BorrowedFd<'_>) -> Result<Attributes, Errno> {
    // Nearly every file has none, and this call shows it without a buffer.
    match rustix::fs::flistxattr_query(open) {
        Ok(0) | Err(Errno::NOTSUP) => return Ok(Vec::new()),
        Ok(_) => {}
        Err(error) => return Err(error),
    }
    let mut names = vec![0; MAX];
    let len = rustix::fs::flistxattr(open, &mut names[..])?;
    let mut attributes = Vec::new();
    for name in names[..len].split_inclusive(|byte| *byte == 0) {
        let Ok(name) = CStr::from_bytes_with_nul(name) else { continue };
        if is_content(name.to_bytes()) {
            let mut value = vec![0; MAX];
            let len = rustix::fs::fgetxattr(open, name, &mut value[..])?;
            value.truncate(len);
            attributes.push((name.to_bytes().to_vec(), value));
        }
    }
    attributes.sort();
    Ok(attributes)
}

/// Sets `attributes` on an open file or directory. A file system without attributes skips them,
/// like `cp -a`.
pub fn set(open: BorrowedFd<'_>, attributes: &Attributes) -> Result<(), Errno> {
    for (name, value) in attributes {
        match rustix::fs::fsetxattr(open, name.as_slice(), value, XattrFlags::empty()) {
            Ok(()) | Err(Errno::NOTSUP) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The access control lists (acl(5)) that a new file or directory inherits from its folder.
const INHERITED: [&CStr; 2] = [c"system.posix_acl_access", c"system.posix_acl_default"];

/// Removes the access control lists that a new file or directory inherited.
pub fn remove_inherited(open: BorrowedFd<'_>) -> Result<(), Errno> {
    for name in INHERITED {
        match rustix::fs::fremovexattr(open, name) {
            Ok(()) | Err(Errno::NODATA | Errno::NOTSUP) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Whether new files in a directory inherit from it: an access control list, or its group. The
/// group is inherited under the set-group-ID bit (inode(7)) and on file systems that are mounted
/// with `grpid`.
pub fn hands_down(directory: BorrowedFd<'_>) -> Result<bool, Errno> {
    let stat = rustix::fs::fstat(directory)?;
    if stat.st_gid != 0 || stat.st_mode & 0o2000 != 0 {
        return Ok(true);
    }
    match rustix::fs::fgetxattr(directory, INHERITED[1], &mut [0_u8; 0][..]) {
        Ok(_) | Err(Errno::RANGE) => Ok(true),
        Err(Errno::NODATA | Errno::NOTSUP) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Encodes a list of attributes as bytes. Different lists have different encodings.
pub fn encode(attributes: &Attributes) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in attributes {
        for field in [name, value] {
            bytes.extend_from_slice(&(field.len() as u64).to_le_bytes());
            bytes.extend_from_slice(field);
        }
    }
    bytes
}
