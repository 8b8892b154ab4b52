//! What can go wrong before a guest runs. All of it is the infrastructure's doing, never that of the program
//! in the guest: that has an [`Outcome`](crate::Outcome).

use std::path::{Path, PathBuf};

/// Why there is no image, no template or no guest. Displays as one sentence that names the thing, the place
/// and, where there is one, the remedy.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A system call on a file or directory failed.
    #[error("cannot {what} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb: "create", "lock".
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// A program that is needed is not installed.
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
        /// The end of what it wrote.
        output: String,
        /// Where all of that is, if it was kept.
        log: Option<PathBuf>,
    },
    /// The disk has not the room that an image takes while it is made.
    #[error(
        "{} has {:.1} GB free, and making a virtual machine needs {:.1} GB: free disk space, or put the cache in another folder",
        place.display(), gigabytes(*free), gigabytes(*needed)
    )]
    NoRoom {
        /// Where.
        place: PathBuf,
        /// What is free there, in bytes.
        free: u64,
        /// What is needed, in bytes.
        needed: u64,
    },
    /// A download failed, was cut off too often, or had another digest than the one pinned.
    #[error("cannot download {url}: {why}")]
    Download {
        /// From where.
        url: String,
        /// What happened, in words.
        why: String,
    },
    /// An accelerator was asked for that cannot be used here.
    #[error("{0}")]
    Accelerator(String),
    /// The guest did not do what a boot, a provisioning or a restore needs.
    #[error("{what}; the last lines of its console:\n{console}")]
    Guest {
        /// What failed, as a sentence.
        what: String,
        /// The end of the console.
        console: String,
    },
    /// QEMU did not start or did not obey.
    #[error("QEMU {what}: {why}")]
    Qemu {
        /// What was asked of it.
        what: String,
        /// What it said.
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
    /// The guest half of this build was not found or belongs to another build.
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
