//! What was handed in: read whatever form it has, refuse what is dangerous, find its folder, say what is there.
//!
//! Everything is copied into a folder of ours first, through one gate (`intake`) that no entry gets past with
//! a name, a link or a size that it must not have. Nothing later in a run touches what the student gave.

mod digest;
mod error;
mod form;
mod intake;
mod layout;
mod marked;
mod root;
mod tidy;
mod unpack;

use std::path::{Path, PathBuf};

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
    let taken = unpack::unpack(source, form, into, limits)?;
    let sha256 = match form {
        Form::Directory => digest::of_directory(&taken.root.path)?,
        _ => digest::of_file(source)?,
    };
    let mut files = tidy::tidy(&taken.root.path)?;
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let layout = Layout {
        form,
        folder: taken.folder,
        depth: taken.root.depth,
        entries: taken.entries,
        left_aside: taken.left_aside,
        files,
        git: layout::git(source, form, &taken.root.path),
        unmarked: starter.map(|starter| marked::changes(starter, &taken.root.path)).transpose()?,
    };
    let (id, source) = (layout.id(source), source.display().to_string());
    Ok(Submission { info: SubmissionInfo { id, source, sha256 }, root: taken.root.path, layout })
}
