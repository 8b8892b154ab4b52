//! Why a submission is not graded at all: it cannot be read, or an entry of it is refused. Exit status 2.

use std::io;
use std::path::{Path, PathBuf};

/// Why a submission cannot be taken in.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or directory cannot be read or written.
    #[error("cannot {what} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// Our own copy cannot be made: a full disk, for one. Nobody's submission is at fault.
    #[error("cannot keep a copy of {}: {source}; free disk space there, or set HARNESS_CACHE to another folder", path.display())]
    Ours {
        /// Of what.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// Neither a directory nor one of the archives that are understood.
    #[error("{} is not a directory, a tar (plain, gzip, xz) or a zip archive: {found}", path.display())]
    NotAnArchive {
        /// The file.
        path: PathBuf,
        /// What its first bytes say it is.
        found: String,
    },
    /// The archive's own structure is broken.
    #[error("{} is damaged: {why}", path.display())]
    Damaged {
        /// The archive.
        path: PathBuf,
        /// What the decoder said.
        why: String,
    },
    /// An entry that is never unpacked; nothing of the archive is graded.
    #[error("{} is refused because of its entry {entry:?}: {why}", path.display())]
    Refused {
        /// The archive or directory.
        path: PathBuf,
        /// The entry, as it is named there.
        entry: String,
        /// What is wrong with it.
        why: Refusal,
    },
    /// There is nothing to grade.
    #[error(
        "{} holds no submission: no folder with task1, task2, task3 or task4 at its top or up to two folders below",
        path.display()
    )]
    NoSubmission {
        /// The archive or directory.
        path: PathBuf,
    },
    /// There is more than one submission, and none is preferred.
    #[error("{} holds several submissions ({}): name one of them", path.display(), folders.join(", "))]
    Several {
        /// The archive or directory.
        path: PathBuf,
        /// Their folders.
        folders: Vec<String>,
    },
}

/// What is wrong with an entry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// `..` in its name.
    #[error("its name leads out of the archive")]
    Traversal,
    /// A name that starts at the root or at a drive.
    #[error("its name is absolute")]
    Absolute,
    /// A symbolic link whose end is not in the submission.
    #[error("it is a symbolic link that leads out of the submission, to {0:?}")]
    LinkEscapes(String),
    /// Links that lead to each other.
    #[error("it is a symbolic link that leads to itself or through too many others")]
    LinkLoop,
    /// A symbolic link without a text that a file system takes.
    #[error("the symbolic link has no target, or a target that is too long")]
    BadLink,
    /// A link in the place of a folder that is asked for, to a folder around itself.
    #[error("the symbolic link leads to a folder that contains the link: put a real folder here")]
    LinkAround,
    /// A hard link to something that is not an earlier file of the archive.
    #[error("it is a hard link to {0:?}, which is no earlier file of the archive")]
    HardLink(String),
    /// A device, a pipe, a socket.
    #[error("it is a {0}, not a file, folder or link")]
    Special(&'static str),
    /// Too many entries.
    #[error("it is entry number {0}, one more than are allowed")]
    TooMany(u64),
    /// A file that is too large.
    #[error("it is larger than {} MiB", .0 >> 20)]
    FileTooLarge(u64),
    /// All files together are too large.
    #[error("with it the files take more than {} MiB", .0 >> 20)]
    TotalTooLarge(u64),
    /// Much from little: a decompression bomb.
    #[error("with it the archive unpacks to more than {0} times its size")]
    Ratio(u64),
    /// Folders in folders.
    #[error("it lies more than {0} folders deep")]
    TooDeep(usize),
    /// A name that no file system takes.
    #[error("a part of its name is empty, too long or has a NUL in it")]
    BadName,
    /// The same name for a file and for a folder or link.
    #[error("an earlier entry of another kind has its name, or is a link on its way")]
    Clash,
    /// A zip entry that asks for a password.
    #[error("it is encrypted")]
    Encrypted,
}

impl Error {
    /// Whether the infrastructure failed, rather than what was handed in.
    pub fn is_ours(&self) -> bool {
        matches!(self, Self::Ours { .. })
    }

    pub(super) fn ours(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Ours { path, source }
    }

    pub(super) fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { what, path, source }
    }
}
