//! Why a network cannot be created.

use std::io;
use std::net::Ipv4Addr;

use super::netlink;
use crate::state;
use crate::state::container;
use crate::state::names::ContainerName;

/// Why a network cannot be created.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The container has a network already, and nothing new was asked for.
    #[error("container '{0}' already has a network, with address {1}, and these options change nothing")]
    Connected(ContainerName, Ipv4Addr),
    /// The container has no network.
    #[error("container '{0}' has no network: `addnetwork {0}` creates one")]
    NotConnected(ContainerName),
    /// A container was to be peered with itself.
    #[error("container '{0}' always reaches itself: name two different containers")]
    Itself(ContainerName),
    /// Every network of the range overlaps an existing one.
    #[error("no network is free in {base}/{prefix}: set IP4_SUBNET to a range that the host has no route to")]
    Full {
        /// The first address of the range.
        base: Ipv4Addr,
        /// The prefix length of the range.
        prefix: u8,
    },
    /// Another container has published the port.
    #[error("port {0} of the host already leads to container '{1}': `stop {1}` frees it")]
    PortExposed(u16, ContainerName),
    /// A container of another `CONTAINERDIR` has published the port.
    #[error(
        "port {0} of the host already leads to {1}, a container of another CONTAINERDIR: stop that container, or \
         publish another port"
    )]
    PortExposedElsewhere(u16, Ipv4Addr),
    /// The port was given twice.
    #[error(
        "port {0} of the host cannot lead to two ports of the container: give each -e another OUTER port"
    )]
    PortTwice(u16),
    /// Another program's interface has the name of the container's interface.
    #[error(
        "the interface {interface} exists already and belongs to no container: delete it \
         (ip link delete {interface}), or give container '{container}' another name"
    )]
    InterfaceTaken {
        /// The interface.
        interface: String,
        /// The container.
        container: ContainerName,
    },
    /// A container of another `CONTAINERDIR` has an interface with the same name.
    #[error(
        "the interface {interface} exists already and belongs to a container of another CONTAINERDIR: give \
         container '{container}' another name, or stop the other container"
    )]
    InterfaceOfContainer {
        /// The interface.
        interface: String,
        /// The container.
        container: ContainerName,
    },
    /// A program of the host listens on the port.
    #[error("a program of the host listens on port {0}: end it, or publish another port")]
    PortInUse(u16),
    /// The interface does not exist.
    #[error("there is no interface {0}: set DEFAULT_IFC to the interface that leads to the Internet")]
    NoInterface(String),
    /// The kernel refused a change.
    #[error(transparent)]
    Netlink(#[from] netlink::Error),
    /// The container cannot be used.
    #[error(transparent)]
    Container(#[from] container::Error),
    /// A state folder cannot be used.
    #[error(transparent)]
    Store(#[from] state::Error),
    /// A file of the host or of the container cannot be used.
    #[error("cannot {action}")]
    File {
        /// The operation.
        action: &'static str,
        /// The reason.
        source: io::Error,
    },
}

pub(super) fn at<T>(action: &'static str, result: io::Result<T>) -> Result<T, Error> {
    result.map_err(|source| Error::File { action, source })
}
