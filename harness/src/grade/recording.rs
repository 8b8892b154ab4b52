//! Drives one scenario and returns what the guest half recorded.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::Value;

use super::allowance::Allowance;
use super::driver::Supplied;
use super::ending::{Turn, ending};
use super::{Place, Request, Run, plan, tenths};
use crate::evidence::limits::UNFINISHED;
use crate::evidence::{Ending, Record, Recording};
use crate::host_look::HostLook;
use crate::lack::{self, LACK};
use crate::packages::Supply;
use crate::stage::{GUEST_HALF, MOUNTED_AT};
use crate::task::Scenario;
use crate::wire::{Inbox, Job};

/// The most bytes of records that one scenario may send.
const MAX_OUTPUT: u64 = 64 << 20;

/// How long a person may look around in a machine that stands still.
pub(super) const MAX_DEBUG: Duration = Duration::from_secs(24 * 3600);

/// Drives one scenario, and drives it once more if our infrastructure failed. What it needs and
/// cannot have is such a failure, too.
pub(super) fn record(place: &Place, run: &Run, request: &Request) -> Recording {
    let plan = plan(run.scenario, &run.interface, place.driver, request);
    if let Some(what) = place.lacks.get(run.scenario.id) {
        let ending = Ending::Infrastructure { what: what.clone(), console: vec![] };
        return Recording { scenario: run.name.clone(), plan, ending, seconds: 0.0, records: vec![] };
    }
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
    let slowdown = place.driver.slowdown();
    let token = format!("{:032x}", rand::random::<u128>());
    let mut inbox = Inbox::new(token.clone()).within(&place.budget);
    let packages = place.supply.filter(|_| plan.get("world").is_some());
    let (mut from_host, tunnels) = run.scenario.visit.as_ref().map(|visit| HostLook::of(visit, plan)).unzip();
    let mut look = None;
    let mut allowance = Allowance::of(run.scenario.budget, slowdown);
    let supplied =
        Supplied { payload: &run.payload, store: packages.and(place.store.as_deref()), packages, tunnels };
    let outcome = command(run.scenario, &Job { plan: plan.clone(), slowdown, token, pause: None }).and_then(
        |command| {
            let mut machine = place.driver.start(supplied)?;
            inbox.open();
            let more = Arc::clone(&command.more);
            let mut take = |line: &[u8]| {
                let Some(record) = inbox.take(line) else { return };
                more.store(allowance.after(record), Ordering::Relaxed);
                if run.scenario.visit.as_ref().is_some_and(|visit| visit.after == record.kind) {
                    look = look.take().or_else(|| {
                        from_host.take().map(|from_host| thread::spawn(move || from_host.look()))
                    });
                }
            };
            Ok(machine.run(&command, &mut take))
        },
    );
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
    let said = packages.map(Supply::our_lack).unwrap_or_default();
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

/// The guest half with its job and its limits.
pub(super) fn command(scenario: &Scenario, job: &Job) -> Result<vm::Command, String> {
    let program = Path::new(MOUNTED_AT).join(GUEST_HALF);
    let mut command = vm::Command::new([&program.to_string_lossy(), "drive", scenario.id]);
    command.stdin = serde_json::to_vec(job).map_err(|error| error.to_string())?;
    command.deadline = scenario.budget.on(job.slowdown);
    command.max_output = MAX_OUTPUT;
    command.kept = true;
    Ok(command)
}

/// Appends a record made by the host to those of the guest.
fn add(records: &mut Vec<Record>, kind: &str, data: impl Serialize) {
    let (ms, host_ms) = records.last().map_or((0, None), |record| (record.ms, record.host_ms));
    let record = |data| Record { ms, host_ms, kind: kind.to_owned(), data };
    records.extend(serde_json::to_value(data).map(record));
}
