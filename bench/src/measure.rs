//! Measures contenders side by side. In every round each contender has one turn, so other work on
//! the machine slows all of them. Their medians can be compared, even if single times cannot.

use std::error::Error;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde::Serialize;

/// The error of a contender. It is shown in the report.
pub type Trouble = Box<dyn Error>;

/// Does the task once and returns its duration, without preparation and clean-up.
type Turn<'a> = Box<dyn FnMut(usize) -> Result<Duration, Trouble> + 'a>;

/// A program that can do a task.
pub struct Contender<'a> {
    name: String,
    turn: Turn<'a>,
}

impl<'a> Contender<'a> {
    /// `turn` gets the number of the round, for names that were never used before.
    pub fn new(name: impl Into<String>, turn: impl FnMut(usize) -> Result<Duration, Trouble> + 'a) -> Self {
        Self { name: name.into(), turn: Box::new(turn) }
    }
}

/// The measurements of one contender.
#[derive(Debug, Serialize)]
pub struct Row {
    /// The name of the contender.
    pub name: String,
    /// The median of its times in milliseconds. `None` if it failed.
    pub median_ms: Option<f64>,
    /// All its times in milliseconds, in the order of the rounds.
    pub times_ms: Vec<f64>,
    /// Why it failed.
    pub trouble: Option<String>,
}

impl Row {
    /// Its fastest time in milliseconds. `None` if it was not measured.
    pub fn fastest_ms(&self) -> Option<f64> {
        self.times_ms.iter().copied().min_by(f64::total_cmp)
    }
}

/// A task with the measurements of all contenders.
#[derive(Debug, Serialize)]
pub struct Task {
    /// The task.
    pub title: String,
    /// The contenders.
    pub rows: Vec<Row>,
}

impl Task {
    /// The median of a contender.
    pub fn median(&self, name: &str) -> Option<f64> {
        self.rows.iter().find(|row| row.name == name)?.median_ms
    }
}

/// Lets every contender do the task `rounds` times, after one time that does not count. A contender
/// that fails is excluded. No round begins after `limit`.
pub fn compare(title: &str, rounds: usize, limit: Duration, contenders: Vec<Contender>) -> Task {
    eprintln!("{title} ...");
    let row = |name: &str| Row { name: name.into(), median_ms: None, times_ms: Vec::new(), trouble: None };
    let mut rows: Vec<Row> = contenders.iter().map(|contender| row(&contender.name)).collect();
    let mut turns: Vec<Turn> = contenders.into_iter().map(|contender| contender.turn).collect();
    let began = Instant::now();
    for round in 0..=rounds {
        for (row, turn) in rows.iter_mut().zip(&mut turns).filter(|(row, _)| row.trouble.is_none()) {
            match turn(round) {
                Ok(_) if round == 0 => {}
                Ok(time) => row.times_ms.push(time.as_secs_f64() * 1000.0),
                Err(trouble) => row.trouble = Some(trouble.to_string()),
            }
        }
        if began.elapsed() > limit {
            break;
        }
    }
    for row in &mut rows {
        row.median_ms = median(&row.times_ms).filter(|_| row.trouble.is_none());
        eprintln!("  {}: {:?} ms {}", row.name, row.median_ms, row.trouble.as_deref().unwrap_or_default());
    }
    Task { title: title.into(), rows }
}

/// The median of some numbers.
pub fn median(numbers: &[f64]) -> Option<f64> {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied()
}

/// A silent program with its arguments. Its environment is only a search path.
pub fn command(program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command.env_clear().env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    command
}

/// Runs it to its end. If it fails, the error is its last output.
pub fn finish(command: &mut Command) -> Result<(), Trouble> {
    let output = command.output().map_err(|error| format!("{}: {error}", command.get_program().display()))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().rfind(|line| !line.is_empty()).unwrap_or("no message");
    Err(format!("{}, {}: {last}", command.get_program().display(), output.status).into())
}

/// Measures how long something takes.
pub fn time(work: impl FnOnce() -> Result<(), Trouble>) -> Result<Duration, Trouble> {
    let began = Instant::now();
    work()?;
    Ok(began.elapsed())
}
