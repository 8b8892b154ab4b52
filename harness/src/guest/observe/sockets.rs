//! TCP sockets of any network namespace, as `/proc/PID/net/tcp` and `tcp6` show them (proc(5)).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};

use procfs::net::{TcpNetEntry, TcpState};
use procfs::process::Process;

use super::handles;

/// Most file descriptors of one process that are looked at.
const DESCRIPTORS_CAP: usize = 4096;

/// Ports on which something listens for IPv4 connections from elsewhere, in the network namespace
/// of a process. Empty when the process is gone.
pub fn listening(pid: i32) -> BTreeSet<u16> {
    listeners(pid).into_values().collect()
}

/// The sockets behind [`listening`], by their inodes.
pub fn listeners(pid: i32) -> BTreeMap<u64, u16> {
    let is_open =
        |socket: &TcpNetEntry| socket.state == TcpState::Listen && !socket.local_address.ip().is_loopback();
    let sockets = sockets(pid);
    let open = sockets.iter().filter(|socket| is_open(socket));
    open.map(|socket| (socket.inode, socket.local_address.port())).collect()
}

/// The inodes of the sockets that a process has open, as far as they can be read.
pub fn held(pid: i32) -> BTreeSet<u64> {
    let open = fs::read_dir(handles::proc(format!("{pid}/fd"))).into_iter().flatten().flatten();
    let inode = |entry: fs::DirEntry| {
        let target = fs::read_link(entry.path()).ok()?;
        target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
    };
    open.take(DESCRIPTORS_CAP).filter_map(inode).collect()
}

/// Connections that exist in the network namespace of a process: its own end, and the other one.
pub fn connections(pid: i32) -> BTreeSet<(SocketAddrV4, SocketAddrV4)> {
    let sockets = sockets(pid);
    let established = sockets.iter().filter(|socket| socket.state == TcpState::Established);
    established.filter_map(|socket| Some((v4(socket.local_address)?, v4(socket.remote_address)?))).collect()
}

fn sockets(pid: i32) -> Vec<TcpNetEntry> {
    let Ok(process) = Process::new_with_root(handles::proc(pid).into()) else { return Vec::new() };
    // A machine without IPv6 has no tcp6.
    process.tcp().into_iter().chain(process.tcp6()).flatten().collect()
}

/// An IPv4 address, or one that an IPv6 socket stands in for (ipv6(7)).
fn v4(address: SocketAddr) -> Option<SocketAddrV4> {
    let ip: Ipv4Addr = match address.ip() {
        IpAddr::V4(ip) => ip,
        IpAddr::V6(ip) => ip.to_ipv4_mapped()?,
    };
    Some(SocketAddrV4::new(ip, address.port()))
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn a_server_is_seen_to_listen_and_its_client_to_be_connected() {
        let own = std::process::id() as i32;
        let server = TcpListener::bind("0.0.0.0:0").unwrap();
        let port = server.local_addr().unwrap().port();
        assert!(listening(own).contains(&port));
        let client = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let Some(client) = v4(client.local_addr().unwrap()) else { panic!("an IPv6 address") };
        // Before it is accepted: the kernel has answered for the server.
        assert!(connections(own).iter().any(|(_, other)| *other == client));
        drop(server);
        assert!(!listening(own).contains(&port));
    }

    #[test]
    fn a_server_on_the_loopback_is_not_open_to_others() {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = server.local_addr().unwrap().port();
        assert!(!listening(std::process::id() as i32).contains(&port));
    }
}
