//! A folder is written by one run at a time: by the one that made its claim file, which names the run. The file is
//! created exclusively, which holds on network file systems, too, where locks may not.
//!
//! A claim outlives a run that was killed. The next run finds that its process is gone and takes the folder over; of a
//! run on another machine it can say only who that was.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::submission::Beneath;

/// The claim's name in the folder.
const FILE: &str = ".harness-run";

/// A run, as its claim names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// The machine's name.
    pub host: String,
    /// Which start of the machine, and which of its process namespaces: where either differs, PIDs say nothing.
    pub space: String,
    /// The process.
    pub pid: u32,
    /// When the process began, in the kernel's ticks: a PID may be another's by now.
    pub start: u64,
    /// The same for people, RFC 3339.
    pub since: String,
}

impl Run {
    /// This one.
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

    /// Whether it is known to have ended.
    fn is_dead(&self, here: &Self) -> bool {
        self.host == here.host && self.space == here.space && started(self.pid) != Some(self.start)
    }
}

/// When a process began, in ticks since the machine's start: field 22 of proc(5).
fn started(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.split(' ').nth(19)?.parse().ok()
}

/// Why a folder is not this run's.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another run writes there, or may.
    #[error(
        "another run writes to {}: process {} on {}, since {}; if that run is dead, remove {}",
        directory.display(), run.pid, run.host, run.since, directory.join(FILE).display()
    )]
    Taken {
        /// The folder.
        directory: PathBuf,
        /// Who.
        run: Box<Run>,
    },
    /// Its claim cannot be written or read.
    #[error("cannot claim {}: {source}", directory.display())]
    Io {
        /// The folder.
        directory: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

/// A folder that is this run's, until this is dropped.
#[derive(Debug)]
pub struct Claim(PathBuf);

impl Claim {
    /// Claims a folder.
    ///
    /// # Errors
    /// When another run has it, or the claim cannot be written.
    pub fn new(directory: &Path) -> Result<Self, Error> {
        let failed = |source| Error::Io { directory: directory.to_owned(), source };
        let this = Run::this();
        let file = directory.join(FILE);
        // Each turn ends with a claim, with an error, or with a dead run's claim removed.
        for _ in 0..100 {
            match create(&file, &this) {
                Ok(()) => return Ok(Self(file)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(failed(error)),
            }
            match read(&file) {
                Ok(Some(run)) if run.is_dead(&this) => take_away(&file, &run, &this).map_err(failed)?,
                Ok(Some(run)) => {
                    return Err(Error::Taken { directory: directory.to_owned(), run: Box::new(run) });
                }
                Ok(None) => {}
                Err(error) => return Err(failed(error)),
            }
        }
        Err(failed(io::Error::other("other runs keep claiming the folder")))
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // A claim that stays is one of a dead run, which the next one finds.
        let _ = fs::remove_file(&self.0);
    }
}

/// Makes a claim with its whole content at once: a file of another name, then a link, which fails where one is.
fn create(file: &Path, run: &Run) -> io::Result<()> {
    let folder = file.parent().unwrap_or(Path::new("."));
    let mut whole = tempfile::Builder::new().prefix(".harness-run-").tempfile_in(folder)?;
    serde_json::to_writer(&mut whole, run)?;
    whole.flush()?;
    match fs::hard_link(whole.path(), file) {
        // Not every file system has hard links.
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

/// Who has it; `None` where nobody has any more.
fn read(file: &Path) -> io::Result<Option<Run>> {
    let mut text = Vec::new();
    let folder = Beneath::open(file.parent().unwrap_or(Path::new(".")))?;
    // Others may write there, too: a pipe or a link that has taken the claim's place is an error.
    match folder.file(Path::new(file.file_name().unwrap_or_default())) {
        Ok(file) => file.take(64 << 10).read_to_end(&mut text)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io::Error::new(error.kind(), format!("{FILE}: {error}"))),
    };
    serde_json::from_slice(&text)
        .map(Some)
        .map_err(|error| io::Error::other(format!("{FILE} is damaged: {error}")))
}

/// Removes a dead run's claim, if it is still there. Two runs may find it at once, and one may have claimed the folder
/// by the time the other removes it: so who removes has claimed the removal first.
fn take_away(file: &Path, dead: &Run, this: &Run) -> io::Result<()> {
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
    fn a_second_run_is_told_who_has_the_folder() {
        let home = tempfile::tempdir().unwrap();
        let claim = Claim::new(home.path()).unwrap();
        let error = Claim::new(home.path()).unwrap_err().to_string();
        assert!(error.contains(&format!("process {}", std::process::id())), "{error}");
        drop(claim);
        drop(Claim::new(home.path()).unwrap());
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
    }

    #[test]
    fn the_claim_of_a_dead_run_is_taken_over_and_that_of_another_machine_is_not() {
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
        assert!(matches!(Claim::new(home.path()), Err(Error::Io { .. })));
    }

    #[test]
    fn of_many_that_find_a_dead_claim_one_has_the_folder_at_a_time() {
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
