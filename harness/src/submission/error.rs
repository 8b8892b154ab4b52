//! Why a submission cannot be opened: it cannot be read, or one of its entries is refused.
//!
//! `harness` then exits with status 2, or with 3 if our own copy failed ([`Error::is_ours`]).

use std::io;
use std::path::{Path, PathBuf};

use vm::FileError;

/// Why a submission cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or directory of the submission cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// Our copy of the submission cannot be written, for example because the disk is full. The
    /// submission is not at fault.
    #[error(
        "cannot copy {} to the cache (free disk space, or set HARNESS_CACHE to a folder on another disk)",
        path.display()
    )]
    Ours {
        /// The file or folder being copied.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// The file is neither a directory nor a supported archive.
    #[error(
        "{} cannot be unpacked: {found}; hand in a directory, .tar, .tar.gz, .tar.xz or .zip",
        path.display()
    )]
    NotAnArchive {
        /// The file.
        path: PathBuf,
        /// What is wrong with the file, or what its first bytes say it is.
        found: String,
    },
    /// An archive that cannot hold what a submission may hold, but more.
    #[error("{} is larger than {} MiB, the most that an archive may take: leave out container images and other output", path.display(), most >> 20)]
    TooLarge {
        /// The archive.
        path: PathBuf,
        /// How many bytes it may have.
        most: u64,
    },
    /// The archive's structure is broken.
    #[error("the archive {} is damaged: {why}; make or download it again", path.display())]
    Damaged {
        /// The archive.
        path: PathBuf,
        /// The decoder's error.
        why: String,
    },
    /// The submission has an entry that is never unpacked, so it is not graded.
    #[error("{} is refused because of its entry {entry:?}: {why}", path.display())]
    Refused {
        /// The archive or directory.
        path: PathBuf,
        /// The entry's name in the archive or directory.
        entry: String,
        /// The reason.
        why: Refusal,
    },
    /// There is nothing to grade.
    #[error(
        "{} contains no submission: neither its top folder nor a folder up to two levels down \
         has a folder named task1, task2, task3 or task4",
        path.display()
    )]
    NoSubmission {
        /// The archive or directory.
        path: PathBuf,
    },
    /// An archive holds another archive where the submission should be.
    #[error(
        "{} contains no task folder but the archive {inner:?}: unpack that one, and hand it in by itself",
        path.display()
    )]
    Packed {
        /// The archive.
        path: PathBuf,
        /// The archive in it.
        inner: String,
    },
    /// There is more than one submission, and names do not decide between them.
    #[error(
        "{} contains several submissions ({}): pass one of these folders instead",
        path.display(), folders.join(", ")
    )]
    Several {
        /// The archive or directory.
        path: PathBuf,
        /// The submissions' folders.
        folders: Vec<String>,
    },
}

/// Why an entry is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The name contains `..`.
    #[error("its name contains '..' and could lead out of the archive")]
    Traversal,
    /// The name begins with `/` or with a drive letter.
    #[error("its name is an absolute path; a relative one is needed")]
    Absolute,
    /// A symbolic link leads out of the submission. Holds the link's target.
    #[error("it is a symbolic link that leads out of the submission, to {0:?}")]
    LinkEscapes(String),
    /// A symbolic link leads to itself, or through too many links.
    #[error("it is a symbolic link that leads to itself or through too many other links")]
    LinkLoop,
    /// A symbolic link's target is empty, too long or has a NUL byte.
    #[error("it is a symbolic link whose target is empty, longer than 4095 bytes, or has a NUL byte")]
    BadLink,
    /// A required file or folder is a link to a folder that contains the link.
    #[error("it is a symbolic link to a folder that contains it; replace it by a real file or folder")]
    LinkAround,
    /// A hard link's target is not an earlier file of the archive. Holds the target.
    #[error("it is a hard link to {0:?}, but no earlier entry of the archive is a file of that name")]
    HardLink(String),
    /// The entry is a device, a pipe or a socket. Holds the kind.
    #[error("it is a {0}; only files, folders and links are accepted")]
    Special(&'static str),
    /// There are too many entries. Holds their number up to this one.
    #[error("with this entry, the submission has {0} entries, more than are accepted")]
    TooMany(u64),
    /// The file is too large. Holds the limit in bytes.
    #[error("it is larger than {} MiB, the limit for one file", .0 >> 20)]
    FileTooLarge(u64),
    /// All files together are too large. Holds the limit in bytes.
    #[error("with this entry, the files exceed {} MiB, the limit for all files together", .0 >> 20)]
    TotalTooLarge(u64),
    /// The archive is a decompression bomb. Holds the greatest accepted ratio.
    #[error("with this entry, the archive unpacks to more than {0} times its own size")]
    Ratio(u64),
    /// The entry is nested too deep. Holds the greatest accepted depth.
    #[error("it is nested deeper than {0} folders")]
    TooDeep(usize),
    /// The whole path is too long. Holds the limit in bytes.
    #[error("its path is longer than {0} bytes; give its folders shorter names")]
    TooLong(usize),
    /// No file system accepts the name.
    #[error("a part of its name is empty, longer than 255 bytes, or has a NUL byte")]
    BadName,
    /// The name is taken by an earlier entry of another kind, or passes a file or a link.
    #[error("an earlier entry of another kind has the same name, or a file or link stands in its path")]
    Clash,
    /// The zip entry needs a password.
    #[error("it is encrypted; make the zip archive without a password")]
    Encrypted,
}

impl Error {
    /// Whether our infrastructure is at fault, and not the submission.
    pub fn is_ours(&self) -> bool {
        matches!(self, Self::Ours { .. })
    }

    pub(super) fn ours(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Ours { path, source }
    }

    pub(super) fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let error = FileError::at(what, path);
        move |source| error(source).into()
    }
}
