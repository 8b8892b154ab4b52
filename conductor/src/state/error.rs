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

/// Adds the operation and the path to an error.
pub(crate) fn at<T, E: Into<io::Error>>(
    result: Result<T, E>,
    action: &'static str,
    path: &Path,
) -> Result<T, Error> {
    result.map_err(|source| Error::new(action, path, source))
}
