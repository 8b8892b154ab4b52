//! What the archive's own indexes, as far as the cache has them, say of an address: whether
//! it ought to be there.
//!
//! `Release` files name the indexes of a suite, `Packages` files the packages in the pool. A file
//! that they name and a mirror does not have is a failure of ours; one that nobody names is the
//! wish of whoever asks.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, BufRead, BufReader, Read, Seek};
use std::sync::{Arc, Mutex, PoisonError};

use flate2::read::MultiGzDecoder;
use liblzma::read::XzDecoder;

use super::mirrors::Wanted;
use super::store::Store;

/// More of an index is not read.
const LONGEST: u64 = 1 << 30;

/// What the cached indexes say of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// One of them names it.
    Named,
    /// There are indexes that would name it, and do not.
    Unnamed,
    /// There is no index that could.
    Unknown,
}

/// The names in those `Packages` files that have been read, hashed, by the digest of the file.
#[derive(Debug, Default)]
pub(super) struct Indexes(Mutex<HashMap<String, Arc<HashSet<u64>>>>);

impl Indexes {
    /// Looks an address up. Takes as long as reading an index, the first time.
    pub fn place(&self, store: &Store, wanted: &Wanted) -> Place {
        if wanted.file.starts_with("dists/") {
            in_release(store, wanted)
        } else {
            self.in_packages(store, wanted)
        }
    }

    fn in_packages(&self, store: &Store, wanted: &Wanted) -> Place {
        let mut place = Place::Unknown;
        for entry in store.entries_below(&format!("{}/dists/", wanted.base)) {
            if !is_packages(&entry.url) {
                continue;
            }
            let known = self.lock().get(&entry.sha256).cloned();
            let names = if let Some(names) = known {
                names
            } else {
                let Ok(Some((_, file))) = store.find(&entry.url) else { continue };
                let names = Arc::new(file_names(file).unwrap_or_default());
                self.lock().insert(entry.sha256, Arc::clone(&names));
                names
            };
            if names.contains(&hashed(&wanted.file)) {
                return Place::Named;
            }
            place = Place::Unnamed;
        }
        place
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<HashSet<u64>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks a file of a suite up in that suite's Release file. A suite's name may
/// have several components.
fn in_release(store: &Store, wanted: &Wanted) -> Place {
    let parts: Vec<&str> = wanted.file.split('/').collect();
    for cut in 2..parts.len() {
        let (suite, inside) = (parts[..cut].join("/"), parts[cut..].join("/"));
        for release in ["InRelease", "Release"] {
            let Ok(Some((_, file))) = store.find(&format!("{}/{suite}/{release}", wanted.base)) else {
                continue;
            };
            let mut text = String::new();
            if file.take(LONGEST).read_to_string(&mut text).is_ok() {
                return if release_names(&text, &inside) { Place::Named } else { Place::Unnamed };
            }
        }
    }
    Place::Unknown
}

/// Whether a Release file lists a file by its name or by its digest. It lists uncompressed indexes
/// as well, which no mirror has: those do not count.
fn release_names(release: &str, inside: &str) -> bool {
    let by_hash = inside.split_once("/by-hash/");
    let listed = release.lines().filter_map(|line| {
        let mut words = line.strip_prefix(' ')?.split_whitespace();
        let (digest, _size, name) = (words.next()?, words.next()?, words.next()?);
        [".xz", ".gz", ".bz2", ".lzma", ".zst"]
            .iter()
            .any(|suffix| name.ends_with(suffix))
            .then_some((digest, name))
    });
    listed.into_iter().any(|(digest, name)| match by_hash {
        None => name == inside,
        Some((folder, kind_and_digest)) => {
            kind_and_digest.ends_with(&format!("/{digest}"))
                && name.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
        }
    })
}

fn is_packages(url: &str) -> bool {
    let in_binary = url.rsplit_once("/binary-").map(|(_, rest)| rest);
    in_binary.is_some_and(|rest| rest.contains("/Packages") || rest.contains("/by-hash/"))
}

/// The `Filename` fields of a Packages file, compressed or not.
fn file_names(mut file: File) -> io::Result<HashSet<u64>> {
    let mut magic = [0; 6];
    let length = file.read(&mut magic)?;
    file.rewind()?;
    let text: Box<dyn Read> = match &magic[..length] {
        [0x1f, 0x8b, ..] => Box::new(MultiGzDecoder::new(file)),
        [0xfd, b'7', b'z', b'X', b'Z', 0] => Box::new(XzDecoder::new_multi_decoder(file)),
        _ => Box::new(file),
    };
    let lines = BufReader::with_capacity(1 << 16, text.take(LONGEST)).split(b'\n');
    let mut names = HashSet::new();
    for line in lines {
        if let Some(name) = line?.strip_prefix(b"Filename: ") {
            names.insert(hashed(&String::from_utf8_lossy(name)));
        }
    }
    Ok(names)
}

fn hashed(name: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_file_names_what_a_mirror_can_have() {
        let release =
            "Suite: x\nSHA256:\n aa 1 main/binary-amd64/Packages\n bb 1 main/binary-amd64/Packages.xz\n";
        for (inside, named) in [
            ("main/binary-amd64/Packages.xz", true),
            ("main/binary-amd64/by-hash/SHA256/bb", true),
            ("main/binary-amd64/Packages", false),
            ("main/binary-amd64/by-hash/SHA256/aa", false),
            ("main/i18n/by-hash/SHA256/bb", false),
            ("main/binary-amd64/Packages.gz", false),
        ] {
            assert_eq!(release_names(release, inside), named, "{inside}");
        }
    }

    #[test]
    fn only_lists_of_packages_are_searched() {
        for (url, is) in [
            ("http://m.example/debian/dists/x/main/binary-amd64/Packages.xz", true),
            ("http://m.example/debian/dists/x/main/binary-amd64/by-hash/SHA256/00", true),
            ("http://m.example/debian/dists/x/main/by-hash/SHA256/00", false),
            ("http://m.example/debian/dists/x/main/Contents-amd64.gz", false),
        ] {
            assert_eq!(is_packages(url), is, "{url}");
        }
    }
}
