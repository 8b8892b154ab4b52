//! The network of a container: a veth pair to the host, and the packet filter of the host.
//!
//! ```text
//! host  <name>-outside 192.168.N.1 ======== <name>-inside 192.168.N.2  container
//! ```
//!
//! Without options a container reaches only the host: it has no other route, and the packet filter drops its
//! forwarded packets. `-i` adds a default route, NAT and name servers. `-e` publishes ports of the container on
//! the host. [`peer`] connects two containers.
//!
//! The order of steps makes every crash harmless. First the record of the network is written to the container's
//! folder, then the pair is created, then one transaction adds it to the packet filter. To disconnect, the rules
//! are deleted first, the pair vanishes with the container's last process, and the record goes with the folder.

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
pub use record::Record;

/// Connects a container to the network. `announce` is called as soon as the addresses are known. If part of an earlier
/// network is missing, it is restored, with the new options added.
pub fn connect(
    settings: &Settings,
    container: &Container,
    wishes: Wishes<'_>,
    announce: impl FnOnce(&Record),
) -> Result<(), Error> {
    let first = container.running()?;
    let mut host = Host::lock()?;
    let former = Record::load(container.folder());
    if let Some(record) = &former {
        if record.ready && host.has(container, record)? {
            host.change_filter(false, None, |_| {})?;
            return Err(Error::Connected(container.name().clone(), record.address));
        }
        // An earlier command was killed, or another program deleted part of the network.
        remove(&mut host, container, record)?;
    } else {
        host.dismiss(None)?;
    }
    let mut record = plan::plan(settings, container, &mut host, wishes, former.as_ref())?;
    record.save(container.folder())?;
    announce(&record);
    if let Err(error) = make(&mut host, &record, &first, container) {
        // The first error is the one to report. What cannot be undone now, `stop` undoes.
        let _ = remove(&mut host, container, &record).and_then(|()| match &former {
            Some(former) => former.save(container.folder()),
            None => Record::forget(container.folder()),
        });
        return Err(error);
    }
    record.ready = true;
    record.save(container.folder())
}

fn make(host: &mut Host, record: &Record, first: &OwnedFd, container: &Container) -> Result<(), Error> {
    let mut inside = host.enter(first)?;
    links::add_veth(&mut host.links, &record.outside, record.mac, &record.inside, &inside.namespace)?;
    let index = |netlink: &mut Netlink, name: &str| {
        let link = links::find(netlink, name)?.ok_or_else(|| Error::NoInterface(name.to_owned()))?;
        Ok::<u32, Error>(link.index)
    };

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
        let everything = Network { address: Ipv4Addr::UNSPECIFIED, prefix: 0 };
        links::add_route(&mut theirs, everything, record.gateway);
    }
    inside.netlink.change(theirs)?;

    let forwards = record.internet.is_some() || !record.ports.is_empty();
    host.change_filter(forwards, Some(&record.outside), |transaction| {
        firewall::admit(transaction, record.member(), record.internet.as_deref(), &record.ports);
    })?;
    if record.internet.is_some() {
        let root = at("open the container's root directory", dns::root_of(first, container.first_pid()?))?;
        let root = root.ok_or_else(|| container::Error::Exited(container.name().clone()))?;
        at("write /etc/resolv.conf in the container", dns::write(root, &dns::resolv_conf()))?;
    }
    Ok(())
}

/// Takes away the rules of a container, and nothing of anybody else who has its name by now. Its link is left: `None`
/// if there is none.
fn withdraw(host: &mut Host, container: &Container, record: &Record) -> Result<Option<Link>, Error> {
    let (link, going) = match host.holder(container, record)? {
        Holder::Container(link) => (Some(link), Some(record.member())),
        Holder::Nobody => (None, Some(record.member())),
        Holder::Stranger => (None, None),
    };
    host.dismiss(going)?;
    Ok(link)
}

/// Takes away all of a container's network that there is.
fn remove(host: &mut Host, container: &Container, record: &Record) -> Result<(), Error> {
    match withdraw(host, container, record)? {
        Some(link) => Ok(links::delete(&mut host.links, &link)?),
        None => Ok(()),
    }
}

/// Takes a container's rules away, and with the last one everything the host was changed in. The pair itself
/// goes with the container's processes: this returns its link, for [`wait_until_gone`]. Does nothing for a container
/// without a network.
pub fn disconnect(container: &Container) -> Result<Option<Link>, Error> {
    match Record::load(container.folder()) {
        Some(record) => withdraw(&mut Host::lock()?, container, &record),
        None => Ok(None),
    }
}

/// Waits until the link of a container whose processes are gone is gone too.
pub fn wait_until_gone(link: &Link) -> Result<(), Error> {
    let mut host = Netlink::open(libc::NETLINK_ROUTE)?;
    Ok(links::wait_until_gone(&mut host, link)?)
}

/// Lets two containers with networks reach each other, and nobody else.
pub fn peer(one: &Container, other: &Container) -> Result<(), Error> {
    let mut host = Host::lock()?;
    let mut ready = |container: &Container| -> Result<(OwnedFd, Record), Error> {
        let first = container.running()?;
        match Record::load(container.folder()) {
            Some(record) if record.ready && host.has(container, &record)? => Ok((first, record)),
            _ => Err(Error::NotConnected(container.name().clone())),
        }
    };
    let (one, other) = (ready(one)?, ready(other)?);
    for ((first, record), (_, peer)) in [(&one, &other), (&other, &one)] {
        // Who has a default route needs no other.
        if record.internet.is_none() {
            let mut inside = host.enter(first)?;
            let mut batch = Batch::default();
            let mask = u32::MAX << (32 - u32::from(peer.prefix));
            let address = Ipv4Addr::from_bits(peer.gateway.to_bits() & mask);
            links::add_route(&mut batch, Network { address, prefix: peer.prefix }, record.gateway);
            inside.netlink.change(batch)?;
        }
    }
    host.change_filter(true, None, |transaction| {
        firewall::introduce(transaction, &one.1.outside, &other.1.outside);
    })
}

/// Refuses to peer a container with itself, before it is locked twice.
pub fn check_distinct(one: &ContainerName, other: &ContainerName) -> Result<(), Error> {
    if one == other { Err(Error::Itself(one.clone())) } else { Ok(()) }
}
