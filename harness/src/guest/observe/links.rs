//! What a network namespace has: links, IPv4 addresses and routes, asked of the kernel
//! (rtnetlink(7)). The guest's own `ip` may be the submission's.

use std::io;
use std::net::{IpAddr, Ipv4Addr};

use netlink_packet_core::{
    NLM_F_DUMP, NLM_F_REQUEST, NetlinkBuffer, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkMessage};
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

use crate::evidence::network::{Address, Link, Network};

/// The calling thread's network namespace.
///
/// # Errors
/// When the kernel refuses or answers what is not understood.
pub fn here() -> io::Result<Network> {
    let mut links: Vec<Link> =
        dump(RouteNetlinkMessage::GetLink(LinkMessage::default()))?
            .into_iter()
            .filter_map(|message| {
                if let RouteNetlinkMessage::NewLink(link) = message { Some(read(link)) } else { None }
            })
            .collect();
    let mut asked = AddressMessage::default();
    asked.header.family = AddressFamily::Inet;
    for message in dump(RouteNetlinkMessage::GetAddress(asked))? {
        let RouteNetlinkMessage::NewAddress(address) = message else { continue };
        // Local is this end's address where the link has another one at its
        // other end (rtnetlink(7)).
        let ip = address.attributes.iter().find_map(|attribute| match attribute {
            AddressAttribute::Local(IpAddr::V4(ip)) => Some(*ip),
            _ => None,
        });
        let link = links.iter_mut().find(|link| link.index == address.header.index);
        if let (Some(ip), Some(link)) = (ip, link) {
            link.addresses.push(Address { ip, prefix: address.header.prefix_len });
        }
    }
    let mut asked = RouteMessage::default();
    asked.header.address_family = AddressFamily::Inet;
    let default_routes =
        dump(RouteNetlinkMessage::GetRoute(asked))?
            .into_iter()
            .filter_map(|message| {
                if let RouteNetlinkMessage::NewRoute(route) = message { gateway(&route) } else { None }
            })
            .collect();
    Ok(Network { links, default_routes })
}

fn read(message: LinkMessage) -> Link {
    let mut link = Link {
        index: message.header.index,
        up: message.header.flags.contains(LinkFlags::Up),
        ..Link::default()
    };
    for attribute in message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name = name,
            LinkAttribute::Link(peer) => link.peer = Some(peer),
            LinkAttribute::LinkInfo(infos) => {
                link.veth = infos.iter().any(|info| matches!(info, LinkInfo::Kind(InfoKind::Veth)));
            }
            _ => {}
        }
    }
    link
}

/// The gateway of a route to everywhere; 0.0.0.0 where it needs none.
fn gateway(route: &RouteMessage) -> Option<Ipv4Addr> {
    if route.header.destination_prefix_length != 0 {
        return None;
    }
    let via = route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Gateway(RouteAddress::Inet(via)) => Some(*via),
        _ => None,
    });
    Some(via.unwrap_or(Ipv4Addr::UNSPECIFIED))
}

/// Everything of one kind.
fn dump(message: RouteNetlinkMessage) -> io::Result<Vec<RouteNetlinkMessage>> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    let mut request = NetlinkMessage::new(header, NetlinkPayload::from(message));
    request.finalize();
    let mut bytes = vec![0; request.buffer_len()];
    request.serialize(&mut bytes);
    socket.send(&bytes, 0)?;
    let mut found = Vec::new();
    loop {
        let (answer, _) = socket.recv_from_full()?;
        let mut rest = answer.as_slice();
        while let Ok(buffer) = NetlinkBuffer::new_checked(rest) {
            let length = (buffer.length() as usize).next_multiple_of(4).min(rest.len());
            // A message with an attribute that is not understood is left out, not the whole answer.
            if let Ok(message) = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest) {
                match message.payload {
                    NetlinkPayload::Done(_) => return Ok(found),
                    NetlinkPayload::Error(error) => return Err(error.to_io()),
                    NetlinkPayload::InnerMessage(message) => found.push(message),
                    _ => {}
                }
            }
            rest = &rest[length..];
        }
    }
}
