//! Runs git on a repository that nobody knows yet: with limits on its time, on the size of a file
//! and on that of the folder.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};

use super::Failed;
use crate::submission::Limits;

/// How long a clone may take.
const TIME: Duration = Duration::from_secs(300);

/// How often a running git is looked at.
const PAUSE: Duration = Duration::from_millis(50);

/// How often the folder's size is added up, in looks.
const EVERY: u32 = 4;

/// How long git may take to end its own children and remove its files.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Runs git, which writes to `folder` only. `shown` is the repository's address.
pub fn run(git: &mut Command, folder: &Path, limits: &Limits, shown: &str) -> Result<ExitStatus, Failed> {
    let mut child = git.spawn().map_err(|error| {
        Failed::Other(format!("cannot clone {shown}: cannot start git: {error}; install git"))
    })?;
    let ended = watch(&mut child, folder, limits, shown);
    if ended.is_err() {
        stop(&mut child);
    }
    ended
}

fn watch(child: &mut Child, folder: &Path, limits: &Limits, shown: &str) -> Result<ExitStatus, Failed> {
    let other = |why: &str| Failed::Other(format!("cannot clone {shown}: {why}"));
    // Its children have the same limit.
    let most = Rlimit { current: Some(limits.file), maximum: Some(limits.file) };
    if let Some(pid) = pid(child) {
        let _ = prlimit(Some(pid), Resource::Fsize, most);
    }
    let began = Instant::now();
    for look in 1.. {
        if let Some(status) = child.try_wait().map_err(|error| other(&error.to_string()))? {
            let is_cut = status.signal() == Some(Signal::XFSZ.as_raw());
            return if is_cut { Err(too_large(shown, limits)) } else { Ok(status) };
        }
        if began.elapsed() > TIME {
            return Err(other(&format!("it took more than {} minutes", TIME.as_secs() / 60)));
        }
        if look % EVERY == 0 && size(folder) > limits.total {
            return Err(too_large(shown, limits));
        }
        sleep(PAUSE);
    }
    Err(other("it did not end"))
}

/// What is said of a repository that is larger than any submission.
pub fn too_large(shown: &str, limits: &Limits) -> Failed {
    Failed::Refused(format!(
        "{shown} is refused: a file of it exceeds {} MiB, or all together exceed {} MiB",
        limits.file >> 20,
        limits.total >> 20
    ))
}

/// Lets git end its own children, and then ends it.
fn stop(child: &mut Child) {
    if let Some(pid) = pid(child) {
        let _ = kill_process(pid, Signal::TERM);
    }
    let began = Instant::now();
    while began.elapsed() < LAST_WORDS && matches!(child.try_wait(), Ok(None)) {
        sleep(PAUSE);
    }
    let _ = child.kill();
    let _ = child.wait();
}

fn pid(child: &Child) -> Option<Pid> {
    Pid::from_raw(i32::try_from(child.id()).ok()?)
}

/// The bytes of all files below a folder.
pub fn size(folder: &Path) -> u64 {
    let mut bytes = 0;
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(facts) if facts.is_dir() => open.push(entry.path()),
                Ok(facts) => bytes += facts.len(),
                Err(_) => {}
            }
        }
    }
    bytes
}
