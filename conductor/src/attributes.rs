//! Extended attributes that belong to a file's contents: capabilities, access control lists, `user.*`.
//!
//! `trusted.overlay.*` is overlayfs's own bookkeeping and must never be carried from one tree to another; security
//! labels belong to the host.

use std::ffi::CStr;
use std::os::fd::BorrowedFd;

use rustix::fs::XattrFlags;
use rustix::io::Errno;

/// Names with their values, in the order of names.
pub type Attributes = Vec<(Vec<u8>, Vec<u8>)>;

/// Longest list of names and longest value that Linux allows (`XATTR_LIST_MAX`, `XATTR_SIZE_MAX`).
const MAX: usize = 65536;

fn is_content(name: &[u8]) -> bool {
    name.starts_with(b"user.")
        || matches!(name, b"security.capability" | b"system.posix_acl_access" | b"system.posix_acl_default")
}

/// The attributes of an open file or directory; none where its file system has no attributes.
pub fn of_file(open: BorrowedFd<'_>) -> Result<Attributes, Errno> {
    // Nearly every file has none, and that is told without a buffer.
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

/// Gives an open file or directory `attributes`. A file system that has none leaves them out, as `cp -a` does.
pub fn set(open: BorrowedFd<'_>, attributes: &Attributes) -> Result<(), Errno> {
    for (name, value) in attributes {
        match rustix::fs::fsetxattr(open, name.as_slice(), value, XattrFlags::empty()) {
            Ok(()) | Err(Errno::NOTSUP) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The access control lists (acl(5)) that a new file or directory takes from its folder.
const INHERITED: [&CStr; 2] = [c"system.posix_acl_access", c"system.posix_acl_default"];

/// Removes the access control lists that a new file or directory took from its folder.
pub fn remove_inherited(open: BorrowedFd<'_>) -> Result<(), Errno> {
    for name in INHERITED {
        match rustix::fs::fremovexattr(open, name) {
            Ok(()) | Err(Errno::NODATA | Errno::NOTSUP) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Whether new files in a directory take something from it: an access control list, or its group, as they do from
/// a directory with the set-group-ID bit (inode(7)) and on file systems that are mounted with `grpid`.
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

/// One sequence of bytes for a list of attributes, different for different lists.
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
