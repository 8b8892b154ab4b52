//! Opens a submission: reads any supported form, refuses dangerous entries, finds the submission's
//! own folder and records its layout.
//!
//! The steps are:
//! 1. `unpack` reads the directory or archive entry by entry.
//! 2. `intake` checks the name, kind and size of each entry, and adds it to a `tree` in memory.
//! 3. `settle` corrects names and resolves links in that tree.
//! 4. Only then is a copy written to a folder of ours. `beneath` keeps later access inside it.
//!
//! The rest of a run uses the copy and never the original.

mod beneath;
pub mod bulk;
mod digest;
mod error;
mod form;
mod git;
pub mod id;
mod intake;
mod layout;
pub mod marked;
mod root;
pub mod scripts;
mod settle;
mod tidy;
mod tree;
mod unpack;

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

pub use beneath::Beneath;
pub use error::{Error, Refusal};
pub use form::Form;
pub use intake::Limits;
pub(crate) use intake::{checked, refused};
pub use layout::{ASKED, FileFact, GitFact, Layout, MarkedDiff};

use crate::verdict::SubmissionInfo;

/// An opened submission.
#[derive(Debug)]
pub struct Submission {
    /// Id, source and digest.
    pub info: SubmissionInfo,
    /// Our copy of the folder that contains `task1` and so on.
    pub root: PathBuf,
    /// The form and the content of the submission.
    pub layout: Layout,
    copy: Beneath,
    names: tree::Folder,
}

impl Submission {
    /// Reads a file of at most `limit` bytes. Links inside the submission are resolved in memory
    /// first.
    ///
    /// # Errors
    /// If there is no such file, or it is larger.
    pub fn read(&self, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
        let end = settle::follow(&self.names, path, &mut 10_000).map_err(io::Error::other)?;
        self.copy.read(&end, limit)
    }
}

/// Opens the directory or archive at `source` and copies its submission into the empty directory
/// `into`. With `starter`, the folder of the starter files, the layout lists changes outside the
/// marked portions.
///
/// # Errors
/// If `source` cannot be read, contains no submission, or has an entry that is refused. Nothing is
/// ever written outside `into`.
pub fn open(
    source: &Path,
    into: &Path,
    limits: &Limits,
    starter: Option<&Path>,
) -> Result<Submission, Error> {
    let form = Form::of(source)?;
    let unpack::Unpacked { root: mut names, place, folder, taken } =
        unpack::unpack(source, form, into, limits)?;
    let sha256 = match form {
        Form::Directory => digest::of_directory(&names, &taken.spool).map_err(Error::ours(into))?,
        _ => digest::of_file(source)?,
    };
    let settled = settle::settle(&mut names, limits).map_err(|(entry, why)| {
        intake::refused(source, place.path.join(entry).as_os_str().as_bytes(), why)
    })?;
    let archives = layout::archives(&names);
    let copy = Beneath::open(into).map_err(Error::ours(into))?;
    names.write(&copy, &taken.spool).map_err(|(path, error)| Error::ours(&path)(error))?;
    let layout = Layout {
        form,
        folder,
        depth: place.depth,
        entries: taken.entries,
        left_aside: taken.left_aside,
        files: tidy::tidy(&copy, &settled)?,
        replaced: settled.replaced,
        git: layout::git(source, form, &copy),
        scripts: Vec::new(),
        archives,
        unmarked: starter.map(|starter| marked::changes(starter, &copy)).transpose()?,
    };
    let id = id::choose(source, layout.folder.as_deref());
    let source = source.display().to_string();
    Ok(Submission { info: SubmissionInfo { id, source, sha256 }, root: into.to_owned(), layout, copy, names })
}
