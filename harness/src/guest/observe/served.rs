//! What our package server does for the machine, as the world's web servers see it.

use std::collections::{BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

/// So many requests for one file count. apt asks again after a failure, and for each image;
/// more than that is a loop.
const REQUESTS: u32 = 8;
/// Requests for so many files count. A base, a compiler and Flask take some 400.
const FILES: usize = 4000;
/// After so many refusals, requests for other files no longer count: paths are made up.
const REFUSALS: u32 = 500;

/// Requests and answers since the scenario began.
#[derive(Debug, Default)]
pub struct Served(Mutex<Ledger>);

/// Of this process's world.
pub static SERVED: LazyLock<Served> = LazyLock::new(Served::default);

#[derive(Debug, Default)]
struct Ledger {
    bytes: u64,
    refusals: u32,
    /// Those that count, by the path's hash.
    requests: HashMap<u64, u32>,
    last: u64,
    service: Service,
}

/// What the server had done at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Service {
    /// In answer to requests that count, in bytes.
    sent: u64,
    /// Requests that have no answer yet: those that count, and all.
    owed: BTreeSet<u64>,
    open: BTreeSet<u64>,
}

impl Service {
    /// Whether the server has sent something new since, or owes an answer: one to a request that
    /// counts, or one that it owed then.
    pub fn went_on_since(&self, before: &Self) -> bool {
        self.sent > before.sent || !self.owed.is_empty() || !self.open.is_disjoint(&before.open)
    }
}

impl Served {
    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Our server was asked for a file and has not answered yet, until the value is dropped.
    pub fn asked(&self, path: &str) -> Asked<'_> {
        let mut hasher = DefaultHasher::new();
        path.hash(&mut hasher);
        let (file, mut ledger) = (hasher.finish(), self.ledger());
        let requests = ledger.requests.get(&file).copied().unwrap_or_default();
        let may_be_new = ledger.refusals < REFUSALS && ledger.requests.len() < FILES;
        let counts = requests < REQUESTS && (requests > 0 || may_be_new);
        if counts {
            ledger.requests.insert(file, requests + 1);
        }
        ledger.last += 1;
        let id = ledger.last;
        ledger.service.open.insert(id);
        if counts {
            ledger.service.owed.insert(id);
        }
        Asked { served: self, id, counts }
    }

    /// Our server has sent this much more, in answer to a request that counts or not.
    pub fn sent(&self, bytes: u64, counts: bool) {
        let mut ledger = self.ledger();
        ledger.bytes += bytes;
        ledger.service.sent += if counts { bytes } else { 0 };
    }

    /// All that was sent.
    pub fn bytes(&self) -> u64 {
        self.ledger().bytes
    }

    /// Whether someone waits for an answer.
    pub fn owes(&self) -> bool {
        !self.ledger().service.open.is_empty()
    }

    /// What it has done by now.
    pub fn service(&self) -> Service {
        self.ledger().service.clone()
    }
}

/// A request that is being answered.
#[derive(Debug)]
pub struct Asked<'a> {
    served: &'a Served,
    id: u64,
    counts: bool,
}

impl Asked<'_> {
    /// Takes note of the answer's status; whether what is sent now counts.
    pub fn answered(self, status: u16) -> bool {
        let is_refusal = status >= 400;
        self.served.ledger().refusals += u32::from(is_refusal);
        self.counts && !is_refusal
    }
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        let mut ledger = self.served.ledger();
        ledger.service.open.remove(&self.id);
        ledger.service.owed.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether the server went on when it sent this file once more.
    fn goes_on_with(served: &Served, path: &str, status: u16) -> bool {
        let before = served.service();
        let counts = served.asked(path).answered(status);
        served.sent(100, counts);
        served.service().went_on_since(&before)
    }

    #[test]
    fn a_server_that_sends_or_owes_an_answer_is_at_work() {
        let served = Served::default();
        let before = served.service();
        assert!(!before.went_on_since(&before));
        let asked = served.asked("/debian/pool/a.deb");
        assert!(served.owes() && served.service().went_on_since(&before));
        assert!(asked.answered(200));
        assert!(!served.owes() && !served.service().went_on_since(&before));
        served.sent(1, true);
        assert!(served.service().went_on_since(&before));
        assert_eq!(served.bytes(), 1);
    }

    #[test]
    fn a_loop_over_the_same_files_goes_on_only_at_first() {
        let served = Served::default();
        let rounds = (0..100).filter(|_| {
            ["/debian/dists/bookworm/InRelease", "/debian/pool/a.deb"]
                .map(|path| goes_on_with(&served, path, 200))
                .contains(&true)
        });
        assert_eq!(rounds.count(), REQUESTS as usize);
        assert_eq!(served.bytes(), 20_000);
        let before = served.service();
        let _asked = served.asked("/debian/pool/a.deb");
        assert!(!served.service().went_on_since(&before), "it was asked this moment, once more");
    }

    #[test]
    fn an_answer_that_is_owed_for_long_is_waited_for_in_a_loop_too() {
        let served = Served::default();
        assert!((0..100).any(|_| !goes_on_with(&served, "/debian/pool/a.deb", 200)));
        let asked = served.asked("/debian/pool/a.deb");
        let before = served.service();
        assert!(served.service().went_on_since(&before));
        drop(asked);
        assert!(!served.service().went_on_since(&before));
    }

    #[test]
    fn a_loop_over_ever_new_files_goes_on_only_at_first() {
        let served = Served::default();
        let goes_on = |file: &usize| goes_on_with(&served, &format!("/debian/pool/{file}.deb"), 200);
        assert_eq!((0..2 * FILES).filter(goes_on).count(), FILES);
    }

    #[test]
    fn new_files_go_on_and_made_up_ones_do_not() {
        let served = Served::default();
        assert!((0..1000).all(|file| goes_on_with(&served, &format!("/debian/pool/{file}.deb"), 200)));
        assert!((0..1000).all(|file| !goes_on_with(&served, &format!("/pool/no-{file}"), 404)));
        let before = served.service();
        let _asked = served.asked("/pool/no");
        assert!(!served.service().went_on_since(&before));
        assert!(goes_on_with(&served, "/debian/pool/1.deb", 200), "it was asked for before");
    }
}
