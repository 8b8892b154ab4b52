//! The corpus itself, and comparisons with made-up reports.

use std::fs;
use std::path::{Path, PathBuf};

use super::compare::is_informational;
use super::{Case, Edit, Error, Expect, assemble, cases, compare};
use crate::task;
use crate::verdict::{Check, Report, Status};

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
            if id.ends_with("/*") {
                continue;
            }
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
        mutants.iter().any(|case| case.name.starts_with("mutants/") && case.expect.fail == [id.to_owned()])
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
            see: vec![],
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
            ..Report::default()
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

#[test]
fn a_star_means_all_checks_of_a_subtask_that_are_not_named() {
    let expect =
        Expect { fail: vec!["3c/veth-pair".to_owned()], skip: vec!["3c/*".to_owned()], ..Expect::default() };
    let statuses = ["3c/veth-pair", "3c/peer", "3b/root"].map(|id| super::compare::expected(&expect, id));
    assert_eq!(statuses, [Status::Fail, Status::Skip, Status::Pass]);
}
