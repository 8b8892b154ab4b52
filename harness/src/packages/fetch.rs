//! Fetching from mirrors: one task for each address, however many guests wait for it.
//!
//! Who asks for an address that is being fetched gets the same answer as the first, and costs no
//! thread. Another process that fetches the same address is waited for, but not for ever. An
//! address that the mirror does not have leaves nothing on disk: it is remembered for a minute.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use reqwest::header::{
    CONTENT_TYPE, ETAG, HeaderMap, HeaderName, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED,
};
use reqwest::{Client, Response, StatusCode};
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;
use tokio::runtime::Handle;
use tokio::sync::watch;

use super::answer::{Answer, Growing, Written};
use super::cache::{blocking, is_fresh};
use super::index::{Indexes, Place};
use super::mirrors::Wanted;
use super::stats::Stats;
use super::store::{Entry, Store, now};
use crate::hex::hex;

/// More than this one process does not fetch: a submission must not be able to copy
/// a whole archive here.
const FETCH_LIMIT: u64 = 16 << 30;
/// So many requests one process makes to mirrors. A full grade with an empty cache makes
/// fewer than a thousand.
const REQUEST_LIMIT: u64 = 10_000;
/// After so many answers of 404, mirrors are only asked for what a signed index names.
const ABSENT_LIMIT: u64 = 200;
/// For so long an answer of 404 is remembered, and a mirror that did not answer is left alone where
/// the cache has an older file.
const REMEMBERED: Duration = Duration::from_secs(60);
/// How many such answers are remembered.
const REMEMBERED_AT_MOST: usize = 1000;
/// How long another process that fetches the same address is waited for.
const LOCK_PATIENCE: Duration = Duration::from_secs(60);

/// Fetches, and what came of the last ones.
#[derive(Debug)]
pub(super) struct Fetcher {
    root: PathBuf,
    pub(super) store: Store,
    client: Client,
    stats: Mutex<Stats>,
    indexes: Indexes,
    flights: Mutex<HashMap<String, Landing>>,
    absent: Remembered<Answer>,
    silent: Remembered<()>,
}

/// Where the answer of a fetch will be.
type Landing = watch::Receiver<Option<Answer>>;

impl Fetcher {
    pub fn new(root: &Path, store: Store) -> io::Result<Self> {
        vm::use_ring();
        let client = Client::builder()
            .user_agent(concat!("harness/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(Duration::from_secs(20))
            .read_timeout(Duration::from_secs(60))
            .build()
            .map_err(io::Error::other)?;
        Ok(Self {
            root: root.to_owned(),
            store,
            client,
            stats: Mutex::default(),
            indexes: Indexes::default(),
            flights: Mutex::default(),
            absent: Mutex::default(),
            silent: Mutex::default(),
        })
    }

    pub fn stats(&self) -> Stats {
        locked(&self.stats).clone()
    }

    pub fn count(&self, change: impl FnOnce(&mut Stats)) {
        change(&mut locked(&self.stats));
    }

    /// What the cached indexes say of an address.
    pub async fn place(self: &Arc<Self>, wanted: &Wanted) -> io::Result<Place> {
        let (fetcher, wanted) = (Arc::clone(self), wanted.clone());
        blocking(move || Ok(fetcher.indexes.place(&fetcher.store, &wanted))).await
    }

    /// The answer for what could not be served, and a note of it.
    pub fn unserved(&self, status: u16, what: &str, is_ours: bool) -> Answer {
        self.count(|stats| {
            stats.missing.add(what);
            if is_ours {
                stats.lacking.add(what);
            }
        });
        Answer::text(status, what)
    }

    /// Joins the fetch of an address that is under way, or begins one.
    pub async fn fetched(self: &Arc<Self>, runtime: &Handle, wanted: &Wanted) -> io::Result<Answer> {
        let url = wanted.url.to_string();
        if let Some(answer) = remembered(&self.absent, &url) {
            return Ok(answer);
        }
        let mut landing = {
            let mut flights = locked(&self.flights);
            if let Some(landing) = flights.get(&url) {
                landing.clone()
            } else {
                let (tell, landing) = watch::channel(None);
                flights.insert(url.clone(), landing.clone());
                let flight = Flight { fetcher: Arc::clone(self), url, tell };
                runtime.spawn(flight.fly(wanted.clone()));
                landing
            }
        };
        let landed = landing.wait_for(Option::is_some).await;
        landed.ok().and_then(|answer| answer.clone()).ok_or_else(|| io::Error::other("the fetch broke off"))
    }

    /// Asks upstream, with what is known already as the condition. What is old is
    /// better than nothing.
    async fn fetch(self: &Arc<Self>, flight: &Flight, wanted: &Wanted) -> io::Result<Option<Answer>> {
        // Without the lock, after all that time, both processes store the same.
        let _lock = self.store.lock(&flight.url, LOCK_PATIENCE).await?;
        let known = self.look_up(&wanted.url).await?;
        if let Some((entry, file)) =
            known.as_ref().filter(|(entry, _)| is_fresh(entry) || self.is_silent(wanted))
        {
            // Another process has fetched it since, or there is nobody to ask.
            return Ok(Some(Answer::stored(entry, file.try_clone()?)));
        }
        if let Some(refused) = self.refused(wanted).await? {
            return Ok(Some(refused));
        }
        let mut request = self.client.get(wanted.with_credentials());
        if let Some((entry, _)) = &known {
            for (name, value) in [(IF_NONE_MATCH, &entry.etag), (IF_MODIFIED_SINCE, &entry.last_modified)] {
                if let Some(value) = value {
                    request = request.header(name, value);
                }
            }
        }
        self.count(|stats| stats.upstream_requests += 1);
        let response = request.send().await.map_err(reqwest::Error::without_url);
        self.log(&flight.url, &response);
        if response.is_err() {
            remember(&self.silent, wanted.host(), ());
        }
        match (response, known) {
            (Ok(response), Some((mut entry, file))) if response.status() == StatusCode::NOT_MODIFIED => {
                entry.confirmed = now();
                self.store.update(&entry)?;
                Ok(Some(Answer::stored(&entry, file)))
            }
            (Ok(response), _) if response.status() == StatusCode::OK => {
                self.receive(response, flight).await?;
                Ok(None)
            }
            (_, Some((entry, file))) => Ok(Some(Answer::stored(&entry, file))),
            (Ok(response), None) if is_absent(response.status()) => {
                self.absent(wanted, response.status()).await.map(Some)
            }
            (Ok(response), None) => {
                let status = response.status();
                self.lacked(502, wanted, &format!("the mirror answered {status}")).await.map(Some)
            }
            (Err(error), None) => self.lacked(502, wanted, &vm::chain(&error)).await.map(Some),
        }
    }

    /// A mirror that does not have a file: our failure only where its own index names that.
    async fn absent(self: &Arc<Self>, wanted: &Wanted, status: StatusCode) -> io::Result<Answer> {
        self.count(|stats| stats.upstream_absent += 1);
        let answer = if self.place(wanted).await? == Place::Named {
            let why = format!("the archive's index names it, and the mirror answered {}", status.as_u16());
            let what = format!("{}: {why}", wanted.url);
            self.unserved(404, &what, true)
        } else {
            Answer::text(404, &format!("{}: the mirror does not have it", wanted.url))
        };
        remember(&self.absent, wanted.url.as_str(), answer.clone());
        Ok(answer)
    }

    /// The answer for what is not here while no mirror answers: our failure, unless an index shows
    /// that there is no such file.
    pub async fn lacked(self: &Arc<Self>, status: u16, wanted: &Wanted, why: &str) -> io::Result<Answer> {
        if self.place(wanted).await? == Place::Unnamed {
            return Ok(Answer::text(404, &format!("{}: the archive's index does not name it", wanted.url)));
        }
        Ok(self.unserved(status, &format!("{}: {why}", wanted.url), true))
    }

    /// The answer where no mirror is asked, because this process has asked too much.
    async fn refused(self: &Arc<Self>, wanted: &Wanted) -> io::Result<Option<Answer>> {
        let stats = self.stats();
        let too_much = stats.upstream_bytes > FETCH_LIMIT || stats.upstream_requests >= REQUEST_LIMIT;
        let guesses = stats.upstream_absent >= ABSENT_LIMIT;
        if too_much || (guesses && self.place(wanted).await? != Place::Named) {
            let what = format!("{}: this run has reached its limit of requests to the mirrors", wanted.url);
            return Ok(Some(self.unserved(429, &what, false)));
        }
        Ok(None)
    }

    /// Whether an address' mirror did not answer a moment ago.
    fn is_silent(&self, wanted: &Wanted) -> bool {
        remembered(&self.silent, wanted.host()).is_some()
    }

    /// Serves a body while it is stored, to the end even where the guests go away.
    async fn receive(self: &Arc<Self>, response: Response, flight: &Flight) -> io::Result<()> {
        let body = self.store.new_body()?;
        let (growing, progress) = Growing::begun(body.reopen()?);
        let entry = Entry {
            url: flight.url.clone(),
            status: response.status().as_u16(),
            sha256: String::new(),
            size: 0,
            content_type: text(response.headers(), CONTENT_TYPE),
            last_modified: text(response.headers(), LAST_MODIFIED),
            etag: text(response.headers(), ETAG),
            confirmed: now(),
        };
        flight.land(Answer::of(&entry, response.content_length(), growing));
        let stored = self.store_body(response, entry, body, &progress).await;
        // Noted first: whoever sees the end of a broken body may ask what was lacking.
        if let Err(error) = &stored {
            self.unserved(502, &format!("{}: {error}", flight.url), true);
        }
        progress.send_replace(stored.map_or(Written::Broken, Written::Whole));
        Ok(())
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
        let broke_off = |error: reqwest::Error| io::Error::other(vm::chain(&error.without_url()));
        while let Some(chunk) = response.chunk().await.map_err(broke_off)? {
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
        let right = named_digest(&entry.url).is_none_or(|named| named == entry.sha256);
        if !whole || !right {
            return Err(io::Error::other("the mirror sent a file of another length or digest"));
        }
        let fetcher = Arc::clone(self);
        blocking(move || {
            fetcher.store.keep(&entry, body)?;
            Ok(entry.size)
        })
        .await
    }

    /// One line for every request to a mirror, so that a person can see afterwards what
    /// was asked, and when.
    fn log(&self, url: &str, response: &reqwest::Result<Response>) {
        let outcome = match response {
            Ok(response) => response.status().as_u16().to_string(),
            Err(error) => vm::chain(error).replace('\n', " "),
        };
        let line = format!("{} {url} {outcome}\n", now());
        let file = File::options().create(true).append(true).open(self.root.join("upstream.log"));
        // The log is for people; a full disk shows itself where the body is written.
        let _ = file.and_then(|mut file| file.write_all(line.as_bytes()));
    }
}

/// A fetch under way. Dropped, it is no longer: who comes later begins another.
struct Flight {
    fetcher: Arc<Fetcher>,
    url: String,
    tell: watch::Sender<Option<Answer>>,
}

impl Flight {
    async fn fly(self, wanted: Wanted) {
        let fetcher = Arc::clone(&self.fetcher);
        match fetcher.fetch(&self, &wanted).await {
            Ok(Some(answer)) => self.land(answer),
            Ok(None) => {}
            Err(error) => {
                self.land(fetcher.unserved(502, &format!("{}: {error}", self.url), true));
            }
        }
    }

    fn land(&self, answer: Answer) {
        self.tell.send_replace(Some(answer));
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        locked(&self.fetcher.flights).remove(&self.url);
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

type Remembered<T> = Mutex<HashMap<String, (Instant, T)>>;

/// Notes something for a minute, and forgets what is older.
fn remember<T>(notes: &Remembered<T>, name: &str, what: T) {
    let mut notes = locked(notes);
    if notes.len() >= REMEMBERED_AT_MOST {
        notes.retain(|_, (since, _)| since.elapsed() < REMEMBERED);
    }
    if notes.len() < REMEMBERED_AT_MOST {
        notes.insert(name.to_owned(), (Instant::now(), what));
    }
}

fn remembered<T: Clone>(notes: &Remembered<T>, name: &str) -> Option<T> {
    let notes = locked(notes);
    notes.get(name).filter(|(since, _)| since.elapsed() < REMEMBERED).map(|(_, what)| what.clone())
}

/// Whether a mirror's answer is about the address and not about its own state. A submission may ask
/// for odd addresses.
fn is_absent(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::NOT_FOUND
            | StatusCode::GONE
            | StatusCode::BAD_REQUEST
            | StatusCode::URI_TOO_LONG
            | StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
    )
}

/// The digest in a by-hash address.
fn named_digest(url: &str) -> Option<&str> {
    url.split_once("/by-hash/SHA256/").map(|(_, digest)| digest)
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<String> {
    headers.get(name)?.to_str().ok().map(ToOwned::to_owned)
}
