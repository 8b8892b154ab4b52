//! Virtual machines: a restored one against a booted one, both in this run.

use std::time::Instant;

use vm::{Cache, Command, Disks, Network, Outcome, Request, RestoreBy};

use crate::measure::{Contender, Trouble, compare};
use crate::report::{Bound, Report};

const RESTORE: &str = "restore";
const BOOT: &str = "cold boot";

/// Measures and publishes.
pub fn measure(report: &mut Report) -> Result<(), Trouble> {
    let cache = Cache::from_env()?;
    let template = prepare(&cache, RestoreBy::Auto)?;
    // A template asked for by another name is booted anew, unless a run that was killed left it.
    let boot = loop {
        let began = Instant::now();
        let booted = prepare(&cache, RestoreBy::SharedMemory)?;
        let (key, boot) = (booted.key().to_owned(), booted.booted_in());
        drop(booted);
        cache.remove(&key)?;
        if began.elapsed() > boot {
            break boot;
        }
    };

    let restore = |_| {
        let began = Instant::now();
        let mut guest = template.restore(&Disks::default(), &Network::default())?;
        match guest.run(&Command::new(["/bin/true"]), &mut |_| {}) {
            Outcome::Exited { code: 0, .. } => Ok(began.elapsed()),
            outcome => Err(outcome.to_string().into()),
        }
    };
    let mut task = compare(
        "a virtual machine until its first command has ended",
        20,
        std::time::Duration::from_secs(60),
        vec![Contender::new(RESTORE, restore)],
    );
    let boot_ms = boot.as_secs_f64() * 1000.0;
    task.rows.push(crate::measure::Row {
        name: BOOT,
        median_ms: Some(boot_ms),
        times_ms: vec![boot_ms],
        trouble: None,
    });
    report.bounds.push(Bound::between(&task, RESTORE, BOOT, 1.0 / 20.0));
    report.bounds.push(Bound {
        claim: "restore to first command, s".into(),
        ratio: task.median(RESTORE).map(|median| median / 1000.0),
        at_most: 0.5,
    });
    report.tasks.push(task);
    Ok(())
}

fn prepare(cache: &Cache, restore: RestoreBy) -> Result<vm::Template, vm::Error> {
    let request = Request { restore, ..Request::default() };
    vm::prepare(cache, &request, &mut |event| {
        if let vm::Event::Step(text) | vm::Event::Note(text) = event {
            eprintln!("{text}");
        }
    })
}
