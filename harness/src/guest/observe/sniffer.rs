//! Listening on one link of the machine, as `tcpdump -i LINK icmp` does (packet(7)).

use std::io::IoSliceMut;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::sys::socket::{
    AddressFamily, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, recvmsg, setsockopt, socket, sockopt,
};

/// Room for frames that wait to be counted.
const ROOM: usize = 1 << 20;
/// An Ethernet header, and the part of an IPv4 header up to the protocol.
const HEADERS: usize = 14 + 10;

/// Frames that pass a link wait in the kernel until they are counted.
#[derive(Debug)]
pub struct Sniffer {
    socket: OwnedFd,
    link: usize,
}

impl Sniffer {
    /// Listens from now on.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn start(link: u32) -> nix::Result<Self> {
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let socket = socket(AddressFamily::Packet, SockType::Raw, flags, SockProtocol::EthAll)?;
        setsockopt(&socket, sockopt::RcvBuf, &ROOM)?;
        Ok(Self { socket, link: link as usize })
    }

    /// How many ICMP packets passed the link so far.
    pub fn pings(self) -> usize {
        let mut frame = [0; HEADERS];
        let mut count = 0;
        loop {
            let mut slices = [IoSliceMut::new(&mut frame)];
            let read = recvmsg::<LinkAddr>(self.socket.as_raw_fd(), &mut slices, None, MsgFlags::MSG_TRUNC);
            let Ok(message) = read else { return count };
            let (length, from) = (message.bytes, message.address.map(|address| address.ifindex()));
            count += usize::from(from == Some(self.link) && length >= HEADERS && is_icmp(&frame));
        }
    }
}

fn is_icmp(frame: &[u8; HEADERS]) -> bool {
    frame[12..14] == [0x08, 0x00] && frame[23] == 1
}
