//! A digest of what a participant handed in, so that no mark of an earlier submission passes for
//! one of a later. It is told without opening an archive: for the whole class, in each part of it.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::entry::{Class, Held};
use super::git;
use crate::hex::hex;
use crate::submission::Beneath;
use crate::submission::bulk::Bulk;

/// How many bytes of one submission are read, and how many of its files. Of what is more,
/// only names and sizes count.
const MOST_BYTES: u64 = 1 << 30;
const MOST_FILES: usize = 20_000;

/// The digests of all entries, in their order.
pub fn digests(class: &Class) -> Vec<String> {
    let mut zip = None;
    class.entries.iter().map(|entry| digest(&class.path, &entry.held, &mut zip)).collect()
}

fn digest(class: &Path, held: &Held, zip: &mut Option<Bulk>) -> String {
    let mut hash = Sha256::new();
    match held {
        Held::Git(url) => hash.update(git::shown(url)),
        Held::Packed(files) => {
            if zip.is_none() {
                *zip = Bulk::open(class).ok();
            }
            let sums = zip.as_mut().and_then(|zip| zip.sums(files).ok());
            for (name, size, sum) in sums.unwrap_or_default() {
                add(&mut hash, &name, size);
                hash.update(sum.to_le_bytes());
            }
        }
        Held::Paths(paths) => {
            let mut left = (MOST_BYTES, MOST_FILES);
            for path in paths {
                add_path(&mut hash, path, &mut left);
            }
        }
    }
    hex(&hash.finalize())
}

fn add(hash: &mut Sha256, name: &str, size: u64) {
    hash.update((name.len() as u64).to_le_bytes());
    hash.update(name);
    hash.update(size.to_le_bytes());
}

/// Adds a file or folder. What cannot be read counts as empty: its grade says why.
fn add_path(hash: &mut Sha256, path: &Path, left: &mut (u64, usize)) {
    let Some(name) = path.file_name() else { return };
    let above = path.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // The exporter's own link is followed; links inside of a submission are not.
    if path.is_dir() {
        add(hash, &name.to_string_lossy(), 0);
        if let Ok(folder) = Beneath::open(path) {
            add_folder(hash, &folder, left);
        }
    } else if let Ok(folder) = Beneath::open(above) {
        add_file(hash, &folder, Path::new(name), left);
    }
}

fn add_folder(hash: &mut Sha256, folder: &Beneath, left: &mut (u64, usize)) {
    let mut open = vec![PathBuf::new()];
    while let Some(path) = open.pop() {
        let names = folder.folder(&path).and_then(|inner| inner.names(left.1)).unwrap_or_default();
        for name in names {
            let path = path.join(name);
            left.1 = left.1.saturating_sub(1);
            if folder.has_folder(&path) {
                open.push(path);
            } else if let Ok(leads_to) = folder.read_link(&path) {
                add(hash, &path.to_string_lossy(), 0);
                hash.update(leads_to.as_os_str().as_encoded_bytes());
            } else {
                add_file(hash, folder, &path, left);
            }
        }
    }
}

fn add_file(hash: &mut Sha256, folder: &Beneath, path: &Path, left: &mut (u64, usize)) {
    let opened: Option<(File, u64)> =
        folder.file(path).ok().and_then(|file| file.metadata().ok().map(|facts| (file, facts.len())));
    add(hash, &path.to_string_lossy(), opened.as_ref().map_or(0, |(_, size)| *size));
    let Some((file, _)) = opened else { return };
    let mut content = file.take(left.0);
    let mut buffer = vec![0; 1 << 16];
    while let Ok(length @ 1..) = content.read(&mut buffer) {
        hash.update(&buffer[..length]);
        left.0 -= length as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::class::{Entry, Kind};

    fn of(held: Held) -> String {
        let entries = vec![Entry::new("1".to_owned(), held)];
        let class = Class { kind: Kind::Folder, path: PathBuf::new(), entries, left_aside: vec![] };
        digests(&class).remove(0)
    }

    #[test]
    fn another_content_name_or_address_is_another_submission_and_another_token_is_not() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("a");
        std::fs::create_dir_all(folder.join("task1")).unwrap();
        let put = |text: &str| std::fs::write(folder.join("task1/x.c"), text).unwrap();
        let digest = || of(Held::Paths(vec![folder.clone()]));
        put("one");
        let before = digest();
        assert_eq!(before, digest());
        put("two");
        assert_ne!(before, digest());
        put("one");
        assert_eq!(before, digest());
        std::fs::rename(folder.join("task1/x.c"), folder.join("task1/y.c")).unwrap();
        assert_ne!(before, digest());
        let git = |url: &str| of(Held::Git(url.to_owned()));
        assert_eq!(git("https://a:b@host/x"), git("https://c@host/x"));
        assert_ne!(git("https://host/x"), git("https://host/y"));
    }
}
