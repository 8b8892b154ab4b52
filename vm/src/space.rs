//! Space on disks: what is free, and what a tree takes.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Free space at a place, or where it would be, in bytes.
pub(crate) fn free_disk(place: &Path) -> u64 {
    let there = place.ancestors().find(|dir| dir.exists()).unwrap_or(Path::new("/"));
    nix::sys::statvfs::statvfs(there).map_or(0, |found| found.blocks_available() * found.fragment_size())
}

/// What a file or a tree takes on disk, in bytes: sparse files take less than their length. No link
/// is followed, and nothing on another file system is counted.
pub(crate) fn size_on_disk(path: &Path) -> u64 {
    let entries = walkdir::WalkDir::new(path).follow_root_links(false).same_file_system(true);
    let found = entries.into_iter().flatten().filter_map(|entry| entry.metadata().ok());
    found.map(|found| found.blocks() * 512).sum()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_tree_with_links_to_itself_and_to_proc_is_measured_and_ends() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("file"), [1; 8192]).unwrap();
        // As a root that is being made has them in its /dev.
        std::os::unix::fs::symlink("/proc/self/fd", dir.path().join("fd")).unwrap();
        std::os::unix::fs::symlink(dir.path(), dir.path().join("again")).unwrap();
        assert!((8192..64 << 10).contains(&size_on_disk(dir.path())));
        assert!(size_on_disk(&dir.path().join("again")) < 4096);
    }
}
