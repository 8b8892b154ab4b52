//! `harness corpus`: grades submissions whose verdict is known, and says where the verdict is another. For who
//! works on the harness; not in its help.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use harness::corpus::{self, Case};
use harness::grade::{self, Request};
use harness::rubric::Rubric;
use harness::submission::{self, Limits};
use harness::workdir::Workdir;
use harness::{judge, report};

use super::vm::machine;
use super::{Failure, Status};
use crate::cli::Corpus;

/// Grades the cases, each in machines of its own, and prints a line for each.
pub fn run(arguments: &Corpus) -> Result<Status, Failure> {
    let cache = vm::Cache::from_env().map_err(Failure::infrastructure)?;
    let workdir = Workdir::new(cache.root()).map_err(Failure::infrastructure)?;
    let mut cases = corpus::cases(&arguments.folder).map_err(Failure::unreadable)?;
    let wanted = |case: &Case| {
        arguments.cases.is_empty()
            || arguments.cases.iter().any(|prefix| case.name.starts_with(prefix.as_str()))
    };
    cases.retain(wanted);
    if cases.is_empty() {
        return Err(Failure::unreadable("no such case in the corpus"));
    }
    vm::prepare(&cache, &machine(&arguments.machine), &mut |_| {}).map_err(Failure::infrastructure)?;

    let next = AtomicUsize::new(0);
    let wrong = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..arguments.jobs {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let began = Instant::now();
                    let place = workdir.path().join(case.name.replace('/', "-"));
                    let differences = grade_case(arguments, &cache, case, &place);
                    let seconds = began.elapsed().as_secs_f64();
                    let verdict = if differences.is_empty() { "as expected" } else { "DIFFERENT" };
                    anstream::println!("{verdict:<11}  {:<52} {seconds:>6.1} s", case.name);
                    for line in &differences {
                        anstream::println!("             {line}");
                    }
                    if !differences.is_empty() {
                        wrong.fetch_add(1, Ordering::Relaxed);
                    }
                    // What a case unpacked is of no use to the next one; failing to remove it harms nobody.
                    let _ = std::fs::remove_dir_all(&place);
                }
            });
        }
    });
    let wrong = wrong.into_inner();
    anstream::println!("{} of {} as expected", cases.len() - wrong, cases.len());
    Ok(if wrong == 0 { Status::Good } else { Status::Lacking })
}

/// What came out otherwise than expected; a failure of ours is one line of it.
fn grade_case(arguments: &Corpus, cache: &vm::Cache, case: &Case, place: &Path) -> Vec<String> {
    let attempt = || -> Result<Vec<String>, String> {
        let subtasks = case.expect.graded();
        let root = corpus::assemble(&arguments.folder, case, &place.join("made"))
            .map_err(|error| error.to_string())?;
        let into = place.join("submission");
        std::fs::create_dir_all(&into).map_err(|error| error.to_string())?;
        let submission =
            submission::open(&root, &into, &Limits::default(), None).map_err(|error| error.to_string())?;
        let directory = match &arguments.report {
            Some(directory) => directory.join(&case.name),
            None => place.join("report"),
        };
        let request = Request {
            subtasks: &subtasks,
            machine: machine(&arguments.machine),
            cache,
            workdir: place,
            report: &directory,
            jobs: 1,
            seed: rand::random(),
            offline: false,
            pcap: false,
        };
        let bundle = grade::grade(&submission, &request, &mut |_| {}).map_err(|error| error.to_string())?;
        let report = judge::judge(&bundle, &Rubric::default());
        report::write(&directory, &report).map_err(|error| error.to_string())?;
        Ok(corpus::differences(&case.expect, &report))
    };
    attempt().unwrap_or_else(|error| vec![error])
}
