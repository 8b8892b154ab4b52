//! `harness grade`: a submission in, marks with reasons out.

use std::path::PathBuf;

use harness::grade::{self, Request};
use harness::progress::{Event, Progress};
use harness::rubric::Rubric;
use harness::selection::select;
use harness::submission::{self, Limits};
use harness::workdir::Workdir;
use harness::{judge, report};

use super::vm::machine;
use super::{Failure, Status};
use crate::cli::Grade;

/// Grades, judges, writes the reports and prints the marks.
pub fn run(arguments: &Grade) -> Result<Status, Failure> {
    let rubric = Rubric::load(arguments.rubric.as_deref()).map_err(Failure::unreadable)?;
    let subtasks = select(arguments.only.as_deref()).map_err(Failure::unreadable)?;
    let cache = vm::Cache::from_env().map_err(Failure::infrastructure)?;
    let workdir = Workdir::new(cache.root()).map_err(Failure::infrastructure)?;
    let into = workdir.folder("submission").map_err(Failure::infrastructure)?;
    let submission =
        submission::open(&arguments.submission, &into, &Limits::default(), arguments.starter.as_deref())
            .map_err(Failure::submission)?;
    let directory =
        arguments.report.clone().unwrap_or_else(|| PathBuf::from("reports").join(&submission.info.id));

    let mut progress = Progress::new(arguments.talk.quiet);
    progress.show(Event::Note(format!("{}: {}", submission.info.id, submission.layout)));
    let request = Request {
        subtasks: &subtasks,
        machine: machine(&arguments.machine),
        cache: &cache,
        workdir: workdir.path(),
        report: &directory,
        jobs: arguments.jobs.map_or_else(default_jobs, usize::from),
        seed: arguments.seed.unwrap_or_else(rand::random),
        offline: arguments.offline,
        pcap: arguments.pcap,
    };
    let bundle = grade::grade(&submission, &request, &mut |event| progress.show(event))
        .map_err(Failure::infrastructure)?;
    drop(progress);

    let report = judge::judge(&bundle, &rubric);
    report::write(&directory, &report).map_err(Failure::infrastructure)?;
    anstream::print!("{}", report::terminal::render(&report, arguments.talk.verbose));
    anstream::println!("  {}", directory.join("report.json").display());
    Ok(judge::outcome(&report).into())
}

/// A machine has two processors: more at a time than the host has would only slow each other down.
fn default_jobs() -> usize {
    std::thread::available_parallelism().map_or(1, |cpus| (cpus.get() / 2).max(1))
}
