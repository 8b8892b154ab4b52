//! Finds programs of this project in the folder of the running program.

use std::io;
use std::path::PathBuf;

/// Why a program cannot be found.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The path of the running program is unknown.
    #[error("cannot find the running program")]
    NoSelf(#[source] io::Error),
    /// The program is not in the folder of the running program.
    #[error("{} is missing: build all programs with `cargo build --workspace`, and keep them in one folder", .0.display())]
    Missing(PathBuf),
}

/// The path of a program of this build. Test programs run in the subfolder `deps`.
pub fn find(program: &str) -> Result<PathBuf, Error> {
    let own = std::env::current_exe().map_err(Error::NoSelf)?;
    let mut folder = own.parent().map(PathBuf::from).unwrap_or_default();
    if folder.ends_with("deps") {
        folder.pop();
    }
    let path = folder.join(program);
    if path.is_file() { Ok(path) } else { Err(Error::Missing(path)) }
}
