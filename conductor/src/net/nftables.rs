//! The kernel's packet filter, `nf_tables`, spoken to directly: the messages of its header
//! `linux/netfilter/nf_tables.h` as far as they are needed here.
//!
//! A batch is one transaction: either all of it takes effect at once, or nothing. That is why no `nft` or
//! `iptables` program is called: it would be the same transaction, after starting a process that costs more than
//! everything else `addnetwork` does.

use netlink_packet_core::{NlaBuffer, NlasIterator};
use nix::libc;

use super::netlink::{Batch, Error, Netlink};

/// Address families of tables (`NFPROTO_*`).
pub const UNSPEC: u8 = 0;
/// IPv4 and IPv6.
pub const INET: u8 = 1;
/// IPv4.
pub const IPV4: u8 = 2;

const NEW_TABLE: u16 = 0;
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

/// Netlink attributes, being written.
#[derive(Debug, Default, Clone)]
pub struct Attributes(Vec<u8>);

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

/// A register of the packet filter's machine. [`Register::One`] and [`Register::Two`] hold 16 bytes, the others 4: the
/// first two of the four that make up `One`.
#[derive(Debug, Clone, Copy)]
pub enum Register {
    /// 16 bytes.
    One = 1,
    /// 16 bytes, right after `One`.
    Two = 2,
    /// The second 4 bytes of `One`.
    SecondWord = 9,
}

/// What a packet is asked for (`NFT_META_*`).
#[derive(Debug, Clone, Copy)]
pub enum Meta {
    /// Name of the interface it came in by, 16 bytes.
    InName = 6,
    /// Name of the interface it goes out by, 16 bytes.
    OutName = 7,
    /// IPv4 or IPv6, one byte.
    Family = 15,
    /// TCP or another protocol, one byte.
    Protocol = 16,
}

/// What a connection is asked for (`NFT_CT_*`).
#[derive(Debug, Clone, Copy)]
pub enum Connection {
    /// New, established, related: bits.
    State = 0,
    /// What was translated: bits.
    Status = 2,
}

/// What becomes of a packet.
#[derive(Debug, Clone, Copy)]
pub enum Verdict {
    /// It is thrown away.
    Drop = 0,
    /// It passes this chain.
    Accept = 1,
}

/// A rule, being written: expressions that are evaluated in order until one does not match.
#[derive(Debug, Default, Clone)]
pub struct Rule(Attributes);

impl Rule {
    fn expression(self, name: &str, data: &Attributes) -> Self {
        let expression = Attributes::default().text(1, name).nested(2, data);
        Self(self.0.nested(1, &expression))
    }

    /// Loads a property of the packet.
    #[must_use]
    pub fn meta(self, key: Meta, to: Register) -> Self {
        self.expression("meta", &Attributes::default().number(2, key as u32).number(1, to as u32))
    }

    /// Loads bytes of the IP header.
    #[must_use]
    pub fn ip_header(self, offset: u32, length: u32, to: Register) -> Self {
        self.payload(1, offset, length, to)
    }

    /// Loads bytes of the TCP header.
    #[must_use]
    pub fn tcp_header(self, offset: u32, length: u32, to: Register) -> Self {
        self.payload(2, offset, length, to)
    }

    fn payload(self, base: u32, offset: u32, length: u32, to: Register) -> Self {
        let data = Attributes::default().number(1, to as u32).number(2, base).number(3, offset);
        self.expression("payload", &data.number(4, length))
    }

    /// Goes on if register one equals `value`, or if it does not, as told.
    #[must_use]
    pub fn compare(self, equal: bool, value: &[u8]) -> Self {
        let data = Attributes::default().number(1, Register::One as u32).number(2, u32::from(!equal));
        self.expression("cmp", &data.nested(3, &Attributes::default().bytes(1, value)))
    }

    /// Goes on if the destination address is one of this host's own (`fib daddr type local`).
    #[must_use]
    pub fn for_this_host(self) -> Self {
        let data = Attributes::default().number(3, 2).number(2, 3).number(1, Register::One as u32);
        self.expression("fib", &data).compare(true, &2_u32.to_ne_bytes())
    }

    /// Goes on if the connection has one of the bits.
    #[must_use]
    pub fn connection(self, key: Connection, bits: u32) -> Self {
        let one = Register::One as u32;
        let value = |value: u32| Attributes::default().bytes(1, &value.to_ne_bytes());
        let mask = Attributes::default().number(1, one).number(2, one).number(3, 4);
        self.expression("ct", &Attributes::default().number(2, key as u32).number(1, one))
            .expression("bitwise", &mask.nested(4, &value(bits)).nested(5, &value(0)))
            .compare(false, &[0; 4])
    }

    /// Goes on if what begins at register one is in a set, or if it is not, as told.
    #[must_use]
    pub fn lookup(self, set: &str, found: bool) -> Self {
        let data = Attributes::default().number(2, Register::One as u32).text(1, set);
        self.expression("lookup", &if found { data } else { data.number(5, 1) })
    }

    /// Replaces register one by what a map has for it; goes on if it has something.
    #[must_use]
    pub fn map(self, map: &str) -> Self {
        let one = Register::One as u32;
        self.expression("lookup", &Attributes::default().number(2, one).number(3, one).text(1, map))
    }

    /// Sends the connection to the IPv4 address in register one and the port in its second word instead.
    #[must_use]
    pub fn redirect(self) -> Self {
        let data = Attributes::default().number(1, 1).number(2, u32::from(IPV4));
        self.expression("nat", &data.number(3, Register::One as u32).number(5, Register::SecondWord as u32))
    }

    /// Gives the connection the source address of the interface it leaves by.
    #[must_use]
    pub fn masquerade(self) -> Self {
        self.expression("masq", &Attributes::default())
    }

    /// Counts packets, as every rule of iptables does.
    #[must_use]
    pub fn counter(self) -> Self {
        self.expression("counter", &Attributes::default())
    }

    /// Ends with a verdict.
    #[must_use]
    pub fn verdict(self, verdict: Verdict) -> Self {
        let verdict = Attributes::default().number(1, verdict as u32);
        let data = Attributes::default().number(1, 0);
        self.expression("immediate", &data.nested(2, &Attributes::default().nested(2, &verdict)))
    }
}

/// A set or map of a table.
#[derive(Debug, Clone, Copy)]
pub struct Set {
    /// Its name.
    pub name: &'static str,
    /// What its keys are made of.
    pub key: &'static [Field],
    /// What its values are made of; nothing for a set.
    pub value: &'static [Field],
}

/// A part of a key or a value, with the numbers that the `nft` program knows the types by.
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
    fn length(self) -> u32 {
        if matches!(self, Self::Interface) { 16 } else { 4 }
    }
}

/// A key or a value: its fields one after the other, each filled up to whole words.
pub type Bytes = Vec<u8>;

/// An interface name as keys have it.
pub fn interface_bytes(name: &str) -> Bytes {
    let mut bytes = name.as_bytes().to_vec();
    bytes.resize(16, 0);
    bytes
}

/// A transaction, being written.
pub struct Transaction {
    batch: Batch,
    changes: u32,
    sets: u32,
}

impl Default for Transaction {
    fn default() -> Self {
        let mut batch = Batch::default();
        let resource = header(UNSPEC, libc::NFNL_SUBSYS_NFTABLES as u16);
        batch.push_bytes("change the packet filter", libc::NFNL_MSG_BATCH_BEGIN as u16, 0, &resource);
        Self { batch, changes: 0, sets: 0 }
    }
}

const CREATE: u16 = libc::NLM_F_CREATE as u16;
const EXCLUSIVE: u16 = libc::NLM_F_EXCL as u16;
const APPEND: u16 = libc::NLM_F_APPEND as u16;

impl Transaction {
    fn push(&mut self, action: String, kind: u16, flags: u16, family: u8, attributes: &Attributes) {
        let mut body = header(family, 0).to_vec();
        body.extend_from_slice(&attributes.0);
        self.batch.push_bytes(action, message(kind), flags, &body);
        self.changes += 1;
    }

    /// Makes a table.
    pub fn add_table(&mut self, table: &str) {
        let attributes = Attributes::default().text(1, table).number(2, 0);
        self.push(format!("make the table {table}"), NEW_TABLE, CREATE, INET, &attributes);
    }

    /// Deletes a table and everything in it.
    pub fn delete_table(&mut self, table: &str) {
        let action = format!("delete the table {table}");
        self.push(action, DEL_TABLE, 0, INET, &Attributes::default().text(1, table));
    }

    /// Makes a chain that sees packets at `hook` (`NF_INET_*`), by default accepting them.
    pub fn add_chain(&mut self, table: &str, chain: &str, kind: &str, hook: u32, priority: i32) {
        let place = Attributes::default().number(1, hook).bytes(2, &priority.to_be_bytes());
        let attributes = Attributes::default().text(1, table).text(3, chain).text(7, kind);
        let attributes = attributes.number(5, Verdict::Accept as u32).nested(4, &place);
        self.push(format!("make the chain {chain}"), NEW_CHAIN, CREATE, INET, &attributes);
    }

    /// Makes a chain that no packet goes through.
    pub fn add_idle_chain(&mut self, table: &str, chain: &str) {
        let attributes = Attributes::default().text(1, table).text(3, chain);
        self.push(format!("make the chain {chain}"), NEW_CHAIN, CREATE, INET, &attributes);
    }

    /// Makes a set or a map.
    pub fn add_set(&mut self, table: &str, set: &Set) {
        self.sets += 1;
        let types = |fields: &[Field]| fields.iter().fold(0, |types, field| (types << 6) | *field as u32);
        let length = |fields: &[Field]| match fields {
            [Field::Port] => 2,
            fields => fields.iter().map(|field| field.length()).sum(),
        };
        let map = if set.value.is_empty() { 0 } else { 8 };
        let mut attributes = Attributes::default().text(1, table).text(2, set.name).number(3, map);
        attributes = attributes.number(4, types(set.key)).number(5, length(set.key));
        if map != 0 {
            attributes = attributes.number(6, types(set.value)).number(7, length(set.value));
        }
        // For the eyes of the `nft` program: in which byte order to show keys, 1 the machine's and 2 the network's.
        let order = match set.key {
            [Field::Interface] => 1,
            [_] => 2,
            _ => 0,
        };
        attributes = attributes.number(10, self.sets).bytes(13, &[0, 4, order, 0, 0, 0]);
        self.push(format!("make the set {}", set.name), NEW_SET, CREATE, INET, &attributes);
    }

    /// Adds a rule at the end of a chain.
    pub fn append_rule(&mut self, table: &str, chain: &str, rule: &Rule) {
        let attributes = Attributes::default().text(1, table).text(2, chain).nested(4, &rule.0);
        self.push(format!("add a rule to {chain}"), NEW_RULE, CREATE | APPEND, INET, &attributes);
    }

    /// Adds a rule with a comment at the head of a chain of somebody's table.
    pub fn insert_rule(&mut self, chain: &Chain, rule: &Rule, comment: &str) {
        let attributes = Attributes::default().text(1, &chain.table).text(2, &chain.name).nested(4, &rule.0);
        let attributes = attributes.bytes(7, &comment_bytes(comment));
        self.push(format!("add a rule to {chain}"), NEW_RULE, CREATE, chain.family, &attributes);
    }

    /// Deletes one rule.
    pub fn delete_rule(&mut self, chain: &Chain, handle: u64) {
        let attributes = Attributes::default().text(1, &chain.table).text(2, &chain.name);
        let attributes = attributes.bytes(3, &handle.to_be_bytes());
        self.push(format!("delete a rule from {chain}"), DEL_RULE, 0, chain.family, &attributes);
    }

    /// Adds a key, with its value where the set is a map. `exclusive`: fail with `EEXIST` if it is there.
    pub fn add_element(&mut self, table: &str, set: &str, key: &[u8], value: Option<&[u8]>, exclusive: bool) {
        let flags = CREATE | if exclusive { EXCLUSIVE } else { 0 };
        self.element(NEW_ELEMENT, flags, table, set, key, value);
    }

    /// Deletes a key that is there.
    pub fn delete_element(&mut self, table: &str, set: &str, key: &[u8]) {
        self.element(DEL_ELEMENT, 0, table, set, key, None);
    }

    fn element(&mut self, kind: u16, flags: u16, table: &str, set: &str, key: &[u8], value: Option<&[u8]>) {
        let data = |bytes: &[u8]| Attributes::default().bytes(1, bytes);
        let mut element = Attributes::default().nested(1, &data(key));
        if let Some(value) = value {
            element = element.nested(2, &data(value));
        }
        let attributes = Attributes::default().text(1, table).text(2, set);
        let attributes = attributes.nested(3, &Attributes::default().nested(1, &element));
        self.push(format!("change the set {set}"), kind, flags, INET, &attributes);
    }

    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.changes == 0
    }

    /// Makes it so.
    pub fn commit(mut self, netlink: &mut Netlink) -> Result<(), Error> {
        if self.is_empty() {
            return Ok(());
        }
        // Kernels before 6.10 do not answer the message that ends a batch.
        self.batch.ask_for_answer();
        let resource = header(UNSPEC, libc::NFNL_SUBSYS_NFTABLES as u16);
        let action = "change the packet filter";
        self.batch.push_bytes(action, libc::NFNL_MSG_BATCH_END as u16, 0, &resource);
        netlink.change(self.batch)
    }
}

/// A comment as the `nft` program stores it: a type-length-value record in the rule's user data.
fn comment_bytes(comment: &str) -> Vec<u8> {
    let mut bytes = vec![0, comment.len() as u8 + 1];
    bytes.extend_from_slice(comment.as_bytes());
    bytes.push(0);
    bytes
}

/// The elements of a set, keys and values.
pub fn elements(netlink: &mut Netlink, table: &str, set: &str) -> Result<Vec<(Bytes, Bytes)>, Error> {
    let mut body = header(INET, 0).to_vec();
    body.extend_from_slice(&Attributes::default().text(1, table).text(2, set).0);
    let answers = netlink.dump("list a set", message(GET_ELEMENT), &body)?;
    let mut elements = Vec::new();
    for (_, body) in &answers {
        for element in attributes(&attribute(body.get(4..).unwrap_or_default(), 3)) {
            let value = |kind| attribute(&attribute(&element.1, kind), 1);
            elements.push((value(1), value(2)));
        }
    }
    Ok(elements)
}

/// A chain of some table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// Family of its table.
    pub family: u8,
    /// Its table.
    pub table: String,
    /// Its name.
    pub name: String,
    /// Where it is hooked in, `NF_INET_*`, and its priority there; nothing for a chain that is only jumped to.
    pub hook: Option<(u32, i32)>,
    /// Whether it drops what no rule decides.
    pub drops: bool,
    /// `filter`, `nat` or `route`.
    pub kind: String,
}

impl std::fmt::Display for Chain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.table, self.name)
    }
}

/// All chains of all tables.
pub fn chains(netlink: &mut Netlink) -> Result<Vec<Chain>, Error> {
    let answers = netlink.dump("list chains", message(GET_CHAIN), &header(UNSPEC, 0))?;
    Ok(answers
        .iter()
        .filter_map(|(_, body)| {
            let (head, body) = body.split_at_checked(4)?;
            let hook = attribute(body, 4);
            let number = |bytes: &[u8]| bytes.first_chunk().map(|bytes| u32::from_be_bytes(*bytes));
            Some(Chain {
                family: head[0],
                table: text(&attribute(body, 1)),
                name: text(&attribute(body, 3)),
                hook: number(&attribute(&hook, 1)).zip(number(&attribute(&hook, 2)).map(u32::cast_signed)),
                drops: number(&attribute(body, 5)) == Some(Verdict::Drop as u32),
                kind: text(&attribute(body, 7)),
            })
        })
        .collect())
}

/// The rules of a chain: handle and comment of each.
pub fn rules(netlink: &mut Netlink, chain: &Chain) -> Result<Vec<(u64, String)>, Error> {
    let mut body = header(chain.family, 0).to_vec();
    body.extend_from_slice(&Attributes::default().text(1, &chain.table).text(2, &chain.name).0);
    let answers = netlink.dump("list rules", message(GET_RULE), &body)?;
    Ok(answers
        .iter()
        .filter_map(|(_, body)| {
            let body = body.get(4..)?;
            // Older kernels ignore the filter and list every rule of the family.
            if text(&attribute(body, 1)) != chain.table || text(&attribute(body, 2)) != chain.name {
                return None;
            }
            let handle = u64::from_be_bytes(*attribute(body, 3).first_chunk()?);
            let comment = match attribute(body, 7).as_slice() {
                [0, length, rest @ ..] => text(rest.get(..usize::from(*length)).unwrap_or_default()),
                _ => String::new(),
            };
            Some((handle, comment))
        })
        .collect())
}

fn attributes(bytes: &[u8]) -> Vec<(u16, Vec<u8>)> {
    let read = |attribute: NlaBuffer<&[u8]>| (attribute.kind(), attribute.value().to_vec());
    NlasIterator::new(bytes).map_while(Result::ok).map(read).collect()
}

/// The value of the first attribute of a kind; empty if there is none.
fn attribute(bytes: &[u8], kind: u16) -> Vec<u8> {
    let mut found =
        NlasIterator::new(bytes).map_while(Result::ok).filter(|attribute| attribute.kind() == kind);
    found.next().map(|attribute| attribute.value().to_vec()).unwrap_or_default()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.split(|byte| *byte == 0).next().unwrap_or_default()).into_owned()
}
