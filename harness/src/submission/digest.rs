//! The SHA-256 digest that identifies a submission.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::Error;
use super::tree::{Folder, Node, Spool};
use crate::hex::hex;

/// The digest of an archive's bytes.
pub fn of_file(path: &Path) -> Result<String, Error> {
    let mut hash = Sha256::new();
    File::open(path).and_then(|file| add_content(&mut hash, file)).map_err(Error::io("read", path))?;
    Ok(hex(&hash.finalize()))
}

/// The digest of a directory: of its sorted names, modes and contents.
pub fn of_directory(folder: &Folder, spool: &Spool) -> io::Result<String> {
    let mut hash = Sha256::new();
    add_directory(&mut hash, folder, spool)?;
    Ok(hex(&hash.finalize()))
}

fn add_directory(hash: &mut Sha256, folder: &Folder, spool: &Spool) -> io::Result<()> {
    for (name, node) in &folder.entries {
        hash.update((name.len() as u64).to_le_bytes());
        hash.update(name.as_bytes());
        match node {
            Node::Folder(inner) => {
                hash.update((0o040_000 | inner.mode & 0o777 | 0o700).to_le_bytes());
                add_directory(hash, inner, spool)?;
            }
            Node::Link(leads_to) => {
                hash.update(0o120_777_u32.to_le_bytes());
                hash.update(leads_to.as_os_str().as_bytes());
            }
            Node::File(blob) => {
                hash.update((0o100_000 | blob.mode & 0o777 | 0o600).to_le_bytes());
                hash.update(blob.length.to_le_bytes());
                add_content(hash, spool.read(*blob))?;
            }
        }
        hash.update([0]);
    }
    Ok(())
}

fn add_content(hash: &mut Sha256, mut content: impl Read) -> io::Result<()> {
    struct Into<'a>(&'a mut Sha256);
    impl io::Write for Into<'_> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.update(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    io::copy(&mut content, &mut Into(hash)).map(drop)
}
