//! A running QEMU: how it is started, what it reports, and how it ends.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::arguments::{Arguments, Disk, Memory};
use crate::confine::{SANDBOX, confine};
use crate::console::Record;
use crate::hardware::{AGENT_PORT, Hardware, MEMORY_MIB};
use crate::qmp::Qmp;
use crate::{Error, tool};

/// The most events in the queue. Events with bytes have up to 64 KiB.
const WAITING: usize = 256;

/// A machine to start.
pub(crate) struct Machine<'a> {
    pub(crate) hardware: Hardware<'a>,
    /// Kernel, initial RAM disk and where the root is; without, the firmware boots the first disk.
    pub(crate) kernel: Option<Kernel<'a>>,
    pub(crate) memory: Memory,
    /// The disks by slot, in the guest's order.
    pub(crate) disks: Vec<(&'static str, Disk)>,
    pub(crate) uplink: Uplink,
    /// Whether the machine wakes up from a saved state, instead of booting.
    pub(crate) incoming: bool,
}

/// A kernel that QEMU loads by itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kernel<'a> {
    pub(crate) image: &'a Path,
    pub(crate) initrd: &'a Path,
    /// `root=…`, and more if need be.
    pub(crate) root: &'a str,
}

/// Where a machine's third network card leads. The first two are on a cable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Uplink {
    /// Nowhere: the card is on a cable of its own.
    Nowhere,
    /// To the Internet.
    Internet,
}

/// An event of a running machine.
#[derive(Debug)]
pub(crate) enum Happening {
    /// Bytes from the agent.
    Said(Vec<u8>),
    /// The agent's port was opened or closed in the guest.
    Port { open: bool },
    /// The machine ended; QEMU's reason.
    Shutdown { reason: String },
    /// QEMU stopped the machine: the host has no space for its writes.
    NoRoom,
    /// A migration reached this status.
    Migration { status: String },
    /// QEMU is gone.
    Gone,
}

/// A running QEMU.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    pub(crate) qmp: Qmp,
    agent: UnixStream,
    /// The other end of the guest's port for the caller's bytes. Open for as long as the machine
    /// runs: a port without another end makes a guest wait that writes to it.
    pub(crate) stream: Option<UnixStream>,
    pub(crate) console: Record,
    /// Input to the console.
    pub(crate) keyboard: UnixStream,
    pub(crate) happenings: Receiver<Happening>,
    errors: Record,
}

impl Machine<'_> {
    /// Starts QEMU with this machine.
    pub(crate) fn start(self) -> Result<Running, Error> {
        let failed = |what: &str| {
            let what = what.to_owned();
            move |error: io::Error| Error::Qemu { what, why: error.to_string() }
        };
        let pair = || UnixStream::pair().map_err(failed("cannot be reached"));
        let (qmp, qmp_theirs) = pair()?;
        let (console, console_theirs) = pair()?;
        let (agent, agent_theirs) = pair()?;
        let (stream, stream_theirs) = pair()?;

        let mut arguments = Arguments::default();
        self.write(&mut arguments).map_err(failed("cannot be given its files"))?;
        arguments.socket("qmp0", qmp_theirs);
        arguments.socket("console0", console_theirs);
        arguments.socket("agent0", agent_theirs);
        arguments.socket("stream0", stream_theirs);
        let mut command: Command = tool::QEMU.command()?;
        command.args(&arguments.words).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        confine(&mut command, self.hardware.accel, self.uplink == Uplink::Internet);
        let mut child = crate::spawn::spawn(command, arguments.keep, Signal::SIGKILL)
            .map_err(failed("does not start"))?;

        // A full queue makes QEMU wait, not the host's memory grow.
        let (sender, happenings) = sync_channel(WAITING);
        let errors = Record::default();
        if let Some(stderr) = child.stderr.take() {
            errors.follow(stderr);
        }
        let record = Record::default();
        record.follow(console.try_clone().map_err(failed("cannot be read"))?);
        listen(agent.try_clone().map_err(failed("cannot be read"))?, sender.clone());
        let qmp = Qmp::new(qmp, move |event, data| {
            if let Some(happening) = happening(event, data) {
                let _ = sender.send(happening);
            }
        })
        .map_err(failed("cannot be read"))?;
        let stream = Some(stream);
        let mut running =
            Running { child, qmp, agent, stream, console: record, keyboard: console, happenings, errors };
        match running.qmp.execute("qmp_capabilities", &Value::Object(serde_json::Map::default())) {
            Ok(_) => Ok(running),
            Err(_) => Err(Error::Qemu { what: "does not start".to_owned(), why: running.bury() }),
        }
    }

    fn write(&self, to: &mut Arguments) -> io::Result<()> {
        to.pair("-sandbox", SANDBOX);
        to.memory(&self.memory, MEMORY_MIB)?;
        if let Some(kernel) = &self.kernel {
            let (image, initrd) =
                (to.name(&File::open(kernel.image)?, false)?, to.name(&File::open(kernel.initrd)?, false)?);
            to.pair("-kernel", image).pair("-initrd", initrd);
            to.pair("-append", self.hardware.command_line(kernel.root));
        }
        if self.incoming {
            to.pair("-incoming", "defer");
        }
        to.pair("-mon", "chardev=qmp0,mode=control");
        for (slot, disk) in &self.disks {
            to.disk(slot, disk)?;
        }
        self.uplink.write(to);
        self.hardware.write(self.disks.iter().map(|(slot, _)| *slot), to);
        Ok(())
    }
}

impl Uplink {
    fn write(self, to: &mut Arguments) {
        match self {
            Uplink::Internet => {
                to.pair("-netdev", "user,id=net-provisioning");
            }
            Uplink::Nowhere => {
                to.pair("-netdev", "hubport,id=net-cable0,hubid=0");
                to.pair("-netdev", "hubport,id=net-cable1,hubid=0");
                to.pair("-netdev", "hubport,id=net-uplink0,hubid=1");
            }
        }
    }
}

fn listen(mut agent: UnixStream, to: SyncSender<Happening>) {
    std::thread::spawn(move || {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(count @ 1..) = agent.read(&mut buffer) {
            if to.send(Happening::Said(buffer[..count].to_vec())).is_err() {
                return;
            }
        }
        let _ = to.send(Happening::Gone);
    });
}

fn happening(event: &str, data: &Value) -> Option<Happening> {
    let text = |name: &str| data[name].as_str().unwrap_or_default().to_owned();
    match event {
        "VSERPORT_CHANGE" if text("id") == AGENT_PORT => {
            Some(Happening::Port { open: data["open"].as_bool().unwrap_or(false) })
        }
        "SHUTDOWN" => Some(Happening::Shutdown { reason: text("reason") }),
        "BLOCK_IO_ERROR" if data["nospace"].as_bool() == Some(true) => Some(Happening::NoRoom),
        "MIGRATION" => Some(Happening::Migration { status: text("status") }),
        _ => None,
    }
}

impl Running {
    /// Writes to the agent.
    pub(crate) fn say(&mut self, line: &[u8]) -> io::Result<()> {
        self.agent.write_all(line)
    }

    /// Waits for QEMU's end, at most this long, and returns whether it came.
    /// Other events are dropped.
    pub(crate) fn ended_within(&mut self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        loop {
            match self.happenings.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(_) => {}
                Err(RecvTimeoutError::Disconnected) => return true,
                Err(RecvTimeoutError::Timeout) => return false,
            }
        }
    }

    /// Waits for QEMU's end, after [`Happening::Gone`] or a failure, and describes it.
    pub(crate) fn bury(&mut self) -> String {
        // QEMU's sockets close a moment before it ends. Its own exit has the better status.
        for _ in 0..200 {
            if !matches!(self.child.try_wait(), Ok(None)) {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let status = self.child.wait().map_or_else(|error| error.to_string(), |status| status.to_string());
        let said = self.errors.tail().to_string();
        if said.is_empty() { status } else { format!("{said} ({status})") }
    }

    /// Ends QEMU at once.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
    }

    /// QEMU's process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
