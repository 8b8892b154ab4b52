//! The other machine on the LAN: it connects to the machine as any host beside it would.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpSocket, TcpStream, UdpSocket};

/// Connects from the other LAN machine's address.
pub(super) async fn connect(neighbour: Ipv4Addr, to: SocketAddrV4) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddrV4::new(neighbour, 0).into())?;
    socket.connect(to.into()).await
}

/// Sends echo requests from the other LAN machine's address, one a second, until one is answered;
/// says how long that answer took.
pub(super) async fn ping(neighbour: Ipv4Addr, to: Ipv4Addr) -> io::Result<Duration> {
    // icmp(7): a datagram socket on which the kernel keeps identifier and checksum.
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::ICMPV4))?;
    socket.bind(&SocketAddr::from((neighbour, 0)).into())?;
    socket.set_nonblocking(true)?;
    let socket = UdpSocket::from_std(socket.into())?;
    let mut sequence = 0_u16;
    loop {
        sequence = sequence.wrapping_add(1);
        let [high, low] = sequence.to_be_bytes();
        let sent = Instant::now();
        socket.send_to(&[8, 0, 0, 0, 0, 0, high, low], SocketAddrV4::new(to, 0)).await?;
        let mut answer = [0; 64];
        let heard = tokio::time::timeout(Duration::from_secs(1), socket.recv_from(&mut answer)).await;
        if let Ok(heard) = heard
            && heard?.1.ip() == to
            && answer[0] == 0
            && answer[6..8] == [high, low]
        {
            return Ok(sent.elapsed());
        }
    }
}
