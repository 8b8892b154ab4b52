//! Access to the files below one folder, without following links. Every path is resolved by a
//! single `openat2` with `RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS` on the folder's descriptor.
//!
//! A submission chooses its names and may change them while we read. A path that leaves the folder
//! or passes a link is therefore an error. Paths are relative and have no `..`.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Mode, OFlags, ResolveFlags, Stat, fchmod, fstat, mkdirat, openat, openat2,
    readlinkat, renameat, statat, symlinkat, unlinkat,
};

/// An open folder. Methods take paths relative to it.
#[derive(Debug)]
pub struct Beneath(OwnedFd);

impl Beneath {
    /// Opens the folder at `path`, which is a trusted path: links in it are followed.
    ///
    /// # Errors
    /// If `path` cannot be opened or is not a folder.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self(openat(CWD, path, flags, Mode::empty())?))
    }

    /// Opens the subfolder at `path`; an empty path is this folder.
    ///
    /// # Errors
    /// If `path` is not a folder.
    pub fn folder(&self, path: &Path) -> io::Result<Self> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        self.open_at(path, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).map(Self)
    }

    /// Opens a regular file for reading. Opening never blocks: if a pipe or a device has replaced
    /// the file, the result is an error.
    ///
    /// # Errors
    /// If `path` is not a regular file.
    pub fn file(&self, path: &Path) -> io::Result<File> {
        if FileType::from_raw_mode(self.facts(path)?.st_mode) != FileType::RegularFile {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        let file = self.open_at(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY, Mode::empty())?;
        if FileType::from_raw_mode(fstat(&file)?.st_mode) != FileType::RegularFile {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "no longer a regular file: another process replaced it",
            ));
        }
        Ok(file.into())
    }

    /// Reads a regular file of at most `limit` bytes.
    ///
    /// # Errors
    /// If `path` is not a regular file, or the file is larger.
    pub fn read(&self, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        self.file(path)?.take(limit + 1).read_to_end(&mut content)?;
        if content.len() as u64 > limit {
            let why = format!("the file is larger than {limit} bytes");
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, why));
        }
        Ok(content)
    }

    /// The metadata of an entry. A link's metadata is its own, not its target's.
    ///
    /// # Errors
    /// If there is no such entry.
    pub fn facts(&self, path: &Path) -> io::Result<Stat> {
        self.at(path, |folder, name| Ok(statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?))
    }

    /// The kind of an entry; `None` if there is no such entry.
    pub fn kind(&self, path: &Path) -> Option<FileType> {
        Some(FileType::from_raw_mode(self.facts(path).ok()?.st_mode))
    }

    /// Whether `path` is a folder, and not a link to one.
    pub fn has_folder(&self, path: &Path) -> bool {
        self.kind(path) == Some(FileType::Directory)
    }

    /// Whether `path` is a regular file, and not a link to one.
    pub fn has_file(&self, path: &Path) -> bool {
        self.kind(path) == Some(FileType::RegularFile)
    }

    /// The names of this folder's entries, sorted. The listing stops after `limit` names.
    ///
    /// # Errors
    /// If the folder cannot be listed.
    pub fn names(&self, limit: usize) -> io::Result<Vec<OsString>> {
        let mut names = vec![];
        for entry in Dir::read_from(&self.0)? {
            let name = entry?.file_name().to_bytes().to_vec();
            if name != b"." && name != b".." {
                names.push(OsString::from_vec(name));
            }
            if names.len() >= limit {
                break;
            }
        }
        names.sort();
        Ok(names)
    }

    /// The target of a symbolic link, as the link states it.
    ///
    /// # Errors
    /// If `path` is not a link.
    pub fn read_link(&self, path: &Path) -> io::Result<PathBuf> {
        self.at(path, |folder, name| {
            Ok(OsString::from_vec(readlinkat(folder, name, Vec::new())?.into_bytes()).into())
        })
    }

    /// Creates a folder with mode 0700.
    ///
    /// # Errors
    /// If the entry exists already, or the folder cannot be created.
    pub fn make_folder(&self, path: &Path) -> io::Result<()> {
        self.at(path, |folder, name| Ok(mkdirat(folder, name, Mode::RWXU)?))
    }

    /// Creates a file with mode 0600 and opens it for writing.
    ///
    /// # Errors
    /// If the entry exists already, or the file cannot be created.
    pub fn make_file(&self, path: &Path) -> io::Result<File> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
        Ok(self.open_at(path, flags, Mode::RUSR | Mode::WUSR)?.into())
    }

    /// Creates a symbolic link to `leads_to`.
    ///
    /// # Errors
    /// If the entry exists already, or the link cannot be created.
    pub fn make_link(&self, path: &Path, leads_to: &Path) -> io::Result<()> {
        self.at(path, |folder, name| Ok(symlinkat(leads_to, folder, name)?))
    }

    /// Sets the permissions of a file or folder.
    ///
    /// # Errors
    /// If `path` is a link, or the permissions cannot be set.
    pub fn set_mode(&self, path: &Path, mode: u32) -> io::Result<()> {
        let flags = if self.has_folder(path) { OFlags::DIRECTORY } else { OFlags::NONBLOCK | OFlags::NOCTTY };
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let opened = self.open_at(path, OFlags::RDONLY | flags, Mode::empty())?;
        Ok(fchmod(opened, Mode::from_raw_mode(mode & 0o7777))?)
    }

    /// Removes the entry at `path`, if there is one, and creates a file with this content and mode.
    ///
    /// # Errors
    /// If the old entry cannot be removed, or the file cannot be written.
    pub fn replace(&self, path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
        self.remove(path)?;
        let mut file = self.make_file(path)?;
        file.write_all(content)?;
        Ok(fchmod(file, Mode::from_raw_mode(mode & 0o7777))?)
    }

    /// Moves an entry.
    ///
    /// # Errors
    /// If there is no such entry, or it cannot be moved.
    pub fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.at(from, |from_folder, from| {
            self.at(to, |to_folder, to| Ok(renameat(from_folder, from, to_folder, to)?))
        })
    }

    /// Removes an entry; a folder is removed with its content. A missing entry is not an error.
    ///
    /// # Errors
    /// If the entry cannot be removed.
    pub fn remove(&self, path: &Path) -> io::Result<()> {
        match self.kind(path) {
            None => Ok(()),
            Some(FileType::Directory) => {
                self.at(path, |folder, name| Self(folder.try_clone()?).remove_folder(name))
            }
            Some(_) => self.at(path, |folder, name| Ok(unlinkat(folder, name, AtFlags::empty())?)),
        }
    }

    fn remove_folder(&self, name: &OsStr) -> io::Result<()> {
        let inner = self.folder(Path::new(name))?;
        for entry in inner.names(usize::MAX)? {
            inner.remove(Path::new(&entry))?;
        }
        Ok(unlinkat(&self.0, name, AtFlags::REMOVEDIR)?)
    }

    fn open_at(&self, path: &Path, flags: OFlags, mode: Mode) -> io::Result<OwnedFd> {
        let stay = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        Ok(openat2(&self.0, path, flags | OFlags::CLOEXEC | OFlags::NOFOLLOW, mode, stay)?)
    }

    /// Calls `with` with the opened parent folder of `path` and the last component of `path`.
    fn at<T>(&self, path: &Path, with: impl FnOnce(&OwnedFd, &OsStr) -> io::Result<T>) -> io::Result<T> {
        let no_name =
            || io::Error::new(io::ErrorKind::InvalidInput, "the path does not name an entry of a folder");
        let name = path.file_name().ok_or_else(no_name)?;
        match path.parent() {
            Some(above) if !above.as_os_str().is_empty() => with(&self.folder(above)?.0, name),
            _ => with(&self.0, name),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn folder() -> (tempfile::TempDir, Beneath) {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join("in")).unwrap();
        fs::write(home.path().join("victim"), "secret").unwrap();
        symlink("../victim", home.path().join("in/link")).unwrap();
        symlink("..", home.path().join("in/up")).unwrap();
        let beneath = Beneath::open(&home.path().join("in")).unwrap();
        (home, beneath)
    }

    #[test]
    fn links_and_dots_do_not_lead_out_of_the_folder() {
        let (home, beneath) = folder();
        for path in ["link", "up/victim", "../victim", "/etc/passwd"] {
            assert!(beneath.read(Path::new(path), 100).is_err(), "{path}");
            assert!(beneath.set_mode(Path::new(path), 0o755).is_err(), "{path}");
        }
        assert!(beneath.make_file(Path::new("up/new")).is_err());
        assert!(beneath.rename(Path::new("link"), Path::new("up/moved")).is_err());
        assert!(beneath.remove(Path::new("up/victim")).is_ok() && home.path().join("victim").exists());
    }

    #[test]
    fn replacing_a_link_does_not_change_its_target() {
        let (home, beneath) = folder();
        beneath.replace(Path::new("link"), b"ours", 0o755).unwrap();
        assert_eq!(beneath.read(Path::new("link"), 4).unwrap(), b"ours");
        assert_eq!(fs::read(home.path().join("victim")).unwrap(), b"secret");
        beneath.remove(Path::new("up")).unwrap();
        assert!(home.path().join("victim").exists());
    }

    #[test]
    fn opening_a_pipe_fails_without_blocking() {
        let (home, beneath) = folder();
        nix::unistd::mkfifo(&home.path().join("in/pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(beneath.read(Path::new("pipe"), 100).is_err());
    }

    #[test]
    fn a_file_above_the_limit_is_an_error_and_a_folder_is_removed_with_its_content() {
        let (_home, beneath) = folder();
        beneath.make_folder(Path::new("a")).unwrap();
        beneath.replace(Path::new("a/b"), b"12345", 0o644).unwrap();
        assert!(beneath.read(Path::new("a/b"), 4).is_err());
        beneath.remove(Path::new("a")).unwrap();
        assert!(!beneath.has_folder(Path::new("a")));
    }
}
