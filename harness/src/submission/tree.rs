//! A submission as a tree of names in memory, before it is written. The contents of its files are
//! in one unnamed temporary file, the [`Spool`].

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::beneath::Beneath;

/// An entry of a folder.
#[derive(Clone, Debug)]
pub enum Node {
    /// A folder.
    Folder(Folder),
    /// A file.
    File(Blob),
    /// A symbolic link with this target.
    Link(PathBuf),
}

/// A folder and its entries.
#[derive(Clone, Debug)]
pub struct Folder {
    /// The folder's permissions.
    pub mode: u32,
    /// The entries by name.
    pub entries: BTreeMap<OsString, Node>,
}

/// A file: its permissions, and its range in the [`Spool`].
#[derive(Clone, Copy, Debug)]
pub struct Blob {
    /// The file's permissions.
    pub mode: u32,
    /// The offset of the content in the [`Spool`].
    pub offset: u64,
    /// The length of the content.
    pub length: u64,
}

impl Default for Folder {
    fn default() -> Self {
        Self { mode: 0o755, entries: BTreeMap::new() }
    }
}

impl Folder {
    /// The entry at a path. Links are not followed.
    pub fn get(&self, path: &Path) -> Option<&Node> {
        let above = self.folder(path.parent()?)?;
        above.entries.get(path.file_name()?)
    }

    /// The folder at a path; this folder if the path is empty. Links are not followed.
    pub fn folder(&self, path: &Path) -> Option<&Folder> {
        path.components().try_fold(self, |folder, part| match folder.entries.get(part.as_os_str())? {
            Node::Folder(inner) => Some(inner),
            Node::File(_) | Node::Link(_) => None,
        })
    }

    /// Like [`Folder::folder`], but mutable.
    pub fn folder_mut(&mut self, path: &Path) -> Option<&mut Folder> {
        path.components().try_fold(self, |folder, part| match folder.entries.get_mut(part.as_os_str())? {
            Node::Folder(inner) => Some(inner),
            Node::File(_) | Node::Link(_) => None,
        })
    }

    /// The names of the subfolders.
    pub fn folders(&self) -> impl Iterator<Item = &OsStr> {
        self.entries
            .iter()
            .filter(|(_, node)| matches!(node, Node::Folder(_)))
            .map(|(name, _)| name.as_os_str())
    }

    /// Calls `with` for every entry at any depth. Paths begin with `at`.
    pub fn walk<'a>(&'a self, at: &Path, with: &mut dyn FnMut(PathBuf, &'a Node)) {
        for (name, node) in &self.entries {
            let path = at.join(name);
            with(path.clone(), node);
            if let Node::Folder(inner) = node {
                inner.walk(&path, with);
            }
        }
    }

    /// Writes the tree into an empty folder.
    ///
    /// # Errors
    /// If an entry cannot be written. Returns its path.
    pub fn write(&self, into: &Beneath, spool: &Spool) -> Result<(), (PathBuf, io::Error)> {
        for (name, node) in &self.entries {
            let name = Path::new(name);
            let below = |(path, error): (PathBuf, io::Error)| (name.join(path), error);
            let here = |error: io::Error| (name.to_owned(), error);
            match node {
                Node::Link(leads_to) => into.make_link(name, leads_to).map_err(here)?,
                Node::File(blob) => {
                    let mut file = into.make_file(name).map_err(here)?;
                    spool.copy(*blob, &mut file).map_err(here)?;
                    let mode = std::fs::Permissions::from_mode(blob.mode & 0o777 | 0o600);
                    file.set_permissions(mode).map_err(here)?;
                }
                Node::Folder(folder) => {
                    into.make_folder(name).map_err(here)?;
                    folder.write(&into.folder(name).map_err(here)?, spool).map_err(below)?;
                    into.set_mode(name, folder.mode & 0o777 | 0o700).map_err(here)?;
                }
            }
        }
        Ok(())
    }
}

/// The contents of all files, one after the other, in an unnamed temporary file.
#[derive(Debug)]
pub struct Spool {
    file: File,
    length: u64,
}

impl Spool {
    /// Creates an empty spool on the file system of the folder `beside`.
    ///
    /// # Errors
    /// If the file cannot be created.
    pub fn new(beside: &Path) -> io::Result<Self> {
        Ok(Self { file: tempfile::tempfile_in(beside)?, length: 0 })
    }

    /// The offset of the next content.
    pub fn end(&self) -> u64 {
        self.length
    }

    /// Appends bytes.
    ///
    /// # Errors
    /// If the disk is full.
    pub fn add(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, self.length)?;
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Copies the content of a file to `to`.
    ///
    /// # Errors
    /// If the content cannot be read or written.
    pub fn copy(&self, blob: Blob, to: &mut dyn Write) -> io::Result<()> {
        io::copy(&mut self.read(blob), to).map(drop)
    }

    /// A reader of the content of a file.
    pub fn read(&self, blob: Blob) -> impl Read {
        Content { file: &self.file, at: blob.offset, left: blob.length }
    }
}

struct Content<'a> {
    file: &'a File,
    at: u64,
    left: u64,
}

impl Read for Content<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let length = self.file.read_at(&mut buffer[..length], self.at)?;
        self.at += length as u64;
        self.left -= length as u64;
        Ok(length)
    }
}
