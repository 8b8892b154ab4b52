//! Disk use of the whole machine: it shows a copy of a root tree wherever a submission puts it.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::evidence::mount::Mount;
use crate::guest::observe::{handles, mounts};
use crate::task::task3::shared::state;
use crate::task::task3::shared::view::Machine;

/// File systems that keep files of their own, on a disk or in memory. Others may hang when they are
/// asked, or tell of a disk that is counted already.
const OWN: [&str; 8] = ["ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "vfat", "tmpfs"];
/// One that keeps files in memory and does not tell how much is in use.
const WITHOUT_SIZE: &str = "ramfs";

/// Bytes in use on all file systems that the machine or a container has mounted. That of `shared`
/// is left out: others write there too.
pub fn used(shared: Option<&Path>, machine: &Machine) -> u64 {
    let device = |path: &Path| std::fs::metadata(path).map(|meta| meta.dev()).ok();
    let mut seen: BTreeSet<u64> = shared.and_then(device).into_iter().collect();
    let here = mounts::of(nix::unistd::gettid().as_raw()).into_iter().map(|mount| (String::new(), mount));
    let there = machine.contained().into_iter().flat_map(|process| {
        let root = handles::proc(format!("{}/root", process.pid));
        mounts::of(process.pid).into_iter().map(move |mount| (root.clone(), mount))
    });
    let all = here.chain(there).filter_map(|(root, mount)| {
        let place = PathBuf::from(format!("{root}{}", mount.mount_point));
        let is_own = OWN.contains(&mount.fs_type.as_str()) || mount.fs_type == WITHOUT_SIZE;
        is_own.then(|| device(&place).filter(|device| seen.insert(*device))).flatten()?;
        in_use(&place, &mount)
    });
    all.sum()
}

fn in_use(place: &Path, mount: &Mount) -> Option<u64> {
    if mount.fs_type == WITHOUT_SIZE {
        return Some(state::size(place, &[]).bytes);
    }
    let stat = nix::sys::statvfs::statvfs(place).ok()?;
    Some(stat.blocks().saturating_sub(stat.blocks_free()) * stat.fragment_size())
}
