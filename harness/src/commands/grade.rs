//! `harness grade`: runs a submission in virtual machines, judges it and writes the report.

use harness::class::parent;
use harness::grade::{self, Machine, Request};
use harness::progress::{Event, Progress};
use harness::reports::{self, Place};
use harness::rubric::Rubric;
use harness::selection::select;
use harness::submission::{self, Limits};
use harness::workdir::Workdir;
use harness::{judge, report, say};

use super::vm::machine;
use super::{Failure, Status, here, printed_from};
use crate::cli::Grade;

/// Grades a submission, writes its report and prints the marks.
pub fn run(arguments: &Grade) -> Result<Status, Failure> {
    if let Some(parent) = arguments.with_parent {
        parent::end_with(parent).map_err(Failure::infrastructure)?;
    }
    if arguments.here {
        here::agree(arguments.yes)?;
    }
    let rubric = Rubric::load(arguments.drive.rubric.as_deref()).map_err(Failure::unreadable)?;
    let subtasks = select(arguments.drive.only.as_deref()).map_err(Failure::unreadable)?;
    let cache = harness::machine::cache().map_err(Failure::infrastructure)?;
    let workdir = Workdir::new(cache.root()).map_err(Failure::infrastructure)?;
    let into = workdir.folder("submission").map_err(Failure::infrastructure)?;
    let id = arguments.id.as_deref().map(given).transpose()?;
    let mut submission = submission::open(
        &arguments.submission,
        &into,
        &Limits::default(),
        arguments.drive.starter.as_deref(),
    )
    .map_err(Failure::submission)?;
    if let Some(id) = id {
        submission.info.id = id;
    }
    let place = Place::claim(arguments.report.as_deref(), &submission.info, arguments.force)
        .map_err(Failure::place)?;

    let mut progress = Progress::new(arguments.talk.quiet);
    progress.show(Event::Note(format!("{}: {}", submission.info.id, submission.layout)));
    let mismatch = submission::id::mismatch(&arguments.submission, submission.layout.folder.as_deref());
    if let Some(mismatch) = mismatch {
        progress.show(Event::Note(format!("{}: {mismatch}", submission.info.id)));
    }
    let request = Request {
        subtasks: &subtasks,
        machine: place_of(arguments),
        cache: &cache,
        workdir: workdir.path(),
        report: place.directory(),
        jobs: arguments.jobs.map_or_else(default_jobs, usize::from),
        seed: arguments.drive.seed.unwrap_or_else(rand::random),
        offline: arguments.drive.offline,
        pcap: arguments.drive.pcap,
    };
    let graded = grade::grade(submission, &request, &mut |event| progress.show(event));
    drop(progress);
    let bundle = match graded {
        Ok(bundle) => bundle,
        Err(error) => {
            place.abandon();
            return Err(Failure::infrastructure(error));
        }
    };

    let judged = judge::judge(&bundle, &rubric);
    let outcome = judge::outcome(&judged);
    let report = arguments.detail.of(judged);
    reports::write(&place, &report, &bundle).map_err(Failure::place)?;
    say::styled(&report::terminal::render(&report, arguments.talk.verbose));
    let written = place.directory().join("index.html");
    say!("  {}", written.display());
    printed_from(&written)?;
    Ok(outcome.into())
}

/// Where the scenarios are driven.
fn place_of(arguments: &Grade) -> Machine {
    if arguments.here {
        Machine::Here(harness::here::slowdown())
    } else {
        Machine::Virtual(machine(&arguments.drive.machine))
    }
}

/// Validates the id given by `--id`.
fn given(id: &str) -> Result<String, Failure> {
    let wrong = || {
        Failure::unreadable(format!(
            "--id {id:?} is not a valid id: use at most 64 letters, digits, '-', '_' and '.', \
             no '.' at its start, and not the word latest"
        ))
    };
    submission::id::given(id).ok_or_else(wrong)
}

/// One machine for every two processors of the host: each machine uses two, and more would compete.
pub fn default_jobs() -> usize {
    std::thread::available_parallelism().map_or(1, |cpus| (cpus.get() / 2).max(1))
}
