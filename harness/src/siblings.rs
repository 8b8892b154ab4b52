//! The programs that are built together with the running one and stand beside it.

use std::io;
use std::path::PathBuf;

/// Why a program is not there.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Where the running program is cannot be said.
    #[error("cannot find the running program: {0}")]
    NoSelf(#[source] io::Error),
    /// It is not beside the running program.
    #[error("{} is missing: build all programs with `cargo build --workspace`, and keep them together", .0.display())]
    Missing(PathBuf),
}

/// Where a program of this build is. Tests run one folder further down.
pub fn find(program: &str) -> Result<PathBuf, Error> {
    let own = std::env::current_exe().map_err(Error::NoSelf)?;
    let mut folder = own.parent().map(PathBuf::from).unwrap_or_default();
    if folder.ends_with("deps") {
        folder.pop();
    }
    let path = folder.join(program);
    if path.is_file() { Ok(path) } else { Err(Error::Missing(path)) }
}
