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

/// Decides names, addresses and interfaces, and refuses what is not available. If the container had a network, its
/// `former` record is kept and the new options are added.
pub(super) fn plan(
    settings: &Settings,
    container: &Container,
    host: &mut Host,
    wishes: Wishes<'_>,
    former: Option<&Record>,
) -> Result<Record, Error> {
    let mut others = records(settings)?;
    others.retain(|(name, _)| name != container.name());
    let state = host.filter_state()?;
    let interfaces = interfaces(host, container.name(), &state, former)?;
    let ports = ports(wishes.ports, former)?;
    check_free(host, &state, &ports, &others)?;

    let mut taken = links::known_networks(&mut host.links)?;
    taken.extend(
        state.members().map(|other| Network { address: other.address, prefix: settings.subnet.prefix }),
    );
    taken.extend(others.iter().map(|(_, record)| record.network()));
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

/// The interface names of a container: its former ones, or the first free choice. A container of another
/// `CONTAINERDIR` may have the same name, and only a long name has several choices.
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

fn records(settings: &Settings) -> Result<Vec<(ContainerName, Record)>, Error> {
    let store = Store::new(settings);
    let names = store.containers()?.into_iter().map(|(name, _)| name);
    Ok(names.filter_map(|name| Record::load(&store.container(&name)).map(|record| (name, record))).collect())
}

fn ports(wished: &[PortMapping], former: Option<&Record>) -> Result<Vec<PortMapping>, Error> {
    let former = former.map_or(&[][..], |record| &record.ports);
    let new = wished.iter().filter(|port| !former.contains(port));
    let ports: Vec<PortMapping> = former.iter().chain(new).copied().collect();
    for (at, port) in ports.iter().enumerate() {
        if ports[..at].iter().any(|other| other.outer == port.outer) {
            return Err(Error::PortTwice(port.outer));
        }
    }
    Ok(ports)
}

fn check_free(
    host: &mut Host,
    state: &firewall::State,
    ports: &[PortMapping],
    others: &[(ContainerName, Record)],
) -> Result<(), Error> {
    let exposed = if ports.is_empty() { Vec::new() } else { state.exposed(&mut host.filter)? };
    for port in ports.iter().map(|port| port.outer) {
        if let Some((_, address)) = exposed.iter().find(|(other, _)| *other == port) {
            for (name, record) in others.iter().filter(|(_, record)| record.address == *address) {
                if links::find(&mut host.links, &record.outside)?.is_some_and(|link| record.names(&link)) {
                    return Err(Error::PortExposed(port, name.clone()));
                }
            }
            return Err(Error::PortExposedElsewhere(port, *address));
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

/// The interface that leads to the Internet, if the container is to reach it: the one that this call asks for, else the
/// former one, else `DEFAULT_IFC`, else that of the default route.
fn internet(
    settings: &Settings,
    host: &mut Host,
    wishes: Wishes<'_>,
    former: Option<&Record>,
) -> Result<Option<String>, Error> {
    let set = settings.default_interface.as_ref();
    let had = former.and_then(|record| record.internet.as_ref());
    if !wishes.internet && had.is_none() {
        return Ok(None);
    }
    let mut exists = |name: &str| links::find(&mut host.links, name).map(|link| link.is_some());
    if let Some(name) = had
        && (set.is_none() || !wishes.internet)
        && exists(name)?
    {
        return Ok(Some(name.clone()));
    }
    match set {
        Some(name) if exists(name)? => Ok(Some(name.clone())),
        Some(name) => Err(Error::NoInterface(name.clone())),
        None => Ok(Some(links::default_interface(&mut host.links)?)),
    }
}
