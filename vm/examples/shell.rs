//! Prepares a template in the default cache, showing what happens, and opens a shell in a guest;
//! with arguments, runs those there instead: `cargo run -p vm --example shell -- uname -a`.

#[path = "../tests/machine/mod.rs"]
mod machine;

use std::time::Instant;

fn main() -> Result<(), vm::Error> {
    let began = Instant::now();
    let mut last = None;
    let cache = machine::cache();
    let request = vm::Request { setup: machine::setup(), ..vm::Request::default() };
    let template = vm::prepare(&cache, &request, &mut |event| {
        let now = began.elapsed().as_secs();
        match event {
            vm::Event::Progress { done, total, .. } if last != Some(now) => {
                last = Some(now);
                eprintln!("{now:4} s  {done} of {}", total.unwrap_or(0));
            }
            vm::Event::Progress { .. } => {}
            vm::Event::Step(text) => eprintln!("{now:4} s  {text}"),
            vm::Event::Note(text) => eprintln!("{now:4} s  note: {text}"),
        }
    })?;
    eprintln!("{}; {}; {:?}", template.image(), template.accelerator().reason, template.calibration());
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = if arguments.is_empty() {
        template.shell(&vm::Disks::default())?
    } else {
        let mut guest = template.restore(&vm::Disks::default())?;
        eprintln!("restored in {:?}", guest.restored_in());
        guest.run(&vm::Command::new(arguments), &mut |line| println!("{}", String::from_utf8_lossy(line)))
    };
    eprintln!("{outcome}");
    if let vm::Outcome::Exited { stderr, .. } = &outcome {
        eprint!("{}", String::from_utf8_lossy(stderr));
    } else if let Some(console) = outcome.console() {
        eprintln!("{console}");
    }
    Ok(())
}
