//! What goes into the guest: the submission with the course's files over it, the course's files by themselves,
//! and the guest half, on one read-only disk.
//!
//! ```text
//! harness-guest   the guest half
//! submission/     the submission's folder
//! course/         what students are handed
//! ```

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::follow_through::{self, Graft};
use crate::submission::Submission;
use crate::{course, siblings};

/// Where the disk is mounted in the guest.
pub const MOUNTED_AT: &str = "/run/vm/payload";

/// The guest half's name on the disk and beside the harness.
pub const GUEST_HALF: &str = "harness-guest";

/// Why there is no disk.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be put in place.
    #[error("cannot stage {}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The guest half is not there.
    #[error(transparent)]
    Sibling(#[from] siblings::Error),
    /// The disk cannot be made.
    #[error(transparent)]
    Vm(#[from] vm::Error),
}

/// What is on the disk, in `workdir`.
const PAYLOAD: &str = "payload";

/// Makes the disk in `workdir`. The submission's folder is moved into it.
pub fn stage(submission: &Submission, workdir: &Path) -> Result<PathBuf, Error> {
    let payload = workdir.join(PAYLOAD);
    fs::create_dir_all(&payload).map_err(failed(&payload))?;
    let root = payload.join("submission");
    fs::rename(&submission.root, &root).map_err(failed(&submission.root))?;
    let course = payload.join("course");
    course::unpack(&course).map_err(failed(&course))?;
    supply(&course, &root)?;
    let guest_half = payload.join(GUEST_HALF);
    fs::copy(siblings::find(GUEST_HALF)?, &guest_half).map_err(failed(&guest_half))?;
    let disk = workdir.join("payload.img");
    vm::disk_from_dir(&payload, &disk)?;
    Ok(disk)
}

/// Makes another disk beside the first one, with commands of the conductor replaced.
pub fn stage_grafted(graft: Graft, workdir: &Path) -> Result<PathBuf, Error> {
    let name = format!("{PAYLOAD}-{}", graft.name());
    let disk = workdir.join(&name).with_extension("img");
    if disk.exists() {
        return Ok(disk);
    }
    let payload = workdir.join(&name);
    let copied = Command::new("cp").arg("-a").arg(workdir.join(PAYLOAD)).arg(&payload).output();
    match copied {
        Ok(output) if output.status.success() => {}
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(failed(&payload)(io::Error::other(said)));
        }
        Err(source) => return Err(failed(&payload)(source)),
    }
    follow_through::apply(graft, &payload.join("submission")).map_err(failed(&payload))?;
    vm::disk_from_dir(&payload, &disk)?;
    Ok(disk)
}

/// Puts what the course supplies (of its files in `course`) into a submission's folder, over whatever is there.
pub fn supply(course: &Path, submission: &Path) -> Result<(), Error> {
    for supplied in course::SUPPLIED {
        let (from, to) = (course.join(supplied), submission.join(supplied));
        if from.exists() && to.parent().is_some_and(Path::is_dir) {
            replace(&from, &to).map_err(failed(&to))?;
        }
    }
    Ok(())
}

/// Puts a file or folder in the place of whatever is there.
fn replace(from: &Path, to: &Path) -> io::Result<()> {
    match fs::symlink_metadata(to) {
        Ok(there) if there.is_dir() => fs::remove_dir_all(to)?,
        Ok(_) => fs::remove_file(to)?,
        Err(_) => {}
    }
    copy(from, to)
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    if !from.is_dir() {
        return fs::copy(from, to).map(drop);
    }
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let name = entry?.file_name();
        copy(&from.join(&name), &to.join(&name))?;
    }
    Ok(())
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Io { path, source }
}
