//! Submissions whose verdict is known: assembles a submission from its folder, and compares the
//! verdict with `expect.toml`. `docs/corpus.md` documents the folders.

mod assemble;
mod compare;
#[cfg(test)]
mod tests;

pub use assemble::assemble;
pub use compare::{Comparison, compare};

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use vm::FileError;

use crate::task::Subtask;
use crate::{siblings, task};

/// One submission of the corpus.
#[derive(Clone, Debug)]
pub struct Case {
    /// Its folder below the corpus, such as `mutants/task2-no-fork`.
    pub name: String,
    /// The expected verdict.
    pub expect: Expect,
}

/// `expect.toml`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    /// What is different or broken.
    #[serde(default)]
    pub about: String,
    /// The subtasks to grade.
    pub subtasks: Vec<String>,
    /// The checks that must fail. Here and in `skip`, `3c/*` means all checks of 3c that have marks
    /// and are not named by themselves.
    #[serde(default)]
    pub fail: Vec<String>,
    /// The checks that must be skipped.
    #[serde(default)]
    pub skip: Vec<String>,
    /// The informational checks that must fail; all others must pass or be skipped.
    #[serde(default)]
    pub noted: Vec<String>,
    /// The failed checks that must pass with a broken command replaced. No other failed check may.
    #[serde(default)]
    pub follow_through: Vec<String>,
    /// Subtasks in which no check may pass or be an error.
    #[serde(default)]
    pub zero: Vec<String>,
    /// The submission to start from, or `course`.
    pub base: Option<String>,
    /// The changes to that submission.
    #[serde(default)]
    pub edit: Vec<Edit>,
}

impl Expect {
    /// The subtasks to grade, in the assignment's order.
    pub fn graded(&self) -> Vec<&'static Subtask> {
        task::subtasks()
            .into_iter()
            .filter(|subtask| self.subtasks.iter().any(|id| id == subtask.id))
            .collect()
    }
}

/// One change to a file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Edit {
    /// The file, relative to the submission's root.
    pub file: String,
    /// A text that occurs exactly once in the file.
    pub find: String,
    /// The text that replaces it.
    pub replace: String,
}

/// A fault of the corpus itself.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// An `expect.toml` is not valid.
    #[error("{}: {why}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The parser's message.
        why: String,
    },
    /// An edit does not fit its file.
    #[error("{case}: {find:?} occurs {times} times in {file}, not once")]
    Edit {
        /// The case.
        case: String,
        /// The file.
        file: String,
        /// The text.
        find: String,
        /// The number of occurrences.
        times: usize,
    },
    /// A program that a submission needs is not built.
    #[error(transparent)]
    Sibling(#[from] siblings::Error),
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> FileError {
    FileError::at("use", path)
}

/// Every case below `corpus`, in the order of names; the references first. A reference needs no
/// `expect.toml`: it passes every check of every task.
pub fn cases(corpus: &Path) -> Result<Vec<Case>, Error> {
    let mut cases = vec![];
    for name in ["reference-bash", "reference-rust", "starter"] {
        cases.extend(case(corpus, name)?);
    }
    for group in ["variants", "mutants", "hostile"] {
        let folder = corpus.join(group);
        let mut names: Vec<String> = fs::read_dir(&folder)
            .and_then(|entries| {
                entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
            })
            .map_err(failed(&folder))?;
        names.sort();
        for name in names {
            cases.extend(case(corpus, &format!("{group}/{name}"))?);
        }
    }
    Ok(cases)
}

fn case(corpus: &Path, name: &str) -> Result<Option<Case>, Error> {
    let folder = corpus.join(name);
    let path = folder.join("expect.toml");
    let expect: Expect = match fs::read_to_string(&path) {
        Ok(text) => toml::from_str(&text).map_err(|error| Error::Malformed {
            path: path.clone(),
            why: error.to_string().trim().to_owned(),
        })?,
        Err(_) if name.starts_with("reference") && folder.is_dir() => {
            let tasks = task::subtasks().into_iter().filter(|subtask| !subtask.scenarios.is_empty());
            let subtasks = tasks.map(|subtask| subtask.id.to_owned()).collect();
            Expect { base: Some(name.to_owned()), subtasks, ..Expect::default() }
        }
        Err(_) if !path.exists() => return Ok(None),
        Err(error) => return Err(failed(&path)(error).into()),
    };
    let known = task::subtasks();
    if let Some(id) = expect.subtasks.iter().find(|id| known.iter().all(|subtask| subtask.id != **id)) {
        let ids: Vec<&str> = known.iter().map(|subtask| subtask.id).collect();
        let why = format!("there is no subtask '{id}': there are {}", ids.join(", "));
        return Err(Error::Malformed { path, why });
    }
    Ok(Some(Case { name: name.to_owned(), expect }))
}
