//! A mount, as a process saw it (`/proc/PID/mountinfo`, proc(5)).

use serde::{Deserialize, Serialize};

/// One mount.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// The mount's id in its namespace.
    pub id: u32,
    /// The id of the parent mount.
    pub parent: u32,
    /// `major:minor` of the file system.
    pub device: String,
    /// The mounted directory of that file system.
    pub root: String,
    /// The mount point, below the process's root.
    pub mount_point: String,
    /// The type, such as `proc`, `overlay`, `ext4`.
    pub fs_type: String,
    /// The source, as the mount call named it.
    pub source: String,
    /// Options of the mount and of its file system, comma separated.
    pub options: String,
    /// Whether mounts on it propagate to other namespaces.
    pub shared: bool,
}

impl Mount {
    /// Whether both are the same mount. The kernel reuses ids, so equal ids do not suffice.
    pub fn is(&self, other: &Self) -> bool {
        (self.id, &self.device, &self.root, &self.mount_point)
            == (other.id, &other.device, &other.root, &other.mount_point)
    }
}
