//! Supervises a running command: passes on signals, connects its terminal with ours, and waits for
//! its end.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitStatus;

use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use crate::sandbox::outside;
use crate::sandbox::process::Child;
use crate::sandbox::tty::{self, Raw};

/// The command cannot be supervised.
#[derive(Debug, thiserror::Error)]
#[error("cannot wait for the command")]
pub struct Error(#[from] io::Error);

/// The signals that are passed on to the command. They are blocked as soon as this value exists, so
/// none is lost between the start of the command and [`Signals::watch`].
///
/// A signal that our caller made us ignore is not passed on: nohup(1) does that with SIGHUP, and a
/// shell without job control with SIGINT and SIGQUIT for `run … &`.
#[derive(Debug)]
pub struct Signals {
    arriving: SignalFd,
}

const PASSED_ON: [Signal; 6] =
    [Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTERM, Signal::SIGUSR1, Signal::SIGUSR2];

impl Signals {
    /// Blocks the signals.
    pub fn hold() -> Result<Self, Error> {
        // An ignored signal would arrive too if it were blocked.
        let mut set: SigSet = PASSED_ON.into_iter().filter(|signal| !is_ignored(*signal)).collect();
        set.add(Signal::SIGWINCH);
        set.thread_block().map_err(io::Error::from)?;
        let arriving = SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK);
        Ok(Self { arriving: arriving.map_err(io::Error::from)? })
    }

    /// Waits for the end of `child`. Until then it passes on signals and connects `terminal` with
    /// ours.
    pub fn watch(&self, child: Child, terminal: Option<OwnedFd>) -> Result<ExitStatus, Error> {
        // The child is waited for before our terminal gets its modes back: in the background, that
        // may stop us.
        let _ours = if let Some(terminal) = terminal {
            self.relay(&child, &terminal)?
        } else {
            self.wait(&child)?;
            None
        };
        Ok(child.wait()?)
    }

    fn wait(&self, child: &Child) -> io::Result<()> {
        loop {
            let mut ready = [
                PollFd::new(child.as_fd(), PollFlags::POLLIN),
                PollFd::new(self.arriving.as_fd(), PollFlags::POLLIN),
            ];
            wait_for(&mut ready, child)?;
            if is_ready(&ready[0]) {
                return Ok(());
            }
            self.pass_on(child, || {})?;
        }
    }

    fn relay(&self, child: &Child, terminal: &OwnedFd) -> io::Result<Option<Raw>> {
        // If our terminal is gone, the command goes on, and its output is discarded.
        let ours = Raw::enter()?;
        let copy_size = || {
            if let Some(ours) = &ours {
                ours.copy_size(terminal.as_fd());
            }
        };
        copy_size();
        tty::never_wait(terminal)?;
        let (input, output) = (io::stdin(), io::stdout());
        let mut typing = true;
        // Typed bytes for which the container's terminal has no room: the command may read on only
        // after we have read its output.
        let mut typed = Vec::new();
        let mut printed = Vec::new();
        loop {
            let room = if typed.is_empty() { PollFlags::empty() } else { PollFlags::POLLOUT };
            let mut ready = [
                PollFd::new(terminal.as_fd(), PollFlags::POLLIN | room),
                PollFd::new(child.as_fd(), PollFlags::POLLIN),
                PollFd::new(self.arriving.as_fd(), PollFlags::POLLIN),
                PollFd::new(input.as_fd(), PollFlags::POLLIN),
            ];
            // A terminal that is gone is always ready.
            let watched = if typing && typed.is_empty() { 4 } else { 3 };
            wait_for(&mut ready[..watched], child)?;
            let at_terminal = ready[0].revents().unwrap_or(PollFlags::empty());
            // The last output of the command comes before its end. Output of other processes in the
            // container does not delay us.
            if !at_terminal.difference(PollFlags::POLLOUT).is_empty() {
                if !tty::read(terminal, &mut printed)? {
                    self.wait(child)?;
                    return Ok(ours);
                }
                while !printed.is_empty() {
                    // Our terminal may return instead of waiting for room.
                    wait_for(&mut [PollFd::new(output.as_fd(), PollFlags::POLLOUT)], child)?;
                    tty::write(&output, &mut printed)?;
                }
            } else if is_ready(&ready[1]) {
                return Ok(ours);
            }
            if at_terminal.contains(PollFlags::POLLOUT) {
                tty::write(terminal, &mut typed)?;
            }
            if is_ready(&ready[2]) {
                self.pass_on(child, copy_size)?;
            }
            if is_ready(&ready[3]) {
                typing = tty::read(&input, &mut typed)?;
            }
        }
    }

    fn pass_on(&self, child: &Child, resized: impl Fn()) -> io::Result<()> {
        while let Some(info) = self.arriving.read_signal()? {
            let signal = info.ssi_signo as i32;
            if signal == Signal::SIGWINCH as i32 {
                resized();
                continue;
            }
            let sent = child.signal(if needs_force(child, signal) { Signal::SIGKILL as i32 } else { signal });
            match sent {
                Err(error) if error.raw_os_error() != Some(Errno::ESRCH as i32) => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

/// Whether this process ignores a signal.
fn is_ignored(signal: Signal) -> bool {
    // SAFETY: sigaction is plain data, and the call only reads the action of the signal.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        libc::sigaction(signal as i32, std::ptr::null(), &raw mut action) == 0
            && action.sa_sigaction == libc::SIG_IGN
    }
}

/// Whether `signal` should end the command but would not. The kernel drops signals for process 1 of
/// a PID namespace unless the process handles or blocks them (`pid_namespaces(7)`); one that reads
/// a signalfd blocks them.
fn needs_force(child: &Child, signal: i32) -> bool {
    let status = fs::read_to_string(format!("/proc/{}/status", child.pid())).unwrap_or_default();
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        Some(line.trim().to_owned())
    };
    let first = field("NSpid:").is_some_and(|pids| pids.split_ascii_whitespace().next_back() == Some("1"));
    let mask = |name| field(name).and_then(|bits| u64::from_str_radix(&bits, 16).ok()).unwrap_or(0);
    first && (mask("SigCgt:") | mask("SigBlk:") | mask("SigIgn:")) & (1 << (signal - 1)) == 0
}

/// Waits until something is ready. No event tells that `child` cannot end because of a stopped
/// client of `exec`, so this looks now and then.
fn wait_for(ready: &mut [PollFd<'_>], child: &Child) -> io::Result<()> {
    const NOW_AND_THEN: u16 = 2000;
    loop {
        match poll(ready, NOW_AND_THEN) {
            Ok(0) if outside::is_ending(child.pid()) => {
                outside::parents(child.pid()).iter().for_each(outside::Parent::wake);
            }
            Ok(0) | Err(Errno::EINTR) => {}
            Ok(_) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

fn is_ready(descriptor: &PollFd<'_>) -> bool {
    descriptor.any().unwrap_or(false)
}
