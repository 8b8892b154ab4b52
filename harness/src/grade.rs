//! Runs a grade: prepares the machine, drives each scenario in a fresh one, and writes the evidence
//! bundle. A [`driver::Driver`] makes the machines: virtual ones, or namespaces of this one.
//!
//! Each recording is written when its scenario ends, so a killed run keeps its finished scenarios.
//! A scenario is repeated once if our infrastructure failed. It is never repeated if the submission
//! failed or timed out.

mod again;
mod allowance;
pub mod driver;
mod ending;
mod recording;
mod stopped;
mod virtual_machine;

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Instant;

use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::Value;
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::bundle;
use crate::evidence::{Bundle, Recording};
use crate::fit::Fit;
use crate::follow_through::{self, Graft};
use crate::here::{self, Here};
use crate::packages::{self, Supply};
use crate::progress::Event;
use crate::reports::unfinished::{self, Asked};
use crate::stage::{self, stage, stage_grafted};
use crate::submission::Submission;
use crate::task::{Scenario, Subtask, handed_in};
use crate::verdict::{Environment, UNGUARDED};
use crate::weight::Budget;
use crate::wire;

pub use again::{Again, again};
pub use stopped::fill_in_stopped;

use driver::Driver;
use recording::record;

/// Which subtasks to grade, and how.
#[derive(Debug)]
pub struct Request<'a> {
    /// The subtasks, in order.
    pub subtasks: &'a [&'static Subtask],
    /// Where the scenarios are driven.
    pub machine: Machine,
    /// The cache with images and templates.
    pub cache: &'a vm::Cache,
    /// A folder for temporary files of this run.
    pub workdir: &'a Path,
    /// The folder for the evidence bundle.
    pub report: &'a Path,
    /// The number of machines that run at once.
    pub jobs: usize,
    /// The seed for random names, seeds and contents.
    pub seed: u64,
    /// Whether to use only cached packages.
    pub offline: bool,
    /// Whether to save the network traffic as `evidence/<scenario>/world.pcap`.
    pub pcap: bool,
    /// Recordings of an earlier, unfinished run in the report's folder. Their scenarios
    /// are not driven again.
    pub kept: BTreeMap<String, Recording>,
    /// What an unfinished run leaves for `--resume`; `None` where nothing can go on with it.
    pub asked: Option<Asked>,
}

/// Where scenarios are driven.
#[derive(Clone, Debug)]
pub enum Machine {
    /// In virtual machines with this operating system and accelerator.
    Virtual(vm::Request),
    /// In namespaces of this machine. The number says how many times slower it is than
    /// the reference machine.
    Here(f64),
}

/// Why a run produced no bundle. The infrastructure is at fault in every case.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The machine cannot be prepared.
    #[error(transparent)]
    Vm(#[from] vm::Error),
    /// This machine cannot be used.
    #[error(transparent)]
    Here(#[from] here::Error),
    /// The disk with the submission cannot be made.
    #[error(transparent)]
    Stage(#[from] stage::Error),
    /// The package server cannot be started.
    #[error(transparent)]
    Packages(#[from] packages::Error),
    /// The bundle cannot be written.
    #[error(transparent)]
    Bundle(#[from] bundle::Error),
    /// The default setup.sh cannot be written.
    #[error("cannot add a setup.sh beside conductor.sh in our copy of the submission")]
    StandIn(#[source] std::io::Error),
    /// A scenario cannot be driven again.
    #[error("cannot drive the scenario again: {0}")]
    Again(String),
    /// The layout cannot be converted to JSON.
    #[error("cannot convert the submission's layout to JSON")]
    Layout(#[from] serde_json::Error),
}

/// Runs all scenarios of the requested subtasks.
pub fn grade(submission: Submission, request: &Request, on: &mut dyn FnMut(Event)) -> Result<Bundle, Error> {
    let began = Instant::now();
    let started = OffsetDateTime::now_utc().replace_nanosecond(0).ok();
    let mut bundle = Bundle {
        submission: submission.info.clone(),
        environment: Environment {
            harness: crate::VERSION.to_owned(),
            started: started.and_then(|now| now.format(&Rfc3339).ok()).unwrap_or_default(),
            ..Environment::default()
        },
        subtasks: request.subtasks.iter().map(|subtask| subtask.id.to_owned()).collect(),
        layout: serde_json::to_value(&submission.layout)?,
        recordings: BTreeMap::new(),
    };
    let scenarios = handed_in::scenarios(request.subtasks, &submission.layout);
    if scenarios.is_empty() {
        bundle::start(request.report)?;
    }
    if !scenarios.is_empty() {
        drive_all(submission, &scenarios, request, &mut bundle, on)?;
    }
    bundle.environment.seconds = tenths(began);
    bundle::write_manifest(request.report, &bundle)?;
    Ok(bundle)
}

/// Prepares the machine, drives the scenarios and what follows through, and
/// writes their recordings.
fn drive_all(
    submission: Submission,
    scenarios: &[&'static Scenario],
    request: &Request,
    bundle: &mut Bundle,
    on: &mut dyn FnMut(Event),
) -> Result<(), Error> {
    let driver: Box<dyn Driver> = match &request.machine {
        Machine::Virtual(machine) => {
            Box::new(vm::prepare(request.cache, machine, &mut |event| on(Event::Vm(event)))?)
        }
        Machine::Here(slowdown) => Box::new(Here::new(request.workdir, *slowdown)?),
    };
    let environment = &mut bundle.environment;
    let machine = driver.describe(environment);
    environment.calibration = (driver.slowdown() * 100.0).round() / 100.0;
    on(Event::Note(machine));
    if let Some(why) = &environment.unguarded {
        on(Event::Note(format!("{UNGUARDED}: {why}")));
    }
    let fit = Fit::make(&submission.root).map_err(Error::StandIn)?;
    fit.notes().into_iter().for_each(|note| on(Event::Note(note)));
    environment.notes.extend(fit.notes());
    let payload = stage(submission, request.workdir, driver.medium())?;
    let has_world = |scenario: &&&Scenario| plan(scenario, "", &*driver, request).get("world").is_some();
    let in_worlds: Vec<_> = scenarios.iter().filter(has_world).map(|scenario| scenario.id).collect();
    let mut supply = supply(&in_worlds, &fit, &*driver, &request.stores(), on)?;
    let lack = |id: &'static str| {
        let lack = supply.as_ref()?.lack_of(&fit.orders(&[id]), &fit.packages(&[id]))?;
        Some((id, vm::chain(lack)))
    };
    let lacks: BTreeMap<_, _> = in_worlds.iter().filter_map(|id| lack(id)).collect();
    if lacks.len() == scenarios.len()
        && let Some(lack) = supply.as_mut().and_then(Supply::take_lack)
    {
        return Err(lack.into());
    }
    let store = supply.as_ref().map(|supply| supply.store(driver.medium())).transpose()?.flatten();
    // Remove the earlier report only now, when the grader has everything that it needs.
    if request.kept.is_empty() {
        bundle::start(request.report)?;
    }
    if let Some(asked) = &request.asked {
        unfinished::mark(request.report, asked)?;
    }
    bundle.recordings.clone_from(&request.kept);
    bundle::write_manifest(request.report, bundle)?;
    let budget = wire::budget_of_run();
    let place = Place { driver: &*driver, supply: supply.as_ref(), store, lacks, budget };
    let left = scenarios.iter().filter(|scenario| !request.kept.contains_key(scenario.id));
    let runs = left.map(|scenario| Run::of(scenario, &fit, payload.clone())).collect();
    run_all(&place, runs, request, bundle, on)?;
    follow_through(&place, &fit, request, bundle, on)?;
    for missing in supply.iter().flat_map(|supply| supply.stats().missing.texts()) {
        on(Event::Note(format!("the grader could not get a package: {missing}")));
    }
    Ok(())
}

/// What the scenarios of a run share.
struct Place<'a> {
    driver: &'a dyn Driver,
    supply: Option<&'a Supply>,
    /// The base trees.
    store: Option<PathBuf>,
    /// Why some scenarios cannot be driven, by id.
    lacks: BTreeMap<&'static str, String>,
    /// The memory limit for all recordings together.
    budget: Arc<Budget>,
}

/// One scenario to drive.
struct Run {
    scenario: &'static Scenario,
    /// The name of its recording.
    name: String,
    /// The name of the machine's interface.
    interface: String,
    /// The disk or folder with the submission.
    payload: PathBuf,
}

impl Run {
    fn of(scenario: &'static Scenario, fit: &Fit, payload: PathBuf) -> Self {
        let interface = fit.interface(scenario.id).to_owned();
        Self { scenario, name: scenario.id.to_owned(), interface, payload }
    }
}

/// Drives scenarios again that could not show anything because a basic command is broken. That
/// command is replaced by the reference's.
fn follow_through(
    place: &Place,
    fit: &Fit,
    request: &Request,
    bundle: &mut Bundle,
    on: &mut dyn FnMut(Event),
) -> Result<(), Error> {
    loop {
        let wanted = follow_through::wanted(bundle);
        let Some((_, first)) = wanted.first() else { return Ok(()) };
        on(Event::Note(format!("follow-through: once more with the reference's {}", first.name())));
        let run = |(scenario, graft): &(&'static Scenario, Graft)| {
            let run = Run::of(scenario, fit, stage_grafted(*graft, request.workdir, place.driver.medium())?);
            let interface = follow_through::interface(*graft).unwrap_or(run.interface);
            Ok(Run { name: graft.recording(scenario.id), interface, ..run })
        };
        let runs: Result<Vec<Run>, stage::Error> = wanted.iter().map(run).collect();
        run_all(place, runs?, request, bundle, on)?;
    }
}

/// Where packages and base trees come from, and a folder for temporary files.
struct Stores<'a> {
    cache: &'a vm::Cache,
    workdir: &'a Path,
    offline: bool,
}

impl Request<'_> {
    fn stores(&self) -> Stores<'_> {
        Stores { cache: self.cache, workdir: self.workdir, offline: self.offline }
    }
}

/// Starts the package server and makes the base trees for these scenarios, whose plans have a
/// `world` (a [`crate::guest::world::WorldPlan`]).
fn supply(
    scenarios: &[&'static str],
    fit: &Fit,
    driver: &dyn Driver,
    stores: &Stores,
    on: &mut dyn FnMut(Event),
) -> Result<Option<Supply>, Error> {
    if scenarios.is_empty() {
        return Ok(None);
    }
    let Stores { cache, workdir, offline } = *stores;
    let (orders, wanted) = (fit.orders(scenarios), fit.packages(scenarios));
    let mut say = |line| on(Event::Note(line));
    Ok(Some(Supply::start(cache.root(), offline, workdir, &orders, &wanted, driver.maker(), &mut say)?))
}

fn plan(scenario: &Scenario, interface: &str, driver: &dyn Driver, request: &Request) -> Value {
    let mut plan = (scenario.plan)(&mut dice(request.seed, scenario.id));
    if let Some(world) = plan.get_mut("world").and_then(Value::as_object_mut) {
        world.insert("interface".to_owned(), interface.into());
        world.insert("pcap".to_owned(), request.pcap.into());
    }
    driver.adapt(&mut plan);
    plan
}

/// Runs the scenarios in parallel workers, and writes each recording when it arrives.
fn run_all(
    place: &Place,
    mut runs: Vec<Run>,
    request: &Request,
    bundle: &mut Bundle,
    on: &mut dyn FnMut(Event),
) -> Result<(), Error> {
    enum News {
        Began(String),
        Ended(Recording),
    }
    on(Event::Scenarios(runs.len()));
    if request.jobs > 1 {
        // Start the longest scenario first, so that it does not run alone at the end.
        runs.sort_by_key(|run| Reverse(run.scenario.budget.scaled));
    }
    let next = AtomicUsize::new(0);
    let (tell, news) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..request.jobs.clamp(1, runs.len().max(1)) {
            let (tell, next, runs) = (tell.clone(), &next, &runs);
            scope.spawn(move || {
                while let Some(run) = runs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let _ = tell.send(News::Began(run.name.clone()));
                    let recording = record(place, run, request);
                    // The receiver is gone because the report could not be written. Stop.
                    if tell.send(News::Ended(recording)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(tell);
        for news in news {
            match news {
                News::Began(scenario) => on(Event::Began(scenario)),
                News::Ended(recording) => {
                    let remark = recording.cut().map(|cut| cut.sentence);
                    let scenario = recording.scenario.clone();
                    on(Event::Ended { scenario: scenario.clone(), seconds: recording.seconds, remark });
                    bundle::write_recording(request.report, &recording)?;
                    bundle.recordings.insert(scenario, recording);
                    bundle::write_manifest(request.report, bundle)?;
                }
            }
        }
        Ok(())
    })
}

/// The random generator of one scenario. It depends only on the seed and on the scenario's name.
fn dice(seed: u64, scenario: &str) -> StdRng {
    let digest = Sha256::new().chain_update(seed.to_le_bytes()).chain_update(scenario).finalize();
    StdRng::from_seed(digest.into())
}

fn tenths(since: Instant) -> f64 {
    (since.elapsed().as_secs_f64() * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::RngExt;

    #[test]
    fn plans_repeat_for_the_same_seed_and_differ_between_scenarios() {
        let draw = |seed, scenario| dice(seed, scenario).random::<u64>();
        assert_eq!(draw(7, "1"), draw(7, "1"));
        assert_ne!(draw(7, "1"), draw(7, "2"));
        assert_ne!(draw(7, "1"), draw(8, "1"));
    }
}
