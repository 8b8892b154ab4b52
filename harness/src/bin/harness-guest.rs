//! The guest half: runs inside the virtual machine, drives one scenario and writes what it sees to standard
//! output. `harness-guest drive SCENARIO` reads its errand from standard input; nobody types this.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use harness::guest::recorder::Recorder;
use harness::stage::MOUNTED_AT;
use harness::task::{self, Site};
use harness::wire::{EXHAUSTED, Errand, Marked};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["drive", scenario] => drive(scenario),
        _ => Err(io::Error::other("usage: harness-guest drive SCENARIO")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("harness-guest: {error}");
            ExitCode::from(if ran_out(&error) { EXHAUSTED } else { 1 })
        }
    }
}

fn drive(scenario: &str) -> io::Result<()> {
    let scenario = task::scenarios()
        .into_iter()
        .find(|known| known.id == scenario)
        .ok_or_else(|| io::Error::other(format!("no scenario {scenario:?}")))?;
    let mut errand = String::new();
    io::stdin().read_to_string(&mut errand)?;
    let errand: Errand = serde_json::from_str(&errand)?;
    let payload = Path::new(MOUNTED_AT);
    let site = Site {
        submission: writable_copy(payload)?,
        course: payload.join("course"),
        slowdown: errand.slowdown,
    };
    let recorder = Recorder::new(Marked::new(io::stdout(), errand.word));
    // From here on the machine is the submission's: the host tells by this record whose fault an end is.
    recorder.record("begin", &site.submission)?;
    (scenario.drive)(&site, &errand.plan, &recorder)
}

/// Copies the submission to a folder whose name nothing can know beforehand.
fn writable_copy(payload: &Path) -> io::Result<PathBuf> {
    let home = PathBuf::from(format!("/home/cs695/{:08x}", rand::random::<u32>()));
    fs::create_dir_all(&home)?;
    let copy = home.join("assignment3");
    let copied = Command::new("cp").arg("-a").arg(payload.join("submission")).arg(&copy).output()?;
    if !copied.status.success() {
        return Err(io::Error::other(format!(
            "cannot copy the submission: {}",
            String::from_utf8_lossy(&copied.stderr)
        )));
    }
    Ok(copy)
}

/// Whether the machine had no more of something that programs can use up: disk, memory, processes, files.
fn ran_out(error: &io::Error) -> bool {
    use nix::errno::Errno;
    let exhausted =
        [Errno::ENOSPC, Errno::EDQUOT, Errno::ENOMEM, Errno::EAGAIN, Errno::ENFILE, Errno::EMFILE];
    error.raw_os_error().is_some_and(|code| exhausted.contains(&Errno::from_raw(code)))
}
