//! What went wrong first: one fault in a script or a program often keeps a dozen checks from being
//! seen. It is told once, with the shell's or the compiler's own message, and the checks that
//! follow from it are listed beside it.
//!
//! Pure, like judging: what a terminal showed is data here, and decides nothing about marks.

mod compiler;
mod ending;
mod message;
mod orchestrator;
mod screen;
mod shell;

use crate::evidence::{Bundle, Recording, place};
use crate::submission::Layout;
use crate::task::{self, handed_in};
use crate::verdict::{Cause, Check, Status, Subtask};

use message::Message;
use serde::Deserialize;

/// What ends with fewer checks that name it is one fault among others.
const FEW: usize = 3;

/// The causes of a judged run, in the assignment's order: at most one for each of the four tasks.
pub fn causes(bundle: &Bundle, subtasks: &[Subtask]) -> Vec<Cause> {
    ["1", "2", "3", "4"].iter().filter_map(|task| of_task(task, bundle, subtasks)).collect()
}

fn of_task(task: &str, bundle: &Bundle, subtasks: &[Subtask]) -> Option<Cause> {
    let own = || subtasks.iter().filter(|subtask| subtask.id.starts_with(task));
    let lost: Vec<&Check> = own()
        .flat_map(|subtask| &subtask.checks)
        .filter(|check| matches!(check.status, Status::Fail | Status::Skip))
        .collect();
    if let Some(path) = own().find_map(|subtask| handed_in::missing(&subtask.id, &bundle.layout)) {
        return Some(not_handed_in(path, &lost));
    }
    let recordings = || {
        let known = task::subtasks().into_iter().filter(|subtask| subtask.id.starts_with(task));
        let mut scenarios: Vec<&str> = known.flat_map(|subtask| subtask.scenarios).copied().collect();
        scenarios.dedup();
        scenarios.into_iter().filter_map(|scenario| bundle.recordings.get(scenario))
    };
    if let Some(found) = recordings().find_map(|recording| of_text(recording, bundle)) {
        // Nothing of a file that cannot be read has run: whatever was lost was lost by that.
        return with_checks(found.cause, lost.iter().map(|check| check.id.clone()).collect());
    }
    if let Some(cause) = recordings().find_map(|recording| of_interpreter(recording, bundle)) {
        return with_checks(cause, lost.iter().map(|check| check.id.clone()).collect());
    }
    let layout = Layout::deserialize(&bundle.layout).ok();
    let of_script = |recording| orchestrator::first_errors(recording, layout.as_ref());
    if let Some(cause) = recordings().find_map(of_script).and_then(|cause| {
        // What failed has a text of its own; the rest could not be judged.
        let unseen = lost.iter().filter(|check| check.status == Status::Skip);
        with_checks(located(cause, bundle), unseen.map(|check| check.id.clone()).collect())
    }) {
        return Some(cause);
    }
    let ends: Vec<Found> = recordings().flat_map(ending::all).collect();
    let as_asked: Vec<String> = recordings().flat_map(ending::as_asked).collect();
    // What a check says of a command that ended as asked has another cause.
    let is_of_another = |check: &&Check| as_asked.iter().any(|name| check.actual.contains(name.as_str()));
    let lost: Vec<&Check> = lost.into_iter().filter(|check| !is_of_another(check)).collect();
    let following = ends.into_iter().map(|found| (consequences(&found, &lost), located(found.cause, bundle)));
    // The first of those that explain the most. `max_by_key` would take the last one.
    let (checks, cause) =
        following.reduce(|best, next| if next.0.len() > best.0.len() { next } else { best })?;
    with_checks(cause, checks)
}

/// A cause whose file and line are those of the submission's own file, if the shell named one.
fn located(cause: Cause, bundle: &Bundle) -> Cause {
    let file = cause.file.as_deref().and_then(|name| submitted(name, bundle));
    let line = cause.line.filter(|_| file.is_some());
    let what = match (&file, line) {
        (Some(file), Some(line)) => {
            format!("{} The shell's message is about {file}, line {line}.", cause.what)
        }
        _ => cause.what,
    };
    Cause { what, file, line, ..cause }
}

/// The cause of these checks. What kept a single check from being seen is that check's
/// own text, and no cause.
fn with_checks(cause: Cause, checks: Vec<String>) -> Option<Cause> {
    (checks.len() > 1).then_some(Cause { checks, ..cause })
}

/// The lost checks whose text names what ended, and those that could not be judged and name such a
/// check or nothing at all: the steps after a command that failed were not reached.
fn consequences(found: &Found, lost: &[&Check]) -> Vec<String> {
    let names_it = |check: &Check| found.marks.iter().any(|mark| check.actual.contains(mark.as_str()));
    let names_nothing = |check: &Check| check.status == Status::Skip && !check.actual.contains(['`', '/']);
    let mut following: Vec<&str> =
        lost.iter().filter(|check| names_it(check)).map(|check| &*check.id).collect();
    if following.len() < FEW {
        return owned(following);
    }
    following.extend(lost.iter().filter(|check| names_nothing(check)).map(|check| &*check.id));
    loop {
        let names_one = |check: &Check| following.iter().any(|id| check.actual.contains(id));
        let next = lost.iter().find(|check| {
            check.status == Status::Skip && !following.contains(&&*check.id) && names_one(check)
        });
        match next {
            Some(check) => following.push(&check.id),
            None => break,
        }
    }
    let is_one = |check: &&&Check| following.contains(&&*check.id);
    lost.iter().filter(is_one).map(|check| check.id.clone()).collect()
}

fn owned(ids: Vec<&str>) -> Vec<String> {
    ids.into_iter().map(str::to_owned).collect()
}

/// The start of what a terminal showed. A program chooses the text, and every report quotes it.
fn cut(text: &str) -> String {
    const QUOTED: usize = 1000;
    text.chars().take(QUOTED).collect()
}

/// A cause and the words by which a check's text shows that it comes from it.
struct Found {
    cause: Cause,
    marks: Vec<String>,
}

fn not_handed_in(path: &str, lost: &[&Check]) -> Cause {
    Cause {
        what: format!("{path} was not handed in."),
        file: Some(path.to_owned()),
        hint: "Compare the archive with the folder layout that the assignment asks for.".to_owned(),
        checks: lost.iter().map(|check| check.id.clone()).collect(),
        ..Cause::default()
    }
}

/// A script with line ends of Windows whose first line names an interpreter that is not there: the
/// kernel refuses to start the script, and no shell says anything.
fn of_interpreter(recording: &Recording, bundle: &Bundle) -> Option<Cause> {
    let (index, program) = ending::never_started(recording)?;
    let path = submitted(&program, bundle).filter(|path| has_crlf(path, bundle))?;
    Some(Cause {
        what: format!(
            "{path} has line ends of Windows (CRLF): the kernel looks for an interpreter whose name ends with a carriage \
             return, and does not find it."
        ),
        file: Some(path),
        line: Some(1),
        hint: WINDOWS.to_owned(),
        evidence: vec![place::of(recording, index)],
        ..Cause::default()
    })
}

/// What to do about line ends of Windows.
const WINDOWS: &str = "Save the file with Unix line ends. The command `file` shows the line ends of a file.";

fn windows(path: &str) -> String {
    format!("{path} has line ends of Windows (CRLF), which the shell takes for part of each command.")
}

/// A message of a shell or a compiler after which nothing of the file can work.
fn of_text(recording: &Recording, bundle: &Bundle) -> Option<Found> {
    let lines = screen::lines(recording);
    let at = |find: fn(&str) -> Option<Message>| {
        lines.iter().enumerate().find_map(|(index, line)| Some((index, find(&line.text)?)))
    };
    let (index, message) = at(compiler::error).or_else(|| at(shell::fatal))?;
    let path = submitted(&message.file, bundle);
    let is_windows = message.is_windows || path.as_deref().is_some_and(|path| has_crlf(path, bundle));
    let mut quote: Vec<&str> = lines[index..].iter().take(message.lines).map(|line| &*line.text).collect();
    while quote.last().is_some_and(|line| line.trim().is_empty()) {
        quote.pop();
    }
    let name = path.clone().unwrap_or_else(|| message.file.clone());
    let what = if is_windows && message.is_shell {
        windows(&name)
    } else {
        match message.line {
            Some(line) => format!("{} in {name}, line {line}: {}", message.who(), message.text),
            None => format!("{} in {name}: {}", message.who(), message.text),
        }
    };
    let hint = if is_windows && message.is_shell {
        WINDOWS
    } else if message.is_shell {
        "`bash -n` reads a script without running it. The fault may be above the line that it names: look for a quote, a \
         bracket or a keyword that is not closed."
    } else {
        "Read the compiler's first error first: later ones often follow from it."
    };
    Some(Found {
        cause: Cause {
            what,
            file: path,
            line: message.line,
            quote: cut(&quote.join("\n")),
            hint: hint.to_owned(),
            evidence: vec![place::of(recording, lines[index].record)],
            checks: Vec::new(),
        },
        marks: Vec::new(),
    })
}

/// The submission's file that a program called by a name relative to its own folder.
fn submitted(name: &str, bundle: &Bundle) -> Option<String> {
    let layout = Layout::deserialize(&bundle.layout).ok()?;
    let name = name.trim_start_matches("./");
    let is_it = |path: &&String| path.as_str() == name || path.rsplit('/').next() == name.rsplit('/').next();
    layout.files.iter().map(|file| &file.path).find(is_it).cloned()
}

fn has_crlf(path: &str, bundle: &Bundle) -> bool {
    let layout = Layout::deserialize(&bundle.layout);
    layout.is_ok_and(|layout| layout.files.iter().any(|file| file.path == path && file.crlf))
}
