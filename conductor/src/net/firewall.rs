//! Our own table in the packet filter.
//!
//! The rules are the same for all containers and are added with the first one. What differs between
//! containers are elements of sets. So one transaction adds or removes a container without touching
//! others, and the table is deleted with the last container. `nft list table inet conductor` shows
//! it:
//!
//! ```text
//! set links         host ends of all containers' veth pairs
//! set sources       (link, address): the source address of each container
//! set allowed       (link, link): pairs that may exchange packets: peers in both directions, a
//!                   link and the default interface (-i), a link and itself (-e)
//! set masqueraded   (address, interface): -i; with -e also the container's own link, for calls to
//!                   itself
//! set unrouted      links of containers without -i: they use no published ports, and other
//!                   machines reach theirs only with NAT
//! map exposed       port of the host -> address and port in a container
//! ```
//!
//! The kernel keeps the ports unique: the map refuses a published port that is taken, atomically.

use std::net::Ipv4Addr;

use nix::libc;

use super::netlink::{Error, Netlink};
use super::nftables::{
    self, Bytes, Connection, Field, IPV4, IPV6, Meta, Register, Rule, Set, Transaction, Verdict,
    interface_bytes,
};
use crate::net::port_mapping::PortMapping;

/// The name of the table, in the family `inet`.
pub const TABLE: &str = "conductor";

const LINKS: Set = Set { name: "links", key: &[Field::Interface], value: &[] };
const SOURCES: Set = Set { name: "sources", key: &[Field::Interface, Field::Address], value: &[] };
const ALLOWED: Set = Set { name: "allowed", key: &[Field::Interface, Field::Interface], value: &[] };
const MASQUERADED: Set = Set { name: "masqueraded", key: &[Field::Address, Field::Interface], value: &[] };
const UNROUTED: Set = Set { name: "unrouted", key: &[Field::Interface], value: &[] };
const EXPOSED: Set = Set { name: "exposed", key: &[Field::Port], value: &[Field::Address, Field::Port] };
const SETS: [Set; 6] = [LINKS, SOURCES, ALLOWED, MASQUERADED, UNROUTED, EXPOSED];

/// A container as the packet filter knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member<'a> {
    /// The host's end of its veth pair.
    pub link: &'a str,
    /// Its address.
    pub address: Ipv4Addr,
}

impl Member<'_> {
    fn source(self) -> Bytes {
        [interface_bytes(self.link).as_slice(), &self.address.octets()].concat()
    }

    /// Whether a key or a value, made of `fields`, refers to it.
    fn is_in(self, fields: &[Field], bytes: &[u8]) -> bool {
        let mut rest = bytes;
        fields.iter().any(|field| {
            let (part, after) = rest.split_at(field.length().min(rest.len()));
            rest = after;
            match field {
                Field::Interface => part == interface_bytes(self.link),
                Field::Address => part == self.address.octets(),
                Field::Port => false,
            }
        })
    }
}

/// The state of the table.
#[derive(Debug, Default)]
pub struct State {
    exists: bool,
    members: Vec<(String, Ipv4Addr)>,
}

/// Reads the table.
pub fn look(netlink: &mut Netlink, chains: &[nftables::Chain]) -> Result<State, Error> {
    let exists = chains.iter().any(|chain| chain.family == nftables::INET && chain.table == TABLE);
    if !exists {
        return Ok(State::default());
    }
    let sources = nftables::elements(netlink, TABLE, SOURCES.name)?;
    Ok(State { exists, members: sources.iter().filter_map(|(key, _)| member(key)).collect() })
}

/// The container in a key of [`SOURCES`].
fn member(key: &[u8]) -> Option<(String, Ipv4Addr)> {
    let (link, address) = key.split_at_checked(Field::Interface.length())?;
    let link = link.split(|byte| *byte == 0).next()?;
    Some((String::from_utf8(link.to_vec()).ok()?, address_in(address)?))
}

fn address_in(bytes: &[u8]) -> Option<Ipv4Addr> {
    bytes.first_chunk::<4>().map(|address| Ipv4Addr::from(*address))
}

impl State {
    /// Adds the table, unless it exists.
    pub fn ensure_table(&self, transaction: &mut Transaction) {
        if !self.exists {
            add_table(transaction);
        }
    }

    /// Whether the table knows a container. Entries are added in one transaction, so it has all of
    /// them or none.
    pub fn knows(&self, member: Member<'_>) -> bool {
        self.members().any(|other| other == member)
    }

    /// Whether no containers except `members` have a network.
    pub fn are_last(&self, members: &[Member<'_>]) -> bool {
        self.members().all(|other| members.contains(&other))
    }

    /// All containers in the table, including those of other `CONTAINERDIR`s.
    pub fn members(&self) -> impl Iterator<Item = Member<'_>> {
        self.members.iter().map(|(link, address)| Member { link, address: *address })
    }

    /// The published ports of the host and the addresses that they lead to.
    pub fn exposed(&self, netlink: &mut Netlink) -> Result<Vec<(u16, Ipv4Addr)>, Error> {
        if !self.exists {
            return Ok(Vec::new());
        }
        let ports = nftables::elements(netlink, TABLE, EXPOSED.name)?;
        let read = |(key, value): &(Bytes, Bytes)| {
            Some((u16::from_be_bytes(*key.first_chunk()?), address_in(value)?))
        };
        Ok(ports.iter().filter_map(read).collect())
    }
}

fn add_table(transaction: &mut Transaction) {
    const DSTNAT: i32 = -100;
    const SRCNAT: i32 = 100;
    const FILTER: i32 = 0;
    const TCP_DESTINATION: (u32, u32) = (2, 2);
    const IP_SOURCE: (u32, u32) = (12, 4);
    const IP_DESTINATION: (u32, u32) = (16, 4);
    const LOOPBACK_NET: u8 = 127;
    /// `IPS_DST_NAT` of `linux/netfilter/nf_conntrack_common.h`.
    const DESTINATION_CHANGED: u32 = 1 << 5;
    /// Established or related, as `nf_tables` numbers them.
    const UNDER_WAY: u32 = 2 | 4;

    let hook = |number: i32| number as u32;
    let ipv4 = || Rule::default().meta(Meta::Family, Register::One).compare(true, &[IPV4]);
    let redirect = |rule: Rule| {
        let (offset, length) = TCP_DESTINATION;
        rule.for_this_host()
            .meta(Meta::Protocol, Register::One)
            .compare(true, &[libc::IPPROTO_TCP as u8])
            .tcp_header(offset, length, Register::One)
            .map(EXPOSED.name)
            .redirect()
    };
    let from = |set: Set| Rule::default().meta(Meta::InName, Register::One).lookup(set.name, true);
    let to = |set: Set| Rule::default().meta(Meta::OutName, Register::One).lookup(set.name, true);

    transaction.add_table(TABLE);
    for set in &SETS {
        transaction.add_set(TABLE, set);
    }
    transaction.add_chain(TABLE, "prerouting", "nat", hook(libc::NF_INET_PRE_ROUTING), DSTNAT);
    transaction.append_rule(TABLE, "prerouting", &redirect(ipv4()));

    // Packets from the host to its own addresses, except loopback addresses, which cannot leave the
    // host.
    let (offset, _) = IP_DESTINATION;
    let own = ipv4().ip_header(offset, 1, Register::One).compare(false, &[LOOPBACK_NET]);
    transaction.add_chain(TABLE, "output", "nat", hook(libc::NF_INET_LOCAL_OUT), DSTNAT);
    transaction.append_rule(TABLE, "output", &redirect(own));

    let (offset, length) = IP_SOURCE;
    let leaving = ipv4().ip_header(offset, length, Register::One).meta(Meta::OutName, Register::SecondWord);
    transaction.add_chain(TABLE, "postrouting", "nat", hook(libc::NF_INET_POST_ROUTING), SRCNAT);
    transaction.append_rule(TABLE, "postrouting", &leaving.lookup(MASQUERADED.name, true).masquerade());
    let entering = to(UNROUTED).connection(Connection::Status, DESTINATION_CHANGED);
    transaction.append_rule(TABLE, "postrouting", &entering.masquerade());

    transaction.add_chain(TABLE, "forward", "filter", hook(libc::NF_INET_FORWARD), FILTER);
    let mut forward = |rule: Rule, verdict| transaction.append_rule(TABLE, "forward", &rule.verdict(verdict));
    // Networks of containers are IPv4 only. The rules below would let IPv6 pass with any address.
    for either in [from(LINKS), to(LINKS)] {
        forward(either.meta(Meta::Family, Register::One).compare(true, &[IPV6]), Verdict::Drop);
    }
    let source = from(LINKS)
        .meta(Meta::Family, Register::One)
        .compare(true, &[IPV4])
        .meta(Meta::InName, Register::One)
        .ip_header(offset, length, Register::Two);
    forward(source.lookup(SOURCES.name, false), Verdict::Drop);
    let pair = Rule::default().meta(Meta::InName, Register::One).meta(Meta::OutName, Register::Two);
    forward(pair.lookup(ALLOWED.name, true), Verdict::Accept);
    forward(Rule::default().connection(Connection::State, UNDER_WAY), Verdict::Accept);
    let to_published_port = from(LINKS).lookup(UNROUTED.name, false).meta(Meta::OutName, Register::One);
    let to_published_port = to_published_port.lookup(LINKS.name, true);
    forward(to_published_port.connection(Connection::Status, DESTINATION_CHANGED), Verdict::Accept);
    forward(from(LINKS), Verdict::Drop);
    forward(to(LINKS).connection(Connection::Status, DESTINATION_CHANGED), Verdict::Accept);
    forward(to(LINKS), Verdict::Drop);
}

/// Adds a container. With `internet`, it may send packets through that interface to any address.
pub fn admit(
    transaction: &mut Transaction,
    member: Member<'_>,
    internet: Option<&str>,
    ports: &[PortMapping],
) {
    transaction.add_element(TABLE, LINKS.name, &interface_bytes(member.link), None, true);
    transaction.add_element(TABLE, SOURCES.name, &member.source(), None, true);
    for (set, key) in way_out(member, internet) {
        transaction.add_element(TABLE, set, &key, None, true);
    }
    publish(transaction, member, ports);
}

/// Adds published ports of a container.
pub fn publish(transaction: &mut Transaction, member: Member<'_>, ports: &[PortMapping]) {
    let link = interface_bytes(member.link);
    let address = member.address.octets();
    if !ports.is_empty() {
        let add = Transaction::add_element;
        add(transaction, TABLE, ALLOWED.name, &[link.as_slice(), &link].concat(), None, false);
        add(transaction, TABLE, MASQUERADED.name, &[address.as_slice(), &link].concat(), None, false);
    }
    for port in ports {
        let mut value = address.to_vec();
        value.extend_from_slice(&port.inner.to_be_bytes());
        value.resize(8, 0);
        transaction.add_element(TABLE, EXPOSED.name, &port.outer.to_be_bytes(), Some(&value), true);
    }
}

/// Replaces a container's way to the Internet.
pub fn reroute(transaction: &mut Transaction, member: Member<'_>, from: Option<&str>, to: Option<&str>) {
    for (set, key) in way_out(member, from) {
        transaction.delete_element(TABLE, set, &key);
    }
    for (set, key) in way_out(member, to) {
        transaction.add_element(TABLE, set, &key, None, true);
    }
}

/// The elements for a container's way to the Internet, or for having none: sets and keys.
fn way_out(member: Member<'_>, internet: Option<&str>) -> Vec<(&'static str, Bytes)> {
    let link = interface_bytes(member.link);
    let Some(interface) = internet.map(interface_bytes) else { return vec![(UNROUTED.name, link)] };
    vec![
        (ALLOWED.name, [link.as_slice(), &interface].concat()),
        (MASQUERADED.name, [member.address.octets().as_slice(), &interface].concat()),
    ]
}

/// Allows two containers to exchange packets.
pub fn introduce(transaction: &mut Transaction, one: &str, other: &str) {
    for (from, to) in [(one, other), (other, one)] {
        let pair = [interface_bytes(from), interface_bytes(to)].concat();
        transaction.add_element(TABLE, ALLOWED.name, &pair, None, false);
    }
}

/// Deletes all elements of some containers. If these are the last ones, deletes the table.
pub fn dismiss(
    netlink: &mut Netlink,
    transaction: &mut Transaction,
    state: &State,
    members: &[Member<'_>],
) -> Result<(), Error> {
    if !state.exists {
        return Ok(());
    }
    if state.are_last(members) {
        transaction.delete_table(TABLE);
        return Ok(());
    }
    // The address of a container that the table does not know may belong to another one by now.
    let known: Vec<Member<'_>> = members.iter().copied().filter(|member| state.knows(*member)).collect();
    if known.is_empty() {
        return Ok(());
    }
    for member in &known {
        transaction.delete_element(TABLE, SOURCES.name, &member.source());
    }
    // The sources were read with the state.
    for set in SETS.iter().filter(|set| set.name != SOURCES.name) {
        for (key, value) in nftables::elements(netlink, TABLE, set.name)? {
            if known.iter().any(|member| member.is_in(set.key, &key) || member.is_in(set.value, &value)) {
                transaction.delete_element(TABLE, set.name, &key);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_is_found_in_every_place_that_an_element_of_a_set_has_for_it() {
        let one = Member { link: "one-outside", address: [192, 168, 1, 2].into() };
        let other = Member { link: "two-outside", address: [192, 168, 2, 2].into() };
        let element = |fields: &[Field], place: usize| -> Bytes {
            let mut bytes = Bytes::new();
            for (at, field) in fields.iter().enumerate() {
                let member = if at == place { one } else { other };
                bytes.extend(match field {
                    Field::Interface => interface_bytes(member.link),
                    Field::Address => member.address.octets().to_vec(),
                    Field::Port => vec![0, 80, 0, 0],
                });
            }
            bytes
        };
        for set in SETS {
            let mut places = 0;
            for fields in [set.key, set.value] {
                for (place, field) in fields.iter().enumerate() {
                    let named = !matches!(field, Field::Port);
                    assert_eq!(one.is_in(fields, &element(fields, place)), named, "{}", set.name);
                    places += usize::from(named);
                }
            }
            assert!(places > 0, "{}", set.name);
        }
    }
}
