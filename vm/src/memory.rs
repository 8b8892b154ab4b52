//! The file that holds a template's memory, and proof that nobody wrote to it since
//! the template was made.
//!
//! QEMU opens this file for writing even where a guest only maps it privately. A guest that took
//! over QEMU could change the machine that later guests wake up in. The kernel sets a file's change
//! time (`ctime`) at every write and lets nobody set it back, so a comparison of the file's
//! attributes before and after each guest shows a write. A cache that was copied has other
//! attributes; there the contents decide, by their digest.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::Path;

use nix::errno::Errno;
use nix::unistd::{Whence, geteuid, lseek};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{Error, digest};

/// The file's name in the template's folder.
const NAME: &str = "ram";

/// What is compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Seal {
    stamp: Stamp,
    digest: String,
}

/// Attributes of a file of which a write changes at least one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Stamp {
    bytes: u64,
    inode: u64,
    /// Seconds and nanoseconds.
    modified: (i64, i64),
    changed: (i64, i64),
}

/// What became of a template's memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum State {
    /// Nobody wrote to it.
    Intact,
    /// It is a copy with the same contents: its new seal.
    Copied(Seal),
    /// Somebody wrote to it, or QEMU may not open it.
    Unusable,
}

/// Creates the file in a template's new folder. QEMU may run as another user than root, who starts
/// it; that user gets the right to write to the file, and nobody else gets into the folder.
pub(crate) fn create(folder: &Path) -> Result<File, Error> {
    let path = folder.join(NAME);
    let create = || {
        let file = File::options().read(true).write(true).create(true).truncate(true).open(&path)?;
        if geteuid().is_root() {
            fs::set_permissions(folder, Permissions::from_mode(0o700))?;
            file.set_permissions(Permissions::from_mode(0o666))?;
        }
        Ok(file)
    };
    create().map_err(Error::io("create", &path))
}

/// Opens the file.
pub(crate) fn open(folder: &Path) -> Result<File, Error> {
    let path = folder.join(NAME);
    File::open(&path).map_err(Error::io("open", &path))
}

/// Seals the file as it is now.
pub(crate) fn seal(folder: &Path) -> Result<Seal, Error> {
    let file = open(folder)?;
    let seal = || Ok(Seal { digest: digest_of(&file)?, stamp: stamp(&file)? });
    seal().map_err(Error::io("read", folder.join(NAME)))
}

impl Seal {
    /// Whether nobody wrote to an open file since it was sealed.
    pub(crate) fn holds(&self, file: &File) -> bool {
        stamp(file).is_ok_and(|now| now == self.stamp)
    }

    /// What became of the file in a template's folder.
    pub(crate) fn check(&self, folder: &Path) -> State {
        let state = || -> io::Result<State> {
            let file = File::open(folder.join(NAME))?;
            if geteuid().is_root() && file.metadata()?.mode() & 0o006 != 0o006 {
                return Ok(State::Unusable);
            }
            let stamp = stamp(&file)?;
            if stamp == self.stamp {
                return Ok(State::Intact);
            }
            let same = digest_of(&file)? == self.digest;
            Ok(if same {
                State::Copied(Seal { stamp, digest: self.digest.clone() })
            } else {
                State::Unusable
            })
        };
        state().unwrap_or(State::Unusable)
    }
}

fn stamp(file: &File) -> io::Result<Stamp> {
    let found = file.metadata()?;
    Ok(Stamp {
        bytes: found.len(),
        inode: found.ino(),
        modified: (found.mtime(), found.mtime_nsec()),
        changed: (found.ctime(), found.ctime_nsec()),
    })
}

/// A digest of the file's length and of its data with their places. Holes are passed over; a block
/// of zeros in the place of a hole gives the same digest.
fn digest_of(file: &File) -> io::Result<String> {
    const PAGE: usize = 4096;
    let end = file.metadata()?.len();
    let mut hash = Sha256::new();
    hash.update(end.to_le_bytes());
    let mut buffer = vec![0; 1 << 20];
    let mut at = 0;
    while at < end {
        match lseek(file, at as i64, Whence::SeekData) {
            Ok(data) => at = data as u64 / PAGE as u64 * PAGE as u64,
            Err(Errno::ENXIO) => break,
            Err(error) => return Err(error.into()),
        }
        let hole = lseek(file, at as i64, Whence::SeekHole)? as u64;
        while at < hole {
            let length = (hole - at).min(buffer.len() as u64) as usize;
            let piece = &mut buffer[..length];
            file.read_exact_at(piece, at)?;
            for (page, place) in piece.chunks(PAGE).zip((at..).step_by(PAGE)) {
                if page.iter().any(|byte| *byte != 0) {
                    hash.update(place.to_le_bytes());
                    hash.update(page);
                }
            }
            at += length as u64;
        }
    }
    Ok(digest::hex(&hash.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(folder: &Path) -> Seal {
        let file = create(folder).unwrap();
        file.set_len(1 << 20).unwrap();
        file.write_all_at(b"memory", 5 * 4096 + 17).unwrap();
        seal(folder).unwrap()
    }

    #[test]
    fn a_write_is_noticed_even_if_the_times_are_set_back() {
        let dir = tempfile::tempdir().unwrap();
        let seal = sealed(dir.path());
        let file = File::options().write(true).open(dir.path().join(NAME)).unwrap();
        assert_eq!((seal.check(dir.path()), seal.holds(&file)), (State::Intact, true));
        let modified = file.metadata().unwrap().modified().unwrap();
        file.write_all_at(b"M", 5 * 4096 + 17).unwrap();
        file.set_modified(modified).unwrap();
        assert_eq!((seal.check(dir.path()), seal.holds(&file)), (State::Unusable, false));
    }

    #[test]
    fn a_copy_is_told_by_its_contents() {
        let (dir, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let seal = sealed(dir.path());
        fs::copy(dir.path().join(NAME), copy.path().join(NAME)).unwrap();
        let State::Copied(new) = seal.check(copy.path()) else { panic!("{:?}", seal.check(copy.path())) };
        assert_eq!(new.check(copy.path()), State::Intact);
    }

    #[test]
    fn a_hole_and_zeros_are_the_same_and_places_count() {
        let dir = tempfile::tempdir().unwrap();
        let digest = |name: &str, writes: &[(&[u8], u64)]| {
            let file = File::create_new(dir.path().join(name)).unwrap();
            file.set_len(64 << 10).unwrap();
            for (bytes, at) in writes {
                file.write_all_at(bytes, *at).unwrap();
            }
            digest_of(&File::open(dir.path().join(name)).unwrap()).unwrap()
        };
        let one = digest("one", &[(b"x", 9000)]);
        assert_eq!(one, digest("zeros", &[(b"x", 9000), (&[0; 4096], 0)]));
        assert_ne!(one, digest("moved", &[(b"x", 9000 + 4096)]));
    }

    #[test]
    fn only_root_gets_into_the_folder_where_root_made_it() {
        let dir = tempfile::tempdir().unwrap();
        create(dir.path()).unwrap();
        if geteuid().is_root() {
            assert_eq!(fs::metadata(dir.path()).unwrap().mode() & 0o777, 0o700);
        }
    }
}
