//! The error of an operation on a file or folder: it names the operation and the path.

use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

/// An operation on a file or folder that failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {path}")]
pub struct Error {
    action: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl Error {
    pub(crate) fn new(action: &'static str, path: &Path, source: impl Into<io::Error>) -> Self {
        Self { action, path: path.to_owned(), source: source.into() }
    }

    /// Whether the file or folder does not exist.
    pub fn is_not_found(&self) -> bool {
        self.source.kind() == io::ErrorKind::NotFound
    }

    /// Whether something is mounted where a directory was to be deleted.
    pub(super) fn is_mounted(&self) -> bool {
        let number = Errno::from_io_error(&self.source);
        matches!(number, Some(Errno::XDEV | Errno::BUSY))
    }
}

fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Like [`at`]. `None` if the file or folder does not exist.
pub(crate) fn if_there<T, E: Into<io::Error>>(
    result: Result<T, E>,
    action: &'static str,
    path: &Path,
) -> Result<Option<T>, Error> {
    match result.map_err(Into::into) {
        Err(error) if is_missing(&error) => Ok(None),
        result => at(result, action, path).map(Some),
    }
}

/// Whether a path leads to a directory. An error other than a missing file is no answer.
pub(crate) fn is_directory(path: &Path) -> Result<bool, Error> {
    Ok(if_there(std::fs::metadata(path), "find", path)?.is_some_and(|data| data.is_dir()))
}

/// Adds the operation and the path to an error.
pub(crate) fn at<T, E: Into<io::Error>>(
    result: Result<T, E>,
    action: &'static str,
    path: &Path,
) -> Result<T, Error> {
    result.map_err(|source| Error::new(action, path, source))
}
