//! The gate through which every entry of a submission passes: its name, its kind and its size are checked
//! before a byte is written, and nothing is ever written through a link.
//!
//! Symbolic links are kept in memory until all files are there, and made only when each was followed to its
//! end inside the submission. So no order of entries can make a later one land elsewhere.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};

use super::{Error, Refusal};

/// How much a submission may hold.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Files, folders and links.
    pub entries: u64,
    /// Bytes of one file.
    pub file: u64,
    /// Bytes of all files.
    pub total: u64,
    /// Folders in folders.
    pub depth: usize,
    /// Unpacked bytes for each byte of the archive, above [`Limits::ratio_from`].
    pub ratio: u64,
    /// Unpacked bytes up to which the ratio does not matter.
    pub ratio_from: u64,
}

impl Default for Limits {
    /// Generous for source code with its git history; a base system's tree does not fit.
    fn default() -> Self {
        Self {
            entries: 20_000,
            file: 128 << 20,
            total: 256 << 20,
            depth: 24,
            ratio: 200,
            ratio_from: 32 << 20,
        }
    }
}

/// Takes entries in, one by one, below a directory.
pub struct Intake<'a> {
    source: &'a Path,
    archive_bytes: Option<u64>,
    target: &'a Path,
    limits: &'a Limits,
    entries: u64,
    bytes: u64,
    links: BTreeMap<PathBuf, PathBuf>,
    left_aside: Vec<String>,
}

impl<'a> Intake<'a> {
    /// For the entries of `source`, an archive of so many bytes or a directory, below `target`, which is empty.
    pub fn new(source: &'a Path, archive_bytes: Option<u64>, target: &'a Path, limits: &'a Limits) -> Self {
        Self {
            source,
            archive_bytes,
            target,
            limits,
            entries: 0,
            bytes: 0,
            links: BTreeMap::new(),
            left_aside: vec![],
        }
    }

    /// How many entries were named, and which were left aside.
    pub fn summary(&mut self) -> (u64, Vec<String>) {
        (self.entries, std::mem::take(&mut self.left_aside))
    }

    /// An entry's place relative to the target, or `None` where there is nothing to write: the top itself, or a
    /// dropping of some other program.
    pub fn admit(&mut self, name: &[u8]) -> Result<Option<PathBuf>, Error> {
        self.entries += 1;
        if self.entries > self.limits.entries {
            return Err(self.refuse(name, Refusal::TooMany(self.entries)));
        }
        let path = checked(name, self.limits.depth).map_err(|why| self.refuse(name, why))?;
        if path.as_os_str().is_empty() {
            return Ok(None);
        }
        if let Some(aside) = dropping(&path) {
            if !self.left_aside.contains(&aside) {
                self.left_aside.push(aside);
            }
            return Ok(None);
        }
        Ok(Some(path))
    }

    /// A folder.
    pub fn folder(&mut self, path: &Path, mode: u32) -> Result<(), Error> {
        self.parents(path)?;
        let place = self.target.join(path);
        match fs::create_dir(&place) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && place.is_dir() => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(self.clash(path)),
            done => done.map_err(Error::io("create", &place))?,
        }
        fs::set_permissions(&place, Permissions::from_mode(mode & 0o777 | 0o700))
            .map_err(Error::io("create", &place))
    }

    /// A file with its content. A later entry of the same name replaces it, as tar does.
    pub fn file(&mut self, path: &Path, mode: u32, content: &mut dyn Read) -> Result<(), Error> {
        self.parents(path)?;
        let place = self.target.join(path);
        if place.is_dir() {
            return Err(self.clash(path));
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&place)
            .map_err(Error::io("create", &place))?;
        self.copy(path, content, &mut file)?;
        fs::set_permissions(&place, Permissions::from_mode(mode & 0o777 | 0o600))
            .map_err(Error::io("create", &place))
    }

    /// A symbolic link, made by [`Intake::finish`].
    pub fn link(&mut self, path: &Path, leads_to: &Path) -> Result<(), Error> {
        if fs::symlink_metadata(self.target.join(path)).is_ok() {
            return Err(self.clash(path));
        }
        self.parents(path)?;
        self.links.insert(path.to_owned(), leads_to.to_owned());
        Ok(())
    }

    /// A hard link to an earlier file: a copy of it.
    pub fn hard_link(&mut self, path: &Path, earlier: &[u8]) -> Result<(), Error> {
        let refusal = || Refusal::HardLink(String::from_utf8_lossy(earlier).into_owned());
        let original = checked(earlier, self.limits.depth).map_err(|_| self.refuse_path(path, refusal()))?;
        let place = self.target.join(&original);
        let facts = fs::symlink_metadata(&place).ok().filter(fs::Metadata::is_file);
        let facts = facts.ok_or_else(|| self.refuse_path(path, refusal()))?;
        if original == path {
            return Ok(());
        }
        let mut content = File::open(&place).map_err(Error::io("read", &place))?;
        self.file(path, facts.permissions().mode(), &mut content)
    }

    /// Makes the links below the folder `root` (relative to the target), none of which leads out of it on any
    /// step of its way. It may lead to nothing.
    pub fn finish(self, root: &Path) -> Result<(), Error> {
        for (path, leads_to) in self.links.iter().filter(|(path, _)| path.starts_with(root)) {
            if let Err(why) = self.follow(root, path) {
                return Err(self.refuse_path(path, why));
            }
            let place = self.target.join(path);
            std::os::unix::fs::symlink(leads_to, &place).map_err(Error::io("create", &place))?;
        }
        Ok(())
    }

    /// Walks where a link leads, through other links, as the kernel will.
    fn follow(&self, root: &Path, link: &Path) -> Result<(), Refusal> {
        let escapes = || {
            let leads_to = self.links.get(link).map(|to| to.display().to_string());
            Refusal::LinkEscapes(leads_to.unwrap_or_default())
        };
        let mut hops = 0;
        let mut at = PathBuf::new();
        let mut rest: Vec<PathBuf> = vec![link.to_owned()];
        while let Some(next) = rest.pop() {
            let mut parts = next.components();
            let Some(part) = parts.next() else { continue };
            rest.push(parts.as_path().to_owned());
            match part {
                Component::CurDir => {}
                Component::ParentDir => {
                    if !at.pop() {
                        return Err(escapes());
                    }
                }
                Component::Normal(name) => at.push(name),
                Component::RootDir | Component::Prefix(_) => return Err(escapes()),
            }
            if let Some(leads_to) = self.links.get(&at) {
                hops += 1;
                if hops > 40 {
                    return Err(Refusal::LinkLoop);
                }
                at.pop();
                rest.push(leads_to.clone());
            } else if hops > 0 && !at.starts_with(root) {
                return Err(escapes());
            }
        }
        Ok(())
    }

    /// Makes the folders above an entry; a file or a link there is a clash.
    fn parents(&mut self, path: &Path) -> Result<(), Error> {
        if self.links.contains_key(path)
            || path.ancestors().skip(1).any(|above| self.links.contains_key(above))
        {
            return Err(self.clash(path));
        }
        let Some(above) = path.parent() else { return Ok(()) };
        let above = self.target.join(above);
        match fs::create_dir_all(&above) {
            Err(error)
                if matches!(error.kind(), io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory) =>
            {
                Err(self.clash(path))
            }
            done => done.map_err(Error::io("create", &above)),
        }
    }

    fn copy(&mut self, path: &Path, content: &mut dyn Read, file: &mut File) -> Result<(), Error> {
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
            self.bytes += length as u64;
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
            io::Write::write_all(file, &buffer[..length])
                .map_err(Error::io("write", &self.target.join(path)))?;
        }
    }

    fn clash(&self, path: &Path) -> Error {
        self.refuse_path(path, Refusal::Clash)
    }

    /// The error that names an entry by its place.
    pub fn refuse_path(&self, path: &Path, why: Refusal) -> Error {
        self.refuse(path.as_os_str().as_bytes(), why)
    }

    /// The error that names an entry by its raw name.
    pub fn refuse(&self, name: &[u8], why: Refusal) -> Error {
        let entry = String::from_utf8_lossy(name).chars().take(300).collect();
        Error::Refused { path: self.source.to_owned(), entry, why }
    }
}

/// A raw name as a relative path without `.` and `..`.
fn checked(name: &[u8], depth: usize) -> Result<PathBuf, Refusal> {
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
    if path.components().count() > depth {
        return Err(Refusal::TooDeep(depth));
    }
    Ok(path)
}

/// What other programs leave in folders, and the state that the course's tool leaves beside itself: no part of
/// a submission. Returns the name to report it by.
fn dropping(path: &Path) -> Option<String> {
    const SYSTEM: [&str; 5] = ["__MACOSX", ".DS_Store", "Thumbs.db", "desktop.ini", "$RECYCLE.BIN"];
    const STATE: [&str; 3] = [".cache", ".images", ".containers"];
    let mut above = "";
    let mut so_far = PathBuf::new();
    for part in path {
        so_far.push(part);
        let name = part.to_str().unwrap_or_default();
        if SYSTEM.iter().any(|dropping| dropping.eq_ignore_ascii_case(name)) {
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
