//! What a class of 300 costs: the list, marking it again and handing it back, in
//! seconds and in memory.
//!
//! The reports are real: each submission has stored evidence of a reference or a
//! mutant (`tests/evidence`). To look at the pages, name a folder in
//! `HARNESS_CLASS_FOLDER`; it keeps the class.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod stored;
mod synthetic;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use harness::bundle;
use harness::class::input;
use harness::class::results::{Outcome, Results, Roster, State};
use harness::corpus::{Case, cases};
use harness::evidence::Bundle;
use harness::rubric::Rubric;
use harness::verdict::{Environment, Status, SubmissionInfo, Subtask};
use harness::{judge, report};
use nix::sys::resource::{UsageWho, getrusage};
use serde_json::Value;
use synthetic::{Form, Participant, participant};
use tempfile::TempDir;

const NUMBER: usize = 300;

/// The longest that a command may take. Programs without optimisation are several times slower.
const LONGEST: Duration = Duration::from_secs(if cfg!(debug_assertions) { 300 } else { 60 });

/// The most memory that a command may take, in KiB.
const MOST_MEMORY: i64 = 512 << 10;

/// How submissions are handed in: one in ten has something wrong with it.
const FORMS: [Form; 20] = {
    let mut forms = [Form::TarGz; 20];
    forms[3] = Form::Zip;
    forms[8] = Form::Loose;
    forms[13] = Form::Broken;
    forms[17] = Form::Missing;
    forms
};

/// The cases with stored evidence, and what was recorded of each.
fn evidence() -> Vec<Bundle> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/submissions");
    let has_evidence = |case: &Case| {
        let folder = stored::folder(&case.name);
        folder.is_dir() && !folder.join("recording.json").exists()
    };
    let all = cases(&corpus).unwrap().into_iter().filter(has_evidence);
    let bundles: Vec<_> = all
        .map(|case| {
            let recordings = stored::recordings(&stored::folder(&case.name));
            let mut bundle = Bundle {
                submission: SubmissionInfo {
                    id: String::new(),
                    source: String::new(),
                    sha256: String::new(),
                },
                environment: Environment { seconds: 61.5, ..Environment::default() },
                subtasks: case.expect.subtasks,
                layout: Value::Null,
                recordings: recordings.into_iter().map(|one| (one.scenario.clone(), one)).collect(),
            };
            // Not every scenario of a case is stored: without it, checks would have no verdict.
            let report = judge::judge(&bundle, &Rubric::default());
            let is_final =
                |subtask: &Subtask| !subtask.checks.iter().any(|check| check.status == Status::Error);
            let finals = report.subtasks.iter().filter(|subtask| is_final(subtask));
            bundle.subtasks = finals.map(|subtask| subtask.id.clone()).collect();
            bundle
        })
        .filter(|bundle| !bundle.subtasks.is_empty())
        .collect();
    assert!(bundles.len() > 20, "{}", bundles.len());
    bundles
}

/// Puts into the results folder what `class grade` would: evidence and a report for
/// everybody who can be graded.
fn graded(home: &Path, zip: &Path, class: &[Participant]) {
    let results = Results::at(&home.join("results"));
    let all = input::read(zip).unwrap();
    let handed_in = vec![String::new(); all.entries.len()];
    results.write_roster(Roster::of(&all, &[], &handed_in)).unwrap();
    let evidence = evidence();
    let rubric = Rubric::default();
    for (place, one) in class.iter().enumerate() {
        let id = &one.number.to_string();
        let sha256 = "0".repeat(64);
        let outcome = |state, message: &str| Outcome {
            state,
            sha256: sha256.clone(),
            key: String::new(),
            rubric: rubric.sha256().to_owned(),
            tries: 1,
            seconds: 60.0 + place as f64 / 7.0,
            message: message.to_owned(),
            handed_in: String::new(),
            failed: None,
        };
        if !one.form.is_graded() {
            results.write_outcome(id, &outcome(State::Unreadable, "the archive is damaged")).unwrap();
            continue;
        }
        let mut bundle = evidence[place % evidence.len()].clone();
        bundle.submission =
            SubmissionInfo { id: id.clone(), source: format!("{id}.tar.gz"), sha256: sha256.clone() };
        let folder = results.report(id);
        bundle::start(&folder).unwrap();
        for recording in bundle.recordings.values() {
            bundle::write_recording(&folder, recording).unwrap();
        }
        bundle::write_manifest(&folder, &bundle).unwrap();
        report::write(&folder, &judge::judge(&bundle, &rubric), &bundle).unwrap();
        results.write_outcome(id, &outcome(State::Graded, "")).unwrap();
    }
}

/// Runs the harness, and holds it to the limits.
fn harness(home: &Path, what: &str, words: &[&str]) -> Output {
    let began = Instant::now();
    let output = Command::new(assert_cmd::cargo::cargo_bin!("harness"))
        .args(words)
        .env("HARNESS_CACHE", home.join("cache"))
        .current_dir(home)
        .output()
        .unwrap();
    let took = began.elapsed();
    // The largest of all processes so far.
    let memory = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap().max_rss();
    eprintln!("{what}: {:.1} s, at most {} MiB so far", took.as_secs_f64(), memory >> 10);
    assert!(took < LONGEST, "{what} took {took:?}");
    assert!(memory < MOST_MEMORY, "{what} took {memory} KiB");
    output
}

#[test]
#[ignore = "slow: handles 300 submissions several times"]
fn a_class_of_300_is_handed_back_in_seconds_and_in_little_memory() {
    let temporary = TempDir::new().unwrap();
    let home = std::env::var_os("HARNESS_CLASS_FOLDER").map_or(temporary.path().to_owned(), PathBuf::from);
    let work = home.join("work/task1");
    fs::create_dir_all(&work).unwrap();
    fs::write(work.join("namespace_prog.c"), "int own;\n").unwrap();
    let work = home.join("work");
    let class: Vec<_> =
        (0..NUMBER).map(|place| participant(place, FORMS[place % FORMS.len()], &work)).collect();
    let (zip, _) = synthetic::write(&home, &class);
    fs::write(home.join("late.toml"), synthetic::LATE).unwrap();
    graded(&home, &zip, &class);

    let listed = harness(&home, "list", &["class", "list", "submissions.zip"]);
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert_eq!(listed.lines().count(), NUMBER - NUMBER / FORMS.len());

    let collect = |what: &str, more: &[&str]| {
        let mut words = vec!["class", "collect", "results", "--worksheet", "worksheet.csv", "--scale"];
        words.extend(more);
        let output = harness(&home, what, &words);
        // Some have no mark.
        assert_eq!(output.status.code(), Some(1), "{what}: {}", String::from_utf8_lossy(&output.stderr));
    };
    collect("collect with all evidence", &[]);
    let detail = &["--detail", "seen", "--into", "seen"];
    collect("collect with what was seen", detail);
    collect("mark again and collect", &["--rubric", "late.toml", "--into", "again"]);

    let page = fs::read_to_string(home.join("results/collected/class.html")).unwrap();
    for one in class.iter().filter(|one| one.form.is_graded()) {
        assert!(page.contains(&format!("reports/{}/index.html", one.number)), "{}", one.number);
    }
    assert!(page.len() < 1 << 20, "{}", page.len());
    let table = fs::read_to_string(home.join("again/class.csv")).unwrap();
    assert_eq!(table.lines().count(), 1 + NUMBER);
    let late = fs::read_to_string(home.join("again/reports/1004/index.html")).unwrap();
    assert!(late.contains("1 d 23 h late"), "lateness is on the page as in the table");
}
