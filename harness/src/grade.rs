//! Runs a grade: prepares the machine, drives each scenario in a freshly restored one, and writes
//! the evidence bundle.
//!
//! Each recording is written when its scenario ends, so a killed run keeps its finished scenarios.
//! A scenario is repeated once if our infrastructure failed. It is never repeated if the submission
//! failed or timed out.

mod allowance;
mod ending;

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Instant;

use rand::SeedableRng;
use rand::rngs::StdRng;
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::bundle;
use crate::evidence::limits::UNFINISHED;
use crate::evidence::{Bundle, Ending, Record, Recording};
use crate::fit::Fit;
use crate::follow_through::{self, Graft};
use crate::host_look::HostLook;
use crate::lack::{self, LACK};
use crate::packages::base::Maker;
use crate::packages::{self, Supply};
use crate::progress::Event;
use crate::stage::{self, GUEST_HALF, MOUNTED_AT, stage, stage_grafted};
use crate::submission::Submission;
use crate::task::task4::HOST_MAY_LOOK;
use crate::task::{Scenario, Subtask, handed_in};
use crate::verdict::{Environment, UNGUARDED};
use crate::weight::Budget;
use crate::wire::{self, Inbox, Job};

use allowance::Allowance;
use ending::{Turn, ending};

/// The most bytes of records that one scenario may send.
const MAX_OUTPUT: u64 = 64 << 20;

/// Which subtasks to grade, and how.
#[derive(Debug)]
pub struct Request<'a> {
    /// The subtasks, in order.
    pub subtasks: &'a [&'static Subtask],
    /// The operating system and the accelerator of the machine.
    pub machine: vm::Request,
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
}

/// Why a run produced no bundle. The infrastructure is at fault in every case.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The machine cannot be prepared.
    #[error(transparent)]
    Vm(#[from] vm::Error),
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
    #[error("cannot add a setup.sh beside conductor.sh in our copy of the submission: {0}")]
    StandIn(#[source] std::io::Error),
    /// The layout cannot be converted to JSON.
    #[error("cannot convert the submission's layout to JSON: {0}")]
    Layout(#[from] serde_json::Error),
}

/// Runs all scenarios of the requested subtasks.
pub fn grade(submission: &Submission, request: &Request, on: &mut dyn FnMut(Event)) -> Result<Bundle, Error> {
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
        let template = vm::prepare(request.cache, &request.machine, &mut |event| on(Event::Vm(event)))?;
        let accelerator = template.accelerator();
        template.image().clone_into(&mut bundle.environment.image);
        template.kernel().clone_into(&mut bundle.environment.kernel);
        bundle.environment.accelerator = format!("{}: {}", accelerator.kind, accelerator.reason);
        bundle.environment.calibration = (template.calibration().factor() * 100.0).round() / 100.0;
        on(Event::Note(format!("{} in QEMU, {}", bundle.environment.image, bundle.environment.accelerator)));
        bundle.environment.unguarded = template.unguarded().map(str::to_owned);
        if let Some(why) = &bundle.environment.unguarded {
            on(Event::Note(format!("{UNGUARDED}: {why}")));
        }
        let fit = Fit::make(&submission.root).map_err(Error::StandIn)?;
        fit.notes().into_iter().for_each(|note| on(Event::Note(note)));
        bundle.environment.notes = fit.notes();
        let payload = stage(submission, request.workdir)?;
        let supply = supply(&scenarios, &fit, &template, request, on)?;
        // Remove the earlier report only now, when nothing of ours can be missing any more.
        bundle::start(request.report)?;
        bundle::write_manifest(request.report, &bundle)?;
        let place = Place { template: &template, supply: supply.as_ref(), budget: wire::budget_of_run() };
        let runs = scenarios.iter().map(|scenario| Run::of(scenario, &fit, payload.clone())).collect();
        run_all(&place, runs, request, &mut bundle, on)?;
        follow_through(&place, &fit, request, &mut bundle, on)?;
        for missing in supply.iter().flat_map(|supply| supply.stats().missing.texts()) {
            on(Event::Note(format!("the grader could not get a package: {missing}")));
        }
    }
    bundle.environment.seconds = tenths(began);
    bundle::write_manifest(request.report, &bundle)?;
    Ok(bundle)
}

/// What the scenarios of a run share.
struct Place<'a> {
    template: &'a vm::Template,
    supply: Option<&'a Supply>,
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
    /// The disk with the submission.
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
            let run = Run::of(scenario, fit, stage_grafted(*graft, request.workdir)?);
            let interface = follow_through::interface(*graft).unwrap_or(run.interface);
            Ok(Run { name: graft.recording(scenario.id), interface, ..run })
        };
        let runs: Result<Vec<Run>, stage::Error> = wanted.iter().map(run).collect();
        run_all(place, runs?, request, bundle, on)?;
    }
}

/// Starts the package server and makes the base trees, if a scenario's plan has a `world` (a
/// [`crate::guest::world::WorldPlan`]).
fn supply(
    scenarios: &[&'static Scenario],
    fit: &Fit,
    template: &vm::Template,
    request: &Request,
    on: &mut dyn FnMut(Event),
) -> Result<Option<Supply>, Error> {
    let has_world = |scenario: &&&Scenario| plan(scenario, "", request).get("world").is_some();
    let scenarios: Vec<_> = scenarios.iter().filter(has_world).map(|scenario| scenario.id).collect();
    if scenarios.is_empty() {
        return Ok(None);
    }
    let (orders, maker) = (fit.orders(&scenarios), Maker::find(Some(template)));
    let mut say = |line| on(Event::Note(line));
    let root = request.cache.root();
    let wanted = fit.packages(&scenarios);
    Ok(Some(Supply::start(root, request.offline, request.workdir, &orders, &wanted, maker, &mut say)?))
}

fn plan(scenario: &Scenario, interface: &str, request: &Request) -> Value {
    let mut plan = (scenario.plan)(&mut dice(request.seed, scenario.id));
    if let Some(world) = plan.get_mut("world").and_then(Value::as_object_mut) {
        world.insert("interface".to_owned(), interface.into());
        world.insert("pcap".to_owned(), request.pcap.into());
    }
    if let Some(from_host) = plan.get_mut("from_host") {
        *from_host = true.into();
    }
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

/// Drives one scenario, and drives it once more if our infrastructure failed.
fn record(place: &Place, run: &Run, request: &Request) -> Recording {
    let plan = plan(run.scenario, &run.interface, request);
    let (first, weight) = record_once(place, run, &plan);
    match first.ending {
        Ending::Infrastructure { .. } => {
            place.budget.give_back(weight);
            record_once(place, run, &plan).0
        }
        Ending::Finished | Ending::Lost { .. } => first,
    }
}

/// Drives one scenario. Returns its recording and the recording's size in memory.
fn record_once(place: &Place, run: &Run, plan: &Value) -> (Recording, u64) {
    let began = Instant::now();
    let slowdown = place.template.calibration().factor();
    let token = format!("{:032x}", rand::random::<u128>());
    let mut inbox = Inbox::new(token.clone()).within(&place.budget);
    let job = serde_json::to_vec(&Job { plan: plan.clone(), slowdown, token });
    let supply = place.supply.filter(|_| plan.get("world").is_some());
    let disks = vm::Disks {
        payload: Some(run.payload.clone()),
        store: supply.and_then(Supply::store).map(Path::to_owned),
    };
    let (mut from_host, tunnels) = HostLook::of(plan).unzip();
    let mut look = None;
    let mut allowance = Allowance::of(run.scenario.budget, slowdown);
    let outcome = match (job, place.template.restore(&disks, &vm::Network::default())) {
        (Ok(stdin), Ok(mut guest)) => {
            if let Some(supply) = supply {
                supply.serve(&mut guest, tunnels);
            }
            let program = PathBuf::from(MOUNTED_AT).join(GUEST_HALF);
            let mut command = vm::Command::new([&program.to_string_lossy(), "drive", run.scenario.id]);
            command.stdin = stdin;
            command.deadline = run.scenario.budget.on(slowdown);
            command.max_output = MAX_OUTPUT;
            let more = Arc::clone(&command.more);
            command.kept = true;
            inbox.open();
            let mut take = |line: &[u8]| {
                let Some(record) = inbox.take(line) else { return };
                more.store(allowance.after(record), Ordering::Relaxed);
                if record.kind == HOST_MAY_LOOK {
                    look = look.take().or_else(|| {
                        from_host.take().map(|from_host| thread::spawn(move || from_host.look()))
                    });
                }
            };
            Ok(guest.run(&command, &mut take))
        }
        (_, Err(error)) => Err(error.to_string()),
        (Err(error), _) => Err(error.to_string()),
    };
    let weight = inbox.weight();
    let (mut records, spoilt) = inbox.finish();
    // Only the host makes this record.
    records.retain(|record| record.kind != LACK);
    if let Some(page) = look.and_then(|look| look.join().ok()) {
        add(&mut records, "page", page);
    }
    if matches!(outcome, Ok(vm::Outcome::TimedOut(_)))
        && let Some(unfinished) = allowance.unfinished(run.scenario.id, began.elapsed())
    {
        add(&mut records, UNFINISHED, unfinished);
    }
    let said = supply.map(Supply::our_lack).unwrap_or_default();
    if let Some(lack) = lack::of_packages(&records, &said) {
        add(&mut records, LACK, lack);
    }
    let ending = match outcome {
        Ok(outcome) => ending(&outcome, spoilt, Turn::of(&records)),
        Err(what) => Ending::Infrastructure { what, console: vec![] },
    };
    let seconds = tenths(began);
    (Recording { scenario: run.name.clone(), plan: plan.clone(), ending, seconds, records }, weight)
}

/// Appends a record made by the host to those of the guest.
fn add(records: &mut Vec<Record>, kind: &str, data: impl Serialize) {
    let (ms, host_ms) = records.last().map_or((0, None), |record| (record.ms, record.host_ms));
    let record = |data| Record { ms, host_ms, kind: kind.to_owned(), data };
    records.extend(serde_json::to_value(data).map(record));
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
