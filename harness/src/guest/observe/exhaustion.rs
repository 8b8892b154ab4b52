//! What a program can take from the whole machine: one that uses it up is stopped at once and not
//! at its limit, and where our own half fails for want of what was taken, the fault is not ours.
//!
//! With `--here`, other programs write to the same disk. Then only the machine's own files count.

use std::collections::HashSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::{fs, io};

use walkdir::WalkDir;

use super::handles;
use crate::evidence::exhausted::{BYTES, Exhausted, FILES, PROCESSES};

/// Whether an error says that the machine had no more of something that programs can use up: disk,
/// memory, processes, files.
pub fn is_cause_of(error: &io::Error) -> bool {
    use nix::errno::Errno;
    let exhausted =
        [Errno::ENOSPC, Errno::EDQUOT, Errno::ENOMEM, Errno::EAGAIN, Errno::ENFILE, Errno::EMFILE];
    error.raw_os_error().is_some_and(|code| exhausted.contains(&Errno::from_raw(code)))
        || error.get_ref().and_then(|inner| inner.downcast_ref::<Exhausted>()).is_some()
}

/// What every machine has and this one has no more: removed, or mounted over.
pub fn missing() -> Option<&'static str> {
    ["/proc/self/stat", "/sys/kernel", "/dev/ptmx", "/dev/pts/ptmx", "/dev/null", "/etc/passwd"]
        .into_iter()
        .find(|path| !Path::new(path).exists())
}

/// What the machine had when the watch began.
#[derive(Clone, Copy, Debug)]
pub struct Watch {
    processes: usize,
    space: Option<DiskSpace>,
}

/// What is left on the disk, or what files take.
#[derive(Clone, Copy, Debug, Default)]
struct DiskSpace {
    bytes: u64,
    files: u64,
}

impl Watch {
    /// Looks at the machine as it is now.
    pub fn begin() -> Self {
        Self { processes: processes(), space: disk_space() }
    }

    /// What has been used up since; `None` where there is enough of everything.
    pub fn used_up(&mut self) -> Option<Exhausted> {
        self.used_up_by(|| handles::own_files().map(PathBuf::from))
    }

    /// `own` is the folder with all that the machine wrote, if others write to its disk.
    fn used_up_by(&mut self, own: impl FnOnce() -> Option<PathBuf>) -> Option<Exhausted> {
        if processes().saturating_sub(self.processes) > PROCESSES {
            return Some(Exhausted::Processes);
        }
        let (before, now) = (self.space?, disk_space()?);
        let lost = DiskSpace {
            bytes: before.bytes.saturating_sub(now.bytes),
            files: before.files.saturating_sub(now.files),
        };
        if !lost.is_too_much() {
            return None;
        }
        if own().is_some_and(|folder| !taken_by(&folder).is_too_much()) {
            // Others wrote. The next walk comes when as much is lost again.
            self.space = Some(now);
            return None;
        }
        Some(Exhausted::Disk)
    }
}

impl DiskSpace {
    fn is_too_much(self) -> bool {
        self.bytes > BYTES || self.files > FILES
    }
}

/// What the files below a folder take. A file with several names counts once.
fn taken_by(folder: &Path) -> DiskSpace {
    let mut counted = HashSet::new();
    let mut taken = DiskSpace::default();
    for entry in WalkDir::new(folder).into_iter().flatten() {
        let Ok(meta) = entry.metadata() else { continue };
        if meta.nlink() == 1 || meta.is_dir() || counted.insert((meta.dev(), meta.ino())) {
            taken.bytes += meta.blocks() * 512;
            taken.files += 1;
        }
        if taken.is_too_much() {
            break;
        }
    }
    taken
}

fn processes() -> usize {
    let is_process = |name: &std::ffi::OsStr| name.as_encoded_bytes().iter().all(u8::is_ascii_digit);
    let entries = fs::read_dir(handles::proc("")).into_iter().flatten().flatten();
    entries.filter(|entry| is_process(&entry.file_name())).count()
}

fn disk_space() -> Option<DiskSpace> {
    let disk = nix::sys::statvfs::statvfs("/").ok()?;
    Some(DiskSpace { bytes: disk.blocks_available() * disk.fragment_size(), files: disk.files_available() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_up_is_told_from_other_errors() {
        assert!(is_cause_of(&Exhausted::Disk.into()));
        assert!(is_cause_of(&io::Error::from_raw_os_error(nix::libc::ENOSPC)));
        assert!(!is_cause_of(&io::Error::from_raw_os_error(nix::libc::ENOENT)));
        assert!(!is_cause_of(&io::Error::other("a disk was full")));
    }

    #[test]
    fn a_machine_that_nobody_touched_is_whole() {
        assert_eq!(missing(), None);
    }

    #[test]
    fn what_the_disk_has_lost_since_counts_and_not_what_it_has() {
        let now = disk_space().unwrap();
        let before = |bytes, files| {
            let space = Some(DiskSpace { bytes: now.bytes + bytes, files: now.files + files });
            Watch { space, ..Watch::begin() }
        };
        assert_eq!(before(0, 0).used_up(), None);
        assert_eq!(before(2 * BYTES, 0).used_up(), Some(Exhausted::Disk));
        assert_eq!(before(0, 2 * FILES).used_up(), Some(Exhausted::Disk));
    }

    #[test]
    fn what_others_wrote_to_a_shared_disk_does_not_count() {
        let now = disk_space().unwrap();
        let space = Some(DiskSpace { bytes: now.bytes + 2 * BYTES, files: now.files });
        let mut watch = Watch { space, ..Watch::begin() };
        let own = tempfile::tempdir().unwrap();
        fs::write(own.path().join("one"), "1").unwrap();
        fs::hard_link(own.path().join("one"), own.path().join("two")).unwrap();
        assert_eq!(taken_by(own.path()).files, 2);
        assert_eq!(watch.used_up_by(|| Some(own.path().to_owned())), None);
        assert_eq!(watch.used_up_by(|| panic!("looked twice for the same loss")), None);
    }
}
