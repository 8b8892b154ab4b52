//! Links, addresses, routes and rules, asked of the kernel directly (rtnetlink(7)): the
//! guest's own `ip` may be the submission's. Requests act on the network namespace of the
//! thread that opened the socket.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsRawFd, BorrowedFd};

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use netlink_packet_route::route::{
    RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};
use netlink_packet_route::{AddressFamily, IpProtocol, RouteNetlinkMessage};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

/// The routing table that holds what is delivered here (ip-rule(8)).
pub(super) const TABLE_LOCAL: u8 = 255;
/// The routing table that an unadorned `ip route add` changes.
pub(super) const TABLE_MAIN: u8 = RouteHeader::RT_TABLE_MAIN;

/// A socket to the kernel's routing subsystem.
pub(super) struct Netlink(Socket);

/// A destination and how packets for it leave.
pub(super) struct Route {
    /// An address in the destination.
    pub to: Ipv4Addr,
    pub prefix: u8,
    pub via: Option<Ipv4Addr>,
    pub link: u32,
    /// Delivered here rather than sent on.
    pub local: bool,
    pub table: u8,
}

impl Netlink {
    pub fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(Self(socket))
    }

    /// Moves a link, by its index here, into another network namespace.
    pub fn move_link(&self, link: u32, namespace: BorrowedFd<'_>) -> io::Result<()> {
        let mut message = LinkMessage::default();
        message.header.index = link;
        message.attributes = vec![LinkAttribute::NetNsFd(namespace.as_raw_fd())];
        self.request(RouteNetlinkMessage::SetLink(message), 0)
    }

    /// Gives a link that is down another name.
    pub fn rename(&self, link: u32, name: &str) -> io::Result<()> {
        let mut message = LinkMessage::default();
        message.header.index = link;
        message.attributes = vec![LinkAttribute::IfName(name.to_owned())];
        self.request(RouteNetlinkMessage::SetLink(message), 0)
    }

    pub fn set_up(&self, link: u32) -> io::Result<()> {
        let mut message = LinkMessage::default();
        message.header.index = link;
        message.header.flags = LinkFlags::Up;
        message.header.change_mask = LinkFlags::Up;
        self.request(RouteNetlinkMessage::SetLink(message), 0)
    }

    pub fn add_address(&self, link: u32, address: Ipv4Addr, prefix: u8) -> io::Result<()> {
        let mut message = AddressMessage::default();
        message.header.family = AddressFamily::Inet;
        message.header.index = link;
        message.header.prefix_len = prefix;
        let broadcast = u32::from(address) | !mask(prefix);
        message.attributes = vec![
            AddressAttribute::Local(IpAddr::V4(address)),
            AddressAttribute::Address(IpAddr::V4(address)),
            AddressAttribute::Broadcast(broadcast.into()),
        ];
        self.request(RouteNetlinkMessage::NewAddress(message), NLM_F_CREATE | NLM_F_REPLACE)
    }

    pub fn add_route(&self, route: &Route) -> io::Result<()> {
        let mut message = RouteMessage::default();
        message.header.address_family = AddressFamily::Inet;
        message.header.destination_prefix_length = route.prefix;
        message.header.table = route.table;
        message.header.protocol = RouteProtocol::Static;
        (message.header.kind, message.header.scope) = match (route.local, route.via) {
            (true, _) => (RouteType::Local, RouteScope::Host),
            (false, None) => (RouteType::Unicast, RouteScope::Link),
            (false, Some(_)) => (RouteType::Unicast, RouteScope::Universe),
        };
        message.attributes.push(RouteAttribute::Oif(route.link));
        if route.prefix > 0 {
            let network = Ipv4Addr::from(u32::from(route.to) & mask(route.prefix));
            message.attributes.push(RouteAttribute::Destination(IpAddr::V4(network).into()));
        }
        if let Some(via) = route.via {
            message.attributes.push(RouteAttribute::Gateway(IpAddr::V4(via).into()));
        }
        self.request(RouteNetlinkMessage::NewRoute(message), NLM_F_CREATE | NLM_F_REPLACE)
    }

    /// Packets `from` an address, or all, look up `table`, after the rules of
    /// lower priority numbers.
    pub fn add_rule(&self, priority: u32, from: Option<Ipv4Addr>, table: u8) -> io::Result<()> {
        self.request(RouteNetlinkMessage::NewRule(rule(priority, from, table)), NLM_F_CREATE)
    }

    /// As [`Self::add_rule`], for packets to a network.
    pub fn add_rule_to(&self, priority: u32, to: Ipv4Addr, prefix: u8, table: u8) -> io::Result<()> {
        let message = with_destination(rule(priority, None, table), to, prefix);
        self.request(RouteNetlinkMessage::NewRule(message), NLM_F_CREATE)
    }

    /// No route leads to a network for ICMP, after the rules of lower priority numbers.
    pub fn refuse_icmp_to(&self, priority: u32, to: Ipv4Addr, prefix: u8) -> io::Result<()> {
        let mut message = with_destination(rule(priority, None, 0), to, prefix);
        message.header.action = RuleAction::Unreachable;
        message.attributes.push(RuleAttribute::IpProtocol(IpProtocol::Icmp));
        self.request(RouteNetlinkMessage::NewRule(message), NLM_F_CREATE)
    }

    pub fn delete_rule(&self, priority: u32, table: u8) -> io::Result<()> {
        self.request(RouteNetlinkMessage::DelRule(rule(priority, None, table)), 0)
    }

    /// Sends a request and waits for the kernel's acknowledgement.
    fn request(&self, message: RouteNetlinkMessage, flags: u16) -> io::Result<()> {
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | NLM_F_ACK | flags;
        let mut message = NetlinkMessage::new(header, NetlinkPayload::from(message));
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        self.0.send(&bytes, 0)?;
        let (answer, _) = self.0.recv_from_full()?;
        let answer = NetlinkMessage::<RouteNetlinkMessage>::deserialize(&answer)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
        match answer.payload {
            NetlinkPayload::Error(error) if error.code.is_some() => Err(error.to_io()),
            NetlinkPayload::Error(_) => Ok(()),
            other => {
                Err(io::Error::new(io::ErrorKind::InvalidData, format!("no acknowledgement but {other:?}")))
            }
        }
    }
}

fn rule(priority: u32, from: Option<Ipv4Addr>, table: u8) -> RuleMessage {
    let mut message = RuleMessage::default();
    message.header.family = AddressFamily::Inet;
    message.header.table = table;
    message.header.action = RuleAction::ToTable;
    message.attributes.push(RuleAttribute::Priority(priority));
    if let Some(from) = from {
        message.header.src_len = 32;
        message.attributes.push(RuleAttribute::Source(IpAddr::V4(from)));
    }
    message
}

fn with_destination(mut message: RuleMessage, to: Ipv4Addr, prefix: u8) -> RuleMessage {
    message.header.dst_len = prefix;
    let network = Ipv4Addr::from(u32::from(to) & mask(prefix));
    message.attributes.push(RuleAttribute::Destination(IpAddr::V4(network)));
    message
}

fn mask(prefix: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0)
}
