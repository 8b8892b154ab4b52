//! A zip with the work of many people, as course systems export it. What belongs to one of them
//! passes the same gate as a submission of its own: names, kinds and sizes are checked before
//! anything is written.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::beneath::Beneath;
use super::intake::Intake;
use super::unpack::{Zip, open_class_zip, zip_entry, zip_name};
use super::{Error, Limits};

/// The most entries of such a zip: a class of a thousand with two hundred files each.
const MOST_ENTRIES: usize = 200_000;

/// One file of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packed {
    /// Which entry.
    pub index: usize,
    /// Its name. Bytes that are not UTF-8 are replaced.
    pub name: String,
}

/// The zip, open.
pub struct Bulk {
    path: PathBuf,
    archive: Zip,
}

impl Bulk {
    /// Opens it.
    ///
    /// # Errors
    /// When it cannot be read, or has more entries than any class.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let file = File::open(path).map_err(Error::io("read", path))?;
        let damaged = |why: String| Error::Damaged { path: path.to_owned(), why };
        let archive = open_class_zip(file).map_err(|error| damaged(error.to_string()))?;
        if archive.len() > MOST_ENTRIES {
            return Err(damaged(format!(
                "it has {} entries, more than the {MOST_ENTRIES} of a large class",
                archive.len()
            )));
        }
        Ok(Self { path: path.to_owned(), archive })
    }

    /// Its files, in the archive's order. Folders are implied by them.
    ///
    /// # Errors
    /// When an entry cannot be read.
    pub fn files(&mut self) -> Result<Vec<Packed>, Error> {
        let mut files = vec![];
        for index in 0..self.archive.len() {
            let name = zip_name(&mut self.archive, index).map_err(|error| self.damaged(&error))?;
            if !name.ends_with(b"/") {
                files.push(Packed { index, name: String::from_utf8_lossy(&name).into_owned() });
            }
        }
        Ok(files)
    }

    /// Name, size and checksum of some of its files, as the archive's table states them.
    ///
    /// # Errors
    /// When an entry cannot be read.
    pub fn sums(&mut self, files: &[Packed]) -> Result<Vec<(String, u64, u32)>, Error> {
        let sum = |file: &Packed| {
            let raw = self.archive.by_index_raw(file.index).map_err(|error| damaged(&self.path, &error))?;
            Ok((file.name.clone(), raw.size(), raw.crc32()))
        };
        files.iter().map(sum).collect()
    }

    /// Writes some of its files into an empty folder, each under the name given here.
    ///
    /// # Errors
    /// When one of them is refused, and then none is written; or when our copy cannot be made.
    pub fn unpack(&mut self, files: &[Packed], into: &Path, limits: &Limits) -> Result<(), Error> {
        let mut packed_bytes = 0;
        for file in files {
            let raw = self.archive.by_index_raw(file.index).map_err(|error| damaged(&self.path, &error))?;
            packed_bytes += raw.compressed_size();
        }
        let mut intake = Intake::new(&self.path, Some(packed_bytes), into, limits)?;
        for file in files {
            zip_entry(&mut intake, &self.path, &mut self.archive, file.index, file.name.as_bytes())?;
        }
        let taken = intake.finish();
        let copy = Beneath::open(into).map_err(Error::ours(into))?;
        taken.tree.write(&copy, &taken.spool).map_err(|(path, error)| Error::ours(&path)(error))
    }

    /// The content of one file of at most `limit` bytes.
    ///
    /// # Errors
    /// When it cannot be read, or is larger.
    pub fn read(&mut self, file: &Packed, limit: u64) -> Result<Vec<u8>, Error> {
        use std::io::Read;
        let path = self.path.clone();
        let entry = self.archive.by_index(file.index).map_err(|error| damaged(&path, &error))?;
        let mut content = Vec::new();
        entry.take(limit + 1).read_to_end(&mut content).map_err(Error::io("read", &path))?;
        if content.len() as u64 > limit {
            let why = format!("{} is larger than {limit} bytes", file.name);
            return Err(Error::Damaged { path, why });
        }
        Ok(content)
    }

    fn damaged(&self, error: &zip::result::ZipError) -> Error {
        damaged(&self.path, error)
    }
}

fn damaged(path: &Path, error: &zip::result::ZipError) -> Error {
    Error::Damaged { path: path.to_owned(), why: error.to_string() }
}
