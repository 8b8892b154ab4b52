//! The corpus on this machine's own kernel: real tools in, verdicts out. Each scenario is driven in
//! namespaces of its own (`harness grade --here`). Ignored by default: they build images and run
//! containers, which takes seconds.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod stored;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use harness::bundle;
use harness::corpus::{self, Case};
use harness::evidence::Bundle;
use harness::grade::{self, Machine, Request};
use harness::judge;
use harness::rubric::Rubric;
use harness::submission::{self, Limits};
use harness::task::{self, Subtask};
use harness::workdir::Workdir;

/// The cases, by how their names begin: `mutants/task3a-no-proc`, `mutants/task3`.
const CASE: &str = "HARNESS_TEST_CASE";
/// Reports of `harness corpus --report`.
const REPORTS: &str = "HARNESS_TEST_REPORTS";
/// Evidence that is recorded again has the same names and contents as before.
const SEED: u64 = 1;
/// This machine may have more to do than this.
const SLOWDOWN: f64 = 3.0;

fn corpus_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/submissions")
}

/// Drives the scenarios of these subtasks, and what follows through.
fn drive(case: &Case, subtasks: &[&'static Subtask]) -> Bundle {
    let cache = harness::machine::cache().unwrap();
    let workdir = Workdir::new(cache.root()).unwrap();
    let made = corpus::assemble(&corpus_folder(), case, &workdir.folder("made").unwrap()).unwrap();
    let into = workdir.folder("submission").unwrap();
    let submission = submission::open(&made, &into, &Limits::default(), None).unwrap();
    let request = Request {
        subtasks,
        machine: Machine::Here(SLOWDOWN),
        cache: &cache,
        workdir: workdir.path(),
        report: &workdir.path().join("report"),
        jobs: 1,
        seed: SEED,
        offline: false,
        pcap: false,
        kept: std::collections::BTreeMap::new(),
        asked: None,
    };
    grade::grade(submission, &request, &mut |_| {}).unwrap()
}

/// Drives and judges a case; says what came out otherwise than expected.
fn differences(case: &Case) -> Vec<String> {
    let report = judge::judge(&drive(case, &case.expect.graded()), &Rubric::default());
    for check in report.subtasks.iter().flat_map(|subtask| &subtask.checks) {
        println!("{} {}: {}", check.id, check.status, check.actual);
        if let Some(own) = &check.follow_through {
            println!("    +{} {}: {}", own.score, own.condition(), own.actual);
        }
    }
    // Where the machine has no cpu controller, 2c shows nothing.
    let has_cpu = |line: &String| {
        let check = line.split(':').next().unwrap_or_default();
        let checks = report.subtasks.iter().flat_map(|subtask| &subtask.checks);
        !checks.filter(|one| one.id == check).any(|one| one.actual.contains("no cpu controller"))
    };
    corpus::compare(&case.expect, &report).differences.into_iter().filter(has_cpu).collect()
}

fn can_run() -> bool {
    let can = nix::unistd::geteuid().is_root();
    if !can {
        eprintln!("skipped: needs root for namespaces");
    }
    can
}

/// Without `HARNESS_TEST_CASE` the whole corpus has its turn, a line for each case: its seconds,
/// and what came out otherwise than expected.
#[test]
#[ignore = "slow: half a minute and more for each case"]
fn the_corpus_comes_out_as_expected_on_this_machine() {
    if !can_run() {
        return;
    }
    let wanted = std::env::var(CASE).unwrap_or_default();
    let cases = corpus::cases(&corpus_folder()).unwrap();
    // What means to do harm has no place on this machine.
    let cases =
        cases.iter().filter(|case| case.name.starts_with(&wanted) && !case.name.starts_with("hostile/"));
    let mut table = String::new();
    let mut wrong = 0;
    for case in cases {
        let began = Instant::now();
        let differences = differences(case);
        let verdict = if differences.is_empty() { "as expected" } else { "DIFFERENT" };
        let seconds = began.elapsed().as_secs_f64();
        let _ = writeln!(table, "{verdict:<11}  {:<52} {seconds:>6.1} s", case.name);
        for line in &differences {
            let _ = writeln!(table, "             {line}");
        }
        wrong += usize::from(!differences.is_empty());
    }
    println!("{table}");
    assert_eq!(wrong, 0, "\n{table}");
}

/// Records evidence for `judges.rs`. `HARNESS_TEST_CASE` names the cases, divided by commas, each
/// as `mutants/task3a-no-proc=3-run`; several scenarios are divided by `+`. With
/// `HARNESS_TEST_REPORTS`, the evidence comes from the reports of `harness corpus --report`: this
/// machine may have no cpu controller for task 2.
#[test]
#[ignore = "slow: writes tests/evidence, half a minute and more for each scenario"]
fn evidence_is_recorded_for_the_judges() {
    let wanted = std::env::var(CASE).unwrap_or_default();
    if !can_run() || !wanted.contains('=') {
        return;
    }
    let cases = corpus::cases(&corpus_folder()).unwrap();
    for (name, scenarios) in wanted.split(',').filter_map(|one| one.split_once('=')) {
        let case = cases.iter().find(|case| case.name == name).unwrap();
        let scenarios: Vec<&str> = scenarios.split('+').collect();
        let is_read = |subtask: &&'static Subtask| subtask.scenarios.iter().any(|id| scenarios.contains(id));
        let subtasks: Vec<_> = task::subtasks().into_iter().filter(is_read).collect();
        let bundle = match std::env::var_os(REPORTS) {
            Some(reports) => bundle::read(&Path::new(&reports).join(name)).unwrap(),
            None => drive(case, &subtasks),
        };
        for recording in scenarios.iter().filter_map(|id| bundle.recordings.get(*id)) {
            println!("{name} {}: {:.0} s", recording.scenario, recording.seconds);
            stored::store(name, recording);
        }
    }
}
