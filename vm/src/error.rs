//! Errors before a guest runs. They are faults of the infrastructure; a fault of the program in the
//! guest is an [`Outcome`](crate::Outcome).

use std::io;
use std::path::{Path, PathBuf};

/// An operation on a file or folder that failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what} {}", path.display())]
pub struct FileError {
    what: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl FileError {
    /// Adds to an error what was done, as a verb ("create", "lock"), and with which file or folder.
    pub fn at(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self { what, path, source }
    }
}

/// An error and its causes on one line. Libraries often repeat a cause in their own text; it is
/// then left out.
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    for cause in std::iter::successors(error.source(), |cause| cause.source()) {
        let cause = cause.to_string();
        if !text.ends_with(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

/// Why there is no image, no template or no guest. The text names the thing, the place and the
/// remedy, if there is one.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A system call on a file or directory failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// A needed program is not installed.
    #[error("{program} is not installed; on Debian and Ubuntu: apt install {package}")]
    ToolMissing {
        /// The program's name.
        program: &'static str,
        /// The package that supplies it.
        package: &'static str,
    },
    /// A program that was run failed.
    #[error("{program} failed ({status}):\n{output}{}", whole(log.as_deref()))]
    ToolFailed {
        /// The program's name.
        program: String,
        /// Its exit status, in words.
        status: String,
        /// The end of its output.
        output: String,
        /// The file with all of its output, if it was kept.
        log: Option<PathBuf>,
    },
    /// The disk has too little space to make an image.
    #[error(
        "{} has {:.1} GB free, and making a virtual machine needs {:.1} GB: free disk space, or put the cache in another folder",
        place.display(), gigabytes(*free), gigabytes(*needed)
    )]
    NoRoom {
        /// The directory.
        place: PathBuf,
        /// The free space, in bytes.
        free: u64,
        /// The needed space, in bytes.
        needed: u64,
    },
    /// A download failed, was cut off too often, or had another digest than the pinned one.
    #[error("cannot download {url}: {why}")]
    Download {
        /// The address.
        url: String,
        /// The reason.
        why: String,
    },
    /// The accelerator that was asked for cannot be used here.
    #[error("{0}")]
    Accelerator(String),
    /// A boot, a provisioning or a restore failed in the guest.
    #[error("{what}; the last lines of its console:\n{console}")]
    Guest {
        /// The failure, as a sentence.
        what: String,
        /// The end of the console.
        console: String,
    },
    /// QEMU did not start, or refused a command.
    #[error("QEMU {what}: {why}")]
    Qemu {
        /// The failure, to be read after "QEMU".
        what: String,
        /// QEMU's message.
        why: String,
    },
    /// Somebody wrote to the file that holds a template's memory.
    #[error(
        "the memory of the template {id} was written to since the template was made: run the command again, which makes the template again"
    )]
    TemplateWritten {
        /// Its name in the cache.
        id: String,
    },
    /// The agent was not found, or belongs to another build.
    #[error("{0}")]
    Agent(String),
}

impl Error {
    pub(crate) fn io(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Error {
        let error = FileError::at(what, path);
        move |source| error(source).into()
    }
}

fn whole(log: Option<&Path>) -> String {
    log.map(|log| format!("\nThe full output is in {}", log.display())).unwrap_or_default()
}

fn gigabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e9
}
