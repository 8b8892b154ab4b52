//! A container's network: a veth pair to the host, and what the host lets through.
//!
//! ```text
//! host  <name>-outside 192.168.N.1 ======== <name>-inside 192.168.N.2  container
//! ```
//!
//! Without options nothing but the host is reachable: there is no other route in the container, and the packet
//! filter drops what it would forward. `-i` adds a default route, NAT and name servers, `-e` leads ports of the host to
//! the container, [`peer`] connects two.
//!
//! The order of things makes every crash harmless. First the container's folder gets the record of what will be made;
//! then the pair is made; then one transaction admits it to the packet filter. On the way back the rules go first, the
//! pair goes with the container's last process, and the record goes with the folder.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::OwnedFd;

use nix::libc;

use crate::container::{self, Container};
use crate::names::ContainerName;
use crate::port_mapping::PortMapping;
use crate::settings::Settings;
use crate::store::{self, Store};

mod dns;
mod firewall;
mod foreign;
mod host;
pub mod links;
pub mod netlink;
pub mod nftables;
mod record;
mod subnet;

use host::Host;
use links::{LOOPBACK, Network};
use netlink::{Batch, Netlink};
use nftables::Transaction;
pub use record::Record;

/// Why a network could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It has one.
    #[error("container '{0}' has a network already, with address {1}")]
    Connected(ContainerName, Ipv4Addr),
    /// It has none.
    #[error("container '{0}' has no network: `addnetwork {0}` makes one")]
    NotConnected(ContainerName),
    /// A container and itself.
    #[error("container '{0}' reaches itself already")]
    Itself(ContainerName),
    /// Every network of the range overlaps something.
    #[error("no network is free in {base}/{prefix}: set IP4_SUBNET to a range that the host has no route to")]
    Full {
        /// First address of the range.
        base: Ipv4Addr,
        /// Its prefix length.
        prefix: u8,
    },
    /// The port leads to a container already.
    #[error("port {0} of the host leads to a container already")]
    PortExposed(u16),
    /// The port is asked for twice.
    #[error("port {0} of the host is to lead to two ports: a port leads to one")]
    PortTwice(u16),
    /// An interface that is not this container's has the name that its own would have.
    #[error(
        "the host has an interface {interface} already, of somebody else: delete that (ip link delete {interface}), or give \
         container '{container}' another name"
    )]
    InterfaceTaken {
        /// The name.
        interface: String,
        /// The container.
        container: ContainerName,
    },
    /// A program listens on the port.
    #[error("port {0} of the host is in use by a program")]
    PortInUse(u16),
    /// There is no such interface.
    #[error("there is no interface {0}: set DEFAULT_IFC to the one that leads to the Internet")]
    NoInterface(String),
    /// The kernel refused.
    #[error(transparent)]
    Netlink(#[from] netlink::Error),
    /// The container is not as it should be.
    #[error(transparent)]
    Container(#[from] container::Error),
    /// A state folder could not be used.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// A file of the host or of the container could not be used.
    #[error("cannot {action}")]
    File {
        /// What was tried.
        action: &'static str,
        /// Why not.
        source: io::Error,
    },
}

fn at<T>(action: &'static str, result: io::Result<T>) -> Result<T, Error> {
    result.map_err(|source| Error::File { action, source })
}

/// What `addnetwork` is asked for besides the pair.
#[derive(Debug, Clone, Copy)]
pub struct Wishes<'a> {
    /// Reach the Internet.
    pub internet: bool,
    /// Ports to expose.
    pub ports: &'a [PortMapping],
}

/// Gives a container its network; `announce` hears of it as soon as the addresses are known.
pub fn connect(
    settings: &Settings,
    container: &Container,
    wishes: Wishes<'_>,
    announce: impl FnOnce(&Record),
) -> Result<(), Error> {
    let first = container.running()?;
    if let Some(record) = Record::load(container.folder()) {
        let mut host = Host::lock()?;
        if record.ready && host.has(&record)? {
            host.change_filter(false, None, |_| {})?;
            return Err(Error::Connected(container.name().clone(), record.address));
        }
        drop(host);
        // Somebody was killed on the way, or took away what was made.
        disconnect(container)?;
        let mut host = Host::lock()?;
        links::delete(&mut host.links, &record.outside)?;
        Record::forget(container.folder())?;
    }
    let mut host = Host::lock()?;
    let mut record = plan(settings, container, &mut host, wishes)?;
    record.save(container.folder())?;
    announce(&record);
    let made = make(&mut host, &record, wishes.ports, &first, container);
    if let Err(error) = made {
        // What stopped us is what is worth telling; what cannot be undone now, `stop` undoes.
        let _ = links::delete(&mut host.links, &record.outside);
        drop(host);
        if disconnect(container).is_ok() {
            let _ = Record::forget(container.folder());
        }
        return Err(error);
    }
    record.ready = true;
    record.save(container.folder())
}

/// Decides names, addresses and interfaces, and refuses what cannot be had, before anything is made.
fn plan(
    settings: &Settings,
    container: &Container,
    host: &mut Host,
    wishes: Wishes<'_>,
) -> Result<Record, Error> {
    // Another CONTAINERDIR may have a container of the same name.
    let outside = container.name().outside();
    if links::index_of(&mut host.links, &outside)?.is_some() {
        return Err(Error::InterfaceTaken { interface: outside, container: container.name().clone() });
    }
    let chains = nftables::chains(&mut host.filter)?;
    let state = firewall::look(&mut host.filter, &chains)?;
    let exposed = if wishes.ports.is_empty() { Vec::new() } else { state.exposed(&mut host.filter)? };
    for (at, port) in wishes.ports.iter().enumerate() {
        if wishes.ports[..at].iter().any(|other| other.outer == port.outer) {
            return Err(Error::PortTwice(port.outer));
        }
        if exposed.contains(&port.outer) {
            return Err(Error::PortExposed(port.outer));
        }
        match TcpListener::bind((Ipv4Addr::UNSPECIFIED, port.outer)) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                return Err(Error::PortInUse(port.outer));
            }
            _ => {}
        }
    }

    let known = links::known_networks(&mut host.links)?;
    let mut taken = known.networks.clone();
    taken.extend(state.addresses().map(|address| Network { address, prefix: settings.subnet.prefix }));
    let store = Store::new(settings);
    for (name, _) in store.containers()? {
        taken.extend(Record::load(&store.container(&name)).map(|record| record.network()));
    }
    let full = Error::Full { base: settings.subnet.base, prefix: settings.subnet.full_prefix };
    let pair = subnet::first_free(settings.subnet, &taken).ok_or(full)?;

    let internet = match (&settings.default_interface, wishes.internet) {
        (_, false) => None,
        (Some(name), true) => match links::index_of(&mut host.links, name)? {
            Some(_) => Some(name.clone()),
            None => return Err(Error::NoInterface(name.clone())),
        },
        (None, true) => Some(links::default_interface(&mut host.links, &known)?),
    };
    Ok(Record {
        outside,
        inside: container.name().inside(),
        gateway: pair.outside,
        address: pair.inside,
        prefix: pair.prefix,
        internet,
        ports: wishes.ports.iter().map(ToString::to_string).collect(),
        ready: false,
    })
}

fn make(
    host: &mut Host,
    record: &Record,
    ports: &[PortMapping],
    first: &OwnedFd,
    container: &Container,
) -> Result<(), Error> {
    let mut inside = host.enter(first)?;
    links::add_veth(&mut host.links, &record.outside, &record.inside, &inside.namespace)?;
    let index = |netlink: &mut Netlink, name: &str| {
        links::index_of(netlink, name)?.ok_or_else(|| Error::NoInterface(name.to_owned()))
    };

    let mut ours = Batch::default();
    let outside = index(&mut host.links, &record.outside)?;
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

    let forwards = record.internet.is_some() || !ports.is_empty();
    host.change_filter(forwards, Some(&record.outside), |transaction| {
        firewall::admit(transaction, record.member(), record.internet.as_deref(), ports);
    })?;
    if record.internet.is_some() {
        let root = at("open the container's root directory", dns::root_of(first, container.first_pid()?))?;
        let root = root.ok_or_else(|| container::Error::Exited(container.name().clone()))?;
        at("write /etc/resolv.conf in the container", dns::write(root, &dns::resolv_conf()))?;
    }
    Ok(())
}

/// Takes a container's rules away, and with the last one everything the host was changed in. The pair itself
/// goes with the container's processes: see [`wait_until_gone`]. Does nothing for a container without a
/// network.
pub fn disconnect(container: &Container) -> Result<(), Error> {
    let Some(record) = Record::load(container.folder()) else { return Ok(()) };
    let mut host = Host::lock()?;
    let chains = nftables::chains(&mut host.filter)?;
    let state = firewall::look(&mut host.filter, &chains)?;
    if state.forwarding_was_off() && state.is_last(record.member()) {
        host::stop_forwarding()?;
    }
    let mut transaction = Transaction::default();
    firewall::dismiss(&mut host.filter, &mut transaction, &state, record.member())?;
    foreign::close(&mut host.filter, &mut transaction, &chains, &record.outside)?;
    transaction.commit(&mut host.filter)?;
    foreign::close_legacy(&record.outside)?;
    Ok(())
}

/// Waits until the pair of a container whose processes are gone is gone too.
pub fn wait_until_gone(container: &Container) -> Result<(), Error> {
    let Some(record) = Record::load(container.folder()) else { return Ok(()) };
    let mut host = Netlink::open(libc::NETLINK_ROUTE)?;
    Ok(links::wait_until_gone(&mut host, &record.outside)?)
}

/// Lets two containers with networks reach each other, and nobody else.
pub fn peer(one: &Container, other: &Container) -> Result<(), Error> {
    let mut host = Host::lock()?;
    let mut ready = |container: &Container| -> Result<(OwnedFd, Record), Error> {
        let first = container.running()?;
        match Record::load(container.folder()) {
            Some(record) if record.ready && host.has(&record)? => Ok((first, record)),
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
