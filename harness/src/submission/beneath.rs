//! A folder whose entries are reached only below it and through no link: every path goes to the kernel as one
//! `openat2` with `RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS` on the folder's descriptor.
//!
//! So it does not matter what a submission's names say, or who changes them meanwhile: a path that would leave
//! the folder, or pass a link, is an error. Paths are relative and have no `..`.

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

/// An open folder.
#[derive(Debug)]
pub struct Beneath(OwnedFd);

impl Beneath {
    /// The folder at a path of ours. Links on the way to it are followed; below it none is.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self(openat(CWD, path, flags, Mode::empty())?))
    }

    /// A folder below it.
    ///
    /// # Errors
    /// When it is none.
    pub fn folder(&self, path: &Path) -> io::Result<Self> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        self.open_at(path, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).map(Self)
    }

    /// A regular file below it, to be read. Opening never waits: a pipe or device that has taken a file's place
    /// is an error.
    ///
    /// # Errors
    /// When it is no regular file.
    pub fn file(&self, path: &Path) -> io::Result<File> {
        if FileType::from_raw_mode(self.facts(path)?.st_mode) != FileType::RegularFile {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
        }
        let file = self.open_at(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY, Mode::empty())?;
        if FileType::from_raw_mode(fstat(&file)?.st_mode) != FileType::RegularFile {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no longer a regular file"));
        }
        Ok(file.into())
    }

    /// The content of a regular file of at most `limit` bytes.
    ///
    /// # Errors
    /// When it is no regular file, or larger.
    pub fn read(&self, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        self.file(path)?.take(limit + 1).read_to_end(&mut content)?;
        if content.len() as u64 > limit {
            let why = format!("it is larger than {limit} bytes");
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, why));
        }
        Ok(content)
    }

    /// What is at a path: of a link the link itself.
    ///
    /// # Errors
    /// When there is nothing.
    pub fn facts(&self, path: &Path) -> io::Result<Stat> {
        self.at(path, |folder, name| Ok(statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?))
    }

    /// The kind of what is at a path, `None` where there is nothing.
    pub fn kind(&self, path: &Path) -> Option<FileType> {
        Some(FileType::from_raw_mode(self.facts(path).ok()?.st_mode))
    }

    /// Whether a real folder is at a path.
    pub fn has_folder(&self, path: &Path) -> bool {
        self.kind(path) == Some(FileType::Directory)
    }

    /// Whether a regular file is at a path.
    pub fn has_file(&self, path: &Path) -> bool {
        self.kind(path) == Some(FileType::RegularFile)
    }

    /// Its entries' names, sorted, at most `limit` of them: no listing is endless.
    ///
    /// # Errors
    /// When it cannot be listed.
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

    /// Where a link says that it leads.
    ///
    /// # Errors
    /// When it is no link.
    pub fn read_link(&self, path: &Path) -> io::Result<PathBuf> {
        self.at(path, |folder, name| {
            Ok(OsString::from_vec(readlinkat(folder, name, Vec::new())?.into_bytes()).into())
        })
    }

    /// Makes a folder, for its owner alone.
    ///
    /// # Errors
    /// When something is there already, or it cannot be made.
    pub fn make_folder(&self, path: &Path) -> io::Result<()> {
        self.at(path, |folder, name| Ok(mkdirat(folder, name, Mode::RWXU)?))
    }

    /// Makes a file, for its owner alone, and opens it to be written.
    ///
    /// # Errors
    /// When something is there already, or it cannot be made.
    pub fn make_file(&self, path: &Path) -> io::Result<File> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
        Ok(self.open_at(path, flags, Mode::RUSR | Mode::WUSR)?.into())
    }

    /// Makes a link with this text.
    ///
    /// # Errors
    /// When something is there already, or it cannot be made.
    pub fn make_link(&self, path: &Path, leads_to: &Path) -> io::Result<()> {
        self.at(path, |folder, name| Ok(symlinkat(leads_to, folder, name)?))
    }

    /// Sets the permissions of a real file or folder.
    ///
    /// # Errors
    /// When it is neither, or they cannot be set.
    pub fn set_mode(&self, path: &Path, mode: u32) -> io::Result<()> {
        let flags = if self.has_folder(path) { OFlags::DIRECTORY } else { OFlags::NONBLOCK | OFlags::NOCTTY };
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let opened = self.open_at(path, OFlags::RDONLY | flags, Mode::empty())?;
        Ok(fchmod(opened, Mode::from_raw_mode(mode & 0o7777))?)
    }

    /// Puts a file with this content and mode in the place of whatever is there.
    ///
    /// # Errors
    /// When what is there cannot be removed, or the file not be written.
    pub fn replace(&self, path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
        self.remove(path)?;
        let mut file = self.make_file(path)?;
        file.write_all(content)?;
        Ok(fchmod(file, Mode::from_raw_mode(mode & 0o7777))?)
    }

    /// Gives an entry another place.
    ///
    /// # Errors
    /// When it is not there, or cannot be moved.
    pub fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.at(from, |from_folder, from| {
            self.at(to, |to_folder, to| Ok(renameat(from_folder, from, to_folder, to)?))
        })
    }

    /// Removes what is at a path, a folder with all that is in it. Nothing there is no error.
    ///
    /// # Errors
    /// When it cannot be removed.
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

    /// Does something with a name in the folder that holds it.
    fn at<T>(&self, path: &Path, with: impl FnOnce(&OwnedFd, &OsStr) -> io::Result<T>) -> io::Result<T> {
        let no_name = || io::Error::new(io::ErrorKind::InvalidInput, "it names no entry of a folder");
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
    fn nothing_is_reached_through_a_link_or_by_dots() {
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
    fn a_replaced_link_leaves_what_it_led_to_alone() {
        let (home, beneath) = folder();
        beneath.replace(Path::new("link"), b"ours", 0o755).unwrap();
        assert_eq!(beneath.read(Path::new("link"), 4).unwrap(), b"ours");
        assert_eq!(fs::read(home.path().join("victim")).unwrap(), b"secret");
        beneath.remove(Path::new("up")).unwrap();
        assert!(home.path().join("victim").exists());
    }

    #[test]
    fn a_pipe_is_no_file_and_nobody_waits_for_it() {
        let (home, beneath) = folder();
        nix::unistd::mkfifo(&home.path().join("in/pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(beneath.read(Path::new("pipe"), 100).is_err());
    }

    #[test]
    fn a_file_that_is_too_large_is_an_error_and_a_folder_goes_with_its_content() {
        let (_home, beneath) = folder();
        beneath.make_folder(Path::new("a")).unwrap();
        beneath.replace(Path::new("a/b"), b"12345", 0o644).unwrap();
        assert!(beneath.read(Path::new("a/b"), 4).is_err());
        beneath.remove(Path::new("a")).unwrap();
        assert!(!beneath.has_folder(Path::new("a")));
    }
}
