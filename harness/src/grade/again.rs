//! Drives one recorded scenario again, up to the moment that decided a check, and opens a shell
//! there.

use std::path::Path;
use std::thread;

use super::recording::{MAX_DEBUG, command};
use super::{Error, Stores, supply};
use crate::evidence::Recording;
use crate::fit::Fit;
use crate::grade::driver::Driver;
use crate::host_look::HostLook;
use crate::progress::Event;
use crate::stage::stage;
use crate::submission::Submission;
use crate::task::Scenario;
use crate::wire::{Inbox, Job, Moment, PAUSED, Pause};

/// What to drive again, and with what.
#[derive(Debug)]
pub struct Again<'a> {
    /// The scenario.
    pub scenario: &'static Scenario,
    /// Its recording. The same plan is used, so that names and files are the same.
    pub recording: &'a Recording,
    /// Where to stop; `None` is the scenario's end.
    pub at: Option<Moment>,
    /// The virtual machine.
    pub machine: &'a vm::Request,
    /// The cache with images and templates.
    pub cache: &'a vm::Cache,
    /// A folder for temporary files.
    pub workdir: &'a Path,
    /// Whether to use only cached packages.
    pub offline: bool,
}

/// Drives the scenario in a virtual machine and connects the caller's terminal to a shell there.
/// Returns when the shell has ended. `told` is called when the machine stands still: with true
/// where the moment came, and with false at the scenario's end.
///
/// # Errors
/// If the machine cannot be prepared, or fails before it stands still.
pub fn again(
    submission: Submission,
    again: &Again,
    told: &mut dyn FnMut(bool),
    on: &mut dyn FnMut(Event),
) -> Result<(), Error> {
    let template = vm::prepare(again.cache, again.machine, &mut |event| on(Event::Vm(event)))?;
    let fit = Fit::make(&submission.root).map_err(Error::StandIn)?;
    let medium = Driver::medium(&template);
    let payload = stage(submission, again.workdir, medium)?;
    let plan = &again.recording.plan;
    let in_world = plan.get("world").map(|_| again.scenario.id);
    let stores = Stores { cache: again.cache, workdir: again.workdir, offline: again.offline };
    let supply = supply(in_world.as_slice(), &fit, &template, &stores, on)?;
    let (orders, wanted) = (fit.orders(in_world.as_slice()), fit.packages(in_world.as_slice()));
    if let Some(lack) = supply.as_ref().and_then(|supply| supply.lack_of(&orders, &wanted)) {
        return Err(Error::Again(vm::chain(lack)));
    }
    let store = supply.as_ref().map(|supply| supply.store(medium)).transpose()?.flatten();

    let mut guest = template.restore(&vm::Disks { payload: Some(payload), store })?;
    let visit = again.scenario.visit.as_ref();
    let (mut from_host, tunnels) = visit.map(|visit| HostLook::of(visit, plan)).unzip();
    if let Some(supply) = &supply {
        supply.serve(&mut guest, tunnels);
    }
    let token = format!("{:032x}", rand::random::<u128>());
    let mut inbox = Inbox::new(token.clone());
    let pause = Pause { at: again.at.clone(), script: vm::console_shell() };
    let job = Job { plan: plan.clone(), slowdown: template.slowdown(), token, pause: Some(pause) };
    let mut command = command(again.scenario, &job).map_err(Error::Again)?;
    command.deadline += MAX_DEBUG;
    // The person may look at everything.
    command.kept = false;
    on(Event::Began(again.scenario.id.to_owned()));
    inbox.open();
    let mut stands_still = false;
    let outcome = guest.run_with_console(&command, &mut |line| {
        let Some(record) = inbox.take(line) else { return false };
        if visit.is_some_and(|visit| visit.after == record.kind)
            && let Some(from_host) = from_host.take()
        {
            thread::spawn(move || from_host.look());
        }
        if record.kind != PAUSED {
            return false;
        }
        stands_still = true;
        told(record.data == true);
        true
    })?;
    if stands_still { Ok(()) } else { Err(Error::Again(format!("the scenario did not stop: {outcome}"))) }
}
