//! Detects the form of a submission from its content. File names are ignored: people rename
//! archives.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::Error;

/// The supported forms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Form {
    /// A directory.
    #[serde(rename = "directory")]
    Directory,
    /// A plain tar archive.
    #[serde(rename = "tar")]
    Tar,
    /// A tar archive compressed with gzip.
    #[serde(rename = "tar.gz")]
    TarGz,
    /// A tar archive compressed with xz.
    #[serde(rename = "tar.xz")]
    TarXz,
    /// A zip archive.
    #[serde(rename = "zip")]
    Zip,
}

impl Form {
    /// The form of `path`: a directory, or the type that the file's first bytes indicate.
    pub fn of(path: &Path) -> Result<Self, Error> {
        let facts = fs::metadata(path).map_err(Error::io("read", path))?;
        if facts.is_dir() {
            return Ok(Self::Directory);
        }
        let unknown = |found: &str| Error::NotAnArchive { path: path.to_owned(), found: found.to_owned() };
        if !facts.is_file() {
            return Err(unknown("it is not a regular file"));
        }
        let mut head = [0; 512];
        let length = read_up_to(path, &mut head).map_err(Error::io("read", path))?;
        match &head[..length] {
            [] => Err(unknown("it is empty")),
            [0x1f, 0x8b, ..] => Ok(Self::TarGz),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Ok(Self::TarXz),
            [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] => Ok(Self::Zip),
            head if is_tar(head) => Ok(Self::Tar),
            [b'R', b'a', b'r', b'!', ..] => Err(unknown("it is a RAR archive")),
            [b'7', b'z', 0xbc, 0xaf, ..] => Err(unknown("it is a 7-Zip archive")),
            [b'B', b'Z', b'h', ..] => Err(unknown("it is compressed with bzip2")),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Err(unknown("it is compressed with zstd")),
            _ => Err(unknown("its first bytes are those of no supported archive")),
        }
    }
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Directory => "directory",
            Self::Tar => "tar",
            Self::TarGz => "tar.gz",
            Self::TarXz => "tar.xz",
            Self::Zip => "zip",
        })
    }
}

fn read_up_to(path: &Path, buffer: &mut [u8]) -> io::Result<usize> {
    let mut file = File::open(path)?;
    let mut length = 0;
    while length < buffer.len() {
        match file.read(&mut buffer[length..])? {
            0 => break,
            more => length += more,
        }
    }
    Ok(length)
}

/// Whether a block is a tar header: its checksum must be the sum of its bytes, with the checksum
/// field counted as spaces (tar(5)). The magic number does not decide, because pre-POSIX archives
/// have none.
fn is_tar(block: &[u8]) -> bool {
    let Some(block) = block.get(..512) else { return false };
    let Ok(stated) = std::str::from_utf8(&block[148..156]) else { return false };
    let stated = u32::from_str_radix(stated.trim_matches([' ', '\0']), 8);
    let sum: u32 =
        block.iter().enumerate().map(|(i, b)| if (148..156).contains(&i) { 32 } else { u32::from(*b) }).sum();
    stated == Ok(sum)
}
