//! What a program can use up of the whole machine, so that one that does is stopped at once and not at its limit.

use std::{fs, io};

use serde::{Deserialize, Serialize};

/// More processes than any solution needs: a tool that installs packages has some dozens.
const PROCESSES: usize = 1000;
/// Of a disk's blocks and of its inodes, one in so many is kept free.
const KEPT_FREE: u64 = 100;

/// What there is no more of. As an error it ends the scenario: nothing that a program does on such a machine says
/// anything about it, and what used the machine up once would do so at every step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
pub enum Exhausted {
    /// Processes.
    #[error("there were more than {PROCESSES} processes")]
    Processes,
    /// Room on the disk, or inodes.
    #[error("its disk was full")]
    Disk,
}

impl From<Exhausted> for io::Error {
    fn from(exhausted: Exhausted) -> Self {
        Self::other(exhausted)
    }
}

/// Whether an error says that the machine had no more of something that programs can use up: disk, memory, processes,
/// files.
pub fn is_cause_of(error: &io::Error) -> bool {
    use nix::errno::Errno;
    let exhausted =
        [Errno::ENOSPC, Errno::EDQUOT, Errno::ENOMEM, Errno::EAGAIN, Errno::ENFILE, Errno::EMFILE];
    error.raw_os_error().is_some_and(|code| exhausted.contains(&Errno::from_raw(code)))
        || error.get_ref().and_then(|inner| inner.downcast_ref::<Exhausted>()).is_some()
}

/// What the machine has as good as none of any more; `None` where it has enough of everything.
pub fn look() -> Option<Exhausted> {
    let is_process = |name: &std::ffi::OsStr| name.as_encoded_bytes().iter().all(u8::is_ascii_digit);
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    if entries.filter(|entry| is_process(&entry.file_name())).count() > PROCESSES {
        return Some(Exhausted::Processes);
    }
    let disk = nix::sys::statvfs::statvfs("/").ok()?;
    let is_full = |free: u64, all: u64| free < all / KEPT_FREE;
    (is_full(disk.blocks_available(), disk.blocks()) || is_full(disk.files_available(), disk.files()))
        .then_some(Exhausted::Disk)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_up_is_told_from_other_errors() {
        assert!(is_cause_of(&Exhausted::Disk.into()));
        assert!(is_cause_of(&io::Error::from_raw_os_error(nix::libc::ENOSPC)));
        assert!(!is_cause_of(&io::Error::from_raw_os_error(nix::libc::ENOENT)));
        assert!(!is_cause_of(&io::Error::other("its disk was full")));
    }
}
