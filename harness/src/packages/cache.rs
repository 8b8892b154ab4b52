//! Answers from the store; what is missing or old is fetched, once, while it is being served.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nix::fcntl::Flock;
use reqwest::header::{
    CONTENT_TYPE, ETAG, HeaderMap, HeaderName, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED,
};
use reqwest::{Client, Response, StatusCode, Url};
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;
use tokio::sync::watch;

use super::mirrors::Mirrors;
use super::store::{Entry, Store, hex, now};

/// For so long upstream is not asked again about a file that may change.
const FRESH: Duration = Duration::from_secs(24 * 3600);
/// More than this one process does not fetch: a submission must not be able to copy a whole archive here.
const FETCH_LIMIT: u64 = 16 << 30;

/// A cache of package archives on disk; any number of processes may share one.
#[derive(Debug)]
pub struct PackageCache {
    root: PathBuf,
    store: Store,
    mirrors: Mirrors,
    offline: bool,
    client: Client,
    stats: Mutex<Stats>,
}

/// What one cache object has done so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Requests that guests made.
    pub requests: u64,
    /// Requests that were made to mirrors, revalidations included.
    pub upstream_requests: u64,
    /// Bytes of bodies that came from mirrors.
    pub upstream_bytes: u64,
    /// What could not be served: the address, and why.
    pub missing: Vec<String>,
}

/// What a guest gets.
pub(super) struct Answer {
    pub status: u16,
    pub size: Option<u64>,
    pub headers: Vec<(&'static str, String)>,
    pub body: Content,
}

pub(super) enum Content {
    Text(String),
    File(Growing),
}

/// A file that is whole or still being written.
pub(super) struct Growing {
    file: Arc<File>,
    written: watch::Receiver<Written>,
}

#[derive(Clone, Copy, Debug)]
enum Written {
    SoFar(u64),
    Whole(u64),
    Broken,
}

impl Growing {
    fn whole(file: File, size: u64) -> Self {
        Self { file: Arc::new(file), written: watch::channel(Written::Whole(size)).1 }
    }

    /// The next bytes from an offset on, none at the end.
    pub async fn read_at(&mut self, offset: u64) -> io::Result<Vec<u8>> {
        loop {
            let written = *self.written.borrow_and_update();
            let (Written::SoFar(end) | Written::Whole(end)) = written else {
                return Err(io::Error::other("the mirror broke off"));
            };
            if offset < end {
                let mut bytes = vec![0; (end - offset).min(128 << 10) as usize];
                self.file.read_exact_at(&mut bytes, offset)?;
                return Ok(bytes);
            }
            if matches!(written, Written::Whole(_)) {
                return Ok(Vec::new());
            }
            self.written.changed().await.map_err(io::Error::other)?;
        }
    }
}

impl PackageCache {
    /// Opens the cache at a directory, made where it is missing. An `offline` one asks no mirror.
    ///
    /// # Errors
    /// When the directory cannot be made.
    pub fn open(root: &Path, mirrors: Mirrors, offline: bool) -> io::Result<Self> {
        vm::use_ring();
        let client = Client::builder()
            .user_agent(concat!("harness/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(Duration::from_secs(20))
            .read_timeout(Duration::from_secs(60))
            .build()
            .map_err(io::Error::other)?;
        let store = Store::open(root)?;
        Ok(Self { root: root.to_owned(), store, mirrors, offline, client, stats: Mutex::default() })
    }

    /// The mirrors it asks.
    pub fn mirrors(&self) -> &Mirrors {
        &self.mirrors
    }

    /// What it has done so far.
    pub fn stats(&self) -> Stats {
        self.stats.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn count(&self, change: impl FnOnce(&mut Stats)) {
        change(&mut self.stats.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// What stands at a path such as `/debian/dists/bookworm/InRelease`, whatever host was asked.
    pub(super) async fn answer(self: &Arc<Self>, host: &str, path: &str) -> Answer {
        self.count(|stats| stats.requests += 1);
        let Some(url) = self.mirrors.url_for(path) else {
            return self.missing(
                502,
                &format!(
                    "http://{host}{path}: no mirror of this archive is configured here; set HARNESS_MIRRORS"
                ),
            );
        };
        match self.find_or_fetch(&url).await {
            Ok(answer) => answer,
            Err(error) => self.missing(502, &format!("{url}: {error}")),
        }
    }

    fn missing(&self, status: u16, what: &str) -> Answer {
        self.count(|stats| stats.missing.push(what.to_owned()));
        Answer { status, size: None, headers: vec![], body: Content::Text(format!("{what}\n")) }
    }

    async fn find_or_fetch(self: &Arc<Self>, url: &Url) -> io::Result<Answer> {
        match self.look_up(url).await? {
            Some((entry, file)) if self.offline || is_fresh(&entry, url) => return Ok(stored(&entry, file)),
            None if self.offline => {
                return Ok(self.missing(504, &format!("{url}: not in the package cache, and --offline")));
            }
            _ => {}
        }
        let (cache, name) = (Arc::clone(self), url.to_string());
        let lock = blocking(move || cache.store.lock(&name)).await?;
        match self.look_up(url).await? {
            // Another task or process fetched it meanwhile.
            Some((entry, file)) if is_fresh(&entry, url) => Ok(stored(&entry, file)),
            known => self.fetch(url, known, lock).await,
        }
    }

    async fn look_up(self: &Arc<Self>, url: &Url) -> io::Result<Option<(Entry, File)>> {
        let cache = Arc::clone(self);
        let url = url.to_string();
        blocking(move || cache.store.find(&url)).await
    }

    /// Asks upstream, with what is known already as the condition. What is old is better than nothing.
    async fn fetch(
        self: &Arc<Self>,
        url: &Url,
        known: Option<(Entry, File)>,
        lock: Flock<File>,
    ) -> io::Result<Answer> {
        let mut request = self.client.get(url.clone());
        if let Some((entry, _)) = &known {
            for (name, value) in [(IF_NONE_MATCH, &entry.etag), (IF_MODIFIED_SINCE, &entry.last_modified)] {
                if let Some(value) = value {
                    request = request.header(name, value);
                }
            }
        }
        if self.stats().upstream_bytes > FETCH_LIMIT {
            return Err(io::Error::other("too much has been fetched by this run"));
        }
        self.count(|stats| stats.upstream_requests += 1);
        let response = request.send().await;
        self.log(url, &response);
        match (response, known) {
            (Ok(response), Some((mut entry, file))) if response.status() == StatusCode::NOT_MODIFIED => {
                entry.confirmed = now();
                self.store.update(&entry)?;
                Ok(stored(&entry, file))
            }
            (Ok(response), _) if matches!(response.status().as_u16(), 200 | 404) => {
                self.receive(response, url, lock).await
            }
            (_, Some((entry, file))) => Ok(stored(&entry, file)),
            (Ok(response), None) => {
                Err(io::Error::other(format!("the mirror answered {}", response.status())))
            }
            (Err(error), None) => Err(io::Error::other(whole_story(&error))),
        }
    }

    /// Serves a body while a task of its own stores it, to the end even where the guest goes away.
    async fn receive(
        self: &Arc<Self>,
        response: Response,
        url: &Url,
        lock: Flock<File>,
    ) -> io::Result<Answer> {
        let body = self.store.new_body()?;
        let (progress, written) = watch::channel(Written::SoFar(0));
        let growing = Growing { file: Arc::new(body.reopen()?), written };
        let entry = Entry {
            url: url.to_string(),
            status: response.status().as_u16(),
            sha256: String::new(),
            size: 0,
            content_type: text(response.headers(), CONTENT_TYPE),
            last_modified: text(response.headers(), LAST_MODIFIED),
            etag: text(response.headers(), ETAG),
            confirmed: now(),
        };
        if entry.status != 200 {
            let status = entry.status;
            self.store_body(response, entry, body, &progress).await?;
            return Ok(Answer { status, size: None, headers: vec![], body: Content::Text(String::new()) });
        }
        let answer = Answer {
            status: entry.status,
            size: response.content_length(),
            headers: headers(&entry),
            body: Content::File(growing),
        };
        let cache = Arc::clone(self);
        tokio::spawn(async move {
            let stored = cache.store_body(response, entry, body, &progress).await;
            if let Err(error) = &stored {
                cache.count(|stats| stats.missing.push(error.to_string()));
            }
            progress.send_replace(stored.map_or(Written::Broken, Written::Whole));
            drop(lock);
        });
        Ok(answer)
    }

    async fn store_body(
        self: &Arc<Self>,
        mut response: Response,
        mut entry: Entry,
        mut body: NamedTempFile,
        progress: &watch::Sender<Written>,
    ) -> io::Result<u64> {
        let promised = response.content_length();
        let mut sha256 = Sha256::new();
        while let Some(chunk) =
            response.chunk().await.map_err(|error| io::Error::other(whole_story(&error)))?
        {
            body.write_all(&chunk)?;
            sha256.update(&chunk);
            entry.size += chunk.len() as u64;
            // The end is held back until the body is checked and kept.
            if promised.is_none_or(|promised| entry.size < promised) {
                progress.send_replace(Written::SoFar(entry.size));
            }
        }
        entry.sha256 = hex(&sha256.finalize());
        self.count(|stats| stats.upstream_bytes += entry.size);
        let whole = promised.is_none_or(|promised| promised == entry.size);
        let right = entry.status != 200 || named_digest(&entry.url).is_none_or(|named| named == entry.sha256);
        if !whole || !right {
            return Err(io::Error::other(format!("{}: the mirror sent something else", entry.url)));
        }
        let cache = Arc::clone(self);
        blocking(move || {
            cache.store.keep(&entry, body)?;
            Ok(entry.size)
        })
        .await
    }

    /// One line for every request to a mirror, so that a person can see afterwards what was asked, and when.
    fn log(&self, url: &Url, response: &reqwest::Result<Response>) {
        let outcome = match response {
            Ok(response) => response.status().as_u16().to_string(),
            Err(error) => whole_story(error).replace('\n', " "),
        };
        let line = format!("{} {url} {outcome}\n", now());
        let file = File::options().create(true).append(true).open(self.root.join("upstream.log"));
        // The log is for people; a full disk shows itself where the body is written.
        let _ = file.and_then(|mut file| file.write_all(line.as_bytes()));
    }
}

/// Whether upstream need not be asked: files in the pool and those named by their digest never change.
fn is_fresh(entry: &Entry, url: &Url) -> bool {
    let immutable = url.path().contains("/pool/") || url.path().contains("/by-hash/");
    (immutable && entry.status == 200) || entry.age() < FRESH
}

/// The digest in a by-hash address.
fn named_digest(url: &str) -> Option<&str> {
    url.split_once("/by-hash/SHA256/").map(|(_, digest)| digest)
}

fn stored(entry: &Entry, file: File) -> Answer {
    let headers = headers(entry);
    Answer {
        status: entry.status,
        size: Some(entry.size),
        headers,
        body: Content::File(Growing::whole(file, entry.size)),
    }
}

fn headers(entry: &Entry) -> Vec<(&'static str, String)> {
    let value = |name, value: &Option<String>| Some((name, value.clone()?));
    [value("content-type", &entry.content_type), value("last-modified", &entry.last_modified)]
        .into_iter()
        .flatten()
        .collect()
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<String> {
    headers.get(name)?.to_str().ok().map(ToOwned::to_owned)
}

/// An error with its causes: reqwest's own text names none of them.
fn whole_story(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |story, cause| format!("{story}: {cause}"))
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}
