//! Terminals: a pseudo-terminal for a container, and ours in raw mode while the two are connected.
//!
//! The container's terminal is made from inside, in the container's own devpts, so that tty(1) can name it there
//! and job control works: the session, its controlling terminal and its process groups are all the container's.
//! See pty(7).

use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, unlockpt};
use rustix::termios::{
    OptionalActions, Termios, tcgetattr, tcgetpgrp, tcgetwinsize, tcsetattr, tcsetwinsize,
};

/// Opens a new pseudo-terminal, master and slave.
pub fn open_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let master = rustix::fs::openat(CWD, c"/dev/ptmx", flags, Mode::empty())?;
    unlockpt(&master)?;
    let slave = ioctl_tiocgptpeer(&master, OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    Ok((master, slave))
}

/// Makes `terminal` the controlling terminal of this session and its standard streams.
pub fn make_ours(terminal: &OwnedFd) -> io::Result<()> {
    // Its size and modes are ours, as far as we have a terminal.
    let outer = io::stdin();
    if let Ok(size) = tcgetwinsize(&outer) {
        tcsetwinsize(terminal, size)?;
    }
    if let Ok(modes) = tcgetattr(&outer) {
        tcsetattr(terminal, OptionalActions::Now, &modes)?;
    }
    rustix::process::ioctl_tiocsctty(terminal)?;
    rustix::stdio::dup2_stdin(terminal)?;
    rustix::stdio::dup2_stdout(terminal)?;
    rustix::stdio::dup2_stderr(terminal)?;
    Ok(())
}

/// Whether we talk to a person: standard input and output are a terminal, and we are in its foreground (a
/// process in the background that touches its terminal is stopped).
pub fn is_interactive() -> bool {
    let input = io::stdin();
    input.is_terminal()
        && io::stdout().is_terminal()
        && tcgetpgrp(&input).is_ok_and(|group| group == rustix::process::getpgrp())
}

/// Whether we are a background job of the terminal at standard input: what is typed there is meant for others.
pub fn is_in_background() -> bool {
    let input = io::stdin();
    input.is_terminal() && tcgetpgrp(&input).is_ok_and(|group| group != rustix::process::getpgrp())
}

/// The modes of the terminals at our standard streams. Dropping this gives them their modes back.
///
/// A `RUN` writes to the caller's terminal and may change its modes, as `stty -echo <&1` does.
#[derive(Debug)]
pub struct Modes(Vec<(OwnedFd, Termios)>);

impl Modes {
    /// Remembers the modes as they are now.
    pub fn remember() -> Self {
        let (input, output, errors) = (io::stdin(), io::stdout(), io::stderr());
        let modes = [input.as_fd(), output.as_fd(), errors.as_fd()].into_iter().filter_map(|stream| {
            let modes = tcgetattr(stream).ok()?;
            Some((stream.try_clone_to_owned().ok()?, modes))
        });
        Self(modes.collect())
    }
}

impl Drop for Modes {
    fn drop(&mut self) {
        // A process in the background that sets modes is stopped by SIGTTOU, unless it blocks that signal.
        let mut stops = SigSet::empty();
        stops.add(Signal::SIGTTOU);
        let before = stops.thread_swap_mask(SigmaskHow::SIG_BLOCK);
        for (terminal, modes) in &self.0 {
            // The terminal itself may be gone.
            let _ = tcsetattr(terminal, OptionalActions::Now, modes);
        }
        if let Ok(before) = before {
            let _ = before.thread_set_mask();
        }
    }
}

/// Our terminal in raw mode; as it was again when dropped.
#[derive(Debug)]
pub struct Raw {
    terminal: OwnedFd,
    before: Termios,
}

impl Raw {
    /// Puts the terminal at standard input in raw mode: every key goes to the container. `None` where the terminal is
    /// gone by now.
    pub fn enter() -> io::Result<Option<Self>> {
        let terminal = io::stdin().as_fd().try_clone_to_owned()?;
        let before = match tcgetattr(&terminal) {
            Err(rustix::io::Errno::IO) => return Ok(None),
            before => before?,
        };
        let mut raw = before.clone();
        raw.make_raw();
        match tcsetattr(&terminal, OptionalActions::Now, &raw) {
            Err(rustix::io::Errno::IO) => Ok(None),
            set => set.map(|()| Some(Self { terminal, before })).map_err(io::Error::from),
        }
    }

    /// Gives the container's terminal the size of ours.
    pub fn copy_size(&self, to: BorrowedFd<'_>) {
        // The other side may be gone at any time; then there is nothing to do.
        if let Ok(size) = tcgetwinsize(&self.terminal) {
            let _ = tcsetwinsize(to, size);
        }
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // The terminal itself may be gone.
        let _ = tcsetattr(&self.terminal, OptionalActions::Drain, &self.before);
    }
}

/// Has reads and writes of `terminal` return where they would wait.
pub fn never_wait(terminal: &OwnedFd) -> io::Result<()> {
    let flags = rustix::fs::fcntl_getfl(terminal)?;
    Ok(rustix::fs::fcntl_setfl(terminal, flags | OFlags::NONBLOCK)?)
}

/// Reads what there is, up to 8 KiB, into `bytes`. False at the end of the stream.
pub fn read(from: impl AsFd, bytes: &mut Vec<u8>) -> io::Result<bool> {
    let mut buffer = [0; 8192];
    match rustix::io::read(from, &mut buffer) {
        // The second: the master of a terminal that nobody has open any more.
        Ok(0) | Err(rustix::io::Errno::IO) => Ok(false),
        Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => Ok(true),
        length => {
            bytes.extend_from_slice(&buffer[..length?]);
            Ok(true)
        }
    }
}

/// Writes what there is room for, and takes it out of `bytes`; all of it where a terminal is gone that would show it.
pub fn write(to: impl AsFd, bytes: &mut Vec<u8>) -> io::Result<()> {
    match rustix::io::write(to, bytes) {
        Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => Ok(()),
        Err(rustix::io::Errno::IO) => {
            bytes.clear();
            Ok(())
        }
        length => {
            bytes.drain(..length?);
            Ok(())
        }
    }
}
