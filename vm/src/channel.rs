//! The messages between host and agent over the virtio-serial port: one JSON object a line.
//!
//! The host makes a new key for every session and sends it in its first line. Every later line of
//! the agent carries a running number and a MAC over the number and the body. Another process that
//! opens the port (the kernel admits one at a time) can end the session, but cannot speak in it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::Sha256;

/// The port's name in the guest: `/dev/virtio-ports/vm.agent`.
pub(crate) const PORT: &str = "vm.agent";

/// The longest line that either side accepts, in bytes.
pub(crate) const MAX_LINE: usize = 256 << 10;

/// The most of a program's input or output in one line, in bytes before encoding.
pub(crate) const CHUNK: usize = 48 << 10;

/// The end of a program's standard error that is kept, in bytes.
pub(crate) const STDERR_TAIL: usize = 16 << 10;

/// A message of the host.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub(crate) enum ToGuest {
    /// Begins a session, after a restore or a boot.
    Hello {
        key: Key,
        /// The answer repeats this number, which proves that the answer is new.
        nonce: u64,
        /// Nanoseconds since 1970.
        unix_time: u64,
        /// Random bytes for the kernel, in base64: every restored machine
        /// starts with the same pool.
        entropy: String,
        /// Whether each slot holds a disk to mount.
        payload: bool,
        store: bool,
    },
    /// A piece of the next program's standard input.
    Stdin { data: String },
    /// Runs a program. A protected program (`kept`) stays in the agent's control group.
    Run { argv: Vec<String>, kept: bool },
    /// Ends the session: the agent is silent until the next `Hello`.
    Rest,
}

/// A message of the agent.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub(crate) enum FromGuest {
    /// The first message after boot, before there is a key.
    Ready {
        agent: String,
        kernel: String,
        /// Why root can reach the agent, if it can.
        unguarded: Option<String>,
    },
    /// The answer to `Hello`, after all of it is done.
    Hello { nonce: u64 },
    /// `Hello` failed.
    Failed { why: String },
    /// A sign of life.
    Beat,
    /// A piece of the program's standard output.
    Stdout { data: String },
    /// The program ended.
    Exited { code: i32, stderr: String },
    /// The program could not be started.
    NotStarted { why: String },
    /// The answer to `Rest`, and the last message.
    Resting,
}

/// The key for the MACs of one session.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Key([u8; 32]);

impl Key {
    pub(crate) fn new(random: [u8; 32]) -> Key {
        Key(random)
    }

    fn mac(&self, number: u64, body: &str) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).unwrap_or_else(|_| unreachable!("any length"));
        mac.update(&number.to_be_bytes());
        mac.update(body.as_bytes());
        mac
    }
}

#[derive(Serialize, Deserialize)]
struct Envelope<'a> {
    number: u64,
    mac: String,
    #[serde(borrow)]
    body: &'a RawValue,
}

/// Seals the agent's messages in order.
pub(crate) struct Sealer {
    key: Key,
    number: u64,
}

impl Sealer {
    pub(crate) fn new(key: Key) -> Sealer {
        Sealer { key, number: 0 }
    }

    /// The next line, newline included.
    pub(crate) fn seal(&mut self, message: &FromGuest) -> serde_json::Result<Vec<u8>> {
        let body = serde_json::value::to_raw_value(message)?;
        let mac = STANDARD.encode(self.key.mac(self.number, body.get()).finalize().into_bytes());
        let mut line = serde_json::to_vec(&Envelope { number: self.number, mac, body: &body })?;
        line.push(b'\n');
        self.number += 1;
        Ok(line)
    }
}

/// Opens the agent's messages in order.
#[derive(Debug)]
pub(crate) struct Opener {
    key: Key,
    number: u64,
}

impl Opener {
    pub(crate) fn new(key: Key) -> Opener {
        Opener { key, number: 0 }
    }

    /// The message in a line, or `None` if the line is not the agent's next one.
    pub(crate) fn open(&mut self, line: &[u8]) -> Option<FromGuest> {
        let envelope: Envelope = serde_json::from_slice(line).ok()?;
        let mac = STANDARD.decode(&envelope.mac).ok()?;
        if envelope.number != self.number {
            return None;
        }
        self.key.mac(self.number, envelope.body.get()).verify_slice(&mac).ok()?;
        self.number += 1;
        serde_json::from_str(envelope.body.get()).ok()
    }
}

/// Bytes as text for a line.
pub(crate) fn encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// The bytes of such a text.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

/// Cuts a stream into lines of at most [`MAX_LINE`].
#[derive(Debug, Default)]
pub(crate) struct Lines {
    pending: Vec<u8>,
}

/// A line was longer than it may be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooLong;

impl Lines {
    /// Takes bytes, and calls `on_line` with each complete line, without its newline.
    pub(crate) fn push(&mut self, mut bytes: &[u8], on_line: &mut dyn FnMut(&[u8])) -> Result<(), TooLong> {
        while let Some(end) = bytes.iter().position(|&byte| byte == b'\n') {
            if self.pending.len() + end > MAX_LINE {
                return Err(TooLong);
            }
            if self.pending.is_empty() {
                on_line(&bytes[..end]);
            } else {
                self.pending.extend_from_slice(&bytes[..end]);
                on_line(&self.pending);
                self.pending.clear();
            }
            bytes = &bytes[end + 1..];
        }
        if self.pending.len() + bytes.len() > MAX_LINE {
            return Err(TooLong);
        }
        self.pending.extend_from_slice(bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_opens_once_in_order_and_with_its_own_key() {
        let mut sealer = Sealer::new(Key::new([7; 32]));
        let first = sealer.seal(&FromGuest::Beat).unwrap();
        let second = sealer.seal(&FromGuest::Beat).unwrap();

        assert!(Opener::new(Key::new([8; 32])).open(&first).is_none(), "another key");
        let mut opener = Opener::new(Key::new([7; 32]));
        assert!(opener.open(&second).is_none(), "out of order");
        assert!(matches!(opener.open(&first), Some(FromGuest::Beat)));
        assert!(opener.open(&first).is_none(), "twice");
        assert!(matches!(opener.open(&second), Some(FromGuest::Beat)));
    }

    #[test]
    fn a_changed_body_does_not_open() {
        let mut sealer = Sealer::new(Key::default());
        let line =
            String::from_utf8(sealer.seal(&FromGuest::Exited { code: 1, stderr: String::new() }).unwrap())
                .unwrap();
        let forged = line.replace("\"code\":1", "\"code\":0");
        assert_ne!(line, forged);
        assert!(Opener::new(Key::default()).open(forged.as_bytes()).is_none());
    }

    #[test]
    fn lines_come_whole_however_they_arrive_and_never_too_long() {
        let mut lines = Lines::default();
        let mut seen = Vec::new();
        for piece in ["a", "b\nc\n", "", "\nd"] {
            lines.push(piece.as_bytes(), &mut |line| seen.push(line.to_vec())).unwrap();
        }
        assert_eq!(seen, [&b"ab"[..], b"c", b""]);
        assert_eq!(lines.push(&vec![b'x'; MAX_LINE], &mut |_| {}), Err(TooLong));
    }
}
