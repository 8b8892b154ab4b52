//! Submissions whose verdict is known: puts one together from its folder, and compares what came out with what
//! its `expect.toml` says. `docs/corpus.md` documents the folders.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::task::Subtask;
use crate::verdict::{Check, Report, Status};
use crate::{course, siblings, task};

/// One submission of the corpus.
#[derive(Debug)]
pub struct Case {
    /// Its folder below the corpus, such as `mutants/task2-no-fork`.
    pub name: String,
    /// What is expected of it.
    pub expect: Expect,
}

/// `expect.toml`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    /// What is different or broken.
    #[serde(default)]
    pub about: String,
    /// What is graded.
    pub subtasks: Vec<String>,
    /// The checks that must fail.
    #[serde(default)]
    pub fail: Vec<String>,
    /// The checks that must be skipped.
    #[serde(default)]
    pub skip: Vec<String>,
    /// The informational checks that must fail; all others must pass or be skipped.
    #[serde(default)]
    pub noted: Vec<String>,
    /// The checks that must pass with a broken command replaced; all others that are lost must not.
    #[serde(default)]
    pub follow_through: Vec<String>,
    /// Subtasks of which no check may pass and none may be an error.
    #[serde(default)]
    pub zero: Vec<String>,
    /// The submission to start from, or `course`.
    pub base: Option<String>,
    /// Changes to it.
    #[serde(default)]
    pub edit: Vec<Edit>,
}

impl Expect {
    /// Those of its subtasks that this harness grades.
    pub fn graded(&self) -> Vec<&'static Subtask> {
        task::subtasks()
            .into_iter()
            .filter(|subtask| self.subtasks.iter().any(|id| id == subtask.id))
            .collect()
    }
}

/// One change to a file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Edit {
    /// Which, from the submission's root.
    pub file: String,
    /// Text that occurs exactly once in it.
    pub find: String,
    /// What stands there instead.
    pub replace: String,
}

/// What is wrong with the corpus itself.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read or written.
    #[error("cannot use {}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// An `expect.toml` is not one.
    #[error("{}: {why}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What the parser said.
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
        /// How often it occurs.
        times: usize,
    },
    /// A program that a submission needs is not built.
    #[error(transparent)]
    Sibling(#[from] siblings::Error),
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Io { path, source }
}

/// The programs that the Rust reference consists of, by their place in it.
const PROGRAMS: [&str; 3] = ["task2/simple_container", "task3/conductor", "task4/service_orchestrator"];

/// Every case below `corpus`, in the order of names; the references first. A reference needs no `expect.toml`:
/// it passes every check of every task.
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
        Err(source) => return Err(Error::Io { path, source }),
    };
    let known = task::subtasks();
    if let Some(id) = expect.subtasks.iter().find(|id| known.iter().all(|subtask| subtask.id != **id)) {
        let ids: Vec<&str> = known.iter().map(|subtask| subtask.id).collect();
        let why = format!("there is no subtask '{id}': there are {}", ids.join(", "));
        return Err(Error::Malformed { path, why });
    }
    Ok(Some(Case { name: name.to_owned(), expect }))
}

/// Puts a case's submission together below `into`, and returns its folder.
pub fn assemble(corpus: &Path, case: &Case, into: &Path) -> Result<PathBuf, Error> {
    let name = case.name.rsplit('/').next().unwrap_or(&case.name);
    let root = into.join(format!("{name}_assignment3"));
    fs::create_dir_all(&root).map_err(failed(&root))?;
    match case.expect.base.as_deref() {
        None => {}
        Some("course") => course::unpack(&root).map_err(failed(&root))?,
        Some(base) => {
            lay_over(&corpus.join(base), &root)?;
            if base == "reference-rust" {
                for place in PROGRAMS {
                    let to = root.join(place);
                    let program =
                        siblings::find(to.file_name().and_then(|name| name.to_str()).unwrap_or_default())?;
                    fs::create_dir_all(to.parent().unwrap_or(&root)).map_err(failed(&to))?;
                    fs::copy(program, &to).map_err(failed(&to))?;
                }
            }
        }
    }
    lay_over(&corpus.join(&case.name), &root)?;
    for edit in &case.expect.edit {
        let path = root.join(&edit.file);
        let text = fs::read_to_string(&path).map_err(failed(&path))?;
        match text.matches(&edit.find).count() {
            1 => fs::write(&path, text.replacen(&edit.find, &edit.replace, 1)).map_err(failed(&path))?,
            times => {
                let (file, find) = (edit.file.clone(), edit.find.clone());
                return Err(Error::Edit { case: case.name.clone(), file, find, times });
            }
        }
    }
    Ok(root)
}

/// Copies what is in one folder over what is in another, but for the expectation.
fn lay_over(from: &Path, to: &Path) -> Result<(), Error> {
    fs::create_dir_all(to).map_err(failed(to))?;
    for entry in fs::read_dir(from).map_err(failed(from))? {
        let entry = entry.map_err(failed(from))?;
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().map_err(failed(&from))?;
        if kind.is_dir() {
            lay_over(&from, &to)?;
        } else if entry.file_name() != "expect.toml" {
            let _ = fs::remove_file(&to);
            if kind.is_symlink() {
                let leads_to = fs::read_link(&from).map_err(failed(&from))?;
                std::os::unix::fs::symlink(leads_to, &to).map_err(failed(&to))?;
            } else {
                fs::copy(&from, &to).map_err(failed(&to))?;
            }
        }
    }
    Ok(())
}

/// How a graded case came out beside what is expected of it.
#[derive(Debug, Default)]
pub struct Comparison {
    /// Checks that were judged. Informational ones are compared and not counted.
    pub checks: usize,
    /// Those that must pass.
    pub expected: usize,
    /// Those that passed.
    pub passed: usize,
    /// What is not as expected, a line each.
    pub differences: Vec<String>,
}

/// Compares a report with what is expected.
pub fn compare(expect: &Expect, report: &Report) -> Comparison {
    let (mut checks, mut must_pass, mut passed) = (0, 0, 0);
    let mut lines = vec![];
    for subtask in &report.subtasks {
        let (informational, counted): (Vec<_>, Vec<_>) =
            subtask.checks.iter().partition(|check| is_informational(&check.id));
        if !expect.zero.contains(&subtask.id) {
            lines.extend(informational.into_iter().filter_map(|check| misjudged(expect, check)));
        }
        for check in counted {
            let (fits, expected) = if expect.zero.contains(&subtask.id) {
                (matches!(check.status, Status::Fail | Status::Skip), "no pass and no error")
            } else if expect.fail.contains(&check.id) {
                (check.status == Status::Fail, "fail")
            } else if expect.skip.contains(&check.id) {
                (check.status == Status::Skip, "skip")
            } else {
                must_pass += 1;
                (check.status == Status::Pass, "pass")
            };
            checks += 1;
            passed += usize::from(check.status == Status::Pass);
            if !fits {
                lines.push(format!(
                    "{}: expected {expected}, got {}: {}",
                    check.id, check.status, check.actual
                ));
            }
            let followed = expect.follow_through.contains(&check.id);
            match &check.follow_through {
                None if followed => lines.push(format!("{}: expected follow-through, got none", check.id)),
                Some(own) if !followed => {
                    lines.push(format!("{}: follow-through {}: {}", check.id, own.condition(), own.actual));
                }
                _ => {}
            }
        }
    }
    let judged: Vec<_> =
        report.subtasks.iter().flat_map(|subtask| &subtask.checks).map(|check| &check.id).collect();
    let of_report = |id: &&String| report.subtasks.iter().any(|s| id.starts_with(&format!("{}/", s.id)));
    let named = expect.fail.iter().chain(&expect.skip).chain(&expect.noted).chain(&expect.follow_through);
    for id in named.filter(of_report).filter(|id| !judged.contains(id)) {
        lines.push(format!("{id}: expected, but there is no such check"));
    }
    Comparison { checks, expected: must_pass, passed, differences: lines }
}

/// Whether a check carries no marks by default.
fn is_informational(id: &str) -> bool {
    task::subtasks().iter().flat_map(|s| s.checks).any(|spec| spec.id == id && spec.informational)
}

/// What is not as expected about an informational check: it must fail where it is noted, and only there.
fn misjudged(expect: &Expect, check: &Check) -> Option<String> {
    let (fits, expected) = if expect.noted.contains(&check.id) {
        (check.status == Status::Fail, "fail (noted)")
    } else {
        (matches!(check.status, Status::Pass | Status::Skip), "pass or skip (informational, not noted)")
    };
    (!fits).then(|| format!("{}: expected {expected}, got {}: {}", check.id, check.status, check.actual))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn corpus() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/submissions")
    }

    #[test]
    fn every_case_of_the_corpus_can_be_put_together_and_names_checks_that_exist() {
        let known: Vec<_> = task::subtasks().iter().flat_map(|s| s.checks).map(|spec| spec.id).collect();
        let all = cases(&corpus()).unwrap();
        assert!(all.len() > 40, "{}", all.len());
        for case in all.iter().filter(|case| case.expect.base.as_deref() != Some("reference-rust")) {
            let into = tempfile::tempdir().unwrap();
            assemble(&corpus(), case, into.path()).unwrap_or_else(|error| panic!("{}: {error}", case.name));
            let graded = case.expect.graded();
            let of_graded = |id: &&String| graded.iter().any(|s| id.split('/').next() == Some(s.id));
            for id in case.expect.fail.iter().chain(&case.expect.skip).filter(of_graded) {
                assert!(known.contains(&id.as_str()), "{}: no check {id}", case.name);
                assert!(!is_informational(id), "{}: {id} is informational: name it in `noted`", case.name);
            }
            for id in case.expect.noted.iter().filter(of_graded) {
                assert!(is_informational(id), "{}: {id} is no informational check", case.name);
            }
        }
    }

    /// A check that no mutant fails alone could be dropped, and no test would see it.
    #[test]
    fn every_check_of_tasks_3_and_4_is_the_only_one_that_some_mutant_fails() {
        let mutants = cases(&corpus()).unwrap();
        let is_caught = |id: &str| {
            mutants
                .iter()
                .any(|case| case.name.starts_with("mutants/") && case.expect.fail == [id.to_owned()])
        };
        let conductors = task::subtasks().into_iter().filter(|subtask| subtask.id.starts_with(['3', '4']));
        for spec in conductors.flat_map(|subtask| subtask.checks).filter(|spec| !spec.informational) {
            assert!(is_caught(spec.id), "no mutant fails {} alone", spec.id);
        }
    }

    #[test]
    fn an_informational_check_must_fail_where_it_is_noted_and_only_there() {
        let report = |status| {
            let judge = |id: &str, status| Check {
                id: id.into(),
                title: String::new(),
                status,
                score: 0.0,
                max: 0.0,
                requirement: String::new(),
                expected: String::new(),
                actual: "seen".into(),
                hint: String::new(),
                evidence: vec![],
                follow_through: None,
            };
            let exec = crate::verdict::Subtask {
                id: "3b".into(),
                title: String::new(),
                status: Status::Pass,
                score: 0.0,
                follow_through: 0.0,
                max: 0.0,
                seconds: 0.0,
                checks: vec![judge("3b/concurrent", status)],
            };
            Report {
                schema: String::new(),
                submission: crate::verdict::SubmissionInfo {
                    id: String::new(),
                    source: String::new(),
                    sha256: String::new(),
                },
                environment: crate::verdict::Environment::default(),
                score: 0.0,
                follow_through: 0.0,
                max: 0.0,
                causes: vec![],
                subtasks: vec![exec],
            }
        };
        let noted = Expect { noted: vec!["3b/concurrent".into()], ..Expect::default() };
        let (plain, fits) = (Expect::default(), |expect: &Expect, status| {
            compare(expect, &report(status)).differences.is_empty()
        });
        assert!(fits(&noted, Status::Fail) && !fits(&noted, Status::Pass) && !fits(&noted, Status::Skip));
        assert!(fits(&plain, Status::Pass) && fits(&plain, Status::Skip));
        assert!(!fits(&plain, Status::Fail) && !fits(&plain, Status::Error));
    }

    /// The same for what is only noted.
    #[test]
    fn every_informational_check_of_networks_images_and_task_4_is_shown_by_some_mutant() {
        let mutants = cases(&corpus()).unwrap();
        let is_shown = |id: &str| {
            let of_mutants = mutants.iter().filter(|case| case.name.starts_with("mutants/"));
            of_mutants.into_iter().any(|case| case.expect.noted.iter().any(|noted| noted == id))
        };
        let driven = task::subtasks().into_iter().filter(|of| ["3c", "3e", "3f", "4"].contains(&of.id));
        for spec in driven.flat_map(|subtask| subtask.checks).filter(|spec| spec.informational) {
            assert!(is_shown(spec.id), "no mutant shows {}", spec.id);
        }
    }

    #[test]
    fn a_subtask_that_does_not_exist_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        for group in ["variants", "mutants/one", "hostile"] {
            fs::create_dir_all(folder.path().join(group)).unwrap();
        }
        let expect = "about = \"\"\nsubtasks = [\"2\"]\nfail = []\nskip = []\n";
        fs::write(folder.path().join("mutants/one/expect.toml"), expect).unwrap();
        let error = cases(folder.path()).err().unwrap().to_string();
        assert!(error.contains("there is no subtask '2': there are layout, 1, 2a"), "{error}");
    }

    #[test]
    fn an_edit_that_does_not_fit_is_an_error() {
        let edit = Edit {
            file: "task2/simple_container.sh".into(),
            find: "no such text".into(),
            replace: String::new(),
        };
        let expect = Expect { base: Some("course".into()), edit: vec![edit], ..Expect::default() };
        let case = Case { name: "starter".into(), expect };
        let into = tempfile::tempdir().unwrap();
        assert!(matches!(assemble(&corpus(), &case, into.path()), Err(Error::Edit { times: 0, .. })));
    }
}
