//! Ctrl-C during `harness grade`: writes a report of the recorded scenarios, prints what
//! was kept, and exits.

use std::process;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use harness::bundle;
use harness::grade;
use harness::judge;
use harness::note;
use harness::report::detail::Detail;
use harness::reports::{self, Place};
use harness::rubric::Rubric;
use harness::task::Scenario;
use tokio::signal::unix::{SignalKind, signal};

use super::Status;

/// What a run that is stopped leaves behind.
pub struct Stop {
    /// Its report's folder. The thread that takes it writes the report.
    pub place: Arc<Mutex<Option<Place>>>,
    /// The points.
    pub rubric: Rubric,
    /// How much the report shows.
    pub detail: Detail,
    /// What was to be driven.
    pub scenarios: Vec<&'static Scenario>,
}

/// Ends this process at Ctrl-C with a sentence and an exit status.
pub fn at_once(status: Status, sentence: &'static str) {
    at_interrupt(move || {
        note!("harness: {sentence}");
        process::exit(status as i32);
    });
}

/// Waits for Ctrl-C beside the run. Machines end with this process, as when it is killed.
pub fn watch(stop: Stop) {
    at_interrupt(move || {
        // Locked to the end of the process, so that the run does not write a second report.
        let mut place = stop.place.lock().unwrap_or_else(PoisonError::into_inner);
        // If the run has taken the folder, it is about to write its own report.
        let Some(place) = place.take() else { return };
        note!("harness: {}", stop.end(&place));
        // Dropped first, so that the next run finds no claim.
        drop(place);
        process::exit(Status::Infrastructure as i32);
    });
}

fn at_interrupt(end: impl FnOnce() + Send + 'static) {
    // If no handler can be installed, Ctrl-C ends the process at once.
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_io().build() else { return };
    let interrupts = {
        let _within = runtime.enter();
        signal(SignalKind::interrupt())
    };
    let Ok(mut interrupts) = interrupts else { return };
    thread::spawn(move || {
        if runtime.block_on(interrupts.recv()).is_some() {
            end();
        }
    });
}

impl Stop {
    /// Writes the report of the recorded scenarios; returns a sentence about what was kept.
    fn end(&self, place: &Place) -> String {
        let directory = place.directory();
        let Ok(mut bundle) = bundle::read(directory) else {
            return "stopped by you; nothing was recorded yet".to_owned();
        };
        let kept = grade::fill_in_stopped(&mut bundle, &self.scenarios);
        let report = self.detail.of(judge::judge(&bundle, &self.rubric));
        let all = self.scenarios.len();
        let there = directory.display();
        match reports::write(place, &report, &bundle) {
            Ok(()) => format!(
                "stopped by you; {kept} of {all} scenarios are kept in {there}; the same command with --resume goes on"
            ),
            Err(error) => {
                let why = vm::chain(&error);
                format!("stopped by you; {kept} of {all} scenarios are kept in {there}; {why}")
            }
        }
    }
}
