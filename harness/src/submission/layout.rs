//! The layout of a submission's files: the evidence of the `layout` subtask.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::scripts::ScriptFact;
use super::tree::{Folder, Node};
use super::{Beneath, Form, git};

/// The required files (section "Submission details" of the assignment).
pub const ASKED: [&str; 7] = [
    "task1/namespace_prog.c",
    "task2/simple_container.sh",
    "task3/conductor.sh",
    "task3/setup.sh",
    "task4/csfile",
    "task4/esfile",
    "task4/service-orchestrator.sh",
];

/// The form and the content of a submission.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Layout {
    /// Directory or type of archive.
    pub form: Form,
    /// The name of the submission's own folder; `None` if the task folders are at the archive's
    /// top.
    pub folder: Option<String>,
    /// How many levels below the top that folder is.
    pub depth: usize,
    /// The number of files, folders and links.
    pub entries: u64,
    /// Ignored entries: files of the operating system, and state of the container tool.
    pub left_aside: Vec<String>,
    /// Those of [`ASKED`] that exist.
    pub files: Vec<FileFact>,
    /// A sentence for each required file or folder that was a link.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replaced: Vec<String>,
    /// What is wrong with the scripts. Only `harness check` fills it: a grade runs the scripts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scripts: Vec<ScriptFact>,
    /// Archives inside the submission.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub archives: Vec<String>,
    /// The git history.
    pub git: GitFact,
    /// Changes outside the marked portions; `None` if no starter files were given.
    pub unmarked: Option<Vec<MarkedDiff>>,
}

/// A required file that exists.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FileFact {
    /// The path that the assignment requires.
    pub path: String,
    /// The path that the submission has, if it differs.
    pub found_as: Option<String>,
    /// The size.
    pub bytes: u64,
    /// Whether the file has Windows line ends.
    pub crlf: bool,
    /// Whether the file is a script without execute permission. Our copy of it has the permission.
    pub lacks_run_bit: bool,
}

/// The state of the submission's git history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GitFact {
    /// There is no repository.
    Missing,
    /// There is a `.git`, but its HEAD leads to no commit.
    Empty,
    /// There is a repository with commits.
    Present,
    /// The submission is a directory within another working tree.
    Enclosing,
}

/// How one file differs from the starter file, outside the marked portions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MarkedDiff {
    /// The file's path in the submission.
    pub path: String,
    /// A unified diff; empty if nothing differs.
    pub diff: String,
}

/// The summary at the start of a run, for example "tar.gz, all 7 required files are present".
impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let missing = ASKED.iter().filter(|asked| self.files.iter().all(|file| file.path != **asked));
        match missing.copied().collect::<Vec<_>>().as_slice() {
            [] => write!(f, "{}, all {} required files are present", self.form, ASKED.len()),
            missing => write!(f, "{}, missing: {}", self.form, missing.join(", ")),
        }
    }
}

/// The most archives to name.
const MOST_ARCHIVES: usize = 5;

/// The archives among the files of a submission, the git history left out. Nothing looks into them.
pub fn archives(root: &Folder) -> Vec<String> {
    const ENDS: [&str; 9] =
        [".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.bz2", ".zip", ".7z", ".rar", ".tar.zst"];
    let mut found = Vec::new();
    let mut open = vec![(PathBuf::new(), root)];
    while let Some((path, folder)) = open.pop() {
        for (name, node) in &folder.entries {
            let path = path.join(name);
            match node {
                Node::Folder(inner) if name != ".git" => open.push((path, inner)),
                Node::File(_) => {
                    let name = name.to_string_lossy().to_ascii_lowercase();
                    if found.len() < MOST_ARCHIVES && ENDS.iter().any(|end| name.ends_with(end)) {
                        found.push(path.display().to_string());
                    }
                }
                Node::Folder(_) | Node::Link(_) => {}
            }
        }
    }
    found.sort();
    found
}

/// Looks for a git history in our copy and, if the source is a directory, in the folders above it.
pub fn git(source: &Path, form: Form, copy: &Beneath) -> GitFact {
    let git = Path::new(".git");
    // A file `gitdir: …` (gitrepository-layout(5)) leads to where a worktree's or a
    // submodule's history lies. That was not handed in, and no path that a submission names
    // is followed out of it.
    if copy.kind(git).is_some() {
        let has_commit = copy.folder(git).is_ok_and(|repository| git::has_commit(&repository));
        return if has_commit { GitFact::Present } else { GitFact::Empty };
    }
    let enclosed = form == Form::Directory && source.canonicalize().is_ok_and(|source| is_enclosed(&source));
    if enclosed { GitFact::Enclosing } else { GitFact::Missing }
}

/// Whether a folder is or lies in a git working tree. A repository in the folder itself was handed
/// in, so it must have a history; what lies above the folder is not of the submission's making.
fn is_enclosed(folder: &Path) -> bool {
    folder.ancestors().skip(1).any(|above| above.join(".git").exists())
        || Beneath::open(folder)
            .and_then(|folder| folder.folder(Path::new(".git")))
            .is_ok_and(|git| git::has_commit(&git))
}
