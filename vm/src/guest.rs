//! A restored machine: run a program in it, and learn how that ended.

use std::net::SocketAddrV4;
use std::path::PathBuf;
use std::time::Duration;

use crate::{Console, Outcome};

/// Disk images (see [`disk_from_dir`](crate::disk_from_dir)) for the two slots every guest has. Both are
/// mounted read-only, at `/run/vm/payload` and `/run/vm/store`, before the first program runs; an empty slot is
/// not mounted.
#[derive(Debug, Clone, Default)]
pub struct Disks {
    /// What is to be run.
    pub payload: Option<PathBuf>,
    /// Data that many guests share.
    pub store: Option<PathBuf>,
}

/// What of the host the guest's card `uplink0` can reach: nothing by default. No card reaches beyond QEMU.
///
/// Every guest has three cards, all down and without address: `lan0` and `world0` are two ends of one cable;
/// `uplink0` is at QEMU's user network (10.0.2.0/24, host at 10.0.2.2, restricted to what is named here).
#[derive(Debug, Clone, Default)]
pub struct Network {
    /// TCP ports of the host that lead to the guest.
    pub host_forwards: Vec<HostForward>,
    /// TCP addresses inside the user network that lead to a socket of the host.
    pub guest_forwards: Vec<GuestForward>,
}

/// A TCP port of the host whose connections go to the guest's 10.0.2.15.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostForward {
    /// Where QEMU listens on the host.
    pub listen: SocketAddrV4,
    /// The port of 10.0.2.15 they go to.
    pub guest_port: u16,
}

/// A TCP address inside 10.0.2.0/24 whose connections go to a Unix socket of the host, one each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestForward {
    /// The address that the guest connects to, such as 10.0.2.100:3142.
    pub address: SocketAddrV4,
    /// The listening Unix socket.
    pub socket: PathBuf,
}

/// A program to run in a guest, as root, in `/root`, in a session and a cgroup of its own.
#[derive(Debug, Clone)]
pub struct Command {
    /// The program, absolute or looked up in the usual PATH, and its arguments.
    pub argv: Vec<String>,
    /// What it reads from standard input, then end of file.
    pub stdin: Vec<u8>,
    /// How long it may take, by the host's clock.
    pub deadline: Duration,
    /// How many bytes it may write to standard output.
    pub max_output: u64,
}

impl Command {
    /// With nothing on standard input, a minute, and 16 MiB of output.
    pub fn new<S: Into<String>>(argv: impl IntoIterator<Item = S>) -> Command {
        Command {
            argv: argv.into_iter().map(Into::into).collect(),
            stdin: Vec::new(),
            deadline: Duration::from_secs(60),
            max_output: 16 << 20,
        }
    }
}

/// A restored machine. Dropping it ends it and leaves nothing behind.
#[derive(Debug)]
pub struct Guest {
    _private: (),
}

impl Guest {
    /// Runs a program and waits for its end. Each line it writes to standard output is handed to `on_line` as
    /// it comes, without the newline; a last line without one is handed over at the end. Lines are at most
    /// `max_output` long. May be called again after [`Outcome::Exited`] and [`Outcome::NotStarted`]; after
    /// anything else it returns the same outcome again.
    pub fn run(&mut self, command: &Command, on_line: &mut dyn FnMut(&[u8])) -> Outcome {
        let _ = (command, on_line);
        unimplemented!()
    }

    /// The last lines of the console up to now.
    pub fn console_tail(&self) -> Console {
        unimplemented!()
    }

    /// How long the restore took, from the start of QEMU to the guest half's first answer.
    pub fn restored_in(&self) -> Duration {
        unimplemented!()
    }
}
