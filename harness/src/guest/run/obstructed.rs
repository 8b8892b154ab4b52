//! Files in the submission's folder that our own half writes: the submission may have moved, locked
//! or replaced them, and then the fault is not ours.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// A file of the submission's folder that could not be used, and why. As an error it ends the
/// scenario, at the submission's cost.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what} {}: {why}", path.display())]
pub struct Obstructed {
    what: &'static str,
    path: PathBuf,
    // Not called `source`: this error travels inside an `io::Error`, whose readers take only the
    // text.
    why: io::Error,
}

impl Obstructed {
    /// For [`Result::map_err`]: what was tried with which file.
    pub fn at(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> io::Error {
        let path = path.to_owned();
        move |why| io::Error::other(Self { what, path, why })
    }
}

/// Writes a file in the place of whatever is there but a folder: a pipe, which would keep the
/// writer waiting, or a link.
///
/// # Errors
/// [`Obstructed`].
pub fn write(path: &Path, content: &str) -> io::Result<()> {
    let written = (|| {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        OpenOptions::new().write(true).create_new(true).open(path)?.write_all(content.as_bytes())
    })();
    written.map_err(Obstructed::at("write", path))
}

/// Whether an error says that a file of the submission's folder could not be used.
pub fn is_cause_of(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.downcast_ref::<Obstructed>().is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_not_be_written_is_told_from_other_errors_and_named() {
        let file = Path::new("/proc/version/Conductorfile");
        let error = write(file, "FROM").unwrap_err();
        assert!(is_cause_of(&error));
        assert_eq!(
            error.to_string(),
            "cannot write /proc/version/Conductorfile: Not a directory (os error 20)"
        );
        assert!(!is_cause_of(&io::Error::from_raw_os_error(nix::libc::ENOTDIR)));
    }

    #[test]
    fn a_pipe_or_a_link_in_a_files_place_keeps_nobody_waiting() {
        let dir = tempfile::tempdir().unwrap();
        let (pipe, link) = (dir.path().join("pipe"), dir.path().join("link"));
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        std::os::unix::fs::symlink(&pipe, &link).unwrap();
        for path in [link, pipe] {
            write(&path, "FROM").unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), "FROM");
        }
    }
}
