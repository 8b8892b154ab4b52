//! Interfaces, addresses and routes: the requests of rtnetlink(7) that containers need.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use netlink_packet_core::{NetlinkDeserializable, NetlinkHeader};
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{
    InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use nix::libc;

use super::netlink::{Batch, Error, Netlink, attribute};

const CREATE: u16 = (libc::NLM_F_CREATE | libc::NLM_F_EXCL) as u16;
/// The index of the loopback interface in every network namespace.
pub const LOOPBACK: u32 = 1;

/// The hardware address of an Ethernet interface.
pub type Mac = [u8; 6];

/// An existing interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its name. Another interface may get it later.
    pub name: String,
    /// Its index. The kernel does not reuse it.
    pub index: u32,
    /// Its hardware address. Its length depends on the kind of interface.
    pub mac: Vec<u8>,
    /// The largest packet that it can send, in bytes.
    pub mtu: u32,
}

/// An IPv4 network: an address and a prefix length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Network {
    /// Any address in it.
    pub address: Ipv4Addr,
    /// The prefix length.
    pub prefix: u8,
}

impl Network {
    /// Whether two networks have an address in common.
    pub fn overlaps(self, other: Self) -> bool {
        let shared = self.prefix.min(other.prefix);
        let mask = u32::MAX.checked_shl(32 - u32::from(shared)).unwrap_or(0);
        (self.address.to_bits() ^ other.address.to_bits()) & mask == 0
    }

    /// Its first address, and the one after its last.
    pub fn bounds(self) -> (u64, u64) {
        let size = 1_u64 << (32 - u32::from(self.prefix.min(32)));
        let first = u64::from(self.address.to_bits()) & !(size - 1);
        (first, first + size)
    }
}

/// Routes up to this prefix length are default routes: a VPN for all traffic has 0.0.0.0/1 and
/// 128.0.0.0/1.
const DEFAULT_PREFIX: u8 = 1;

/// The networks of the host's addresses and routes in all routing tables, sorted, without default
/// routes. Each address has a route in the local table, so the routes name the addresses too.
pub fn known_networks(host: &mut Netlink) -> Result<Vec<Network>, Error> {
    /// The size of `struct rtmsg`.
    const ROUTE_HEADER: usize = 12;
    const RTA_DST: u16 = 1;
    let mut question = [0; ROUTE_HEADER];
    question[0] = libc::AF_INET as u8;
    // Parsed by hand: a host with many containers has thousands of routes.
    let read = |body: &[u8]| {
        let (header, attributes) = body.split_at_checked(question.len())?;
        let prefix = header[1];
        let destination = attribute(attributes, RTA_DST).first_chunk::<4>()?;
        (prefix > DEFAULT_PREFIX).then(|| Network { address: Ipv4Addr::from(*destination), prefix })
    };
    let mut networks = host.dump("list routes", libc::RTM_GETROUTE, &question, read)?;
    networks.sort_unstable();
    Ok(networks)
}

/// Parses a message. Unknown ones come from a kernel newer than this program and are ignored.
fn parse(kind: u16, body: &[u8]) -> Option<RouteNetlinkMessage> {
    let mut header = NetlinkHeader::default();
    header.message_type = kind;
    RouteNetlinkMessage::deserialize(&header, body).ok()
}

/// Finds an interface by name.
pub fn find(netlink: &mut Netlink, name: &str) -> Result<Option<Link>, Error> {
    let mut link = LinkMessage::default();
    link.attributes.push(LinkAttribute::IfName(name.into()));
    get_link(netlink, link)
}

/// A socket for [`exists`].
pub(super) fn name_socket() -> io::Result<OwnedFd> {
    let kind = rustix::net::SocketType::DGRAM;
    let flags = rustix::net::SocketFlags::CLOEXEC;
    Ok(rustix::net::socket_with(rustix::net::AddressFamily::UNIX, kind, flags, None)?)
}

/// Whether an interface has this name. Much faster than [`find`], for checking many names.
pub(super) fn exists(socket: &OwnedFd, name: &str) -> Result<bool, Error> {
    match rustix::net::netdevice::name_to_index(socket, name) {
        Ok(_) => Ok(true),
        Err(rustix::io::Errno::NODEV) => Ok(false),
        Err(error) => Err(Error::new("find an interface", error.into())),
    }
}

/// Finds an interface by index.
fn find_by_index(netlink: &mut Netlink, index: u32) -> Result<Option<Link>, Error> {
    let mut link = LinkMessage::default();
    link.header.index = index;
    get_link(netlink, link)
}

fn get_link(netlink: &mut Netlink, link: LinkMessage) -> Result<Option<Link>, Error> {
    let mut batch = Batch::default();
    push(&mut batch, "find an interface", 0, &RouteNetlinkMessage::GetLink(link));
    let answer = netlink.get(batch, libc::ENODEV)?;
    let Some(RouteNetlinkMessage::NewLink(found)) = answer.and_then(|body| parse(libc::RTM_NEWLINK, &body))
    else {
        return Ok(None);
    };
    let mut link = Link { name: String::new(), index: found.header.index, mac: Vec::new(), mtu: 0 };
    for attribute in found.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name = name,
            LinkAttribute::Address(mac) => link.mac = mac,
            LinkAttribute::Mtu(mtu) => link.mtu = mtu,
            _ => {}
        }
    }
    Ok(Some(link))
}

fn push(batch: &mut Batch, action: impl Into<String>, flags: u16, message: &RouteNetlinkMessage) {
    batch.push(action, message.message_type(), flags, message);
}

/// Creates a veth pair: `outside` in our namespace, with hardware address `mac` from the start, and
/// `inside` in the network namespace `namespace`. Both get `mtu`, or the kernel's default. See
/// veth(4).
pub fn add_veth(
    host: &mut Netlink,
    outside: &str,
    mac: Option<Mac>,
    mtu: Option<u32>,
    inside: &str,
    namespace: impl AsFd,
) -> Result<(), Error> {
    let mut peer = LinkMessage::default();
    peer.attributes.extend(mtu.map(LinkAttribute::Mtu));
    peer.attributes.push(LinkAttribute::IfName(inside.into()));
    peer.attributes.push(LinkAttribute::NetNsFd(namespace.as_fd().as_raw_fd()));
    let mut link = LinkMessage::default();
    link.attributes.push(LinkAttribute::IfName(outside.into()));
    link.attributes.extend(mac.map(|mac| LinkAttribute::Address(mac.to_vec())));
    link.attributes.extend(mtu.map(LinkAttribute::Mtu));
    link.attributes.push(LinkAttribute::LinkInfo(vec![
        LinkInfo::Kind(InfoKind::Veth),
        LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer))),
    ]));
    let mut batch = Batch::default();
    let action = format!("create the interfaces {outside} and {inside}");
    push(&mut batch, action, CREATE, &RouteNetlinkMessage::NewLink(link));
    host.change(batch)
}

/// Deletes an interface if it still exists.
pub fn delete(netlink: &mut Netlink, link: &Link) -> Result<(), Error> {
    let mut message = LinkMessage::default();
    message.header.index = link.index;
    let mut batch = Batch::default();
    let action = format!("delete the interface {}", link.name);
    push(&mut batch, action, 0, &RouteNetlinkMessage::DelLink(message));
    match netlink.change(batch) {
        Err(error) if error.is(libc::ENODEV) => Ok(()),
        deleted => deleted,
    }
}

/// Adds to a batch: set the interface `index` up.
pub fn set_up(batch: &mut Batch, index: u32) {
    let mut link = LinkMessage::default();
    link.header.index = index;
    link.header.flags = LinkFlags::Up;
    link.header.change_mask = LinkFlags::Up;
    push(batch, "set an interface up", 0, &RouteNetlinkMessage::SetLink(link));
}

/// Adds to a batch: the interface `index` sends packets of at most `mtu` bytes.
pub fn set_mtu(batch: &mut Batch, index: u32, mtu: u32) {
    let mut link = LinkMessage::default();
    link.header.index = index;
    link.attributes.push(LinkAttribute::Mtu(mtu));
    push(batch, "set the MTU of an interface", 0, &RouteNetlinkMessage::SetLink(link));
}

/// Adds to a batch: give the interface `index` an address, and with it the route to its network.
pub fn add_address(batch: &mut Batch, index: u32, network: Network) {
    let mut message = AddressMessage::default();
    message.header.family = AddressFamily::Inet;
    message.header.prefix_len = network.prefix;
    message.header.index = index;
    let address = IpAddr::V4(network.address);
    message.attributes.push(AddressAttribute::Local(address));
    message.attributes.push(AddressAttribute::Address(address));
    let action = format!("give an interface the address {}", network.address);
    push(batch, action, CREATE, &RouteNetlinkMessage::NewAddress(message));
}

/// Adds to a batch: a route to `network` through `gateway`. A prefix length of 0 means the default
/// route.
pub fn add_route(batch: &mut Batch, network: Network, gateway: Ipv4Addr) {
    let mut message = RouteMessage::default();
    message.header.address_family = AddressFamily::Inet;
    message.header.destination_prefix_length = network.prefix;
    message.header.table = RouteHeader::RT_TABLE_MAIN;
    message.header.protocol = RouteProtocol::Static;
    message.header.scope = RouteScope::Universe;
    message.header.kind = RouteType::Unicast;
    if network.prefix > 0 {
        message.attributes.push(RouteAttribute::Destination(RouteAddress::Inet(network.address)));
    }
    message.attributes.push(RouteAttribute::Gateway(RouteAddress::Inet(gateway)));
    let action = format!("add a route by way of {gateway}");
    let replace = (libc::NLM_F_CREATE | libc::NLM_F_REPLACE) as u16;
    push(batch, action, replace, &RouteNetlinkMessage::NewRoute(message));
}

/// Waits until the kernel has deleted an interface whose other end was in a network namespace that
/// has ended. Deletes it if that takes long.
pub fn wait_until_gone(host: &mut Netlink, link: &Link) -> Result<(), Error> {
    // The kernel's worker needs 3 to 20 ms. Deleting the interface here at once would take as long.
    for _ in 0..50 {
        if find_by_index(host, link.index)?.is_none() {
            return Ok(());
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    delete(host, link)
}

/// An address outside the host's own networks.
const OUTSIDE: Ipv4Addr = Ipv4Addr::new(1, 1, 1, 1);

/// The name of the interface through which the kernel sends packets to the Internet. The kernel
/// itself is asked, so rules, tables, metrics and multipath routes all count.
pub fn default_interface(host: &mut Netlink) -> Result<String, Error> {
    let mut route = RouteMessage::default();
    route.header.address_family = AddressFamily::Inet;
    route.header.destination_prefix_length = 32;
    route.attributes.push(RouteAttribute::Destination(RouteAddress::Inet(OUTSIDE)));
    let mut batch = Batch::default();
    push(&mut batch, "ask for the route to the Internet", 0, &RouteNetlinkMessage::GetRoute(route));
    let answer = host.get(batch, libc::ENETUNREACH)?;
    let index = match answer.and_then(|body| parse(libc::RTM_NEWROUTE, &body)) {
        Some(RouteNetlinkMessage::NewRoute(found)) => found.attributes.iter().find_map(|found| match found {
            RouteAttribute::Oif(index) => Some(*index),
            _ => None,
        }),
        _ => None,
    };
    let link = index.map(|index| find_by_index(host, index)).transpose()?.flatten();
    link.map(|link| link.name).ok_or_else(|| {
        Error::new(
            "tell which interface leads to the Internet, set DEFAULT_IFC",
            io::Error::new(io::ErrorKind::NotFound, "the host has no route to the Internet"),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_overlap_when_one_holds_the_other() {
        let network = |address: [u8; 4], prefix| Network { address: address.into(), prefix };
        let one = network([192, 168, 1, 0], 24);
        assert!(one.overlaps(network([192, 168, 1, 77], 32)));
        assert!(one.overlaps(network([192, 168, 0, 0], 16)));
        assert!(!one.overlaps(network([192, 168, 2, 0], 24)));
        assert!(!one.overlaps(network([10, 0, 0, 0], 8)));
    }
}
