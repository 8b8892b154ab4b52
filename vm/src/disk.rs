//! Disks for the two slots of a guest.

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use crate::hardware::SLOT_SIZE;
use crate::{Error, tool};

/// Disk images (see [`disk_from_dir`](crate::disk_from_dir)) for the two slots every guest has.
/// Both are mounted read-only, at `/run/vm/payload` and `/run/vm/store`, before the first program
/// runs; an empty slot is not mounted.
#[derive(Debug, Clone, Default)]
pub struct Disks {
    /// The programs to run.
    pub payload: Option<PathBuf>,
    /// Data that many guests share.
    pub store: Option<PathBuf>,
}

/// Makes an ext4 image of `dir` at `out` (`mkfs.ext4 -d`). The image is sparse and has the fixed
/// size of the slots; the file system in it is only as large as needed. The agent mounts it
/// read-only. Files keep the owners that they have in `dir`, so the caller needs no privilege.
/// `out` appears complete or not at all.
pub fn disk_from_dir(dir: &Path, out: &Path) -> Result<(), Error> {
    let beside = out.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let image = tempfile::NamedTempFile::new_in(beside).map_err(Error::io("create a file in", beside))?;
    let (bytes, files) = measure(dir).map_err(Error::io("read", dir))?;
    // A quarter more, and some MiB, for the file system's tables.
    let blocks = (bytes + bytes / 4 + files * 1024 + (16 << 20)) >> 12;
    tool::MKFS.output(|command| {
        command.args(["-q", "-F", "-b", "4096", "-m", "0", "-O", "^has_journal"]);
        command.args(["-E", "root_owner=0:0,lazy_itable_init=1"]).args(["-N", &(files + 64).to_string()]);
        command.arg("-d").arg(dir).arg(image.path()).arg(blocks.to_string());
    })?;
    image.as_file().set_len(SLOT_SIZE).map_err(Error::io("enlarge", out))?;
    image.persist(out).map_err(|error| Error::io("create", out)(error.error))?;
    Ok(())
}

/// The bytes (in whole blocks) and the entries under a directory.
fn measure(dir: &Path) -> std::io::Result<(u64, u64)> {
    let (mut bytes, mut entries) = (0, 1);
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let found = entry.metadata()?;
        entries += 1;
        bytes += found.len().next_multiple_of(4096);
        if found.is_dir() {
            let (inner, count) = measure(&entry.path())?;
            bytes += inner;
            entries += count;
        }
    }
    Ok((bytes, entries))
}

/// Opens a disk for a slot. The slots of a template and of its guests must have the same size, so
/// an empty slot is a file of that size without data.
pub(crate) fn open_for_slot(disk: Option<&Path>, scratch: &Path) -> Result<File, Error> {
    let Some(path) = disk else {
        let empty = tempfile::tempfile_in(scratch).map_err(Error::io("create a file in", scratch))?;
        empty.set_len(SLOT_SIZE).map_err(Error::io("enlarge a file in", scratch))?;
        // QEMU refuses a writable descriptor for a read-only disk.
        let again = format!("/proc/self/fd/{}", empty.as_raw_fd());
        return File::open(&again).map_err(Error::io("open", again));
    };
    let file = File::open(path).map_err(Error::io("open", path))?;
    let length = file.metadata().map_err(Error::io("look at", path))?.len();
    if length != SLOT_SIZE {
        let why = format!("it has {length} bytes and the slot has {SLOT_SIZE}: make it with disk_from_dir");
        return Err(Error::io("use", path)(std::io::Error::other(why)));
    }
    Ok(file)
}

/// Opens a file that a machine writes to.
pub(crate) fn open_to_write(path: &Path) -> Result<File, Error> {
    File::options().read(true).write(true).open(path).map_err(Error::io("open", path))
}

/// Opens files that a machine only reads.
pub(crate) fn open_to_read(paths: impl IntoIterator<Item = PathBuf>) -> Result<Vec<File>, Error> {
    let open = |path: PathBuf| File::open(&path).map_err(Error::io("open", path));
    paths.into_iter().map(open).collect()
}
