//! Disks for the two slots of a guest.

use std::path::Path;

use crate::Error;

/// Makes an ext4 image of `dir` at `out` (`mkfs.ext4 -d`), owned by root inside, of the slots' fixed virtual
/// size and sparse. The guest half mounts it read-only. `out` appears complete or not at all.
pub fn disk_from_dir(dir: &Path, out: &Path) -> Result<(), Error> {
    let _ = (dir, out);
    unimplemented!()
}
