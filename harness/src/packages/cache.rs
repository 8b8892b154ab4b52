//! Answers from the store; what is missing or old is fetched, once, while it is being served.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;
use tokio::runtime::{Builder, Runtime};

use super::answer::Answer;
use super::fetch::Fetcher;
use super::mirrors::{Mirrors, Wanted};
use super::stats::Stats;
use super::store::{Entry, Store};

/// For so long upstream is not asked again about a file that may change.
const FRESH: Duration = Duration::from_secs(24 * 3600);

/// A cache of package archives on disk; any number of processes may share one.
#[derive(Debug)]
pub struct PackageCache {
    fetcher: Arc<Fetcher>,
    mirrors: Mirrors,
    offline: bool,
    /// Runs the fetches, which outlive the connections that asked for them.
    runtime: Option<Runtime>,
}

impl PackageCache {
    /// Opens the cache at a directory, made where it is missing. An `offline` one asks no mirror.
    ///
    /// # Errors
    /// When the directory cannot be made.
    pub fn open(root: &Path, mirrors: Mirrors, offline: bool) -> io::Result<Self> {
        let fetcher = Arc::new(Fetcher::new(root, Store::open(root)?)?);
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .max_blocking_threads(4)
            .thread_name("fetches")
            .enable_all()
            .build()?;
        Ok(Self { fetcher, mirrors, offline, runtime: Some(runtime) })
    }

    /// The mirrors it asks.
    pub fn mirrors(&self) -> &Mirrors {
        &self.mirrors
    }

    /// What it has done so far.
    pub fn stats(&self) -> Stats {
        self.fetcher.stats()
    }

    /// What stands at a path such as `/debian/dists/bookworm/InRelease`, whatever host was asked.
    pub(super) async fn answer(&self, host: &str, path: &str) -> Answer {
        self.fetcher.count(|stats| stats.requests += 1);
        let Some(wanted) = self.mirrors.url_for(path) else {
            let what = format!(
                "http://{host}{path}: no mirror of this archive is configured here; set HARNESS_MIRRORS"
            );
            self.fetcher.count(|stats| stats.missing.add(&what));
            // A submission may ask for anything, so this is never our lack.
            return Answer::text(404, &what);
        };
        match self.find_or_fetch(&wanted).await {
            Ok(answer) => answer,
            Err(error) => self.fetcher.unserved(502, &format!("{}: {error}", wanted.url), true),
        }
    }

    async fn find_or_fetch(&self, wanted: &Wanted) -> io::Result<Answer> {
        match self.fetcher.look_up(&wanted.url).await? {
            Some((entry, file)) if self.offline || is_fresh(&entry) => Ok(Answer::stored(&entry, file)),
            None if self.offline => {
                self.fetcher
                    .lacked(504, wanted, "not in the package cache, and --offline allows no mirror")
                    .await
            }
            _ => match &self.runtime {
                Some(runtime) => self.fetcher.fetched(runtime.handle(), wanted).await,
                None => Err(io::Error::other("the cache is closed")),
            },
        }
    }
}

impl Drop for PackageCache {
    fn drop(&mut self) {
        // The last user may be a task, which must not wait.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Whether upstream need not be asked: files in the pool and those named by their
/// digest never change.
pub(super) fn is_fresh(entry: &Entry) -> bool {
    entry.url.contains("/pool/") || entry.url.contains("/by-hash/") || entry.age() < FRESH
}

impl Fetcher {
    /// What the store has of an address.
    pub(super) async fn look_up(self: &Arc<Self>, url: &Url) -> io::Result<Option<(Entry, File)>> {
        let (fetcher, url) = (Arc::clone(self), url.to_string());
        blocking(move || fetcher.store.find(&url)).await
    }
}

/// Work on files, on a thread for that. It never waits for other requests, so a
/// few threads are enough.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}
