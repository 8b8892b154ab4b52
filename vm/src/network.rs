//! What of the host a guest can reach over a network card. Nothing, unless it runs the caller's own programs only.

use std::net::SocketAddrV4;
use std::path::PathBuf;

/// What of the host the guest's third card can reach: nothing by default. No card reaches beyond QEMU.
///
/// Every guest has three cards, all down and without address: two are the ends of one cable; the third leads nowhere, or to
/// QEMU's user network (10.0.2.0/24, host at 10.0.2.2, restricted to what is named here). [`Setup`](crate::Setup) names them.
///
/// With forwards QEMU is confined less: it runs as the caller's user, without a filter of system calls, and starts a
/// process for each connection. They are for
/// guests that run the caller's own programs. Other guests reach the caller through [`Guest::stream`](crate::Guest::stream).
#[derive(Debug, Clone, Default)]
pub struct Network {
    /// TCP addresses inside the user network that lead to a socket of the host.
    pub forwards: Vec<GuestForward>,
}

/// A TCP address inside 10.0.2.0/24 whose connections go to a Unix socket of the host, one each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestForward {
    /// The address that the guest connects to, such as 10.0.2.100:3142.
    pub address: SocketAddrV4,
    /// The listening Unix socket.
    pub socket: PathBuf,
}
