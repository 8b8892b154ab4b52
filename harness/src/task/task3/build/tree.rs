//! The state of everything in a folder, and the differences between two states.

use std::collections::BTreeMap;
use std::fs;
use std::hash::{DefaultHasher, Hasher};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Biggest file of which a digest is made.
const DIGEST_CAP: u64 = 64 << 10;

/// Mode, size, inode and time of change of everything below a folder. A folder's own times are left
/// out: they change when something beside it does. Of what lies in its `etc`, a digest of the
/// contents instead of inode and time: tools write some of it again and again, such as the name
/// servers, and always the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State(BTreeMap<PathBuf, [i64; 5]>);

impl State {
    /// The state of `root` now.
    pub fn of(root: &Path) -> Self {
        let mut found = BTreeMap::new();
        let mut next = vec![root.to_path_buf()];
        while let Some(dir) = next.pop() {
            for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
                let Ok(meta) = entry.metadata() else { continue };
                let state = if meta.is_dir() {
                    next.push(entry.path());
                    [i64::from(meta.mode()), 0, meta.ino() as i64, 0, 0]
                } else {
                    let size = meta.size() as i64;
                    let of_content =
                        entry.path().starts_with(root.join("etc")).then(|| digest(&entry.path()));
                    let [one, two, three] = match of_content.flatten() {
                        Some(digest) => [digest, 0, 0],
                        None => [meta.ino() as i64, meta.mtime(), meta.mtime_nsec()],
                    };
                    [i64::from(meta.mode()), size, one, two, three]
                };
                found.insert(entry.path(), state);
            }
        }
        Self(found)
    }

    /// Paths that came, went or changed.
    pub fn difference(&self, now: &Self) -> Vec<String> {
        let gone_or_changed = self.0.iter().filter(|(path, state)| now.0.get(*path) != Some(state));
        let new = now.0.iter().filter(|(path, _)| !self.0.contains_key(*path));
        gone_or_changed.chain(new).map(|(path, _)| path.to_string_lossy().into_owned()).collect()
    }
}

/// Of a file's contents, unless it is a big one or none.
fn digest(path: &Path) -> Option<i64> {
    let is_small = fs::symlink_metadata(path).is_ok_and(|meta| meta.is_file() && meta.len() <= DIGEST_CAP);
    let bytes = is_small.then(|| fs::read(path).ok()).flatten()?;
    let mut hasher = DefaultHasher::new();
    hasher.write(&bytes);
    Some(hasher.finish() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_went_and_changed_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir(at("folder")).unwrap();
        for name in ["folder/stays", "folder/changes", "goes"] {
            fs::write(at(name), name).unwrap();
        }
        fs::create_dir(at("etc")).unwrap();
        fs::write(at("etc/resolv.conf"), "nameserver 1.2.3.4").unwrap();
        let before = State::of(dir.path());
        fs::remove_file(at("etc/resolv.conf")).unwrap();
        fs::write(at("etc/resolv.conf"), "nameserver 1.2.3.4").unwrap();
        assert_eq!(before.difference(&State::of(dir.path())), Vec::<String>::new());
        fs::write(at("folder/changes"), "to something longer").unwrap();
        fs::remove_file(at("goes")).unwrap();
        fs::write(at("folder/comes"), "").unwrap();
        let mut told = before.difference(&State::of(dir.path()));
        told.sort();
        let wanted = ["folder/changes", "folder/comes", "goes"].map(|name| at(name).display().to_string());
        assert_eq!(told, wanted);
    }
}
