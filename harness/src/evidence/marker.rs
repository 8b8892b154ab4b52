//! A file with a random name in one of the machine's own folders. Where it is seen, that folder is
//! seen, by whatever kind of mount.

use serde::{Deserialize, Serialize};

/// One file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marker {
    /// Its path on the machine.
    pub path: String,
    /// Its inode. A copy of the folder, which is allowed, has another.
    pub ino: u64,
}
