//! Grading a class: each submission in a process of its own, so that none can take another's grade
//! along. One that our side failed is tried once more and then listed; the rest goes on.
//!
//! A submission that has a report of the same digest, machine, harness and options is skipped, so a
//! run that was killed goes on where it was.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use sha2::{Digest, Sha256};

use super::drive::drive;
use super::entry::{Class, Entry};
use super::fetch::{self, fetch, look};
use super::handed_in;
use super::results::{self, Attempt, Outcome, Results, Roster, State};
use super::take::Take;
use crate::hex::hex;
use crate::reports::Claim;
use crate::rubric::Rubric;
use crate::{bundle, judge, report};

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
    /// Everything but the submission that a report depends on, as text.
    pub key: &'a str,
    /// The subtasks that are graded, in the assignment's order.
    pub subtasks: &'a [&'a str],
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
    /// These are in the results from an earlier export only, and stay there.
    Kept(Vec<String>),
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
    let handed_in = handed_in::digests(request.class);
    let kept = request.results.write_roster(Roster::of(request.class, request.subtasks, &handed_in))?;
    if !kept.is_empty() {
        on(Event::Kept(kept));
    }
    let entries: Vec<Submitted> = request
        .class
        .entries
        .iter()
        .zip(&handed_in)
        .enumerate()
        .filter(|(place, _)| request.take.has(*place))
        .map(|(_, (entry, handed_in))| Submitted { entry, handed_in })
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
                while let Some(submitted) = entries.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let entry = submitted.entry;
                    let began = |again| {
                        let _ = tell.send(Event::Began { id: entry.id.clone(), again });
                    };
                    let ending = grade_one(request, *submitted, &scratch, &began);
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

/// An entry, and the digest of what was handed in.
#[derive(Clone, Copy)]
pub(super) struct Submitted<'a> {
    pub entry: &'a Entry,
    pub handed_in: &'a str,
}

fn grade_one(request: &Request, submitted: Submitted, scratch: &Path, began: &dyn Fn(bool)) -> Ending {
    let entry = submitted.entry;
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
    match claimed(request, submitted, scratch, began) {
        Ok(ending) => ending,
        Err(error) => Ending::Failed(vm::chain(&error)),
    }
}

/// Grades a submission that no other process grades now.
fn claimed(
    request: &Request,
    submitted: Submitted,
    scratch: &Path,
    began: &dyn Fn(bool),
) -> Result<Ending, results::Error> {
    let (results, Submitted { entry, handed_in }) = (request.results, submitted);
    results.restore_report(&entry.id)?;
    let before = finished(results, &entry.id)?;
    // What is known to be another submission than the one that was graded.
    let changed = before.as_ref().is_some_and(|before| before.handed_in != handed_in);
    let failed = |state, message: String, changed| {
        let attempt = Attempt { state, message: message.clone(), handed_in: handed_in.to_owned(), changed };
        write_failure(results, &entry.id, before.clone(), attempt)?;
        Ok(if state == State::Unreadable { Ending::Unreadable(message) } else { Ending::Failed(message) })
    };
    let fetched = fs::create_dir_all(scratch)
        .map_err(|error| fetch::Error::Ours(format!("cannot create {}: {error}", scratch.display())))
        .and_then(|()| fetch(request.class, entry, &results.submission(&entry.id)));
    let source = match fetched {
        Ok(fetched) => fetched.source,
        Err(fetch::Error::Ours(why)) => return failed(State::Failed, why, changed),
        Err(fetch::Error::Theirs(why)) => return failed(State::Unreadable, why, changed),
    };
    let sha256 = match look(&source, scratch) {
        Ok(look) => look.sha256,
        Err(fetch::Error::Ours(why)) => return failed(State::Failed, why, changed),
        // What was graded could be read, so this is something else. Where our copy lies says
        // nothing to a reader.
        Err(fetch::Error::Theirs(why)) => {
            let ours = format!("{}/", results.submission(&entry.id).display());
            return failed(State::Unreadable, why.replace(&ours, ""), true);
        }
    };
    let key = digest(&[&sha256, request.key]);
    if let Some(there) = before.as_ref().filter(|before| before.key == key) {
        let rubric = request.rubric.sha256();
        let now = Outcome {
            handed_in: handed_in.to_owned(),
            failed: None,
            rubric: rubric.to_owned(),
            ..there.clone()
        };
        if there.rubric == rubric {
            if *there != now {
                results.write_outcome(&entry.id, &now)?;
            }
            return Ok(Ending::AsBefore);
        }
        // Evidence that cannot be read is recorded again.
        if let Ok(bundle) = bundle::read(&results.report(&entry.id)) {
            report::write(&results.report(&entry.id), &judge::judge(&bundle, request.rubric), &bundle)?;
            results.write_outcome(&entry.id, &now)?;
            return Ok(Ending::MarkedAgain);
        }
    }
    let next = Outcome {
        state: State::Failed,
        sha256,
        key,
        rubric: request.rubric.sha256().to_owned(),
        tries: 0,
        seconds: 0.0,
        message: String::new(),
        handed_in: handed_in.to_owned(),
        failed: None,
    };
    drive(request, &entry.id, &source, before, next, began)
}

/// The outcome of a submission that has its report. A damaged file counts as none: the submission
/// is graded again.
fn finished(results: &Results, id: &str) -> Result<Option<Outcome>, results::Error> {
    let outcome = unless_damaged(results.outcome(id))?;
    let Some(outcome) = outcome.filter(|outcome| outcome.state == State::Graded) else { return Ok(None) };
    let report = unless_damaged(results.read_report(id))?;
    Ok(report.is_some_and(|report| report.submission.sha256 == outcome.sha256).then_some(outcome))
}

fn unless_damaged<T>(read: Result<Option<T>, results::Error>) -> Result<Option<T>, results::Error> {
    match read {
        Err(results::Error::Malformed { .. }) => Ok(None),
        read => read,
    }
}

/// Writes down why there is no new report. An earlier one stays, with its outcome.
pub(super) fn write_failure(
    results: &Results,
    id: &str,
    before: Option<Outcome>,
    attempt: Attempt,
) -> Result<(), results::Error> {
    let outcome = match before {
        Some(before) => Outcome { failed: Some(attempt), ..before },
        None => Outcome {
            state: attempt.state,
            sha256: String::new(),
            key: String::new(),
            rubric: String::new(),
            tries: 0,
            seconds: 0.0,
            message: attempt.message,
            handed_in: attempt.handed_in,
            failed: None,
        },
    };
    results.write_outcome(id, &outcome)
}

fn digest(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hex(&hash.finalize())
}
