//! Reads small files in few system calls: listings read several for each entry.

use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

/// Opens a folder for reading entries below it.
pub fn folder(path: &Path) -> Result<OwnedFd, Errno> {
    rustix::fs::openat(CWD, path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

/// The content of a file below `folder`, and when it was last changed.
pub fn with_time(folder: impl AsFd, path: &Path) -> Result<(Vec<u8>, SystemTime), Errno> {
    let file = open(folder, path)?;
    let time = time_of(&rustix::fs::fstat(&file)?);
    Ok((content(file)?, time))
}

/// When a file below `folder` was last changed. Links and folders count as missing.
pub fn time(folder: impl AsFd, path: &Path) -> Result<SystemTime, Errno> {
    let stat = rustix::fs::statat(folder, path, AtFlags::SYMLINK_NOFOLLOW)?;
    if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile {
        Ok(time_of(&stat))
    } else {
        Err(Errno::NOENT)
    }
}

fn time_of(stat: &Stat) -> SystemTime {
    UNIX_EPOCH + Duration::new(stat.st_mtime.max(0) as u64, stat.st_mtime_nsec as u32)
}

/// The content of a file below `folder`.
pub fn file(folder: impl AsFd, path: &Path) -> Result<Vec<u8>, Errno> {
    content(open(folder, path)?)
}

fn open(folder: impl AsFd, path: &Path) -> Result<OwnedFd, Errno> {
    rustix::fs::openat(folder, path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty())
}

fn content(file: OwnedFd) -> Result<Vec<u8>, Errno> {
    const USUAL: usize = 4096;
    let mut bytes = vec![0; USUAL];
    let length = rustix::io::read(&file, &mut bytes[..])?;
    bytes.truncate(length);
    if length == USUAL {
        let rest = std::fs::File::from(file).read_to_end(&mut bytes);
        rest.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_any_length_are_read_to_their_end() {
        let directory = tempfile::tempdir().unwrap();
        let open = folder(directory.path()).unwrap();
        for length in [0, 1, 4095, 4096, 4097, 20000] {
            let text = vec![b'x'; length];
            std::fs::write(directory.path().join("file"), &text).unwrap();
            assert_eq!(file(&open, Path::new("file")).unwrap(), text);
        }
        assert_eq!(file(&open, Path::new("none")), Err(Errno::NOENT));
    }
}
