//! One submission of a class, graded in a process of its own. Its report is made beside the earlier
//! one, and takes its place only when it is complete.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::results::{self, Attempt, Outcome, Results, State};
use super::run::{Ending, Request, write_failure};
use crate::reports::{Claim, wait_until_free};
use crate::verdict::{Report, Status};

/// How long to wait for the grade of a killed `class grade` to end.
const PATIENCE: Duration = Duration::from_secs(20);

/// How often a submission is tried where our side fails.
const TRIES: u8 = 2;

/// Grades, once more where our side failed. `before` is the outcome of the report that is there.
pub fn drive(
    request: &Request,
    id: &str,
    source: &Path,
    before: Option<Outcome>,
    mut outcome: Outcome,
    began: &dyn Fn(bool),
) -> Result<Ending, results::Error> {
    let results = request.results;
    let attempt = |message: String| Attempt {
        state: State::Failed,
        message,
        handed_in: outcome.handed_in.clone(),
        changed: before.as_ref().is_some_and(|before| before.sha256 != outcome.sha256),
    };
    match &before {
        // If this process is killed, the mark of an earlier submission does not count.
        Some(_) => {
            let cut_off = attempt("it was cut off: run `harness class grade` again".to_owned());
            write_failure(results, id, before.clone(), cut_off)?;
        }
        None => results.forget_outcome(id)?,
    }
    make_room(&results.next_report(id))?;
    let since = Instant::now();
    let (mut state, mut message, mut tries) = (State::Failed, String::new(), 0);
    while tries < TRIES && state == State::Failed {
        began(tries > 0);
        tries += 1;
        (state, message) = match start(request, id, source) {
            Ok(Some(0 | 1)) => (State::Graded, String::new()),
            // Also 2: the submission was just read, so an option or a file of ours is at fault.
            Ok(Some(_)) => (State::Failed, last_line(&log(results, id))),
            Ok(None) => (State::Failed, "the grade was killed".to_owned()),
            Err(error) => (State::Failed, format!("cannot start {}: {error}", request.program.display())),
        };
    }
    let report = results.read_next_report(id);
    let report = match report {
        Ok(report) => report.filter(|report| report.submission.sha256 == outcome.sha256),
        Err(_) if state == State::Failed => None,
        Err(error) => return Err(error),
    };
    if state == State::Graded && report.is_none() {
        state = State::Failed;
        "the submission changed while it was graded".clone_into(&mut message);
    }
    if let (State::Failed, Some(why)) = (state, report.as_ref().and_then(without_verdict)) {
        message = why;
    }
    if state == State::Failed && before.is_some() {
        let failed = attempt(message.clone());
        write_failure(results, id, before, failed)?;
        return Ok(Ending::Failed(format!("{message}; its earlier report is kept")));
    }
    outcome.seconds = (since.elapsed().as_secs_f64() * 10.0).round() / 10.0;
    (outcome.state, outcome.message, outcome.tries) = (state, message, tries);
    if report.is_some() {
        // Between these steps there is no outcome, so nothing counts as graded.
        results.forget_outcome(id)?;
        results.replace_report(id)?;
    }
    results.write_outcome(id, &outcome)?;
    Ok(match (outcome.state, report) {
        (State::Graded, Some(report)) => {
            Ending::Graded { score: report.score, max: report.max, seconds: outcome.seconds }
        }
        (_, _) => Ending::Failed(outcome.message),
    })
}

/// Removes what a killed grade left of a report.
fn make_room(folder: &Path) -> Result<(), results::Error> {
    if !folder.exists() {
        return Ok(());
    }
    // If `class grade` was killed a moment ago, its grade of this submission may still run.
    wait_until_free(folder, PATIENCE);
    // Where it is not free by then, the grade says who has it.
    if Claim::new(folder).is_ok() {
        fs::remove_dir_all(folder).map_err(vm::FileError::at("remove", folder))?;
    }
    Ok(())
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
fn start(request: &Request, id: &str, source: &Path) -> io::Result<Option<i32>> {
    let out = File::create(log(request.results, id))?;
    let mut command = Command::new(request.program);
    command
        .arg("grade")
        .args(request.options)
        .args([
            "--force",
            &format!("--id={id}"),
            "--with-parent",
            &std::process::id().to_string(),
            "--report",
        ])
        .arg(request.results.next_report(id))
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
