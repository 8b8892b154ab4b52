//! The report: a table for people, JSON for programs, and the required ratios.

use std::fmt::Write;
use std::path::Path;

use serde::Serialize;

use crate::curve::{self, Curve};
use crate::measure::{Task, Trouble};

/// A limit on the ratio of two medians of one run.
#[derive(Debug, Serialize)]
pub struct Bound {
    /// What is limited.
    pub claim: String,
    /// The measured ratio. `None` if one of the two was not measured.
    pub ratio: Option<f64>,
    /// The limit.
    pub at_most: f64,
}

impl Bound {
    /// The median of `name` divided by the median of `other`, in one task.
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

/// The whole report.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The first three numbers of /proc/loadavg at the start and at the end. On a quiet machine
    /// they are 0 to 1.
    pub load: [String; 2],
    /// The number of processors.
    pub processors: usize,
    /// The measurements.
    pub tasks: Vec<Task>,
    /// How times grow with the number of containers.
    pub curves: Vec<Curve>,
    /// Remarks on the curves.
    pub notes: Vec<String>,
    /// The required ratios.
    pub bounds: Vec<Bound>,
}

/// Reads the load of the machine.
pub fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

impl Report {
    /// Starts the report with the state of the machine.
    pub fn new() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            load: [load(), String::new()],
            processors,
            tasks: Vec::new(),
            curves: Vec::new(),
            notes: Vec::new(),
            bounds: Vec::new(),
        }
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
        line(format_args!("| task | program | median, ms | fastest, ms | runs |\n|---|---|--:|--:|--:|"));
        for task in &self.tasks {
            for (at, row) in task.rows.iter().enumerate() {
                let title = if at == 0 { task.title.as_str() } else { "" };
                match (row.median_ms.zip(row.fastest_ms()), &row.trouble) {
                    (Some((median, fastest)), None) => {
                        let count = row.times_ms.len();
                        line(format_args!(
                            "| {title} | {} | {median:.2} | {fastest:.2} | {count} |",
                            row.name
                        ));
                    }
                    (_, trouble) => {
                        let why = trouble.as_deref().unwrap_or("not measured within the time limit");
                        line(format_args!(
                            "| {title} | {} | does not work here: {} | | |",
                            row.name,
                            why.trim()
                        ));
                    }
                }
            }
        }
        if !self.curves.is_empty() {
            line(format_args!("\n{}\n{}", curve::table(&self.curves), self.notes.join("\n")));
        }
        line(format_args!("\n| required | measured | at most | |\n|---|--:|--:|---|"));
        for bound in &self.bounds {
            let ratio = bound.ratio.map_or("-".into(), |ratio| format!("{ratio:.3}"));
            line(format_args!("| {} | {ratio} | {:.3} | {} |", bound.claim, bound.at_most, bound.verdict()));
        }
        text
    }

    /// Writes `NAME.md` and `NAME.json` to a folder and prints the table.
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
