//! `harness vm`: manages the virtual machines and starts one by hand.

use std::time::Instant;

use harness::progress::{Event, Progress};
use harness::stage::{Medium, stage};
use harness::submission::{self, Limits};
use harness::workdir::Workdir;
use vm::{Cache, Disks, EntryKind, Outcome, Template};

use super::{Failure, Status};
use crate::cli::{Boot, Machine, Rm, Shelled, Vm, VmCommand};

/// Runs the subcommand.
pub fn run(arguments: &Vm) -> Result<Status, Failure> {
    let cache = harness::machine::cache().map_err(Failure::infrastructure)?;
    match &arguments.command {
        VmCommand::Build(arguments) => build(&cache, arguments),
        VmCommand::Boot(arguments) => boot(&cache, arguments),
        VmCommand::Shell(arguments) => shell(&cache, arguments),
        VmCommand::List => list(&cache),
        VmCommand::Rm(arguments) => remove(&cache, arguments),
    }
}

/// Converts the command-line arguments to a request to the `vm` library.
pub fn machine(arguments: &Machine) -> vm::Request {
    vm::Request {
        suite: arguments.image,
        accel: arguments.accel,
        setup: harness::machine::setup(),
        ..vm::Request::default()
    }
}

fn prepare(cache: &Cache, arguments: &Machine) -> Result<Template, Failure> {
    let mut progress = Progress::new(false);
    vm::prepare(cache, &machine(arguments), &mut |event| progress.show(Event::Vm(event)))
        .map_err(Failure::infrastructure)
}

fn build(cache: &Cache, arguments: &Machine) -> Result<Status, Failure> {
    let template = prepare(cache, arguments)?;
    let accelerator = template.accelerator();
    harness::say!("{}, kernel {}", template.image(), template.kernel());
    harness::say!("{}: {}", accelerator.kind, accelerator.reason);
    harness::say!(
        "template {}, {:.1} times slower than the reference machine",
        template.key(),
        template.calibration().factor()
    );
    Ok(Status::Good)
}

fn boot(cache: &Cache, arguments: &Boot) -> Result<Status, Failure> {
    let template = prepare(cache, &arguments.machine)?;
    let mut guest = template.restore(&Disks::default()).map_err(Failure::infrastructure)?;
    let began = Instant::now();
    let outcome = guest.run(&vm::Command::new(arguments.command.iter().cloned()), &mut |line| {
        harness::say!("{}", String::from_utf8_lossy(line));
    });
    harness::note!(
        "restored in {:.2} s, the command took {:.2} s",
        guest.restored_in().as_secs_f64(),
        began.elapsed().as_secs_f64()
    );
    match outcome {
        Outcome::Exited { code: 0, .. } => Ok(Status::Good),
        Outcome::Exited { code, stderr } => {
            harness::note!("{}the command ended with status {code}", String::from_utf8_lossy(&stderr));
            Ok(Status::Lacking)
        }
        outcome => Err(Failure::infrastructure(outcome.to_string())),
    }
}

fn shell(cache: &Cache, arguments: &Shelled) -> Result<Status, Failure> {
    let template = prepare(cache, &arguments.machine)?;
    let workdir = Workdir::new(cache.root()).map_err(Failure::infrastructure)?;
    let mut disks = Disks::default();
    if let Some(source) = &arguments.submission {
        let into = workdir.folder("submission").map_err(Failure::infrastructure)?;
        let submission =
            submission::open(source, &into, &Limits::default(), None).map_err(Failure::submission)?;
        disks.payload =
            Some(stage(submission, workdir.path(), Medium::Disk).map_err(Failure::infrastructure)?);
    }
    match template.shell(&disks).map_err(Failure::infrastructure)? {
        vm::Outcome::Exited { .. } => {}
        ended => harness::note!("{ended}"),
    }
    Ok(Status::Good)
}

fn list(cache: &Cache) -> Result<Status, Failure> {
    let entries = cache.list().map_err(Failure::infrastructure)?;
    let width = entries.iter().map(|entry| entry.id.len()).max().unwrap_or(0);
    for entry in entries {
        let kind = match entry.kind {
            EntryKind::Image => "image",
            EntryKind::Template => "template",
            EntryKind::Download => "download",
        };
        let in_use = if entry.in_use { ", in use" } else { "" };
        let megabytes = entry.bytes.div_ceil(1 << 20);
        harness::say!("{kind:<9} {:<width$} {megabytes:>6} MiB  {}{in_use}", entry.id, entry.title);
    }
    Ok(Status::Good)
}

fn remove(cache: &Cache, arguments: &Rm) -> Result<Status, Failure> {
    let ids = if let Some(id) = &arguments.id {
        vec![id.clone()]
    } else {
        let entries = cache.list().map_err(Failure::infrastructure)?;
        // Removing an image also removes its templates.
        let whole = entries.into_iter().filter(|entry| !entry.in_use && entry.kind != EntryKind::Template);
        whole.map(|entry| entry.id).collect()
    };
    for id in ids {
        cache.remove(&id).map_err(Failure::infrastructure)?;
        harness::say!("removed {id}");
    }
    Ok(Status::Good)
}
