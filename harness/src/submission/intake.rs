//! Checks the name, the kind and the size of every entry of a submission, and adds it to a tree in
//! memory.
//!
//! No file is written under a name from the submission until all names are settled
//! ([`super::settle`]). So the order of the entries cannot cause one of them to be written
//! elsewhere.

use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::tree::{Blob, Folder, Node, Spool};
use super::{Error, Refusal};

/// Limits on the content of a submission.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The number of files, folders and links.
    pub entries: u64,
    /// The bytes of one file.
    pub file: u64,
    /// The bytes of all files together.
    pub total: u64,
    /// The number of components of a path.
    pub depth: usize,
    /// The bytes of a path. The kernel takes no path above 4095 bytes, and the folders of this host
    /// and of the machine stand before it.
    pub path: usize,
    /// The unpacked bytes for each byte of the archive. Applies above [`Limits::ratio_from`].
    pub ratio: u64,
    /// The unpacked bytes up to which any ratio is accepted.
    pub ratio_from: u64,
}

impl Default for Limits {
    /// Generous for source code with its git history, too small for the tree of a base system.
    fn default() -> Self {
        Self {
            entries: 20_000,
            file: 128 << 20,
            total: 256 << 20,
            depth: 24,
            path: 1024,
            ratio: 200,
            ratio_from: 32 << 20,
        }
    }
}

impl Limits {
    /// The most bytes to read of a tar stream: contents and headers.
    pub fn stream(&self) -> u64 {
        self.total + (self.entries << 11)
    }

    /// Bytes that an archive may have: what is read of a tar, and 64 MiB for tables,
    /// signatures and padding.
    pub fn archive(&self) -> u64 {
        self.stream() + (64 << 20)
    }
}

/// How many characters of a refused entry's name are shown.
const MOST_SHOWN: usize = 300;

/// How many ignored entries are named.
const MOST_NAMED: usize = 20;

/// Collects the entries of a submission.
pub struct Intake<'a> {
    source: &'a Path,
    archive_bytes: Option<u64>,
    limits: &'a Limits,
    entries: u64,
    implied: u64,
    bytes: u64,
    skipped: u64,
    left_aside: Vec<String>,
    tree: Folder,
    spool: Spool,
}

/// All entries of a submission.
pub struct Taken {
    /// The names.
    pub tree: Folder,
    /// The contents of the files.
    pub spool: Spool,
    /// The number of entries, ignored ones included.
    pub entries: u64,
    /// The names of ignored entries.
    pub left_aside: Vec<String>,
}

impl<'a> Intake<'a> {
    /// Begins with no entries. `source` is an archive of `archive_bytes` bytes, or a directory. The
    /// contents of files go to a temporary file in `into`.
    pub fn new(
        source: &'a Path,
        archive_bytes: Option<u64>,
        into: &Path,
        limits: &'a Limits,
    ) -> Result<Self, Error> {
        Ok(Self {
            source,
            archive_bytes,
            limits,
            entries: 0,
            implied: 0,
            bytes: 0,
            skipped: 0,
            left_aside: vec![],
            tree: Folder::default(),
            spool: Spool::new(into).map_err(Error::ours(into))?,
        })
    }

    /// Returns all entries.
    pub fn finish(self) -> Taken {
        let Self { tree, spool, entries, left_aside, .. } = self;
        Taken { tree, spool, entries, left_aside }
    }

    /// Checks an entry's name. Returns its path, or `None` if the entry is the top folder or is
    /// ignored.
    pub fn admit(&mut self, name: &[u8]) -> Result<Option<PathBuf>, Error> {
        self.entries += 1;
        if self.entries > self.limits.entries {
            return Err(self.refuse(name, Refusal::TooMany(self.entries)));
        }
        let path = checked(name, self.limits).map_err(|why| self.refuse(name, why))?;
        if path.as_os_str().is_empty() {
            return Ok(None);
        }
        if let Some(aside) = ignored_as(&path) {
            self.leave_aside(aside);
            return Ok(None);
        }
        Ok(Some(path))
    }

    /// Records the name of an ignored entry. The number of names is limited, because there can be
    /// thousands.
    pub fn leave_aside(&mut self, aside: String) {
        let more = "and more";
        if self.left_aside.len() > MOST_NAMED || self.left_aside.contains(&aside) {
            return;
        }
        let named = self.left_aside.len() < MOST_NAMED;
        self.left_aside.push(if named { aside } else { more.to_owned() });
    }

    /// Skips the content of an ignored entry. The bytes are limited too, because a few bytes can
    /// describe an endless sparse file.
    pub fn skip(&mut self, name: &[u8], content: &mut dyn Read) -> Result<(), Error> {
        let most = self.limits.stream();
        let damaged =
            |error: io::Error| Error::Damaged { path: self.source.to_owned(), why: error.to_string() };
        let left = most.saturating_sub(self.skipped).saturating_add(1);
        self.skipped += io::copy(&mut content.take(left), &mut io::sink()).map_err(damaged)?;
        if self.skipped > most {
            return Err(self.refuse(name, Refusal::TotalTooLarge(most)));
        }
        Ok(())
    }

    /// Adds a folder.
    pub fn folder(&mut self, path: &Path, mode: u32) -> Result<(), Error> {
        let (above, name) = self.place(path)?;
        match above.entries.entry(name.to_owned()).or_insert_with(|| Node::Folder(Folder::default())) {
            Node::Folder(folder) => folder.mode = mode,
            Node::File(_) | Node::Link(_) => return Err(self.clash(path)),
        }
        Ok(())
    }

    /// Adds a file with its content. Like tar, a later file of the same name replaces it.
    pub fn file(&mut self, path: &Path, mode: u32, content: &mut dyn Read) -> Result<(), Error> {
        self.place(path)?;
        let offset = self.spool.end();
        self.copy(path, content)?;
        let blob = Blob { mode, offset, length: self.spool.end() - offset };
        self.put_file(path, blob)
    }

    /// Adds a symbolic link.
    pub fn link(&mut self, path: &Path, leads_to: &Path) -> Result<(), Error> {
        let text = leads_to.as_os_str().as_bytes();
        if text.is_empty() || text.len() > 4095 || text.contains(&0) {
            return Err(self.refuse_path(path, Refusal::BadLink));
        }
        let (above, name) = self.place(path)?;
        if above.entries.contains_key(name) {
            return Err(self.clash(path));
        }
        above.entries.insert(name.to_owned(), Node::Link(leads_to.to_owned()));
        Ok(())
    }

    /// Adds a hard link as a file with the content of the earlier file.
    pub fn hard_link(&mut self, path: &Path, earlier: &[u8]) -> Result<(), Error> {
        let refusal = || Refusal::HardLink(String::from_utf8_lossy(earlier).into_owned());
        let original = checked(earlier, self.limits).map_err(|_| self.refuse_path(path, refusal()))?;
        let Some(Node::File(blob)) = self.tree.get(&original) else {
            return Err(self.refuse_path(path, refusal()));
        };
        let blob = *blob;
        if original == path {
            return Ok(());
        }
        self.count(path, blob.length, blob.length)?;
        self.put_file(path, blob)
    }

    fn put_file(&mut self, path: &Path, blob: Blob) -> Result<(), Error> {
        let (above, name) = self.place(path)?;
        if !matches!(above.entries.get(name), None | Some(Node::File(_))) {
            return Err(self.clash(path));
        }
        above.entries.insert(name.to_owned(), Node::File(blob));
        Ok(())
    }

    /// Returns the parent folder of an entry and the entry's name. Missing folders are created. A
    /// file or a link in the path is an error.
    fn place<'p>(&mut self, path: &'p Path) -> Result<(&mut Folder, &'p OsStr), Error> {
        let (Some(above), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(self.refuse_path(path, Refusal::BadName));
        };
        let (source, limits) = (self.source, self.limits);
        match create_folders(&mut self.tree, above, &mut self.implied, limits.entries) {
            Ok(folder) => Ok((folder, name)),
            Err(why) => Err(refused(source, path.as_os_str().as_bytes(), why)),
        }
    }

    fn copy(&mut self, path: &Path, content: &mut dyn Read) -> Result<(), Error> {
        let mut size = 0;
        let mut buffer = vec![0; 64 << 10];
        loop {
            let length = match content.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    let why = format!("at {}: {error}", path.display());
                    return Err(Error::Damaged { path: self.source.to_owned(), why });
                }
            };
            size += length as u64;
            self.count(path, size, length as u64)?;
            self.spool.add(&buffer[..length]).map_err(Error::ours(path))?;
        }
    }

    /// Counts `more` bytes of a file whose size is now `size`, and checks the limits.
    fn count(&mut self, path: &Path, size: u64, more: u64) -> Result<(), Error> {
        self.bytes += more;
        if size > self.limits.file {
            return Err(self.refuse_path(path, Refusal::FileTooLarge(self.limits.file)));
        }
        if self.bytes > self.limits.total {
            return Err(self.refuse_path(path, Refusal::TotalTooLarge(self.limits.total)));
        }
        let packed = self.archive_bytes.unwrap_or(u64::MAX);
        if self.bytes > self.limits.ratio_from && self.bytes / self.limits.ratio > packed {
            return Err(self.refuse_path(path, Refusal::Ratio(self.limits.ratio)));
        }
        Ok(())
    }

    fn clash(&self, path: &Path) -> Error {
        self.refuse_path(path, Refusal::Clash)
    }

    /// The error for an entry with this path.
    pub fn refuse_path(&self, path: &Path, why: Refusal) -> Error {
        self.refuse(path.as_os_str().as_bytes(), why)
    }

    /// The error for an entry with this raw name.
    pub fn refuse(&self, name: &[u8], why: Refusal) -> Error {
        refused(self.source, name, why)
    }
}

/// The error for an entry of `source`. Long names are cut.
pub fn refused(source: &Path, name: &[u8], why: Refusal) -> Error {
    let text = String::from_utf8_lossy(name);
    let mut entry: String = text.chars().take(MOST_SHOWN).collect();
    if text.chars().nth(MOST_SHOWN).is_some() {
        entry.push('…');
    }
    Error::Refused { path: source.to_owned(), entry, why }
}

/// Returns the folder at a path and creates missing folders. The created folders are limited,
/// because a few deep names can create many.
fn create_folders<'t>(
    tree: &'t mut Folder,
    path: &Path,
    implied: &mut u64,
    most: u64,
) -> Result<&'t mut Folder, Refusal> {
    let mut folder = tree;
    for part in path {
        if !folder.entries.contains_key(part) {
            *implied += 1;
            if *implied > most {
                return Err(Refusal::TooMany(*implied));
            }
        }
        let node = folder.entries.entry(part.to_owned()).or_insert_with(|| Node::Folder(Folder::default()));
        let Node::Folder(inner) = node else { return Err(Refusal::Clash) };
        folder = inner;
    }
    Ok(folder)
}

/// Converts a raw name to a relative path without `.` and `..`.
pub fn checked(name: &[u8], limits: &Limits) -> Result<PathBuf, Refusal> {
    if name.contains(&0) {
        return Err(Refusal::BadName);
    }
    let is_drive = name.len() >= 2 && name[0].is_ascii_alphabetic() && name[1] == b':';
    if name.starts_with(b"/") || is_drive && matches!(name.get(2), Some(b'/' | b'\\')) {
        return Err(Refusal::Absolute);
    }
    let mut path = PathBuf::new();
    for part in name.split(|byte| *byte == b'/').filter(|part| !matches!(part, [] | [b'.'])) {
        if part == b".." {
            return Err(Refusal::Traversal);
        }
        if part.len() > 255 {
            return Err(Refusal::BadName);
        }
        path.push(OsStr::from_bytes(part));
    }
    if path.components().count() > limits.depth {
        return Err(Refusal::TooDeep(limits.depth));
    }
    if path.as_os_str().len() > limits.path {
        return Err(Refusal::TooLong(limits.path));
    }
    Ok(path)
}

/// Whether to ignore an entry: files that operating systems create, and the state that the course's
/// tool keeps beside itself. Returns the name for the report.
fn ignored_as(path: &Path) -> Option<String> {
    const SYSTEM: [&str; 5] = ["__MACOSX", ".DS_Store", "Thumbs.db", "desktop.ini", "$RECYCLE.BIN"];
    const STATE: [&str; 3] = [".cache", ".images", ".containers"];
    let mut above = "";
    let mut so_far = PathBuf::new();
    for part in path {
        so_far.push(part);
        let name = part.to_str().unwrap_or_default();
        if SYSTEM.iter().any(|ignored| ignored.eq_ignore_ascii_case(name)) {
            return Some(name.to_owned());
        }
        if name.starts_with("._") {
            return Some("._*".to_owned());
        }
        if STATE.contains(&name) && above.to_ascii_lowercase().starts_with("task") {
            return Some(so_far.display().to_string());
        }
        above = name;
    }
    None
}
