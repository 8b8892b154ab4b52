//! What the cache holds on disk.
//!
//! ```text
//! packages/
//!   urls/<sha256 of the URL>.json     what is known of a URL, and the digest of its body
//!   bodies/<sha256 of the body>       the bodies, each once, however many URLs have it
//!   locks/<sha256 of the URL>         there and locked while a URL is fetched
//!   new/                              what is being written; killed processes' files are removed
//! ```
//!
//! A body is complete or not there (written aside, then renamed), and a URL's entry is
//! written after its body, so a process may be killed at any moment and any number of
//! processes may share one store.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;

use crate::hex::hex;

/// How often a lock that another process holds is tried.
const LOCK_INTERVAL: Duration = Duration::from_millis(50);

/// What is known of a URL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    pub url: String,
    /// Always 200; earlier versions also kept answers of 404, which count as unknown.
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

    /// The entry of a URL and its body, whose digest has just been checked. A body that does not
    /// match is removed, and the URL counts as unknown.
    pub fn find(&self, url: &str) -> io::Result<Option<(Entry, File)>> {
        let Ok(entry) = fs::read(self.entry_path(url)) else { return Ok(None) };
        let Ok(entry) = serde_json::from_slice::<Entry>(&entry) else { return Ok(None) };
        if entry.status != 200 {
            return Ok(None);
        }
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

    /// The entries of all URLs that begin with these words.
    pub fn entries_below(&self, prefix: &str) -> Vec<Entry> {
        let files = fs::read_dir(self.root.join("urls")).into_iter().flatten().flatten();
        let read = |path: PathBuf| serde_json::from_slice::<Entry>(&fs::read(path).ok()?).ok();
        files
            .filter_map(|file| read(file.path()))
            .filter(|entry| entry.status == 200 && entry.url.starts_with(prefix))
            .collect()
    }

    /// Waits until no other process fetches this URL, and keeps them out until dropped. `None`
    /// where one still does after `patience`: it may be stopped for good.
    pub async fn lock(&self, url: &str, patience: Duration) -> io::Result<Option<UrlLock>> {
        let path = self.root.join("locks").join(name(url));
        let deadline = Instant::now() + patience;
        loop {
            match UrlLock::attempt(&path)? {
                Some(lock) => return Ok(Some(lock)),
                None if Instant::now() >= deadline => return Ok(None),
                None => tokio::time::sleep(LOCK_INTERVAL).await,
            }
        }
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

    /// Removes what killed processes left: locks that nobody holds, and what was
    /// half-written a day ago.
    fn sweep(&self) {
        for entry in fs::read_dir(self.root.join("locks")).into_iter().flatten().flatten() {
            drop(UrlLock::attempt(&entry.path()));
        }
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

/// The right to fetch a URL. Its file goes with it.
#[derive(Debug)]
pub(super) struct UrlLock {
    path: PathBuf,
    _file: Flock<File>,
}

impl UrlLock {
    /// Takes the lock, where nobody has it.
    fn attempt(path: &Path) -> io::Result<Option<Self>> {
        let file = File::options().create(true).append(true).open(path)?;
        let file = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(file) => file,
            Err((_, nix::errno::Errno::EWOULDBLOCK)) => return Ok(None),
            Err((_, errno)) => return Err(errno.into()),
        };
        // Its last holder may have removed the file after this process opened it:
        // then it locks nothing.
        let is_current = fs::metadata(path).is_ok_and(|there| {
            file.metadata().is_ok_and(|ours| (ours.dev(), ours.ino()) == (there.dev(), there.ino()))
        });
        Ok(is_current.then(|| Self { path: path.to_owned(), _file: file }))
    }
}

impl Drop for UrlLock {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

fn name(url: &str) -> String {
    hex(&Sha256::digest(url))
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

    #[tokio::test]
    async fn one_process_at_a_time_fetches_a_url_and_a_stopped_one_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let (store, other) = (Store::open(dir.path()).unwrap(), Store::open(dir.path()).unwrap());
        let held = store.lock("u", Duration::ZERO).await.unwrap().unwrap();
        let began = Instant::now();
        assert!(other.lock("u", Duration::from_millis(120)).await.unwrap().is_none());
        assert!(began.elapsed() >= Duration::from_millis(120));
        drop(held);
        let taken = other.lock("u", Duration::ZERO).await.unwrap();
        assert!(taken.is_some());
        drop(taken);
        assert_eq!(fs::read_dir(dir.path().join("locks")).unwrap().count(), 0);
    }

    #[test]
    fn locks_of_killed_processes_are_swept_and_held_ones_stay() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let locks = dir.path().join("locks");
        fs::write(locks.join("left"), "").unwrap();
        let held = UrlLock::attempt(&locks.join("held")).unwrap().unwrap();
        store.sweep();
        assert!(!locks.join("left").exists() && locks.join("held").exists());
        drop(held);
    }

    #[test]
    fn an_absent_file_that_an_earlier_version_kept_is_unknown() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let mut entry = keep(&store, "u", b"");
        entry.status = 404;
        store.update(&entry).unwrap();
        assert!(store.find("u").unwrap().is_none());
    }
}
