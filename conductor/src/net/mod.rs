//! The network of a container: a veth pair to the host, and the packet filter of the host.
//!
//! ```text
//! host  <name>-outside 192.168.N.1 ======== <name>-inside 192.168.N.2  container
//! ```
//!
//! Without options a container reaches only the host: it has no other route, and the packet filter
//! drops its forwarded packets. `-i` adds a default route, NAT and name servers. `-e` publishes
//! ports of the container on the host. [`peer`] connects two containers.
//!
//! The order of steps makes every crash harmless. First the record of the network is written to the
//! container's folder, then the pair is created, then one transaction adds it to the packet filter.
//! To disconnect, the rules are deleted first, the pair vanishes with the container's last process,
//! and the record goes with the folder.

use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;

use nix::libc;

use crate::settings::Settings;
use crate::state::container::{self, Container};
use crate::state::names::ContainerName;

mod dns;
mod error;
mod firewall;
mod foreign;
mod forwarding;
mod host;
mod interface;
pub mod links;
pub mod netlink;
pub mod nftables;
mod plan;
pub mod port_mapping;
mod record;
mod subnet;

pub use error::Error;
use error::at;
use host::{Holder, Host};
use links::{LOOPBACK, Link, Network};
use netlink::{Batch, Netlink};
pub use plan::Wishes;
use port_mapping::PortMapping;
pub use record::Record;

/// What a command has to tell about a network.
#[derive(Debug, PartialEq, Eq)]
pub enum News {
    /// A firewall may cut the container off, and only the program that owns it may change it.
    Closed {
        /// The table and the chain.
        chain: String,
        /// The interface that the firewall should allow.
        link: String,
    },
    /// The container now reaches the Internet through another interface, or for the first time.
    Internet {
        /// The interface.
        through: String,
        /// The former interface.
        before: Option<String>,
    },
    /// A port of the container is published.
    Published(PortMapping),
}

/// Connects a container to the network. `announce` is called as soon as the addresses are known. If
/// part of an earlier network is missing, it is restored, with the new options added. If the
/// network is complete, the new options are added to it, and the result names the changes.
pub fn connect(
    settings: &Settings,
    container: &Container,
    wishes: Wishes<'_>,
    announce: impl FnOnce(&Record),
) -> Result<Vec<News>, Error> {
    let first = container.running()?;
    let mut host = Host::lock()?;
    let former = Record::load(container.folder())?;
    if let Some(record) = &former {
        if record.ready && host.has(container, record)? {
            return extend(settings, container, &mut host, &first, wishes, record);
        }
        // An earlier command was killed, or another program deleted part of the network.
        remove(&mut host, container, record)?;
    } else {
        let names: Vec<_> = container.name().interfaces().map(|names| names.outside).collect();
        host.dismiss_dead(&names.iter().map(String::as_str).collect::<Vec<_>>())?;
    }
    let mut record = plan::plan(settings, container, &mut host, wishes, former.as_ref())?;
    record.save(container.folder())?;
    announce(&record);
    let made = make(&mut host, &record, &first, container);
    if made.is_err() {
        // The first error is the one to report. What cannot be undone now, `stop` undoes.
        let _ = remove(&mut host, container, &record).and_then(|()| match &former {
            Some(former) => former.save(container.folder()),
            None => Record::forget(container.folder()),
        });
    }
    let closed = made?;
    record.ready = true;
    record.save(container.folder())?;
    Ok(if forwards(&record) { news_of(closed, &record).collect() } else { Vec::new() })
}

/// Whether the host forwards packets of a container that has no peers.
fn forwards(record: &Record) -> bool {
    record.internet.is_some() || !record.ports.is_empty()
}

fn news_of(closed: Vec<String>, record: &Record) -> impl Iterator<Item = News> {
    closed.into_iter().map(|chain| News::Closed { chain, link: record.outside.clone() })
}

/// Adds ports to a complete network, or replaces its way to the Internet.
fn extend(
    settings: &Settings,
    container: &Container,
    host: &mut Host,
    first: &OwnedFd,
    wishes: Wishes<'_>,
    former: &Record,
) -> Result<Vec<News>, Error> {
    let next = plan::extend(settings, container, host, wishes, former)?;
    let changes = changes(former, &next);
    if changes.is_empty() {
        host.change_filter(false, None, |_| {})?;
        return Err(Error::Connected(container.name().clone(), former.address));
    }
    // Until the end the record is not ready: after a kill, the next addnetwork makes the whole
    // network again.
    let mut pending = Record { ready: false, ..next };
    pending.save(container.folder())?;
    let committed = host.change_filter(true, None, |transaction| {
        if pending.internet != former.internet {
            let (from, to) = (former.internet.as_deref(), pending.internet.as_deref());
            firewall::reroute(transaction, pending.member(), from, to);
        }
        firewall::publish(transaction, pending.member(), &pending.ports[former.ports.len()..]);
    });
    if committed.is_err() {
        // The transaction changed nothing, so the former record is still true.
        former.save(container.folder())?;
    }
    let closed = committed?;
    if pending.internet != former.internet {
        let mut inside = host.enter(first)?;
        open_way_out(host, &mut inside.netlink, &pending)?;
        write_name_servers(container, first)?;
    }
    pending.ready = true;
    pending.save(container.folder())?;
    Ok(changes.into_iter().chain(news_of(closed, &pending)).collect())
}

fn changes(former: &Record, next: &Record) -> Vec<News> {
    let rerouted = next.internet.clone().filter(|_| next.internet != former.internet);
    let way_out = rerouted.map(|through| News::Internet { through, before: former.internet.clone() });
    let ports = next.ports[former.ports.len()..].iter().copied().map(News::Published);
    way_out.into_iter().chain(ports).collect()
}

/// Makes a network. Returns the chains of the packet filter that only their owner may change.
fn make(
    host: &mut Host,
    record: &Record,
    first: &OwnedFd,
    container: &Container,
) -> Result<Vec<String>, Error> {
    let mut inside = host.enter(first)?;
    let mtu = mtu(host, record)?;
    let (outside, end) = (&record.outside, &record.inside);
    links::add_veth(&mut host.links, outside, record.mac, mtu, end, &inside.namespace)?;

    let mut ours = Batch::default();
    let outside = index(&mut host.links, &record.outside)?;
    at("close the new interface to autoconfiguration", interface::trust_nothing(&record.outside))?;
    links::add_address(&mut ours, outside, record.network());
    links::set_up(&mut ours, outside);
    host.links.change(ours)?;

    let mut theirs = Batch::default();
    let end = index(&mut inside.netlink, &record.inside)?;
    links::set_up(&mut theirs, LOOPBACK);
    links::add_address(&mut theirs, end, Network { address: record.address, prefix: record.prefix });
    links::set_up(&mut theirs, end);
    if record.internet.is_some() {
        links::add_route(&mut theirs, EVERYTHING, record.gateway);
    }
    inside.netlink.change(theirs)?;

    let closed = host.change_filter(forwards(record), Some(&record.outside), |transaction| {
        firewall::admit(transaction, record.member(), record.internet.as_deref(), &record.ports);
    })?;
    if record.internet.is_some() {
        write_name_servers(container, first)?;
    }
    Ok(closed)
}

/// The destination of a default route.
const EVERYTHING: Network = Network { address: Ipv4Addr::UNSPECIFIED, prefix: 0 };

fn index(netlink: &mut Netlink, name: &str) -> Result<u32, Error> {
    let link = links::find(netlink, name)?.ok_or_else(|| Error::NoInterface(name.to_owned()))?;
    Ok(link.index)
}

/// The MTU of the interface that leads to the Internet. A container with a larger one would lose
/// packets where "packet too big" messages are filtered, as in many tunnels.
fn mtu(host: &mut Host, record: &Record) -> Result<Option<u32>, Error> {
    let Some(way_out) = &record.internet else { return Ok(None) };
    Ok(links::find(&mut host.links, way_out)?.map(|link| link.mtu).filter(|mtu| *mtu > 0))
}

/// Gives a container's existing network the default route and the MTU of its way to the Internet.
fn open_way_out(host: &mut Host, inside: &mut Netlink, record: &Record) -> Result<(), Error> {
    let (mut ours, mut theirs) = (Batch::default(), Batch::default());
    if let Some(mtu) = mtu(host, record)? {
        links::set_mtu(&mut ours, index(&mut host.links, &record.outside)?, mtu);
        links::set_mtu(&mut theirs, index(inside, &record.inside)?, mtu);
    }
    links::add_route(&mut theirs, EVERYTHING, record.gateway);
    host.links.change(ours)?;
    Ok(inside.change(theirs)?)
}

fn write_name_servers(container: &Container, first: &OwnedFd) -> Result<(), Error> {
    let root = at("open the container's root directory", dns::root_of(first, container.first_pid()?))?;
    let root = root.ok_or_else(|| container::Error::Exited(container.name().clone()))?;
    let servers = dns::resolv_conf()?;
    at("write /etc/resolv.conf in the container", dns::write(root, &servers))
}

/// Deletes the rules of a container, but not those of another holder of its interface name. Returns
/// its link, which stays.
fn withdraw(host: &mut Host, container: &Container, record: &Record) -> Result<Option<Link>, Error> {
    let link = match host.holder(container, record)? {
        Holder::Container(link) => Some(link),
        Holder::Nobody => None,
        Holder::Stranger => {
            host.dismiss_dead(&[])?;
            return Ok(None);
        }
    };
    host.dismiss(record.member())?;
    Ok(link)
}

/// Deletes whatever exists of a container's network.
fn remove(host: &mut Host, container: &Container, record: &Record) -> Result<(), Error> {
    match withdraw(host, container, record)? {
        Some(link) => host.delete(&link),
        None => Ok(()),
    }
}

/// Deletes a container's rules and, after the last container, undoes all changes to the host. The
/// kernel deletes the pair when the container's processes end: this returns its link, for
/// [`wait_until_gone`]. Does nothing without a network.
pub fn disconnect(container: &Container) -> Result<Option<Link>, Error> {
    match Record::load(container.folder())? {
        Some(record) => withdraw(&mut Host::lock()?, container, &record),
        None => Ok(None),
    }
}

/// Waits until the kernel has deleted the link of a container whose processes have ended.
pub fn wait_until_gone(link: &Link) -> Result<(), Error> {
    let mut host = Netlink::open(libc::NETLINK_ROUTE)?;
    Ok(links::wait_until_gone(&mut host, link)?)
}

/// Allows two containers with networks to reach each other. Other containers stay isolated. Returns
/// what there is to tell.
pub fn peer(one: &Container, other: &Container) -> Result<Vec<News>, Error> {
    let mut host = Host::lock()?;
    let mut ready = |container: &Container| -> Result<(OwnedFd, Record), Error> {
        let first = container.running()?;
        match Record::load(container.folder())? {
            Some(record) if record.ready && host.has(container, &record)? => Ok((first, record)),
            _ => Err(Error::NotConnected(container.name().clone())),
        }
    };
    let (one, other) = (ready(one)?, ready(other)?);
    for ((first, record), (_, peer)) in [(&one, &other), (&other, &one)] {
        // A container with a default route needs no other.
        if record.internet.is_none() {
            let mut inside = host.enter(first)?;
            let mut batch = Batch::default();
            let mask = u32::MAX << (32 - u32::from(peer.prefix));
            let address = Ipv4Addr::from_bits(peer.gateway.to_bits() & mask);
            links::add_route(&mut batch, Network { address, prefix: peer.prefix }, record.gateway);
            inside.netlink.change(batch)?;
        }
    }
    let closed = host.change_filter(true, None, |transaction| {
        firewall::introduce(transaction, &one.1.outside, &other.1.outside);
    })?;
    Ok(news_of(closed.clone(), &one.1).chain(news_of(closed, &other.1)).collect())
}

/// Refuses to peer a container with itself. Locking it twice would wait forever.
pub fn check_distinct(one: &ContainerName, other: &ContainerName) -> Result<(), Error> {
    if one == other { Err(Error::Itself(one.clone())) } else { Ok(()) }
}
