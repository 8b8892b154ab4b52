//! What a container's network is to be, decided before anything is made.

use std::io;
use std::net::{Ipv4Addr, TcpListener};

use super::host::Host;
use super::links::{self, Known, Network};
use super::record::{self, Record};
use super::subnet;
use super::{Error, firewall};
use crate::container::Container;
use crate::names::ContainerName;
use crate::port_mapping::PortMapping;
use crate::settings::Settings;
use crate::store::Store;

/// What `addnetwork` is asked for besides the pair.
#[derive(Debug, Clone, Copy)]
pub struct Wishes<'a> {
    /// Reach the Internet.
    pub internet: bool,
    /// Ports to expose.
    pub ports: &'a [PortMapping],
}

/// Decides names, addresses and interfaces, and refuses what cannot be had.
pub(super) fn plan(
    settings: &Settings,
    container: &Container,
    host: &mut Host,
    wishes: Wishes<'_>,
) -> Result<Record, Error> {
    let outside = container.name().outside();
    // Another CONTAINERDIR may have a container of the same name.
    if links::find(&mut host.links, &outside)?.is_some() {
        return Err(Error::InterfaceTaken { interface: outside, container: container.name().clone() });
    }
    let mut others = records(settings)?;
    others.retain(|(name, _)| name != container.name());
    let state = host.filter_state()?;
    check_free(host, &state, wishes.ports, &others)?;

    let known = links::known_networks(&mut host.links)?;
    let mut taken = known.networks.clone();
    taken.extend(
        state.members().map(|other| Network { address: other.address, prefix: settings.subnet.prefix }),
    );
    taken.extend(others.iter().map(|(_, record)| record.network()));
    let subnet = settings.subnet;
    let full = Error::Full { base: subnet.base, prefix: subnet.full_prefix };
    let pair = subnet::first_free(subnet, &taken).ok_or(full)?;
    Ok(Record {
        outside,
        inside: container.name().inside(),
        mac: Some(record::new_mac()?),
        gateway: pair.outside,
        address: pair.inside,
        prefix: pair.prefix,
        internet: internet(settings, host, &known, wishes)?,
        ports: wishes.ports.to_vec(),
        ready: false,
    })
}

fn records(settings: &Settings) -> Result<Vec<(ContainerName, Record)>, Error> {
    let store = Store::new(settings);
    let names = store.containers()?.into_iter().map(|(name, _)| name);
    Ok(names.filter_map(|name| Record::load(&store.container(&name)).map(|record| (name, record))).collect())
}

fn check_free(
    host: &mut Host,
    state: &firewall::State,
    ports: &[PortMapping],
    others: &[(ContainerName, Record)],
) -> Result<(), Error> {
    let exposed = if ports.is_empty() { Vec::new() } else { state.exposed(&mut host.filter)? };
    for (at, port) in ports.iter().enumerate() {
        if ports[..at].iter().any(|other| other.outer == port.outer) {
            return Err(Error::PortTwice(port.outer));
        }
        if let Some((_, address)) = exposed.iter().find(|(other, _)| *other == port.outer) {
            for (name, record) in others.iter().filter(|(_, record)| record.address == *address) {
                if links::find(&mut host.links, &record.outside)?.is_some_and(|link| record.names(&link)) {
                    return Err(Error::PortExposed(port.outer, name.clone()));
                }
            }
            return Err(Error::PortExposedElsewhere(port.outer, *address));
        }
        match TcpListener::bind((Ipv4Addr::UNSPECIFIED, port.outer)) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                return Err(Error::PortInUse(port.outer));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The interface that leads to the Internet, if the container is to reach that: the one that is set, or that of the
/// default route.
fn internet(
    settings: &Settings,
    host: &mut Host,
    known: &Known,
    wishes: Wishes<'_>,
) -> Result<Option<String>, Error> {
    if !wishes.internet {
        return Ok(None);
    }
    match &settings.default_interface {
        Some(name) => match links::find(&mut host.links, name)? {
            Some(_) => Ok(Some(name.clone())),
            None => Err(Error::NoInterface(name.clone())),
        },
        None => Ok(Some(links::default_interface(&mut host.links, known)?)),
    }
}
