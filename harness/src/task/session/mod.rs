//! Compares the assignment's sample sessions with the sessions of a run, line by line.
//!
//! `seen` collects the commands and their output from the evidence, `align` pairs the lines, and
//! `rules` says which differences are fine and why. No mark depends on a session: facts decide.

mod align;
mod judge;
mod rules;
mod seen;
pub mod token;

pub use judge::{judge, told};

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::evidence::{Bundle, Recording};
use crate::task::as_shown::{self, AskedStep};

/// The subtasks that have a session, and the scenarios in which it is typed.
const SESSIONS: [(&str, &str); 8] = [
    ("1", "1"),
    ("2a", "2"),
    ("2b", "2"),
    ("2c", "2"),
    ("3a", "3-run"),
    ("3b", "3-run"),
    ("3c", "3-network"),
    ("4", "4-matrix"),
];
/// The end of the id of each check that compares a session.
pub const CHECK: &str = "as-shown";
/// Most lines of one step that are compared, and most characters of a line.
const LINES: usize = 80;
const CHARACTERS: usize = 240;

/// One sample session beside what was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// The check that compares it: `3a/as-shown`.
    pub check: String,
    /// Each command with its output.
    pub steps: Vec<Step>,
    /// Remarks on the whole session, such as the ratio of two times.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// A command and its output, line by line.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// What the assignment types, with its prompt.
    pub asked: String,
    /// What was typed; absent where that moment was not reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<String>,
    /// Its lines.
    pub rows: Vec<Row>,
}

/// A line of each side.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// The assignment's line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<String>,
    /// The line that was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<String>,
    /// Whether the two differ.
    pub is: Likeness,
    /// Why a difference is fine.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
}

/// How two lines compare.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Likeness {
    /// They say the same.
    #[default]
    Same,
    /// They differ, and that is fine.
    Fine,
    /// They differ.
    Differs,
}

/// What was typed and what the terminal showed, without the line that was typed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct SeenStep {
    command: String,
    lines: Vec<String>,
}

/// The names of one run that stand for the assignment's own.
#[derive(Clone, Debug, Default)]
struct Names {
    /// Placeholders such as `container`, and their values.
    values: BTreeMap<&'static str, String>,
    /// Containers and images of the grader's that run beside the session.
    others: Vec<String>,
}

/// A session as the evidence has it, before it is compared.
struct Evidence {
    names: Names,
    /// For each step of the assignment what was seen.
    steps: Vec<Option<SeenStep>>,
    notes: Vec<String>,
    /// The lines from this one on may be missing, and why.
    without: Option<(&'static str, &'static str)>,
}

/// The sessions of all subtasks of a bundle that have one and were driven.
pub fn all(bundle: &Bundle) -> Vec<Session> {
    let of = |(subtask, scenario): &(&str, &str)| {
        bundle.subtasks.iter().find(|asked| asked.as_str() == *subtask)?;
        self::of(bundle.recordings.get(*scenario)?, subtask)
    };
    SESSIONS.iter().filter_map(of).collect()
}

/// The session of a subtask; `id` is that of the subtask or of one of its checks. `None` if the
/// subtask has no session, or none was recorded.
pub fn of(recording: &Recording, id: &str) -> Option<Session> {
    let subtask = id.split('/').next().unwrap_or(id);
    let asked = asked(subtask)?;
    let evidence = seen::of(recording, subtask)?;
    if evidence.steps.iter().all(Option::is_none) {
        return None;
    }
    let steps = asked.iter().zip(evidence.steps.iter().chain(std::iter::repeat(&None)));
    let mut steps: Vec<Step> =
        steps.map(|(asked, seen)| compare(asked, seen.as_ref(), &evidence.names)).collect();
    if let Some((first, why)) = evidence.without {
        forgive(steps.iter_mut().flat_map(|step| &mut step.rows), first, why);
    }
    Some(Session { check: format!("{subtask}/{CHECK}"), steps, notes: evidence.notes })
}

/// Accepts that the line `first` of the assignment and all lines after it are missing.
fn forgive<'a>(rows: impl Iterator<Item = &'a mut Row>, first: &str, why: &str) {
    let rows = rows.skip_while(|row| row.asked.as_deref() != Some(first));
    for row in rows.filter(|row| row.seen.is_none()) {
        row.is = Likeness::Fine;
        why.clone_into(&mut row.why);
    }
}

/// What the assignment shows for a subtask.
fn asked(subtask: &str) -> Option<Vec<AskedStep>> {
    let program = |command: &str, text: &str| {
        let lines = text.lines().map(str::to_owned).collect();
        vec![AskedStep { prompt: as_shown::Prompt::Machine, command: command.to_owned(), lines }]
    };
    match subtask {
        "1" => Some(program("./namespace_prog", as_shown::TASK_1)),
        "2a" => Some(program(seen::SCRIPT, as_shown::TASK_2A)),
        "2b" => Some(program(seen::SCRIPT, as_shown::TASK_2B)),
        "2c" => Some(program(seen::SCRIPT, as_shown::TASK_2C)),
        "3a" => Some(as_shown::steps(as_shown::TASK_3A)),
        "3b" => Some(as_shown::steps(as_shown::TASK_3B)),
        "3c" => Some(as_shown::steps(as_shown::TASK_3C)),
        "4" => Some(as_shown::steps(as_shown::TASK_4)),
        _ => None,
    }
}

fn compare(asked: &AskedStep, seen: Option<&SeenStep>, names: &Names) -> Step {
    let command = names.fill(&asked.command);
    let wanted: Vec<String> = asked.lines.iter().map(|line| names.fill(line)).collect();
    let prompt = match asked.prompt {
        as_shown::Prompt::Machine => "$",
        as_shown::Prompt::Container => "#",
        as_shown::Prompt::Lan => "another machine $",
    };
    let asked_command = format!("{prompt} {command}");
    let Some(seen) = seen else {
        let missing = |line| Row { asked: Some(line), is: Likeness::Differs, ..Row::default() };
        return Step { asked: asked_command, seen: None, rows: wanted.into_iter().map(missing).collect() };
    };
    let mut shown: Vec<String> = seen.lines.iter().take(LINES).map(|line| cut(line)).collect();
    shown.retain(|line| !line.trim().is_empty());
    let rows = rules::rows(&command, &wanted, &shown, names);
    Step { asked: asked_command, seen: Some(format!("{prompt} {}", cut(&seen.command))), rows }
}

fn cut(line: &str) -> String {
    match line.char_indices().nth(CHARACTERS) {
        Some((at, _)) => format!("{}…", &line[..at]),
        None => line.to_owned(),
    }
}

impl Names {
    /// A line of the assignment in this run's names.
    fn fill(&self, line: &str) -> String {
        let fill = |line: String, (name, value): (&&str, &String)| line.replace(&format!("[{name}]"), value);
        self.values.iter().fold(line.to_owned(), fill)
    }

    /// The name of the session's own container, or its image.
    fn own(&self) -> impl Iterator<Item = &String> {
        ["container", "image"].iter().filter_map(|name| self.values.get(name))
    }
}

impl Row {
    /// A row with both lines, either of them, and what their difference means.
    fn new(asked: Option<&String>, seen: Option<&String>, is: Likeness, why: &str) -> Self {
        Self { asked: asked.cloned(), seen: seen.cloned(), is, why: why.to_owned() }
    }
}
