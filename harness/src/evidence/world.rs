//! What passed between the machine and the world.

use std::net::{Ipv4Addr, SocketAddrV4};

use serde::{Deserialize, Serialize};

/// The kind of the records that hold [`Moment`]s.
pub const RECORD: &str = "world";

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
    /// The real host looked at a page, through the tunnel.
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
