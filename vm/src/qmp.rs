//! QEMU's control protocol, as much of it as is needed: commands with their replies, and events.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use serde_json::{Value, json};

use crate::Error;

/// How long QEMU may take to answer. It answers at once unless its host is in trouble.
const PATIENCE: Duration = Duration::from_secs(60);

/// A control connection.
#[derive(Debug)]
pub(crate) struct Qmp {
    stream: UnixStream,
    replies: Receiver<Value>,
}

impl Qmp {
    /// Takes over a connection. Each event is handed to `on_event` by a thread of its own.
    pub(crate) fn new(
        stream: UnixStream,
        mut on_event: impl FnMut(&str, &Value) + Send + 'static,
    ) -> io::Result<Qmp> {
        let reader = BufReader::new(stream.try_clone()?);
        let (sender, replies) = channel();
        std::thread::spawn(move || {
            for line in reader.lines() {
                let Ok(line) = line else { break };
                let Ok(message) = serde_json::from_str::<Value>(&line) else { continue };
                if let Some(event) = message["event"].as_str() {
                    on_event(event, &message["data"]);
                } else if message.get("QMP").is_none() && sender.send(message).is_err() {
                    break;
                }
            }
        });
        Ok(Qmp { stream, replies })
    }

    /// Gives a command and waits for its reply.
    pub(crate) fn execute(&mut self, command: &str, arguments: &Value) -> Result<Value, Error> {
        let failed = |why: String| Error::Qemu { what: format!("did not obey {command:?}"), why };
        let mut line = json!({ "execute": command, "arguments": arguments }).to_string();
        line.push('\n');
        self.stream.write_all(line.as_bytes()).map_err(|error| failed(error.to_string()))?;
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
