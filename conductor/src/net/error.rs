//! Why a network could not be made.

use std::io;
use std::net::Ipv4Addr;

use super::netlink;
use crate::container;
use crate::names::ContainerName;
use crate::store;

/// Why a network could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It has one.
    #[error(
        "container '{0}' has a network already, with address {1}: to change that, `stop {0}` and run it again"
    )]
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
    #[error("port {0} of the host leads to container '{1}' already: `stop {1}` frees it")]
    PortExposed(u16, ContainerName),
    /// The port leads to a container already that is not among ours.
    #[error(
        "port {0} of the host leads to {1} already, a container of another CONTAINERDIR: stop that container, or expose another port"
    )]
    PortExposedElsewhere(u16, Ipv4Addr),
    /// The port is asked for twice.
    #[error("port {0} of the host is to lead to two ports: a port leads to one")]
    PortTwice(u16),
    /// An interface that is no container's has the name that its own would have.
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
    /// A container of another `CONTAINERDIR` has the name that its interface would have.
    #[error(
        "the host has an interface {interface} already, of a container of another CONTAINERDIR: give container \
         '{container}' another name, or stop the other container"
    )]
    InterfaceOfContainer {
        /// The name.
        interface: String,
        /// The container.
        container: ContainerName,
    },
    /// A program listens on the port.
    #[error("port {0} of the host is in use by a program: end that, or expose another port")]
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

pub(super) fn at<T>(action: &'static str, result: io::Result<T>) -> Result<T, Error> {
    result.map_err(|source| Error::File { action, source })
}
