//! What passed between the machine and the world, kept until the scenario records it as evidence.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Mutex;
use std::time::Instant;

use serde::{Deserialize, Serialize};

/// The kind of the records that hold [`Moment`]s.
pub const RECORD: &str = "world";
/// More than this between two calls of [`super::World::record`] is counted, not kept: a flood must not fill
/// the evidence.
const KEPT: usize = 4096;
/// Names and paths are cut here.
const TEXT: usize = 300;

/// One thing that passed, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// Milliseconds since the world's start.
    pub ms: u64,
    /// What it was.
    #[serde(flatten)]
    pub passed: Passed,
}

/// What a connection or exchange was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub enum Passed {
    /// A name server was asked.
    Dns {
        /// Who asked.
        from: Ipv4Addr,
        /// The name server's address.
        server: Ipv4Addr,
        /// `udp` or `tcp`.
        over: String,
        /// The name, with its final dot.
        name: String,
        /// The record type, such as `A`.
        kind: String,
        /// The address that was answered.
        address: Option<Ipv4Addr>,
    },
    /// A web server was asked.
    Http {
        /// Who asked.
        from: SocketAddrV4,
        /// The web server's address.
        to: SocketAddrV4,
        /// `GET`, …
        method: String,
        /// The Host header.
        host: String,
        /// The path asked for.
        path: String,
        /// The answer's status.
        status: u16,
        /// Whether the package cache answered.
        packages: bool,
        /// The answer's length, where it was known.
        bytes: Option<u64>,
    },
    /// The machine spoke to a listening service.
    Listened {
        /// Who connected.
        from: SocketAddrV4,
        /// To what.
        to: SocketAddrV4,
        /// What it sent first, cut.
        heard: String,
    },
    /// The other machine on the LAN tried to connect.
    FromLan {
        /// To what.
        to: SocketAddrV4,
        /// Its own end, where the connection came about.
        from: Option<SocketAddrV4>,
        /// Why not, where it did not.
        error: Option<String>,
    },
    /// The real host's forwarded port was connected to.
    FromHost {
        /// Where in the machine it leads.
        to: SocketAddrV4,
        /// Bytes that went to the machine.
        sent: u64,
        /// Bytes that came back.
        received: u64,
        /// Why it ended early, where it did.
        error: Option<String>,
    },
    /// So many more things passed than are listed.
    Dropped {
        /// How many.
        count: u64,
    },
}

/// Collects [`Moment`]s from the world's tasks.
pub(super) struct Traffic {
    started: Instant,
    moments: Mutex<(Vec<Moment>, u64)>,
}

impl Traffic {
    pub fn new() -> Self {
        Self { started: Instant::now(), moments: Mutex::new((Vec::new(), 0)) }
    }

    pub fn note(&self, passed: Passed) {
        let ms = self.started.elapsed().as_millis() as u64;
        let mut moments = self.moments.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if moments.0.len() < KEPT {
            moments.0.push(Moment { ms, passed });
        } else {
            moments.1 += 1;
        }
    }

    /// Everything since the last call.
    pub fn take(&self) -> Vec<Moment> {
        let (mut moments, dropped) = {
            let mut kept = self.moments.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            std::mem::take(&mut *kept)
        };
        if dropped > 0 {
            let ms = self.started.elapsed().as_millis() as u64;
            moments.push(Moment { ms, passed: Passed::Dropped { count: dropped } });
        }
        moments
    }
}

/// Text from the machine, cut to what evidence has room for.
pub(super) fn cut(text: &str) -> String {
    text.chars().take(TEXT).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_counted_and_not_kept() {
        let traffic = Traffic::new();
        for _ in 0..KEPT + 5 {
            traffic.note(Passed::Dropped { count: 0 });
        }
        let moments = traffic.take();
        assert_eq!(moments.len(), KEPT + 1);
        assert_eq!(moments[KEPT].passed, Passed::Dropped { count: 5 });
        assert!(traffic.take().is_empty());
    }
}
