//! Grading a class: each submission in a process of its own, so that none can take another's grade
//! along. One that our side failed is tried once more and then listed; the rest goes on.
//!
//! A submission that has a report of the same digest, machine, harness and options is skipped, so a
//! run that was killed goes on where it was.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use super::entry::{Class, Entry};
use super::fetch::{self, fetch, look};
use super::results::{self, Outcome, Results, State};
use super::take::Take;
use crate::reports::{self, Claim};
use crate::rubric::Rubric;
use crate::verdict::{Report, Status};
use crate::{bundle, judge, report};

/// How long to wait for the grade of a killed `class grade` to end.
const PATIENCE: Duration = Duration::from_secs(20);

/// How often a submission is tried where our side fails.
const TRIES: u8 = 2;

/// What is to be graded, and how.
#[derive(Debug)]
pub struct Request<'a> {
    /// The class.
    pub class: &'a Class,
    /// Where the results go.
    pub results: &'a Results,
    /// Which part of the class.
    pub take: Take,
    /// Submissions at a time.
    pub jobs: usize,
    /// The program that grades one.
    pub program: &'a Path,
    /// Options that it gets.
    pub options: &'a [OsString],
    /// Everything that a report depends on besides the submission, as text.
    pub key: &'a str,
    /// Marks.
    pub rubric: &'a Rubric,
    /// For what only this run needs.
    pub scratch: &'a Path,
}

/// What happened.
#[derive(Debug)]
pub enum Event {
    /// So many submissions are to be looked at.
    Total(usize),
    /// A submission's grade began; another try where `again` is set.
    Began {
        /// The file or folder in question.
        id: String,
        /// Whether our side failed before.
        again: bool,
    },
    /// It ended.
    Ended {
        /// The file or folder in question.
        id: String,
        /// How.
        ending: Ending,
    },
}

/// How it went with one submission.
#[derive(Clone, Debug, PartialEq)]
pub enum Ending {
    /// It was graded now.
    Graded {
        /// Points given.
        score: f64,
        /// Points there were.
        max: f64,
        /// How long it took.
        seconds: f64,
    },
    /// It had its report already.
    AsBefore,
    /// Its evidence was marked with another rubric.
    MarkedAgain,
    /// Another process grades it.
    Elsewhere(String),
    /// It cannot be graded as it is.
    Unreadable(String),
    /// Our side failed.
    Failed(String),
}

/// Grades the part of the class that was asked for.
///
/// # Errors
/// When the results folder cannot be written at all.
pub fn grade(request: &Request, on: &mut dyn FnMut(Event)) -> Result<Vec<(String, Ending)>, results::Error> {
    request.results.write_roster(request.class)?;
    let entries: Vec<&Entry> = request
        .class
        .entries
        .iter()
        .enumerate()
        .filter(|(place, _)| request.take.has(*place))
        .map(|(_, entry)| entry)
        .collect();
    on(Event::Total(entries.len()));
    let next = AtomicUsize::new(0);
    let (tell, news) = mpsc::channel();
    let mut endings = vec![];
    thread::scope(|scope| {
        for worker in 0..request.jobs.clamp(1, entries.len().max(1)) {
            let (tell, next, entries) = (tell.clone(), &next, &entries);
            scope.spawn(move || {
                let scratch = request.scratch.join(worker.to_string());
                while let Some(entry) = entries.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let began = |again| {
                        let _ = tell.send(Event::Began { id: entry.id.clone(), again });
                    };
                    let ending = grade_one(request, entry, &scratch, &began);
                    let _ = tell.send(Event::Ended { id: entry.id.clone(), ending });
                }
            });
        }
        drop(tell);
        for event in news {
            if let Event::Ended { id, ending } = &event {
                endings.push((id.clone(), ending.clone()));
            }
            on(event);
        }
    });
    endings.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(endings)
}

fn grade_one(request: &Request, entry: &Entry, scratch: &Path, began: &dyn Fn(bool)) -> Ending {
    if !entry.problems.is_empty() {
        return Ending::Unreadable(entry.problems.join("; "));
    }
    let run = request.results.run(&entry.id);
    let claim = fs::create_dir_all(&run)
        .map_err(|error| Ending::Failed(format!("cannot create {}: {error}", run.display())))
        .and_then(|()| {
            Claim::new(&run).map_err(|error| {
                if error.is_taken() {
                    Ending::Elsewhere(vm::chain(&error))
                } else {
                    Ending::Failed(vm::chain(&error))
                }
            })
        });
    let _claim = match claim {
        Ok(claim) => claim,
        Err(ending) => return ending,
    };
    match claimed(request, entry, scratch, began) {
        Ok(ending) => ending,
        Err(error) => Ending::Failed(vm::chain(&error)),
    }
}

/// Grades a submission that no other process grades now.
fn claimed(
    request: &Request,
    entry: &Entry,
    scratch: &Path,
    began: &dyn Fn(bool),
) -> Result<Ending, results::Error> {
    let results = request.results;
    let looked = fs::create_dir_all(scratch)
        .map_err(|error| fetch::Error::Ours(format!("cannot create {}: {error}", scratch.display())))
        .and_then(|()| fetch(request.class, entry, &results.submission(&entry.id)))
        .and_then(|fetched| Ok((look(&fetched.source, scratch)?.sha256, fetched.source)));
    let (sha256, source) = match looked {
        Ok(looked) => looked,
        Err(fetch::Error::Ours(why)) => return Ok(Ending::Failed(why)),
        Err(fetch::Error::Theirs(why)) => {
            let outcome = Outcome {
                state: State::Unreadable,
                sha256: String::new(),
                key: String::new(),
                rubric: String::new(),
                tries: 0,
                seconds: 0.0,
                message: why.clone(),
            };
            results.write_outcome(&entry.id, &outcome)?;
            return Ok(Ending::Unreadable(why));
        }
    };
    let key = digest(&[&sha256, request.key]);
    if let Some(outcome) =
        results.outcome(&entry.id)?.filter(|there| there.state == State::Graded && there.key == key)
        && results.report(&entry.id).join("report.json").is_file()
    {
        return if outcome.rubric == request.rubric.sha256() {
            Ok(Ending::AsBefore)
        } else {
            mark_again(request, entry, outcome)
        };
    }
    drive(
        request,
        entry,
        &source,
        Outcome {
            state: State::Failed,
            sha256,
            key,
            rubric: request.rubric.sha256().to_owned(),
            tries: 0,
            seconds: 0.0,
            message: String::new(),
        },
        began,
    )
}

/// Marks the evidence that is there with the rubric that is asked for now.
fn mark_again(request: &Request, entry: &Entry, outcome: Outcome) -> Result<Ending, results::Error> {
    let directory = request.results.report(&entry.id);
    let bundle = bundle::read(&directory)?;
    let judged = judge::judge(&bundle, request.rubric);
    report::write(&directory, &judged, &bundle)?;
    let rubric = request.rubric.sha256().to_owned();
    request.results.write_outcome(&entry.id, &Outcome { rubric, ..outcome })?;
    Ok(Ending::MarkedAgain)
}

/// Grades in a process of its own, once more where our side failed.
fn drive(
    request: &Request,
    entry: &Entry,
    source: &Path,
    mut outcome: Outcome,
    began: &dyn Fn(bool),
) -> Result<Ending, results::Error> {
    let results = request.results;
    results.forget_outcome(&entry.id)?;
    // If `class grade` was killed a moment ago, its grade of this submission
    // may not have ended yet.
    reports::wait_until_free(&results.report(&entry.id), PATIENCE);
    let since = Instant::now();
    while outcome.tries < TRIES && outcome.state == State::Failed {
        began(outcome.tries > 0);
        outcome.tries += 1;
        (outcome.state, outcome.message) = match start(request, entry, source) {
            Ok(Some(0 | 1)) => (State::Graded, String::new()),
            Ok(Some(2)) => (State::Unreadable, last_line(&log(results, &entry.id))),
            Ok(Some(_)) => (State::Failed, last_line(&log(results, &entry.id))),
            Ok(None) => (State::Failed, "the grade was killed".to_owned()),
            Err(error) => (State::Failed, format!("cannot start {}: {error}", request.program.display())),
        };
    }
    outcome.seconds = (since.elapsed().as_secs_f64() * 10.0).round() / 10.0;
    let report = results.read_report(&entry.id)?.filter(|report| report.submission.sha256 == outcome.sha256);
    match (outcome.state, report.as_ref().and_then(without_verdict)) {
        (State::Failed, Some(why)) => outcome.message = why,
        (State::Graded, _) if report.is_none() => {
            outcome.state = State::Failed;
            "the submission changed while it was graded".clone_into(&mut outcome.message);
        }
        _ => {}
    }
    results.write_outcome(&entry.id, &outcome)?;
    Ok(match (outcome.state, report) {
        (State::Graded, Some(report)) => {
            Ending::Graded { score: report.score, max: report.max, seconds: outcome.seconds }
        }
        (State::Unreadable, _) => Ending::Unreadable(outcome.message),
        (_, _) => Ending::Failed(outcome.message),
    })
}

/// What our side says about the checks that have no verdict; `None` where all have one.
fn without_verdict(report: &Report) -> Option<String> {
    let checks = report.subtasks.iter().flat_map(|subtask| &subtask.checks);
    let errors: Vec<_> = checks.filter(|check| check.status == Status::Error).collect();
    let first = errors.first()?;
    let why: String = first.actual.lines().next().unwrap_or_default().chars().take(300).collect();
    Some(format!("{} checks without a verdict, such as {}: {why}", errors.len(), first.id))
}

fn log(results: &Results, id: &str) -> PathBuf {
    results.run(id).join("log.txt")
}

/// Runs `harness grade` and returns its exit status, `None` where a signal ended it. What it
/// prints goes to a file.
fn start(request: &Request, entry: &Entry, source: &Path) -> io::Result<Option<i32>> {
    let out = File::create(log(request.results, &entry.id))?;
    let mut command = Command::new(request.program);
    command
        .arg("grade")
        .args(request.options)
        .args(["--force", "--id", &entry.id, "--with-parent", &std::process::id().to_string(), "--report"])
        .arg(request.results.report(&entry.id))
        .arg("--")
        .arg(source)
        .stdin(Stdio::null())
        .stdout(out.try_clone()?)
        .stderr(out);
    Ok(command.status()?.code())
}

/// The last line of a text file, shortened.
fn last_line(path: &Path) -> String {
    const MOST: usize = 1 << 16;
    let bytes = fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(MOST)..]).into_owned();
    let line = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing");
    let line: String = line.trim().chars().take(300).collect();
    format!("{line} (all of it: {})", path.display())
}

fn digest(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.finalize().iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}
