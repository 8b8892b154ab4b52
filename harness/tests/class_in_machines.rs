//! A class graded in virtual machines on tasks 1 and 2, by two processes that are killed again and
//! again: every mark is as the corpus expects, nothing is graded twice and nothing is lost.
#![allow(clippy::unwrap_used)]

mod synthetic;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use harness::corpus::{Case, assemble, cases, compare};
use synthetic::{Form, Participant, participant};
use tempfile::TempDir;

/// How many are in the class; `HARNESS_CLASS_SIZE` asks for another number.
const NUMBER: usize = 16;

/// How many times both processes are killed.
const KILLS: usize = 10;

/// The reference and mutants of tasks 1 and 2 that need no second machine of their own.
fn works(corpus: &Path) -> Vec<Case> {
    let is_wanted = |case: &Case| {
        let name = case.name.as_str();
        name == "reference-bash" || name.starts_with("mutants/task1") || name.starts_with("mutants/task2")
    };
    cases(corpus).unwrap().into_iter().filter(is_wanted).collect()
}

fn start(home: &Path, part: &str) -> Child {
    Command::new(assert_cmd::cargo::cargo_bin!("harness"))
        .args([
            "class",
            "grade",
            "submissions.zip",
            "--into",
            "results",
            "--only",
            "1,2",
            "--jobs",
            "1",
            "--take",
            part,
        ])
        .current_dir(home)
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// When each report was written: one that is written twice was graded twice.
fn written(results: &Path) -> BTreeMap<PathBuf, std::time::SystemTime> {
    let Ok(runs) = fs::read_dir(results.join("runs")) else { return BTreeMap::new() };
    let outcome = |entry: std::io::Result<fs::DirEntry>| {
        let path = entry.unwrap().path().join("outcome.json");
        Some((path.clone(), fs::metadata(path).ok()?.modified().ok()?))
    };
    runs.filter_map(outcome).collect()
}

#[test]
#[ignore = "slow: needs a machine that is already built, and a quarter of a minute for each submission"]
fn a_class_is_graded_once_and_as_expected_however_often_it_is_killed() {
    let number =
        std::env::var("HARNESS_CLASS_SIZE").ok().and_then(|text| text.parse().ok()).unwrap_or(NUMBER);
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/submissions");
    let (home, works) = (TempDir::new().unwrap(), works(&corpus));
    let forms =
        [Form::TarGz, Form::TarGz, Form::TarGz, Form::Broken, Form::TarGz, Form::Double, Form::Missing];
    let mut class: Vec<(Participant, &Case)> = vec![];
    for place in 0..number {
        let case = &works[place % works.len()];
        let work = assemble(&corpus, case, &home.path().join("work").join(place.to_string())).unwrap();
        class.push((participant(place, forms[place % forms.len()], &work), case));
    }
    let participants: Vec<_> = class.iter().map(|(one, _)| one.clone()).collect();
    synthetic::write(home.path(), &participants);
    let results = home.path().join("results");

    let mut before: BTreeMap<PathBuf, std::time::SystemTime> = BTreeMap::new();
    for round in 0..KILLS {
        let mut children = ["1/2", "2/2"].map(|part| start(home.path(), part));
        // Moments that repeat in no rhythm of a grade.
        std::thread::sleep(Duration::from_millis(1500 + 2311 * (round as u64 * 7 % 10)));
        for child in &mut children {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        let now = written(&results);
        let graded_twice: Vec<_> = before
            .iter()
            .filter(|(path, at)| is_graded(path) && now.get(*path) != Some(at))
            .map(|(path, _)| path)
            .collect();
        assert!(graded_twice.is_empty(), "{graded_twice:?}");
        before = now;
    }
    for mut child in ["1/2", "2/2"].map(|part| start(home.path(), part)) {
        child.wait().unwrap();
    }

    for (one, case) in &class {
        let path = results.join(format!("reports/{}/report.json", one.number));
        assert_eq!(path.is_file(), one.form.is_graded(), "{}: {:?}", one.number, one.form);
        if one.form.is_graded() {
            let report = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
            let differences = compare(&case.expect, &report).differences;
            assert!(differences.is_empty(), "{} ({}): {differences:?}", one.number, case.name);
        }
    }
}

fn is_graded(outcome: &Path) -> bool {
    fs::read_to_string(outcome).is_ok_and(|text| text.contains("\"state\": \"graded\""))
}
