//! An ext4 disk in a file. The file loses its name as soon as it is mounted, and the mount belongs
//! to the namespaces of the measurement. So nothing is left even after SIGKILL, except during the
//! second in which the disk is made: the next run removes that file.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use nix::fcntl::posix_fallocate;

use crate::measure::{Trouble, command, finish};
use crate::place::text_of;

/// The size of the disk.
const BYTES: i64 = 4 << 30;

/// Makes a disk in a file in `folder` and mounts it on the new folder `at`.
pub fn mount(folder: &Path, at: &Path) -> Result<(), Trouble> {
    fs::create_dir_all(folder)?;
    fs::create_dir_all(at)?;
    for_a_moment(&folder.join("disk.img"), |image| {
        make(image)?;
        finish(&mut command("mount", &["-o", "loop", text_of(image), text_of(at)]))
            .map_err(|trouble| format!("{trouble}; a disk needs root and a loop device").into())
    })
}

/// Removes the file that `work` makes, or one that an earlier run left, also if `work` fails.
fn for_a_moment(file: &Path, work: impl FnOnce(&Path) -> Result<(), Trouble>) -> Result<(), Trouble> {
    let remove = || match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(format!("cannot remove {}: {error}; remove it by hand", file.display()))
        }
        _ => Ok(()),
    };
    remove()?;
    let done = work(file);
    remove()?;
    done
}

/// Makes the file system. All blocks are reserved, and all tables are written now: otherwise the
/// kernel would write them during the measurement.
fn make(image: &Path) -> Result<(), Trouble> {
    let file = File::create(image)?;
    posix_fallocate(&file, 0, BYTES).map_err(|error| {
        let gigabytes = BYTES >> 30;
        format!("{}: {error}; the disk needs {gigabytes} GB there", image.display())
    })?;
    let eager = "lazy_itable_init=0,lazy_journal_init=0";
    finish(&mut command("mkfs.ext4", &["-q", "-F", "-E", eager, text_of(image)]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_of_the_disk_is_removed_whatever_happens() {
        let folder = std::env::temp_dir().join(format!("bench-disk-{}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        let file = folder.join("disk.img");
        fs::write(&file, "of a run that was killed").unwrap();
        for fails in [false, true] {
            let done = for_a_moment(&file, |file| {
                assert!(!file.exists(), "the old file is gone before the new one is made");
                fs::write(file, "")?;
                if fails { Err("no loop device".into()) } else { Ok(()) }
            });
            assert_eq!(done.err().map(|trouble| trouble.to_string()), fails.then(|| "no loop device".into()));
            assert!(!file.exists());
        }
        fs::remove_dir(&folder).unwrap();
    }
}
