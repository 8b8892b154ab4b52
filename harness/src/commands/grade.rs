//! `harness grade`: runs a submission in virtual machines, judges it and writes the report.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use harness::bundle;
use harness::class::parent;
use harness::evidence::{Ending, Recording};
use harness::grade::{self, Machine, Request};
use harness::progress::{Event, Progress};
use harness::reports::unfinished::{self, Asked};
use harness::reports::{self, Place};
use harness::rubric::Rubric;
use harness::selection::select;
use harness::submission::{self, Limits, Submission};
use harness::task::handed_in;
use harness::workdir::Workdir;
use harness::{judge, say};

use super::stop::{self, Stop};
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
    let asked = Asked {
        harness: harness::VERSION.to_owned(),
        sha256: submission.info.sha256.clone(),
        subtasks: subtasks.iter().map(|subtask| subtask.id.to_owned()).collect(),
        image: arguments.drive.machine.image.to_string(),
        accelerator: if arguments.here {
            "here".to_owned()
        } else {
            arguments.drive.machine.accel.to_string()
        },
        offline: arguments.drive.offline,
        pcap: arguments.drive.pcap,
        seed: arguments.drive.seed.unwrap_or_else(rand::random),
    };
    let Began { place, asked, kept } = begin(arguments, &submission, asked)?;

    let mut progress = Progress::new(arguments.talk.quiet);
    progress.show(Event::Note(format!("{}: {}", submission.info.id, submission.layout)));
    let mismatch = submission::id::mismatch(&arguments.submission, submission.layout.folder.as_deref());
    if let Some(mismatch) = mismatch {
        progress.show(Event::Note(format!("{}: {mismatch}", submission.info.id)));
    }
    if !kept.is_empty() {
        let names: Vec<&str> = kept.keys().map(String::as_str).collect();
        let there = place.directory().display();
        progress.show(Event::Note(format!("continuing in {there}; already recorded: {}", names.join(", "))));
    }
    let directory = place.directory().to_owned();
    let place = Arc::new(Mutex::new(Some(place)));
    stop::watch(Stop {
        place: Arc::clone(&place),
        rubric: rubric.clone(),
        detail: arguments.detail,
        scenarios: handed_in::scenarios(&subtasks, &submission.layout),
    });
    let request = Request {
        subtasks: &subtasks,
        machine: place_of(arguments),
        cache: &cache,
        workdir: workdir.path(),
        report: &directory,
        jobs: arguments.jobs.map_or_else(default_jobs, usize::from),
        seed: asked.seed,
        offline: arguments.drive.offline,
        pcap: arguments.drive.pcap,
        kept,
        asked: Some(asked),
    };
    let graded = grade::grade(submission, &request, &mut |event| progress.show(event));
    drop(progress);
    // Only one of two threads gets the folder and writes the report: this one, or the one
    // that handles Ctrl-C.
    let Some(place) = place.lock().unwrap_or_else(PoisonError::into_inner).take() else {
        return Err(Failure::infrastructure("stopped by you"));
    };
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
    unfinished::clear(place.directory());
    super::print_report(&report, arguments.talk.verbose);
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

/// Where a run begins, and with what.
struct Began {
    place: Place,
    asked: Asked,
    kept: BTreeMap<String, Recording>,
}

/// Chooses the report's folder: with `--resume`, one whose run was not finished.
fn begin(arguments: &Grade, submission: &Submission, asked: Asked) -> Result<Began, Failure> {
    let report = arguments.report.as_deref();
    if arguments.resume {
        let fits = |other: &Asked| asked.fits(other, arguments.drive.seed.is_some());
        if let Some((place, asked)) = Place::resume(report, &submission.info, fits).map_err(Failure::place)? {
            // Of a bundle that cannot be read nothing is kept.
            let recordings =
                bundle::read(place.directory()).map(|bundle| bundle.recordings).unwrap_or_default();
            let is_whole = |recording: &Recording| !matches!(recording.ending, Ending::Infrastructure { .. });
            let kept = recordings.into_iter().filter(|(_, recording)| is_whole(recording)).collect();
            return Ok(Began { place, asked, kept });
        }
        harness::note!(
            "harness: there is no unfinished run of this submission with these options, so this run starts from the beginning"
        );
    }
    let place = Place::claim(report, &submission.info, arguments.force).map_err(Failure::place)?;
    Ok(Began { place, asked, kept: BTreeMap::new() })
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
