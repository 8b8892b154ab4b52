//! Terminals: a pseudo-terminal for a container, and our own in raw mode while both are connected.
//!
//! The container's terminal is created inside, in the container's own devpts. So tty(1) can name it
//! there and job control works: session, controlling terminal and process groups all belong to the
//! container. See pty(7).

use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, unlockpt};
use rustix::termios::{
    OptionalActions, Termios, tcgetattr, tcgetpgrp, tcgetwinsize, tcsetattr, tcsetwinsize,
};

/// Opens a new pseudo-terminal: master and slave.
pub fn open_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let master = rustix::fs::openat(CWD, c"/dev/ptmx", flags, Mode::empty())?;
    unlockpt(&master)?;
    let slave = ioctl_tiocgptpeer(&master, OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    Ok((master, slave))
}

/// Makes `terminal` the controlling terminal of this session and its standard streams.
pub fn make_ours(terminal: &OwnedFd) -> io::Result<()> {
    // It gets the size and modes of our terminal, if we have one.
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

/// Whether we run in the foreground of a terminal that is both standard input and output. A process
/// in the background would be stopped when it uses its terminal.
pub fn is_interactive() -> bool {
    let input = io::stdin();
    input.is_terminal()
        && io::stdout().is_terminal()
        && tcgetpgrp(&input).is_ok_and(|group| group == rustix::process::getpgrp())
}

/// Whether we run in the background of the terminal at standard input: its input is meant for
/// another process.
pub fn is_in_background() -> bool {
    let input = io::stdin();
    input.is_terminal() && tcgetpgrp(&input).is_ok_and(|group| group != rustix::process::getpgrp())
}

/// The modes of the terminals at our standard streams. They are restored when this value is
/// dropped.
///
/// A `RUN` writes to the caller's terminal and may change its modes, for example with `stty -echo
/// <&1`.
#[derive(Debug)]
pub struct Modes(Vec<(OwnedFd, Termios)>);

impl Modes {
    /// Remembers the current modes.
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
        // A background process that sets modes is stopped by SIGTTOU unless it blocks that signal.
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

/// Our terminal in raw mode. Its modes are restored when this value is dropped.
#[derive(Debug)]
pub struct Raw {
    terminal: OwnedFd,
    before: Termios,
}

impl Raw {
    /// Puts the terminal at standard input in raw mode: every key goes to the container. Returns
    /// `None` if the terminal is gone.
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
        // The other side may be gone, and then nothing needs to be done.
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

/// Makes reads and writes of `terminal` return instead of waiting.
pub fn never_wait(terminal: &OwnedFd) -> io::Result<()> {
    let flags = rustix::fs::fcntl_getfl(terminal)?;
    Ok(rustix::fs::fcntl_setfl(terminal, flags | OFlags::NONBLOCK)?)
}

/// Reads the available bytes, up to 8 KiB. Returns false at the end of the stream.
pub fn read(from: impl AsFd, bytes: &mut Vec<u8>) -> io::Result<bool> {
    let mut buffer = [0; 8192];
    match rustix::io::read(from, &mut buffer) {
        // EIO: no process has the slave of this terminal open any more.
        Ok(0) | Err(rustix::io::Errno::IO) => Ok(false),
        Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => Ok(true),
        length => {
            bytes.extend_from_slice(&buffer[..length?]);
            Ok(true)
        }
    }
}

/// Writes as many bytes as fit and removes them from `bytes`. If the terminal is gone, it discards
/// all of them.
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
