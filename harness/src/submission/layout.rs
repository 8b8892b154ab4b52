//! What the host saw in a submission's files: the `layout` subtask's evidence.

use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{Beneath, Form, git};

/// The files that the assignment asks for (section "Submission details").
pub const ASKED: [&str; 7] = [
    "task1/namespace_prog.c",
    "task2/simple_container.sh",
    "task3/conductor.sh",
    "task3/setup.sh",
    "task4/csfile",
    "task4/esfile",
    "task4/service-orchestrator.sh",
];

/// How a submission came and what is in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Layout {
    /// Directory or kind of archive.
    pub form: Form,
    /// The name of its folder, `None` where the task folders lie at the archive's top.
    pub folder: Option<String>,
    /// How many folders below the top it lies.
    pub depth: usize,
    /// Files, folders and links in it.
    pub entries: u64,
    /// Droppings of other programs and state of the container tool that were not taken along.
    pub left_aside: Vec<String>,
    /// Those of [`ASKED`] that are there.
    pub files: Vec<FileFact>,
    /// A sentence for each link in the place of a file or folder that is asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replaced: Vec<String>,
    /// Its history.
    pub git: GitFact,
    /// Changes outside the marked portions; `None` where no starter files were given.
    pub unmarked: Option<Vec<MarkedDiff>>,
}

/// One file that is asked for and there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FileFact {
    /// As it is asked for.
    pub path: String,
    /// As it was handed in, where that differs.
    pub found_as: Option<String>,
    /// Its size.
    pub bytes: u64,
    /// Whether it has line ends of Windows.
    pub crlf: bool,
    /// Whether it is a script that could not be run as it was; in our copy it can.
    pub lacks_run_bit: bool,
}

/// What is known of the submission's git history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GitFact {
    /// There is none.
    Missing,
    /// There is a `.git`, but no commit that it leads to.
    Empty,
    /// There is one with commits.
    Present,
    /// It was handed in as a directory that lies in a working tree.
    Enclosing,
}

/// How one file differs from the starter's outside the marked portions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MarkedDiff {
    /// The file.
    pub path: String,
    /// A unified diff, empty where nothing differs.
    pub diff: String,
}

/// For the line that a run begins with: "7 files, layout as asked".
impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let missing = ASKED.iter().filter(|asked| self.files.iter().all(|file| file.path != **asked));
        match missing.copied().collect::<Vec<_>>().as_slice() {
            [] => write!(f, "{}, all {} files asked for are there", self.form, ASKED.len()),
            missing => write!(f, "{}, missing: {}", self.form, missing.join(", ")),
        }
    }
}

/// Looks for a git history in our copy, and above the source where it was handed in as a directory.
pub fn git(source: &Path, form: Form, copy: &Beneath) -> GitFact {
    let git = Path::new(".git");
    if copy.read(git, 4096).is_ok_and(|text| text.starts_with(b"gitdir:")) {
        // An archive does not bring along what lies elsewhere.
        return if form == Form::Directory { GitFact::Enclosing } else { GitFact::Empty };
    }
    if copy.kind(git).is_some() {
        let has_commit = copy.folder(git).is_ok_and(|repository| git::has_commit(&repository));
        return if has_commit { GitFact::Present } else { GitFact::Empty };
    }
    let enclosed = form == Form::Directory
        && source
            .canonicalize()
            .is_ok_and(|source| source.ancestors().any(|above| above.join(".git").exists()));
    if enclosed { GitFact::Enclosing } else { GitFact::Missing }
}
