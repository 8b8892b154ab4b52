//! Marks the report folder of an unfinished run, so that `harness grade --resume`
//! can continue the run.

use std::fs;
use std::io::Read;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::bundle::{self, write_atomically};
use crate::submission::Beneath;

/// The file in the report's folder.
const FILE: &str = ".unfinished.json";
/// A longer file is not ours.
const LONGEST: u64 = 64 << 10;

/// The options of a run. Only a run with the same options may use its recordings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// The harness's version and digest: another version may record something else.
    pub harness: String,
    /// The submission's digest.
    pub sha256: String,
    /// The subtasks.
    pub subtasks: Vec<String>,
    /// The operating system of the machine.
    pub image: String,
    /// The accelerator that was asked for.
    pub accelerator: String,
    /// Whether only cached packages are used.
    pub offline: bool,
    /// Whether network traffic is kept.
    pub pcap: bool,
    /// The seed of random names and contents.
    pub seed: u64,
}

impl Asked {
    /// Whether a run with these options can continue `other`. Without `--seed`, every seed fits.
    pub fn fits(&self, other: &Self, seed_is_given: bool) -> bool {
        let seed = if seed_is_given { self.seed } else { other.seed };
        Self { seed, ..self.clone() } == *other
    }
}

/// Marks a folder as unfinished.
///
/// # Errors
/// If the file cannot be written.
pub fn mark(directory: &Path, asked: &Asked) -> Result<(), bundle::Error> {
    let text = serde_json::to_vec_pretty(asked).unwrap_or_default();
    write_atomically(&directory.join(FILE), |out| out.write_all(&text))
}

/// Removes the mark: the run in this folder has ended.
pub fn clear(directory: &Path) {
    // If the mark stays, `--resume` continues this run and finds nothing left to drive.
    let _ = fs::remove_file(directory.join(FILE));
}

/// The options of the unfinished run in a folder; `None` if there is no such run.
pub fn read(directory: &Path) -> Option<Asked> {
    let file = Beneath::open(directory).ok()?.file(Path::new(FILE)).ok()?;
    let mut text = Vec::new();
    file.take(LONGEST).read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(seed: u64) -> Asked {
        Asked {
            harness: "0.1.0".into(),
            sha256: "00ff".into(),
            subtasks: vec!["1".into()],
            image: "debian-12".into(),
            accelerator: "auto".into(),
            offline: false,
            pcap: false,
            seed,
        }
    }

    #[test]
    fn a_run_goes_on_only_with_what_was_asked_before() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(read(folder.path()), None);
        mark(folder.path(), &asked(7)).unwrap();
        let there = read(folder.path()).unwrap();
        assert!(asked(8).fits(&there, false) && !asked(8).fits(&there, true) && asked(7).fits(&there, true));
        assert!(!Asked { sha256: "other".into(), ..asked(7) }.fits(&there, false));
        assert!(!Asked { subtasks: vec!["1".into(), "2a".into()], ..asked(7) }.fits(&there, false));
        clear(folder.path());
        assert_eq!(read(folder.path()), None);
    }
}
