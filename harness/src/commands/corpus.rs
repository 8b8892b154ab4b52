//! `harness corpus`: grades the test submissions and compares each verdict with the expected one.
//!
//! The command is for maintainers of the harness, so `harness --help` does not list it.

use std::iter;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use std::collections::BTreeMap;

use harness::corpus::{self, Case, Comparison};
use harness::grade::{self, Machine, Request};
use harness::rubric::Rubric;
use harness::submission::{self, Limits};
use harness::workdir::Workdir;
use harness::{judge, report};

use super::vm::machine;
use super::{Failure, Status};
use crate::cli::Corpus;

/// Grades each case in its own machines and prints one line per case.
pub fn run(arguments: &Corpus) -> Result<Status, Failure> {
    let cache = harness::machine::cache().map_err(Failure::infrastructure)?;
    let workdir = Workdir::new(cache.root()).map_err(Failure::infrastructure)?;
    let mut cases = corpus::cases(&arguments.folder).map_err(Failure::unreadable)?;
    let after_each = named(&cases, &arguments.then)?;
    let wanted = |case: &Case| {
        arguments.cases.is_empty()
            || arguments.cases.iter().any(|prefix| case.name.starts_with(prefix.as_str()))
    };
    cases.retain(wanted);
    let mut positions = 0..;
    cases.retain(|_| positions.next().is_some_and(|position| arguments.take.has(position)));
    if cases.is_empty() {
        let folder = arguments.folder.display();
        let prefixes = arguments.cases.join(" or ");
        return Err(Failure::unreadable(format!(
            "no case in {folder} has a name that begins with {prefixes}, or this part of them is empty"
        )));
    }
    vm::prepare(&cache, &machine(&arguments.machine), &mut |_| {}).map_err(Failure::infrastructure)?;

    let repeated = cases.iter().cycle().take(cases.len() * usize::from(arguments.repeat));
    let turns: Vec<&Case> = repeated.flat_map(|case| iter::once(case).chain(&after_each)).collect();
    let next = AtomicUsize::new(0);
    let wrong = AtomicUsize::new(0);
    harness::say!("{:<11}  {:<52} {:>8} {:>8} {:>9}", "", "case", "expected", "got", "seconds");
    thread::scope(|scope| {
        for _ in 0..arguments.jobs {
            scope.spawn(|| {
                loop {
                    let turn = next.fetch_add(1, Ordering::Relaxed);
                    let Some(case) = turns.get(turn) else { break };
                    let place = workdir.path().join(format!("{turn}-{}", case.name.replace('/', "-")));
                    if !grade_and_tell(arguments, &cache, case, &place) {
                        wrong.fetch_add(1, Ordering::Relaxed);
                    }
                    // If this fails, the folder is removed with the workdir at the end.
                    let _ = std::fs::remove_dir_all(&place);
                }
            });
        }
    });
    let wrong = wrong.into_inner();
    harness::say!("{} of {} as expected", turns.len() - wrong, turns.len());
    Ok(if wrong == 0 { Status::Good } else { Status::Lacking })
}

/// The cases with exactly these names.
fn named(cases: &[Case], names: &[String]) -> Result<Vec<Case>, Failure> {
    let find = |name: &String| {
        let found = cases.iter().find(|case| case.name == *name).cloned();
        found.ok_or_else(|| Failure::unreadable(format!("there is no case {name}")))
    };
    names.iter().map(find).collect()
}

/// Grades one case and prints its line of the table. Returns whether the verdict was the expected
/// one.
fn grade_and_tell(arguments: &Corpus, cache: &vm::Cache, case: &Case, place: &Path) -> bool {
    let began = Instant::now();
    let compared = grade_case(arguments, cache, case, place);
    let seconds = began.elapsed().as_secs_f64();
    let as_expected = compared.differences.is_empty();
    let verdict = if as_expected { "as expected" } else { "DIFFERENT" };
    let Comparison { checks, expected, passed, .. } = compared;
    let of_all = |count: usize| format!("{count}/{checks}");
    let (expected, passed) = (of_all(expected), of_all(passed));
    harness::say!("{verdict:<11}  {:<52} {expected:>8} {passed:>8} {seconds:>9.1}", case.name);
    for line in &compared.differences {
        harness::say!("             {line}");
    }
    as_expected
}

/// Grades one case. An infrastructure failure counts as one difference.
fn grade_case(arguments: &Corpus, cache: &vm::Cache, case: &Case, place: &Path) -> Comparison {
    let attempt = || -> Result<Comparison, String> {
        let subtasks = case.expect.graded();
        let root = corpus::assemble(&arguments.folder, case, &place.join("made"))
            .map_err(|error| vm::chain(&error))?;
        let into = place.join("submission");
        std::fs::create_dir_all(&into).map_err(|error| vm::chain(&error))?;
        let submission =
            submission::open(&root, &into, &Limits::default(), None).map_err(|error| vm::chain(&error))?;
        let directory = match &arguments.report {
            Some(directory) => directory.join(&case.name),
            None => place.join("report"),
        };
        let request = Request {
            subtasks: &subtasks,
            machine: Machine::Virtual(machine(&arguments.machine)),
            cache,
            workdir: place,
            report: &directory,
            jobs: 1,
            seed: rand::random(),
            offline: false,
            pcap: false,
            kept: BTreeMap::new(),
            asked: None,
        };
        let bundle = grade::grade(submission, &request, &mut |_| {}).map_err(|error| vm::chain(&error))?;
        let report = judge::judge(&bundle, &Rubric::default());
        report::write(&directory, &report, &bundle).map_err(|error| vm::chain(&error))?;
        Ok(corpus::compare(&case.expect, &report))
    };
    attempt().unwrap_or_else(|error| Comparison { differences: vec![error], ..Comparison::default() })
}
