//! Lets only one run at a time write to a report folder. A run claims the folder by exclusively
//! creating a claim file that names the run. This also works on network file systems, where locks
//! may not.
//!
//! The claim of a killed run stays. If that run was on this machine, the next run sees that its
//! process is gone and takes the folder over. Otherwise the next run fails and names the owner of
//! the claim.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use vm::FileError;

use crate::lifetime::started;
use crate::submission::Beneath;

/// The name of the claim file.
const FILE: &str = ".harness-run";

/// The content of a claim file: which run claims the folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// The machine's host name.
    pub host: String,
    /// Boot id and PID namespace. PIDs can be compared only if both are equal.
    pub space: String,
    /// The PID of the run's process.
    pub pid: u32,
    /// When that process began, in kernel ticks since boot. It detects a PID that was reused.
    pub start: u64,
    /// When the claim was made, in RFC 3339, for people to read.
    pub since: String,
}

impl Run {
    /// This process.
    fn this() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
        let namespace = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
        let now = OffsetDateTime::now_utc().replace_nanosecond(0).ok();
        Self {
            host: read("/proc/sys/kernel/hostname"),
            space: format!("{} {}", read("/proc/sys/kernel/random/boot_id"), namespace.display()),
            pid: std::process::id(),
            start: started(std::process::id()).unwrap_or(0),
            since: now.and_then(|now| now.format(&Rfc3339).ok()).unwrap_or_default(),
        }
    }

    /// Whether this run has certainly ended. `here` is the process that asks.
    fn is_dead(&self, here: &Self) -> bool {
        self.host == here.host && self.space == here.space && started(self.pid) != Some(self.start)
    }
}

/// Waits at most `patience` until no other run claims a folder. Use it if the owner of the
/// claim is about to end.
pub fn wait_until_free(directory: &Path, patience: Duration) {
    let until = Instant::now() + patience;
    while Claim::new(directory).is_err_and(|error| error.is_taken()) && Instant::now() < until {
        thread::sleep(Duration::from_millis(100));
    }
}

/// Why a folder cannot be claimed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another run has the folder, and is not known to have ended.
    #[error(
        "another run is writing to {}: process {} on {}, since {}; if that run has ended, remove {}",
        directory.display(), run.pid, run.host, run.since, directory.join(FILE).display()
    )]
    Taken {
        /// The folder.
        directory: PathBuf,
        /// The other run.
        run: Box<Run>,
    },
    /// The claim file cannot be written or read.
    #[error(transparent)]
    File(#[from] FileError),
}

impl Error {
    /// Whether another run has the folder.
    pub fn is_taken(&self) -> bool {
        matches!(self, Self::Taken { .. })
    }
}

/// A claimed folder. Dropping the claim releases the folder.
#[derive(Debug)]
pub struct Claim(PathBuf);

impl Claim {
    /// Claims a folder.
    ///
    /// # Errors
    /// If another run has the folder, or the claim file cannot be written.
    pub fn new(directory: &Path) -> Result<Self, Error> {
        let failed = |error| FileError::at("claim the report folder", directory)(error);
        let this = Run::this();
        let file = directory.join(FILE);
        // Each iteration makes the claim, fails, or removes the claim of a dead run.
        for _ in 0..100 {
            match create(&file, &this) {
                Ok(()) => return Ok(Self(file)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(failed(error).into()),
            }
            match read(&file) {
                Ok(Some(run)) if run.is_dead(&this) => {
                    remove_dead_claim(&file, &run, &this).map_err(failed)?;
                }
                Ok(Some(run)) => {
                    return Err(Error::Taken { directory: directory.to_owned(), run: Box::new(run) });
                }
                Ok(None) => {}
                Err(error) => return Err(failed(error).into()),
            }
        }
        Err(failed(io::Error::other("other runs keep claiming it; try again later")).into())
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // If the removal fails, the next run finds the claim of a dead run.
        let _ = fs::remove_file(&self.0);
    }
}

/// Creates a claim file with its whole content at once: writes a temporary file, then links it to
/// the final name. The link fails if a claim exists.
fn create(file: &Path, run: &Run) -> io::Result<()> {
    let folder = file.parent().unwrap_or(Path::new("."));
    let mut whole = tempfile::Builder::new().prefix(".harness-run-").tempfile_in(folder)?;
    serde_json::to_writer(&mut whole, run)?;
    whole.flush()?;
    match fs::hard_link(whole.path(), file) {
        // Some file systems have no hard links.
        Err(error)
            if matches!(error.kind(), io::ErrorKind::Unsupported | io::ErrorKind::PermissionDenied) =>
        {
            let mut claim = OpenOptions::new().write(true).create_new(true).open(file)?;
            serde_json::to_writer(&mut claim, run)?;
            claim.flush()
        }
        done => done,
    }
}

/// Reads a claim file; `None` if it is gone.
fn read(file: &Path) -> io::Result<Option<Run>> {
    let mut text = Vec::new();
    let folder = Beneath::open(file.parent().unwrap_or(Path::new(".")))?;
    // Other users may write to this folder. A pipe or a link in place of the claim file is an
    // error.
    match folder.file(Path::new(file.file_name().unwrap_or_default())) {
        Ok(file) => file.take(64 << 10).read_to_end(&mut text)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io::Error::new(error.kind(), format!("{FILE}: {error}"))),
    };
    serde_json::from_slice(&text)
        .map(Some)
        .map_err(|error| io::Error::other(format!("{FILE} is damaged, remove it: {error}")))
}

/// Removes the claim of a dead run, if it is still there. Two runs may find that claim at the same
/// time, and the first may have claimed the folder before the second removes the file. So a run
/// must claim the removal first.
fn remove_dead_claim(file: &Path, dead: &Run, this: &Run) -> io::Result<()> {
    let removal = file.with_file_name(format!("{FILE}-removal"));
    match create(&removal, this) {
        Ok(()) => {
            let still = read(file).map(|run| run.as_ref() == Some(dead));
            let removed = if matches!(still, Ok(true)) { fs::remove_file(file) } else { still.map(drop) };
            fs::remove_file(&removal)?;
            removed
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            if read(&removal)?.is_some_and(|run| run.is_dead(this)) {
                fs::remove_file(&removal)?;
            }
            thread::sleep(Duration::from_millis(20));
            Ok(())
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_run_fails_and_names_the_first() {
        let home = tempfile::tempdir().unwrap();
        let claim = Claim::new(home.path()).unwrap();
        let error = Claim::new(home.path()).unwrap_err().to_string();
        assert!(error.contains(&format!("process {}", std::process::id())), "{error}");
        drop(claim);
        drop(Claim::new(home.path()).unwrap());
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_claim_of_a_dead_run_is_taken_over_but_not_one_of_another_machine() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join(FILE);
        let this = Run::this();
        // The same PID, another process.
        let dead = Run { start: this.start + 1, ..this.clone() };
        create(&file, &dead).unwrap();
        drop(Claim::new(home.path()).unwrap());
        for elsewhere in [
            Run { host: "elsewhere".into(), ..dead.clone() },
            Run { space: "another start".into(), ..dead.clone() },
        ] {
            create(&file, &elsewhere).unwrap();
            assert!(matches!(Claim::new(home.path()), Err(Error::Taken { .. })));
            fs::remove_file(&file).unwrap();
        }
        fs::write(&file, "{").unwrap();
        assert!(matches!(Claim::new(home.path()), Err(Error::File(_))));
    }

    #[test]
    fn a_run_that_ended_is_dead_though_nobody_has_waited_for_it() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join(FILE);
        let mut child = std::process::Command::new("sleep").arg("0.3").spawn().unwrap();
        let run = Run { pid: child.id(), start: started(child.id()).unwrap(), ..Run::this() };
        create(&file, &run).unwrap();
        assert!(matches!(Claim::new(home.path()), Err(Error::Taken { .. })));
        wait_until_free(home.path(), Duration::from_secs(30));
        drop(Claim::new(home.path()).unwrap());
        child.wait().unwrap();
    }

    #[test]
    fn only_one_of_many_runs_takes_over_a_dead_claim() {
        let home = tempfile::tempdir().unwrap();
        for _ in 0..20 {
            create(&home.path().join(FILE), &Run { start: 1, ..Run::this() }).unwrap();
            let claims: Vec<_> = thread::scope(|scope| {
                let runs: Vec<_> = (0..8).map(|_| scope.spawn(|| Claim::new(home.path()).ok())).collect();
                runs.into_iter().filter_map(|run| run.join().unwrap()).collect()
            });
            assert_eq!(claims.len(), 1);
        }
    }
}
