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
