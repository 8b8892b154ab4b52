//! Progress output on standard error: a bar on a terminal, plain lines elsewhere, nothing with
//! `--quiet`. Each preparation step prints one line with its duration.

use std::io::{IsTerminal, stderr};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::say::shown;
use crate::{note, say};

/// A progress event.
#[derive(Debug)]
pub enum Event {
    /// An event of the machine's preparation.
    Vm(vm::Event),
    /// A sentence for the user.
    Note(String),
    /// This number of scenarios will run.
    Scenarios(usize),
    /// The scenario with this name began in its own machine.
    Began(String),
    /// A scenario ended.
    Ended {
        /// The scenario's name.
        scenario: String,
        /// The duration.
        seconds: f64,
        /// Why the scenario was cut short, if it was.
        remark: Option<String>,
    },
}

/// Renders progress events on standard error.
pub struct Progress {
    mode: Mode,
    step: Option<Step>,
}

enum Mode {
    Quiet,
    Plain,
    Bar { bar: ProgressBar, running: Vec<String> },
}

/// The current preparation step.
struct Step {
    phrase: String,
    began: Instant,
    /// In plain mode: whether the step's line still lacks its duration.
    open: bool,
}

impl Progress {
    /// Chooses between a bar and plain lines by whether standard error is a terminal.
    pub fn new(quiet: bool) -> Self {
        let mode = if quiet {
            Mode::Quiet
        } else if stderr().is_terminal() {
            Mode::Bar { bar: ProgressBar::hidden(), running: vec![] }
        } else {
            Mode::Plain
        };
        Self { mode, step: None }
    }

    /// Renders one event.
    pub fn show(&mut self, event: Event) {
        if !matches!(event, Event::Vm(vm::Event::Progress { .. } | vm::Event::Note(_))) {
            self.end_step();
        }
        if let Event::Vm(vm::Event::Step(phrase)) = &event {
            self.step = Some(Step { phrase: phrase.clone(), began: Instant::now(), open: true });
        }
        match &mut self.mode {
            Mode::Quiet => {}
            Mode::Plain => plain(self.step.as_mut(), event),
            Mode::Bar { bar, running } => on_terminal(bar, running, event),
        }
    }

    /// Ends the current step, if there is one, and prints its duration.
    fn end_step(&mut self) {
        let Some(Step { phrase, began, open }) = self.step.take() else { return };
        let seconds = began.elapsed().as_secs_f64().round();
        match &self.mode {
            Mode::Quiet => {}
            Mode::Plain if open => note!("{seconds} s"),
            Mode::Plain => note!("{phrase}: {seconds} s"),
            Mode::Bar { bar, .. } => bar.suspend(|| note!("{phrase}: {seconds} s")),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.end_step();
        if let Mode::Bar { bar, .. } = &self.mode {
            bar.finish_and_clear();
        }
    }
}

fn plain(step: Option<&mut Step>, event: Event) {
    match event {
        Event::Vm(vm::Event::Step(phrase)) => say::begin(&format!("{phrase} … ")),
        Event::Vm(vm::Event::Note(note)) | Event::Note(note) => {
            if let Some(step) = step
                && std::mem::take(&mut step.open)
            {
                say::begin("\n");
            }
            note!("{note}");
        }
        Event::Ended { scenario, seconds, remark } => match remark {
            Some(remark) => note!("scenario {scenario}: {seconds:.1} s, {remark}"),
            None => note!("scenario {scenario}: {seconds:.1} s"),
        },
        Event::Vm(vm::Event::Progress { .. }) | Event::Scenarios(_) | Event::Began(_) => {}
    }
}

fn on_terminal(bar: &mut ProgressBar, running: &mut Vec<String>, event: Event) {
    match event {
        Event::Vm(vm::Event::Step(phrase)) => replace(bar, None, "{spinner} {msg} {elapsed:.dim}", &phrase),
        Event::Vm(vm::Event::Progress { done, total, unit }) => {
            if total.is_some() && bar.length() != total {
                let template = match unit {
                    vm::Unit::Bytes => "{spinner} {msg} [{bar:30}] {bytes}/{total_bytes} {eta:.dim}",
                    vm::Unit::Items => "{spinner} {msg} [{bar:30}] {pos}/{len} {elapsed:.dim}",
                };
                let (phrase, elapsed) = (bar.message(), bar.elapsed());
                replace(bar, total, template, &phrase);
                bar.set_elapsed(elapsed);
            }
            bar.set_position(done);
        }
        Event::Vm(vm::Event::Note(note)) | Event::Note(note) => bar.suspend(|| note!("{note}")),
        Event::Scenarios(number) => {
            let template = "{spinner} [{bar:30}] {pos}/{len} scenarios {elapsed:.dim}  {msg}";
            replace(bar, Some(number as u64), template, "");
        }
        Event::Began(scenario) => {
            running.push(scenario);
            bar.set_message(shown(&running.join(" ")));
        }
        Event::Ended { scenario, remark, .. } => {
            running.retain(|other| *other != scenario);
            bar.set_message(shown(&running.join(" ")));
            bar.inc(1);
            if let Some(remark) = remark {
                bar.suspend(|| note!("scenario {scenario}: {remark}"));
            }
        }
    }
}

fn replace(bar: &mut ProgressBar, length: Option<u64>, template: &str, message: &str) {
    bar.finish_and_clear();
    *bar = match length {
        Some(length) => ProgressBar::new(length),
        None => ProgressBar::new_spinner(),
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_message(shown(message));
    bar.enable_steady_tick(Duration::from_millis(120));
}
