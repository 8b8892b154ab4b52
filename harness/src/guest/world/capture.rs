//! The frames on the world's end of the cable, for people who want to look at a
//! run packet by packet.

use std::io;
use std::os::fd::AsRawFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use nix::sys::socket::{
    AddressFamily, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, recvmsg, setsockopt, socket, sockopt,
};
use serde::{Deserialize, Serialize};
use tokio::io::Interest;
use tokio::net::UdpSocket;

/// The kind of the records that hold [`Frames`].
pub const FRAMES: &str = "world-frames";
/// Of each frame so many bytes are kept: the headers and the beginning of what is said.
const SNAP: usize = 256;
/// Further frames of one run are not kept.
const LIMIT: usize = 8 << 20;

/// Some of a run's frames, in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frames {
    /// Packet records of the pcap format, in base64.
    pub pcap: String,
}

impl Frames {
    /// The packet records, or nothing where this is no base64.
    pub fn bytes(&self) -> Vec<u8> {
        STANDARD.decode(&self.pcap).unwrap_or_default()
    }
}

/// What a pcap file begins with: version 2.4, microseconds, Ethernet (draft-ietf-opsawg-pcap).
pub fn pcap_header() -> Vec<u8> {
    let mut header = 0xa1b2_c3d4_u32.to_le_bytes().to_vec();
    header.extend([2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    header.extend((SNAP as u32).to_le_bytes());
    header.extend(1_u32.to_le_bytes());
    header
}

/// Collects frames until it is full.
#[derive(Default)]
pub(super) struct Capture(Mutex<(Vec<u8>, usize)>);

impl Capture {
    /// Listens on the calling thread's namespace (packet(7)) and keeps what comes and
    /// goes on one link of it.
    pub fn start(self: &Arc<Self>, link: u32) -> io::Result<()> {
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let socket = socket(AddressFamily::Packet, SockType::Raw, flags, SockProtocol::EthAll)?;
        setsockopt(&socket, sockopt::RcvBuf, &(1 << 20))?;
        // Only its readiness is asked for, which is the same for every kind of datagram socket.
        let socket = UdpSocket::from_std(socket.into())?;
        let capture = Arc::clone(self);
        tokio::spawn(async move {
            let mut frame = vec![0; SNAP];
            loop {
                let read = socket.async_io(Interest::READABLE, || receive(&socket, &mut frame)).await;
                let Ok((length, from)) = read else { return };
                if from == Some(link) && !capture.keep(&frame[..length.min(SNAP)], length) {
                    return;
                }
            }
        });
        Ok(())
    }

    fn keep(&self, kept: &[u8], length: usize) -> bool {
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut frames = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for field in [time.as_secs() as u32, time.subsec_micros(), kept.len() as u32, length as u32] {
            frames.0.extend(field.to_le_bytes());
        }
        frames.0.extend(kept);
        frames.1 += kept.len() + 16;
        frames.1 < LIMIT
    }

    /// The frames since the last call.
    pub fn take(&self) -> Option<Frames> {
        let bytes = std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner).0);
        (!bytes.is_empty()).then(|| Frames { pcap: STANDARD.encode(bytes) })
    }
}

/// The next frame's whole length, and its link.
fn receive(socket: &UdpSocket, frame: &mut [u8]) -> io::Result<(usize, Option<u32>)> {
    let mut slices = [io::IoSliceMut::new(frame)];
    let message = recvmsg::<LinkAddr>(socket.as_raw_fd(), &mut slices, None, MsgFlags::MSG_TRUNC)?;
    Ok((message.bytes, message.address.map(|address| address.ifindex() as u32)))
}
