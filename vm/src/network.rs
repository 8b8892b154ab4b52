//! What of the host a guest can reach.

use std::net::SocketAddrV4;
use std::path::PathBuf;

/// What of the host the guest's card `uplink0` can reach: nothing by default. No card reaches beyond QEMU.
///
/// Every guest has three cards, all down and without address: `lan0` and `world0` are two ends of one cable;
/// `uplink0` is at QEMU's user network (10.0.2.0/24, host at 10.0.2.2, restricted to what is named here).
#[derive(Debug, Clone, Default)]
pub struct Network {
    /// TCP ports of the host that lead to the guest.
    pub host_forwards: Vec<HostForward>,
    /// TCP addresses inside the user network that lead to a socket of the host.
    pub guest_forwards: Vec<GuestForward>,
}

/// A TCP port of the host whose connections go to the guest's 10.0.2.15.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostForward {
    /// Where QEMU listens on the host.
    pub listen: SocketAddrV4,
    /// The port of 10.0.2.15 they go to.
    pub guest_port: u16,
}

/// A TCP address inside 10.0.2.0/24 whose connections go to a Unix socket of the host, one each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestForward {
    /// The address that the guest connects to, such as 10.0.2.100:3142.
    pub address: SocketAddrV4,
    /// The listening Unix socket.
    pub socket: PathBuf,
}
