//! What the cache holds on disk.
//!
//! ```text
//! packages/
//!   urls/<sha256 of the URL>.json     what is known of a URL, and the digest of its body
//!   bodies/<sha256 of the body>       the bodies, each once, however many URLs have it
//!   locks/<sha256 of the URL>         held while a URL is fetched
//!   new/                              what is being written; left-overs of killed processes are swept
//! ```
//!
//! A body is complete or not there (written aside, then renamed), and a URL's entry is written after its body,
//! so a process may be killed at any moment and any number of processes may share one store.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;

/// What is known of a URL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    pub url: String,
    /// 200, or 404 for what is not there.
    pub status: u16,
    /// Of the body, in hexadecimal.
    pub sha256: String,
    pub size: u64,
    pub content_type: Option<String>,
    pub last_modified: Option<String>,
    pub etag: Option<String>,
    /// Seconds since 1970 when upstream last confirmed it.
    pub confirmed: u64,
}

impl Entry {
    /// How long ago upstream confirmed it; nothing, where the clock says it has yet to.
    pub fn age(&self) -> Duration {
        Duration::from_secs(now().saturating_sub(self.confirmed))
    }
}

pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[derive(Debug)]
pub(super) struct Store {
    root: PathBuf,
}

impl Store {
    /// Opens the store at a directory, made where it is missing.
    pub fn open(root: &Path) -> io::Result<Self> {
        for part in ["urls", "bodies", "locks", "new"] {
            fs::create_dir_all(root.join(part))?;
        }
        let store = Self { root: root.to_owned() };
        store.sweep();
        Ok(store)
    }

    /// The entry of a URL and its body, whose digest has just been checked. A body that does not match is
    /// removed, and the URL counts as unknown.
    pub fn find(&self, url: &str) -> io::Result<Option<(Entry, File)>> {
        let Ok(entry) = fs::read(self.entry_path(url)) else { return Ok(None) };
        let Ok(entry) = serde_json::from_slice::<Entry>(&entry) else { return Ok(None) };
        let path = self.root.join("bodies").join(&entry.sha256);
        let mut file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        if entry.url != url || digest(&mut file)? != entry.sha256 {
            fs::remove_file(&path)?;
            return Ok(None);
        }
        io::Seek::rewind(&mut file)?;
        Ok(Some((entry, file)))
    }

    /// Waits until no other task or process fetches this URL, and keeps them out until dropped.
    pub fn lock(&self, url: &str) -> io::Result<Flock<File>> {
        let file = File::create(self.root.join("locks").join(name(url)))?;
        Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, errno)| errno.into())
    }

    /// A file for a body on its way here.
    pub fn new_body(&self) -> io::Result<NamedTempFile> {
        NamedTempFile::new_in(self.root.join("new"))
    }

    /// Keeps a complete body whose digest is the entry's, then the entry.
    pub fn keep(&self, entry: &Entry, body: NamedTempFile) -> io::Result<()> {
        body.as_file().sync_data()?;
        body.persist(self.root.join("bodies").join(&entry.sha256)).map_err(|error| error.error)?;
        self.update(entry)
    }

    /// Replaces what is known of a URL whose body is here.
    pub fn update(&self, entry: &Entry) -> io::Result<()> {
        let mut file = self.new_body()?;
        serde_json::to_writer(&mut file, entry)?;
        file.persist(self.entry_path(&entry.url)).map_err(|error| error.error)?;
        Ok(())
    }

    fn entry_path(&self, url: &str) -> PathBuf {
        self.root.join("urls").join(name(url) + ".json")
    }

    /// Removes what a killed process left half-written a day ago.
    fn sweep(&self) {
        let day = Duration::from_secs(24 * 3600);
        for entry in fs::read_dir(self.root.join("new")).into_iter().flatten().flatten() {
            let old = entry
                .metadata()
                .and_then(|metadata| metadata.modified())
                .is_ok_and(|modified| SystemTime::now().duration_since(modified).is_ok_and(|age| age > day));
            if old {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

fn name(url: &str) -> String {
    hex(&Sha256::digest(url))
}

/// Bytes as digests are written.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The SHA-256 of what is left to read, in hexadecimal.
pub(super) fn digest(from: &mut impl Read) -> io::Result<String> {
    let mut sha256 = Sha256::new();
    let mut buffer = vec![0; 1 << 17];
    loop {
        match from.read(&mut buffer)? {
            0 => return Ok(hex(&sha256.finalize())),
            length => sha256.update(&buffer[..length]),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn keep(store: &Store, url: &str, body: &[u8]) -> Entry {
        let mut file = store.new_body().unwrap();
        file.write_all(body).unwrap();
        let entry = Entry {
            url: url.to_owned(),
            status: 200,
            sha256: hex(&Sha256::digest(body)),
            size: body.len() as u64,
            content_type: None,
            last_modified: None,
            etag: None,
            confirmed: now(),
        };
        store.keep(&entry, file).unwrap();
        entry
    }

    #[test]
    fn what_is_kept_is_found_and_the_rest_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let entry = keep(&store, "http://m.example/debian/pool/a", b"body");
        let (found, mut file) = store.find("http://m.example/debian/pool/a").unwrap().unwrap();
        let mut body = String::new();
        file.read_to_string(&mut body).unwrap();
        assert_eq!((found, body.as_str()), (entry, "body"));
        assert!(store.find("http://m.example/debian/pool/b").unwrap().is_none());
    }

    #[test]
    fn a_body_that_changed_on_disk_is_never_served() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let entry = keep(&store, "http://m.example/debian/pool/a", b"body");
        fs::write(dir.path().join("bodies").join(&entry.sha256), b"bodY").unwrap();
        assert!(store.find(&entry.url).unwrap().is_none());
        assert!(!dir.path().join("bodies").join(&entry.sha256).exists());
    }

    #[test]
    fn one_at_a_time_may_fetch_a_url() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let held = store.lock("u").unwrap();
        let other = File::create(dir.path().join("locks").join(name("u"))).unwrap();
        let other = Flock::lock(other, FlockArg::LockExclusiveNonblock).unwrap_err().0;
        drop(held);
        assert!(Flock::lock(other, FlockArg::LockExclusiveNonblock).is_ok());
    }
}
