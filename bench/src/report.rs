//! What was found: a table for people, JSON for programs, and which of the required ratios hold.

use std::fmt::Write;
use std::path::Path;

use serde::Serialize;

use crate::measure::{Task, Trouble};

/// A bound on a ratio of two medians of one run.
#[derive(Debug, Serialize)]
pub struct Bound {
    /// What is bounded, in words.
    pub claim: String,
    /// The ratio that was measured; none if one of the two could not be measured.
    pub ratio: Option<f64>,
    /// The most it may be.
    pub at_most: f64,
}

impl Bound {
    /// Median of `name` by median of `other`, in one task.
    pub fn between(task: &Task, name: &str, other: &str, at_most: f64) -> Self {
        let ratio = task.median(name).zip(task.median(other)).map(|(one, two)| one / two);
        Self { claim: format!("{}: {name} / {other}", task.title), ratio, at_most }
    }

    fn verdict(&self) -> &'static str {
        match self.ratio {
            Some(ratio) if ratio <= self.at_most => "holds",
            Some(_) => "MISSED",
            None => "not measured",
        }
    }
}

/// All of it.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The first three figures of /proc/loadavg at the beginning and at the end: 0 to 1 is a quiet machine.
    pub load: [String; 2],
    /// Number of processors.
    pub processors: usize,
    /// What was measured.
    pub tasks: Vec<Task>,
    /// What was required.
    pub bounds: Vec<Bound>,
}

/// The load of the machine.
pub fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

impl Report {
    /// Starts with what is known before anything is measured.
    pub fn new() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self { load: [load(), String::new()], processors, tasks: Vec::new(), bounds: Vec::new() }
    }

    /// The report in Markdown.
    pub fn table(&self) -> String {
        let mut text = String::new();
        let mut line = |words: std::fmt::Arguments| {
            let _ = writeln!(text, "{words}");
        };
        line(format_args!(
            "Load {} before, {} after; {} processors.\n",
            self.load[0], self.load[1], self.processors
        ));
        line(format_args!("| task | by | median, ms | fastest, ms | times |\n|---|---|--:|--:|--:|"));
        for task in &self.tasks {
            for (at, row) in task.rows.iter().enumerate() {
                let title = if at == 0 { task.title } else { "" };
                match (row.median_ms, &row.trouble) {
                    (Some(median), None) => {
                        let fastest = row.times_ms.iter().copied().fold(f64::INFINITY, f64::min);
                        let count = row.times_ms.len();
                        line(format_args!(
                            "| {title} | {} | {median:.2} | {fastest:.2} | {count} |",
                            row.name
                        ));
                    }
                    (_, trouble) => {
                        let why = trouble.as_deref().unwrap_or("no time for it");
                        line(format_args!(
                            "| {title} | {} | does not work here: {} | | |",
                            row.name,
                            why.trim()
                        ));
                    }
                }
            }
        }
        line(format_args!("\n| required | measured | at most | |\n|---|--:|--:|---|"));
        for bound in &self.bounds {
            let ratio = bound.ratio.map_or("-".into(), |ratio| format!("{ratio:.3}"));
            line(format_args!("| {} | {ratio} | {:.3} | {} |", bound.claim, bound.at_most, bound.verdict()));
        }
        text
    }

    /// Writes `NAME.md` and `NAME.json` into a folder and shows the table.
    pub fn publish(mut self, folder: &Path, name: &str) -> Result<(), Trouble> {
        self.load[1] = load();
        std::fs::create_dir_all(folder)?;
        std::fs::write(folder.join(name).with_extension("json"), serde_json::to_vec_pretty(&self)?)?;
        let table = self.table();
        std::fs::write(folder.join(name).with_extension("md"), &table)?;
        print!("{table}");
        Ok(())
    }
}
