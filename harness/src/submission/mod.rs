//! What was handed in: read whatever form it has, refuse what is dangerous, find its folder, say what is there.
//!
//! All entries pass one gate (`intake`), which no name or size gets past that it must not have, and become a tree of
//! names in memory; there the names are settled (`settle`), and only then is a copy written, into a folder of ours.
//! Later accesses to the copy stay beneath it (`beneath`). Nothing later in a run touches what the student gave.

mod beneath;
mod digest;
mod error;
mod form;
mod git;
pub mod id;
mod intake;
mod layout;
mod marked;
mod root;
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
pub use layout::{ASKED, FileFact, GitFact, Layout, MarkedDiff};

use crate::verdict::SubmissionInfo;

/// A submission that was taken in.
#[derive(Debug)]
pub struct Submission {
    /// Which one.
    pub info: SubmissionInfo,
    /// Its folder, holding `task1` and so on: a copy of ours.
    pub root: PathBuf,
    /// What is in it, and how it came.
    pub layout: Layout,
    copy: Beneath,
    names: tree::Folder,
}

impl Submission {
    /// The content of a file of at most `limit` bytes, also where a link inside the submission leads to it: where
    /// that is, is worked out in memory first.
    ///
    /// # Errors
    /// When there is no such file, or it is larger.
    pub fn read(&self, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
        let end = settle::follow(&self.names, path, &mut 10_000).map_err(io::Error::other)?;
        self.copy.read(&end, limit)
    }
}

/// Takes in the directory or archive at `source`: copies it into the empty directory `into`, finds its folder
/// and looks at it. With `starter`, the files as students were handed them, changes outside the marked
/// portions are listed too.
///
/// # Errors
/// When it cannot be read, is no submission, or holds an entry that is refused; nothing was written outside
/// `into`.
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
        unmarked: starter.map(|starter| marked::changes(starter, &copy)).transpose()?,
    };
    let id = id::choose(source, layout.folder.as_deref());
    let source = source.display().to_string();
    Ok(Submission { info: SubmissionInfo { id, source, sha256 }, root: into.to_owned(), layout, copy, names })
}
