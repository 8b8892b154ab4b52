//! What a program can use up of the whole machine, so that one that does is stopped at once and not at its limit.

use std::fs;

use serde::{Deserialize, Serialize};

/// More processes than any solution needs: a tool that installs packages has some dozens.
const PROCESSES: usize = 2000;
/// Of a disk's blocks and of its inodes, one in so many is kept free.
const KEPT_FREE: u64 = 100;

/// What there is no more of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Exhausted {
    /// Processes.
    Processes,
    /// Room on the disk, or inodes.
    Disk,
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
