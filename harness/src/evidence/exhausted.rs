//! What a program used up of the whole machine.

use std::io;

use serde::{Deserialize, Serialize};

/// More processes at a time than any solution needs: a tool that installs packages has some dozens.
pub const PROCESSES: usize = 1000;
/// More bytes on the disk than any solution needs: one that copies the whole tree for each image
/// and container takes some 3 GiB in all of task 4.
pub const BYTES: u64 = 8 << 30;
/// More files than any solution needs: a tree in which a compiler is installed has 20,000.
pub const FILES: u64 = 500_000;

/// The resource that the submission used up. As an error it ends the scenario: later steps on such
/// a machine prove nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
pub enum Exhausted {
    /// Processes.
    #[error("there were more than {PROCESSES} processes at a time")]
    Processes,
    /// Space on the disk, or its inodes.
    #[error("more than {} GiB or {FILES} files were written", BYTES >> 30)]
    Disk,
}

impl From<Exhausted> for io::Error {
    fn from(exhausted: Exhausted) -> Self {
        Self::other(exhausted)
    }
}
