//! Decides the names, addresses and interfaces of a container's network before anything is created.

use std::io;
use std::net::{Ipv4Addr, TcpListener};

use super::host::Host;
use super::links::{self, Network};
use super::record::{self, Record};
use super::subnet::{self, Pair};
use super::{Error, firewall};
use crate::net::port_mapping::PortMapping;
use crate::settings::Settings;
use crate::state::container::Container;
use crate::state::names::{ContainerName, InterfaceNames};
use crate::state::store::Store;

/// The options of `addnetwork`.
#[derive(Debug, Clone, Copy)]
pub struct Wishes<'a> {
    /// Connect to the Internet.
    pub internet: bool,
    /// The ports to publish.
    pub ports: &'a [PortMapping],
}

/// Decides names, addresses and interfaces, and refuses what is not available. If the container had
/// a network, its `former` record is kept and the new options are added.
pub(super) fn plan(
    settings: &Settings,
    container: &Container,
    host: &mut Host,
    wishes: Wishes<'_>,
    former: Option<&Record>,
) -> Result<Record, Error> {
    let state = host.filter_state()?;
    let interfaces = interfaces(host, container.name(), &state, former)?;
    let ports = ports(wishes.ports, former)?;
    check_free(settings, container, host, &ports)?;

    let mut taken = host.networks()?.to_vec();
    taken.extend(
        state.members().map(|other| Network { address: other.address, prefix: settings.subnet.prefix }),
    );
    let pair = pair(settings, &taken, former)?;
    Ok(Record {
        outside: interfaces.outside,
        inside: interfaces.inside,
        mac: Some(record::new_mac()?),
        gateway: pair.outside,
        address: pair.inside,
        prefix: pair.prefix,
        internet: internet(settings, host, wishes, former)?,
        ports,
        ready: false,
    })
}

/// The record of a complete network with the new options added: more ports, or another way to the
/// Internet.
pub(super) fn extend(
    settings: &Settings,
    container: &Container,
    host: &mut Host,
    wishes: Wishes<'_>,
    former: &Record,
) -> Result<Record, Error> {
    let ports = ports(wishes.ports, Some(former))?;
    check_free(settings, container, host, &ports[former.ports.len()..])?;
    let internet = internet(settings, host, wishes, Some(former))?;
    Ok(Record { internet, ports, ..former.clone() })
}

/// The interface names of a container: its former ones, or the first free choice. A container of
/// another `CONTAINERDIR` may have the same name, and only a long name has several choices.
fn interfaces(
    host: &mut Host,
    container: &ContainerName,
    state: &firewall::State,
    former: Option<&Record>,
) -> Result<InterfaceNames, Error> {
    let had = former
        .map(|record| InterfaceNames { outside: record.outside.clone(), inside: record.inside.clone() });
    let mut taken = String::new();
    for names in had.into_iter().chain(container.interfaces()) {
        if links::find(&mut host.links, &names.outside)?.is_none() {
            return Ok(names);
        }
        taken = names.outside;
    }
    let container = container.clone();
    let is_ours = |member| former.is_some_and(|record| record.member() == member);
    Err(if state.members().any(|member| member.link == taken && !is_ours(member)) {
        Error::InterfaceOfContainer { interface: taken, container }
    } else {
        Error::InterfaceTaken { interface: taken, container }
    })
}

/// The container with the address `address` and a complete network, if it is one of ours.
fn holder(settings: &Settings, host: &mut Host, address: Ipv4Addr) -> Result<Option<ContainerName>, Error> {
    let store = Store::new(settings);
    for (name, _) in store.containers()? {
        let Some(record) = Record::load(&store.container(&name))? else { continue };
        let link =
            if record.address == address { links::find(&mut host.links, &record.outside)? } else { None };
        if link.is_some_and(|link| record.names(&link)) {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

/// The former ports, then the new ones. A port that is given twice counts once.
fn ports(wished: &[PortMapping], former: Option<&Record>) -> Result<Vec<PortMapping>, Error> {
    let mut ports = former.map_or_else(Vec::new, |record| record.ports.clone());
    for port in wished {
        if ports.contains(port) {
            continue;
        }
        if ports.iter().any(|other| other.outer == port.outer) {
            return Err(Error::PortTwice(port.outer));
        }
        ports.push(*port);
    }
    Ok(ports)
}

fn check_free(
    settings: &Settings,
    container: &Container,
    host: &mut Host,
    ports: &[PortMapping],
) -> Result<(), Error> {
    let published = if ports.is_empty() { Vec::new() } else { host.published_ports()? };
    for port in ports.iter().map(|port| port.outer) {
        if let Some((_, address)) = published.iter().find(|(other, _)| *other == port) {
            let holder = holder(settings, host, *address)?.filter(|name| name != container.name());
            return Err(match holder {
                Some(name) => Error::PortExposed(port, name),
                None => Error::PortExposedElsewhere(port, *address),
            });
        }
        match TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => return Err(Error::PortInUse(port)),
            _ => {}
        }
    }
    Ok(())
}

fn pair(settings: &Settings, taken: &[Network], former: Option<&Record>) -> Result<Pair, Error> {
    let subnet = settings.subnet;
    let former = former.filter(|record| !taken.iter().any(|other| other.overlaps(record.network())));
    former
        .map(|record| Pair { outside: record.gateway, inside: record.address, prefix: record.prefix })
        .or_else(|| subnet::first_free(subnet, taken))
        .ok_or(Error::Full { base: subnet.base, prefix: subnet.full_prefix })
}

/// The interface that leads to the Internet, if the container is to reach it. If this call asks for
/// it, `DEFAULT_IFC` or the interface of the default route. Otherwise the former one, as long as it
/// exists.
fn internet(
    settings: &Settings,
    host: &mut Host,
    wishes: Wishes<'_>,
    former: Option<&Record>,
) -> Result<Option<String>, Error> {
    let had = former.and_then(|record| record.internet.as_ref());
    if !wishes.internet && had.is_none() {
        return Ok(None);
    }
    let mut exists = |name: &str| links::find(&mut host.links, name).map(|link| link.is_some());
    if let Some(name) = had
        && !wishes.internet
        && exists(name)?
    {
        return Ok(Some(name.clone()));
    }
    match &settings.default_interface {
        Some(name) if exists(name)? => Ok(Some(name.clone())),
        Some(name) => Err(Error::NoInterface(name.clone())),
        None => Ok(Some(links::default_interface(&mut host.links)?)),
    }
}
