//! Netlink sockets: batches of changes with one answer, and dumps.
//!
//! The kernel acknowledges a message only on request, but always reports a failure (RFC 3549,
//! netlink(7)). So only the last message of a batch asks for an acknowledgement. When it arrives,
//! all failures have arrived too.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;

use netlink_packet_core::{Emitable, NetlinkBuffer};
use netlink_sys::Socket;
use nix::libc;
use nix::sched::CloneFlags;

use crate::sandbox::namespaces;

/// A change that the kernel refused, or a request that it did not answer.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action}")]
pub struct Error {
    /// The change or request.
    pub action: String,
    /// The reason.
    pub source: io::Error,
}

impl Error {
    pub(super) fn new(action: impl Into<String>, source: io::Error) -> Self {
        Self { action: action.into(), source }
    }

    /// Whether the kernel returned this errno.
    pub fn is(&self, errno: i32) -> bool {
        self.source.raw_os_error() == Some(errno)
    }
}

const REQUEST: u16 = libc::NLM_F_REQUEST as u16;
const ACK: u16 = libc::NLM_F_ACK as u16;
const DUMP: u16 = libc::NLM_F_DUMP as u16;
const DUMP_INTERRUPTED: u16 = libc::NLM_F_DUMP_INTR as u16;
const HEADER: usize = size_of::<libc::nlmsghdr>();

/// A netlink socket. It belongs to the network namespace in which it was opened.
pub struct Netlink {
    socket: Socket,
    sequence: u32,
}

/// Messages that are sent together.
#[derive(Default)]
pub struct Batch {
    bytes: Vec<u8>,
    actions: Vec<String>,
    /// Where the last message begins, and the number of the message that asks for an answer.
    last: usize,
    answer: Option<u32>,
}

impl Batch {
    /// Adds a message. `action` describes it for error messages.
    pub fn push(&mut self, action: impl Into<String>, kind: u16, flags: u16, body: &impl Emitable) {
        let at = self.begin(action, kind, flags);
        let end = self.bytes.len();
        self.bytes.resize(end + body.buffer_len(), 0);
        body.emit(&mut self.bytes[end..]);
        self.end(at);
    }

    /// Adds a message whose body is already encoded.
    pub fn push_bytes(&mut self, action: impl Into<String>, kind: u16, flags: u16, body: &[u8]) {
        let at = self.begin(action, kind, flags);
        self.bytes.extend_from_slice(body);
        self.end(at);
    }

    /// Whether there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.actions.is_empty()
    }

    fn begin(&mut self, action: impl Into<String>, kind: u16, flags: u16) -> usize {
        let at = self.bytes.len();
        self.bytes.resize(at + HEADER, 0);
        self.bytes[at + 4..at + 6].copy_from_slice(&kind.to_ne_bytes());
        self.bytes[at + 6..at + 8].copy_from_slice(&(flags | REQUEST).to_ne_bytes());
        self.actions.push(action.into());
        at
    }

    fn end(&mut self, at: usize) {
        let length = (self.bytes.len() - at) as u32;
        self.bytes[at..at + 4].copy_from_slice(&length.to_ne_bytes());
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
        self.last = at;
    }

    /// Numbers the messages, starting with `first`.
    fn number(&mut self, first: u32) {
        let mut at = 0;
        for sequence in (first..).take(self.actions.len()) {
            self.bytes[at + 8..at + 12].copy_from_slice(&sequence.to_ne_bytes());
            let length = NetlinkBuffer::new(&self.bytes[at..]).length() as usize;
            at += length.next_multiple_of(4);
        }
    }

    /// Makes the message added last ask for the answer. By default it is the last message of the
    /// batch.
    pub fn ask_for_answer(&mut self) {
        let [low, high] = (ACK | REQUEST).to_ne_bytes();
        self.bytes[self.last + 6] |= low;
        self.bytes[self.last + 7] |= high;
        self.answer = Some(self.actions.len() as u32 - 1);
    }
}

impl Netlink {
    /// Opens a socket of a protocol (`NETLINK_ROUTE`, `NETLINK_NETFILTER`) in our network
    /// namespace.
    pub fn open(protocol: i32) -> Result<Self, Error> {
        let failed = |error| Error::new("open a netlink socket", error);
        let mut socket = Socket::new(protocol as isize).map_err(failed)?;
        socket.bind_auto().map_err(failed)?;
        Ok(Self { socket, sequence: 1 })
    }

    /// Sends a batch and waits until the kernel has carried it out. Returns the first failure.
    pub fn change(&mut self, mut batch: Batch) -> Result<(), Error> {
        if batch.is_empty() {
            return Ok(());
        }
        if batch.answer.is_none() {
            batch.ask_for_answer();
        }
        let first = self.send(&mut batch)?;
        let last = first + batch.answer.unwrap_or_default();
        let mut failure = None;
        loop {
            let mut answered = false;
            self.receive(|kind, _, sequence, body| {
                if kind == libc::NLMSG_ERROR as u16 {
                    let action = batch.actions.get(sequence.wrapping_sub(first) as usize);
                    if let (Some(action), Some(error), None) = (action, errno(body), &failure) {
                        failure = Some(Error::new(action.clone(), error));
                    }
                    // If a netfilter batch is refused as a whole, the kernel answers only its first
                    // message.
                    answered |= sequence == last || (sequence == first && errno(body).is_some());
                }
            })?;
            if answered {
                return failure.map_or(Ok(()), Err);
            }
        }
    }

    /// Requests a list. `read` makes an entry of the body of each message.
    pub fn dump<T>(
        &mut self,
        action: &str,
        kind: u16,
        body: &[u8],
        read: impl Fn(&[u8]) -> Option<T>,
    ) -> Result<Vec<T>, Error> {
        // The kernel reports if the list changed while it was read; then it is read again. Constant
        // changes must not keep us here forever, so the tenth result is used as it is.
        for attempt in 0.. {
            let mut batch = Batch::default();
            batch.push_bytes(action, kind, DUMP, body);
            self.send(&mut batch)?;
            match self.read_dump(&read) {
                Ok((list, whole)) if whole || attempt == 9 => return Ok(list),
                Ok(_) => {}
                Err(error) if error.raw_os_error() == Some(libc::EINTR) && attempt < 9 => {}
                Err(error) => return Err(Error::new(action, error)),
            }
        }
        unreachable!("the last attempt returns")
    }

    /// Requests one object. Returns `None` if the kernel answers with the errno `missing`.
    pub fn get(&mut self, batch: Batch, missing: i32) -> Result<Option<Vec<u8>>, Error> {
        let mut batch = batch;
        let action = batch.actions.first().cloned().unwrap_or_default();
        self.send(&mut batch)?;
        let mut answer = None;
        self.receive(|kind, _, _, body| {
            answer = Some(match errno(body) {
                Some(error) if kind == libc::NLMSG_ERROR as u16 => Err(error),
                _ => Ok(body.to_vec()),
            });
        })?;
        match answer {
            Some(Ok(body)) => Ok(Some(body)),
            Some(Err(error)) if error.raw_os_error() == Some(missing) => Ok(None),
            Some(Err(error)) => Err(Error::new(action, error)),
            None => Err(Error::new(action, io::ErrorKind::UnexpectedEof.into())),
        }
    }

    fn read_dump<T>(&mut self, read: impl Fn(&[u8]) -> Option<T>) -> io::Result<(Vec<T>, bool)> {
        let (mut list, mut whole, mut done) = (Vec::new(), true, None);
        while done.is_none() {
            self.receive(|kind, flags, _, body| {
                whole &= flags & DUMP_INTERRUPTED == 0;
                match i32::from(kind) {
                    libc::NLMSG_DONE => done = Some(Ok(())),
                    libc::NLMSG_ERROR => done = Some(errno(body).map_or(Ok(()), Err)),
                    _ => list.extend(read(body)),
                }
            })
            .map_err(|error| error.source)?;
        }
        done.unwrap_or(Ok(())).map(|()| (list, whole))
    }

    fn send(&mut self, batch: &mut Batch) -> Result<u32, Error> {
        let first = self.sequence;
        batch.number(first);
        self.sequence += batch.actions.len() as u32;
        let sent = self.socket.send(&batch.bytes, 0);
        sent.map(|_| first)
            .map_err(|error| Error::new(batch.actions.first().map_or("send", String::as_str), error))
    }

    /// Receives one datagram and calls `show` for each message in it: type, flags, sequence number,
    /// body.
    fn receive(&mut self, mut show: impl FnMut(u16, u16, u32, &[u8])) -> Result<(), Error> {
        // The kernel splits dumps into datagrams of at most 32 KiB.
        let mut buffer = Vec::with_capacity(32768);
        loop {
            match self.socket.recv(&mut buffer, 0) {
                Ok(_) => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::new("read the kernel's answer", error)),
            }
        }
        let mut rest = &buffer[..];
        while let Ok(message) = NetlinkBuffer::new_checked(rest) {
            let length = (message.length() as usize).max(HEADER);
            let body = rest.get(HEADER..length).unwrap_or_default();
            show(message.message_type(), message.flags(), message.sequence_number(), body);
            rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
        Ok(())
    }
}

/// The error in the body of an `NLMSG_ERROR`. An acknowledgement has none.
fn errno(body: &[u8]) -> Option<io::Error> {
    let code = i32::from_ne_bytes(*body.first_chunk()?);
    (code < 0).then(|| io::Error::from_raw_os_error(-code))
}

/// The attributes in a message: the type and the value of each. A cut-off attribute ends the list.
pub(super) fn attributes(mut rest: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    /// The flags `NLA_F_NESTED` and `NLA_F_NET_BYTEORDER` share the field with the type.
    const TYPE: u16 = 0x3fff;
    std::iter::from_fn(move || {
        let [length @ .., low, high] = *rest.first_chunk::<4>()?;
        let length = usize::from(u16::from_ne_bytes(length));
        let value = rest.get(4..length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((u16::from_ne_bytes([low, high]) & TYPE, value))
    })
}

/// The value of the first attribute of a type, or nothing.
pub(super) fn attribute(bytes: &[u8], kind: u16) -> &[u8] {
    attributes(bytes).find(|(found, _)| *found == kind).map_or(&[], |(_, value)| value)
}

/// The network namespace of another process.
pub struct Inside {
    /// A `NETLINK_ROUTE` socket in it.
    pub netlink: Netlink,
    /// The namespace itself.
    pub namespace: File,
}

/// Opens a socket in the network namespace of the process `pidfd`. `ours` is our own namespace, to
/// return to.
pub fn open_inside(pidfd: impl AsFd, ours: impl AsFd) -> Result<Inside, Error> {
    let failed = |error: io::Error| Error::new("enter the container's network namespace", error);
    namespaces::join(pidfd, CloneFlags::CLONE_NEWNET).map_err(failed)?;
    let namespace = File::open("/proc/self/ns/net").map_err(failed);
    let netlink = Netlink::open(libc::NETLINK_ROUTE);
    namespaces::join(ours, CloneFlags::CLONE_NEWNET).map_err(failed)?;
    Ok(Inside { netlink: netlink?, namespace: namespace? })
}
