//! What identifies a submission: the SHA-256 of its bytes.

use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::Error;

/// Of an archive's bytes.
pub fn of_file(path: &Path) -> Result<String, Error> {
    let mut hash = Sha256::new();
    add_content(&mut hash, path).map_err(Error::io("read", path))?;
    Ok(hex(&hash.finalize()))
}

/// Of a directory's sorted names, modes and contents.
pub fn of_directory(path: &Path) -> Result<String, Error> {
    let mut hash = Sha256::new();
    add_directory(&mut hash, path)?;
    Ok(hex(&hash.finalize()))
}

fn add_directory(hash: &mut Sha256, directory: &Path) -> Result<(), Error> {
    let mut entries = fs::read_dir(directory)
        .and_then(Iterator::collect::<io::Result<Vec<_>>>)
        .map_err(Error::io("read", directory))?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        let facts = entry.metadata().map_err(Error::io("read", &path))?;
        let name = entry.file_name();
        hash.update((name.len() as u64).to_le_bytes());
        hash.update(name.as_bytes());
        hash.update(facts.permissions().mode().to_le_bytes());
        if facts.is_dir() {
            add_directory(hash, &path)?;
        } else if facts.is_symlink() {
            hash.update(fs::read_link(&path).map_err(Error::io("read", &path))?.as_os_str().as_bytes());
        } else if facts.is_file() {
            hash.update(facts.len().to_le_bytes());
            add_content(hash, &path).map_err(Error::io("read", &path))?;
        }
        hash.update([0]);
    }
    Ok(())
}

fn add_content(hash: &mut Sha256, path: &Path) -> io::Result<()> {
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
    io::copy(&mut File::open(path)?, &mut Into(hash)).map(drop)
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
