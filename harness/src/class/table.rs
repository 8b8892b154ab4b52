//! What `class grade` shows while it works: a live table on a terminal, plain lines
//! elsewhere, nothing when quiet.

use std::collections::BTreeMap;
use std::io::{IsTerminal, stderr};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::run::{Ending, Event};
use crate::note;
use crate::report::text::points;
use crate::say::shown;

/// The table.
pub struct Table {
    mode: Mode,
    total: usize,
    done: usize,
    errors: usize,
    /// Time spent on submissions that were graded, and how many they are: what the rest will
    /// take is guessed from it.
    graded: (f64, usize),
    began: Instant,
    jobs: usize,
}

enum Mode {
    Quiet,
    Plain,
    Live { all: MultiProgress, head: ProgressBar, running: BTreeMap<String, ProgressBar> },
}

impl Table {
    /// For standard error as it is.
    pub fn new(quiet: bool, jobs: usize) -> Self {
        let mode = if quiet {
            Mode::Quiet
        } else if stderr().is_terminal() {
            let all = MultiProgress::new();
            let head = all.add(ProgressBar::new(0));
            if let Ok(style) = ProgressStyle::with_template("[{bar:30}] {pos}/{len}  {msg}") {
                head.set_style(style.progress_chars("=> "));
            }
            Mode::Live { all, head, running: BTreeMap::new() }
        } else {
            Mode::Plain
        };
        Self { mode, total: 0, done: 0, errors: 0, graded: (0.0, 0), began: Instant::now(), jobs }
    }

    /// Shows what happened.
    pub fn show(&mut self, event: &Event) {
        match event {
            Event::Total(total) => self.total = *total,
            Event::Kept(_) => {}
            Event::Began { id, again } => self.begin(id, *again),
            Event::Ended { id, ending } => self.end(id, ending),
        }
        self.head();
    }

    fn begin(&mut self, id: &str, again: bool) {
        let once_more = if again { ", second try: the infrastructure failed" } else { "" };
        match &mut self.mode {
            Mode::Live { all, running, .. } => {
                let line =
                    running.entry(id.to_owned()).or_insert_with(|| all.add(ProgressBar::new_spinner()));
                if let Ok(style) = ProgressStyle::with_template("  {spinner} {msg} {elapsed:.dim}") {
                    line.set_style(style);
                }
                line.set_message(shown(&format!("{id}{once_more}")));
                line.enable_steady_tick(Duration::from_millis(200));
            }
            Mode::Plain if again => note!("{id}{once_more}"),
            Mode::Plain | Mode::Quiet => {}
        }
    }

    fn end(&mut self, id: &str, ending: &Ending) {
        self.done += 1;
        let line = match ending {
            Ending::Graded { score, max, seconds } => {
                self.graded.0 += seconds;
                self.graded.1 += 1;
                Some(format!("{id}: {} / {}, {seconds:.0} s", points(*score), points(*max)))
            }
            Ending::AsBefore => None,
            Ending::MarkedAgain => Some(format!("{id}: marked again with this rubric")),
            Ending::Elsewhere(why) => Some(format!("{id}: {why}")),
            Ending::Unreadable(why) => Some(format!("{id}: cannot be graded: {why}")),
            Ending::Failed(why) => {
                self.errors += 1;
                Some(format!("{id}: the infrastructure failed: {why}"))
            }
        };
        let place = format!("[{}/{}]", self.done, self.total);
        match &mut self.mode {
            Mode::Live { all, running, .. } => {
                if let Some(bar) = running.remove(id) {
                    bar.finish_and_clear();
                    all.remove(&bar);
                }
                if let Some(line) = line {
                    all.suspend(|| note!("{line}"));
                }
            }
            Mode::Plain => {
                if let Some(line) = line {
                    note!("{place} {line}");
                }
            }
            Mode::Quiet => {}
        }
    }

    fn head(&self) {
        let Mode::Live { head, running, .. } = &self.mode else { return };
        head.set_length(self.total as u64);
        head.set_position(self.done as u64);
        let left = match self.left() {
            Some(left) => format!(", {} left", indicatif::HumanDuration(left)),
            None => String::new(),
        };
        let spent = indicatif::HumanDuration(self.began.elapsed());
        head.set_message(shown(&format!("{} running, {} errors, {spent}{left}", running.len(), self.errors)));
    }

    /// How long the rest will take, by the mean of those that were graded.
    fn left(&self) -> Option<Duration> {
        let (seconds, number) = self.graded;
        let left = (self.total - self.done) as f64 / self.jobs as f64;
        (number > 0).then(|| Duration::from_secs_f64(seconds / number as f64 * left))
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        if let Mode::Live { head, .. } = &self.mode {
            head.finish_and_clear();
        }
    }
}
