//! The kernel's packet filter, `nf_tables`: the messages of `linux/netfilter/nf_tables.h` that are
//! needed here.
//!
//! A batch is a transaction: the kernel applies all of it or nothing. No `nft` or `iptables`
//! program is called: it would send the same transaction, and starting it would cost more than the
//! rest of `addnetwork`.

use nix::libc;

mod listing;
mod rule;
mod transaction;

pub use listing::{chains, elements, owned_tables, rules};
pub use rule::{Connection, Meta, Register, Rule, Verdict};
pub use transaction::Transaction;

/// Address families of tables (`NFPROTO_*`).
pub const UNSPEC: u8 = 0;
/// IPv4 and IPv6.
pub const INET: u8 = 1;
/// IPv4.
pub const IPV4: u8 = 2;
/// IPv6: `NFPROTO_IPV6`.
pub const IPV6: u8 = 10;

const NEW_TABLE: u16 = 0;
const GET_TABLE: u16 = 1;
const DEL_TABLE: u16 = 2;
const NEW_CHAIN: u16 = 3;
const GET_CHAIN: u16 = 4;
const NEW_RULE: u16 = 6;
const GET_RULE: u16 = 7;
const DEL_RULE: u16 = 8;
const NEW_SET: u16 = 9;
const NEW_ELEMENT: u16 = 12;
const GET_ELEMENT: u16 = 13;
const DEL_ELEMENT: u16 = 14;

const fn message(kind: u16) -> u16 {
    ((libc::NFNL_SUBSYS_NFTABLES as u16) << 8) | kind
}

/// `struct nfgenmsg`.
fn header(family: u8, resource: u16) -> [u8; 4] {
    let [high, low] = resource.to_be_bytes();
    [family, 0, high, low]
}

/// Encoded netlink attributes.
#[derive(Debug, Default, Clone)]
struct Attributes(Vec<u8>);

impl Attributes {
    fn bytes(mut self, kind: u16, value: &[u8]) -> Self {
        self.0.extend_from_slice(&(value.len() as u16 + 4).to_ne_bytes());
        self.0.extend_from_slice(&kind.to_ne_bytes());
        self.0.extend_from_slice(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    fn text(self, kind: u16, value: &str) -> Self {
        let mut bytes = value.as_bytes().to_vec();
        bytes.push(0);
        self.bytes(kind, &bytes)
    }

    fn number(self, kind: u16, value: u32) -> Self {
        self.bytes(kind, &value.to_be_bytes())
    }

    fn nested(self, kind: u16, inner: &Self) -> Self {
        self.bytes(kind | libc::NLA_F_NESTED as u16, &inner.0)
    }
}

/// A set or map of a table.
#[derive(Debug, Clone, Copy)]
pub struct Set {
    /// Its name.
    pub name: &'static str,
    /// The fields of its keys.
    pub key: &'static [Field],
    /// The fields of its values; empty for a set.
    pub value: &'static [Field],
}

/// A field of a key or a value, with the number that the `nft` program uses for its type.
#[derive(Debug, Clone, Copy)]
pub enum Field {
    /// An IPv4 address.
    Address = 7,
    /// A port.
    Port = 13,
    /// The name of an interface.
    Interface = 41,
}

impl Field {
    /// Its length in bytes, with padding.
    pub fn length(self) -> usize {
        if matches!(self, Self::Interface) { 16 } else { 4 }
    }
}

/// A key or a value: its fields, each padded to whole words.
pub type Bytes = Vec<u8>;

/// The name of an interface as a key contains it.
pub fn interface_bytes(name: &str) -> Bytes {
    let mut bytes = name.as_bytes().to_vec();
    bytes.resize(16, 0);
    bytes
}

/// A chain of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// The family of its table.
    pub family: u8,
    /// Its table.
    pub table: String,
    /// Its name.
    pub name: String,
    /// Its hook (`NF_INET_*`) and its priority there. A chain that is only jumped to has none.
    pub hook: Option<(u32, i32)>,
    /// Whether it drops packets that no rule decides.
    pub drops: bool,
    /// `filter`, `nat` or `route`.
    pub kind: String,
}

impl std::fmt::Display for Chain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.table, self.name)
    }
}
