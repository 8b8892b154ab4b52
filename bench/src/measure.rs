//! Measuring contenders side by side: in every round each has its turn, so that whatever else the machine does
//! falls on all of them, and medians can be compared though single times cannot.

use std::error::Error;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde::Serialize;

/// Whatever stops a contender; shown, never handled.
pub type Trouble = Box<dyn Error>;

/// Does its task once and says how long that took; what it prepares and clears away is not in that time.
type Turn<'a> = Box<dyn FnMut(usize) -> Result<Duration, Trouble> + 'a>;

/// Somebody who can do a task.
pub struct Contender<'a> {
    name: &'static str,
    turn: Turn<'a>,
}

impl<'a> Contender<'a> {
    /// `turn` gets the number of the round, of which it can make names that were never used before.
    pub fn new(name: &'static str, turn: impl FnMut(usize) -> Result<Duration, Trouble> + 'a) -> Self {
        Self { name, turn: Box::new(turn) }
    }
}

/// What was measured of one contender.
#[derive(Debug, Serialize)]
pub struct Row {
    /// Who.
    pub name: &'static str,
    /// Median of its times, in milliseconds; none if it cannot do it here.
    pub median_ms: Option<f64>,
    /// All of its times, in milliseconds, in the order of the rounds.
    pub times_ms: Vec<f64>,
    /// Why it cannot do it here.
    pub trouble: Option<String>,
}

/// A task and how its contenders did.
#[derive(Debug, Serialize)]
pub struct Task {
    /// What was done.
    pub title: &'static str,
    /// By whom.
    pub rows: Vec<Row>,
}

impl Task {
    /// The median of a contender.
    pub fn median(&self, name: &str) -> Option<f64> {
        self.rows.iter().find(|row| row.name == name)?.median_ms
    }
}

/// Lets everybody do a task `rounds` times, after a first time that does not count. Who fails is out. No more rounds
/// are begun after `limit`.
pub fn compare(title: &'static str, rounds: usize, limit: Duration, contenders: Vec<Contender>) -> Task {
    eprintln!("{title} ...");
    let row = |name| Row { name, median_ms: None, times_ms: Vec::new(), trouble: None };
    let mut rows: Vec<Row> = contenders.iter().map(|contender| row(contender.name)).collect();
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
    Task { title, rows }
}

/// The middle of some numbers.
pub fn median(numbers: &[f64]) -> Option<f64> {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied()
}

/// A program with its arguments, silent, in an environment with a search path and nothing else.
pub fn command(program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command.env_clear().env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    command
}

/// Runs it to its end; its last words are the error if it fails.
pub fn finish(command: &mut Command) -> Result<(), Trouble> {
    let output = command.output().map_err(|error| format!("{}: {error}", command.get_program().display()))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().rfind(|line| !line.is_empty()).unwrap_or("no message");
    Err(format!("{}, {}: {last}", command.get_program().display(), output.status).into())
}

/// How long something takes.
pub fn time(work: impl FnOnce() -> Result<(), Trouble>) -> Result<Duration, Trouble> {
    let began = Instant::now();
    work()?;
    Ok(began.elapsed())
}
