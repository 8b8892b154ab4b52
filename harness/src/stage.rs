//! The read-only disk or folder for the guest: the guest half, the submission with the course's
//! files over it, and the course's files alone.
//!
//! ```text
//! harness-guest   the guest half
//! submission/     the submission's folder
//! course/         what students are handed
//! ```

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use vm::FileError;

use crate::follow_through::{self, Graft};
use crate::submission::{Beneath, Submission};
use crate::{course, siblings};

/// The mount point of the disk in the guest.
pub const MOUNTED_AT: &str = "/run/vm/payload";

/// The guest half's name on the disk and beside the harness.
pub const GUEST_HALF: &str = "harness-guest";

/// Why the disk cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be put in place.
    #[error(transparent)]
    File(#[from] FileError),
    /// The guest half is not there.
    #[error(transparent)]
    Sibling(#[from] siblings::Error),
    /// The disk cannot be made.
    #[error(transparent)]
    Vm(#[from] vm::Error),
}

/// How a folder of the host reaches a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Medium {
    /// As a disk image with the folder's files.
    Disk,
    /// As the folder itself, where machine and host share a kernel.
    Folder,
}

impl Medium {
    /// The folder in this medium; a disk is made at `disk`.
    fn of(self, folder: PathBuf, disk: PathBuf) -> Result<PathBuf, Error> {
        match self {
            Self::Folder => Ok(folder),
            Self::Disk => vm::disk_from_dir(&folder, &disk).map(|()| disk).map_err(Error::Vm),
        }
    }
}

/// The name of the payload's folder in `workdir`.
const PAYLOAD: &str = "payload";

/// Makes the payload in `workdir`, and moves the submission's folder into it.
pub fn stage(submission: Submission, workdir: &Path, medium: Medium) -> Result<PathBuf, Error> {
    let payload = workdir.join(PAYLOAD);
    fs::create_dir_all(&payload).map_err(failed(&payload))?;
    let root = payload.join("submission");
    let Submission { root: opened, .. } = submission;
    fs::rename(&opened, &root).map_err(failed(&opened))?;
    let course = payload.join("course");
    course::unpack(&course).map_err(failed(&course))?;
    supply(&course, &root)?;
    let guest_half = payload.join(GUEST_HALF);
    fs::copy(siblings::find(GUEST_HALF)?, &guest_half).map_err(failed(&guest_half))?;
    medium.of(payload, workdir.join("payload.img"))
}

/// Makes a second payload, in which commands of the submission's conductor are replaced.
pub fn stage_grafted(graft: Graft, workdir: &Path, medium: Medium) -> Result<PathBuf, Error> {
    let name = format!("{PAYLOAD}-{}", graft.name());
    let (payload, disk) = (workdir.join(&name), workdir.join(&name).with_extension("img"));
    if payload.exists() {
        return Ok(if medium == Medium::Disk { disk } else { payload });
    }
    let copied = Command::new("cp").arg("-a").arg(workdir.join(PAYLOAD)).arg(&payload).output();
    match copied {
        Ok(output) if output.status.success() => {}
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(failed(&payload)(io::Error::other(said)).into());
        }
        Err(source) => return Err(failed(&payload)(source).into()),
    }
    let programs = follow_through::programs(graft).map(siblings::find).collect::<Result<Vec<_>, _>>()?;
    follow_through::apply(graft, &payload.join("submission"), &programs).map_err(failed(&payload))?;
    medium.of(payload, disk)
}

/// Copies the files that the course supplies from `course` into a submission's folder, and replaces
/// what is there. Follows no link in that folder.
pub fn supply(course: &Path, submission: &Path) -> Result<(), Error> {
    let copy = Beneath::open(submission).map_err(failed(submission))?;
    for supplied in course::SUPPLIED {
        let (from, to) = (course.join(supplied), Path::new(supplied));
        if from.exists() && to.parent().is_some_and(|above| copy.has_folder(above)) {
            copy.remove(to).and_then(|()| copy_in(&from, &copy, to)).map_err(failed(&submission.join(to)))?;
        }
    }
    Ok(())
}

/// Copies a file or folder of the harness to a free path below a submission's folder.
fn copy_in(from: &Path, copy: &Beneath, to: &Path) -> io::Result<()> {
    let mode = fs::metadata(from)?.permissions().mode();
    if from.is_dir() {
        copy.make_folder(to)?;
        for entry in fs::read_dir(from)? {
            let name = entry?.file_name();
            copy_in(&from.join(&name), copy, &to.join(&name))?;
        }
    } else {
        io::copy(&mut fs::File::open(from)?, &mut copy.make_file(to)?)?;
    }
    copy.set_mode(to, mode)
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> FileError {
    FileError::at("stage", path)
}
