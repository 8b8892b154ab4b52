//! QEMU's control protocol (QMP): commands with their replies, and events.

use std::fs::File;
use std::io::{self, BufRead, BufReader, IoSlice, Read};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use serde_json::{Value, json};

use crate::Error;

/// The time limit for QEMU to answer. QEMU answers at once on a healthy host.
const PATIENCE: Duration = Duration::from_secs(60);

/// The longest line that is read, in bytes.
const LONGEST: u64 = 1 << 20;

/// A control connection.
#[derive(Debug)]
pub(crate) struct Qmp {
    stream: UnixStream,
    replies: Receiver<Value>,
}

impl Qmp {
    /// Takes over a connection. A thread calls `on_event` with each event.
    pub(crate) fn new(
        stream: UnixStream,
        mut on_event: impl FnMut(&str, &Value) + Send + 'static,
    ) -> io::Result<Qmp> {
        let mut reader = BufReader::new(stream.try_clone()?);
        let (sender, replies) = channel();
        std::thread::spawn(move || {
            let mut line = Vec::new();
            while let Ok(1..) = (&mut reader).take(LONGEST).read_until(b'\n', &mut line) {
                let message = serde_json::from_slice::<Value>(&line);
                line.clear();
                let Ok(message) = message else { continue };
                if let Some(event) = message["event"].as_str() {
                    on_event(event, &message["data"]);
                } else if message.get("QMP").is_none() && sender.send(message).is_err() {
                    break;
                }
            }
        });
        Ok(Qmp { stream, replies })
    }

    /// Sends a command and waits for its reply.
    pub(crate) fn execute(&mut self, command: &str, arguments: &Value) -> Result<Value, Error> {
        self.execute_with(command, arguments, None)
    }

    /// Passes an open file, which later commands know by this name.
    pub(crate) fn give(&mut self, name: &str, file: &File) -> Result<(), Error> {
        self.execute_with("getfd", &json!({ "fdname": name }), Some(file)).map(drop)
    }

    fn execute_with(
        &mut self,
        command: &str,
        arguments: &Value,
        file: Option<&File>,
    ) -> Result<Value, Error> {
        let failed = |why: String| Error::Qemu { what: format!("refused the command {command:?}"), why };
        let mut line = json!({ "execute": command, "arguments": arguments }).to_string();
        line.push('\n');
        let descriptors: Vec<RawFd> = file.iter().map(|file| file.as_raw_fd()).collect();
        let rights = [ControlMessage::ScmRights(&descriptors)];
        let rights = if descriptors.is_empty() { &rights[..0] } else { &rights[..] };
        let text = [IoSlice::new(line.as_bytes())];
        // The line is much shorter than a socket's buffer: one call sends all of it.
        sendmsg::<()>(self.stream.as_raw_fd(), &text, rights, MsgFlags::MSG_NOSIGNAL, None)
            .map_err(|error| failed(error.to_string()))?;
        match self.replies.recv_timeout(PATIENCE) {
            Ok(mut reply) => match reply["error"]["desc"].as_str() {
                Some(why) => Err(failed(why.to_owned())),
                None => Ok(reply["return"].take()),
            },
            Err(RecvTimeoutError::Timeout) => Err(failed("no answer".to_owned())),
            Err(RecvTimeoutError::Disconnected) => Err(failed("it ended".to_owned())),
        }
    }
}
