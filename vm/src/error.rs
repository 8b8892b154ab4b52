//! Errors before a guest runs. They are faults of the infrastructure; a fault of the program in the
//! guest is an [`Outcome`](crate::Outcome).

use std::path::{Path, PathBuf};

/// Why there is no image, no template or no guest. The text names the thing, the place and the
/// remedy, if there is one.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A system call on a file or directory failed.
    #[error("cannot {what} {}: {source}", path.display())]
    Io {
        /// The operation, as a verb: "create", "lock".
        what: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The kernel's error.
        source: std::io::Error,
    },
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
    #[allow(dead_code)]
    pub(crate) fn io(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.into();
        move |source| Error::Io { what, path, source }
    }
}

fn whole(log: Option<&Path>) -> String {
    log.map(|log| format!("\nThe full output is in {}", log.display())).unwrap_or_default()
}

fn gigabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e9
}
