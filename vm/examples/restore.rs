//! A restored machine against a booted one, both in this run: a table and which of the
//! required bounds hold. `ci/bench` runs it; with a file as its argument it writes the figures
//! there, too, as JSON.

#[path = "../tests/machine/mod.rs"]
mod machine;

use std::time::Instant;

use vm::{Cache, Command, Disks, Outcome, Request, RestoreBy};

const RESTORES: usize = 20;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let cache = machine::cache();
    let template = prepare(&cache, RestoreBy::Auto)?;
    // A template asked for by another name is booted anew, unless a run that was killed left it.
    let boot = loop {
        let began = Instant::now();
        let booted = prepare(&cache, RestoreBy::SharedMemory)?;
        let (key, boot) = (booted.key().to_owned(), booted.booted_in());
        drop(booted);
        cache.remove(&key)?;
        if began.elapsed() > boot {
            break boot.as_secs_f64();
        }
    };
    let mut restores = Vec::new();
    for _ in 0..RESTORES {
        let began = Instant::now();
        let mut guest = template.restore(&Disks::default())?;
        match guest.run(&Command::new(["/bin/true"]), &mut |_| {}) {
            Outcome::Exited { code: 0, .. } => restores.push(began.elapsed().as_secs_f64()),
            outcome => return Err(outcome.to_string().into()),
        }
    }
    restores.sort_by(f64::total_cmp);
    let median = restores[RESTORES / 2];
    let verdict = |holds| if holds { "holds" } else { "MISSED" };
    println!("| {} | s |\n|---|--:|", template.accelerator().kind);
    println!("| cold boot to the guest half's first word | {boot:.2} |");
    println!("| restore until /bin/true has ended, median of {RESTORES} | {median:.3} |");
    println!("| at most 0.5 s | {} |", verdict(median <= 0.5));
    println!("| at most 1/20 of the boot: 1/{:.1} | {} |", boot / median, verdict(median <= boot / 20.0));
    if let Some(file) = std::env::args().nth(1) {
        let json = serde_json::json!({ "boot_s": boot, "restores_s": restores, "restore_median_s": median });
        std::fs::write(file, json.to_string())?;
    }
    Ok(())
}

fn prepare(cache: &Cache, restore: RestoreBy) -> Result<vm::Template, vm::Error> {
    let request = Request { restore, setup: machine::setup(), ..Request::default() };
    vm::prepare(cache, &request, &mut |event| {
        if let vm::Event::Step(text) | vm::Event::Note(text) = event {
            eprintln!("{text}");
        }
    })
}
