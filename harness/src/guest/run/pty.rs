//! Pseudo-terminals (pty(7)) that can be had whatever a program does to /dev.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::OnceLock;

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::process::{ioctl_tiocsctty, setsid};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};
use rustix::termios::{Winsize, tcsetwinsize};

/// The window every program meets.
const WINDOW: Winsize = Winsize { ws_row: 50, ws_col: 160, ws_xpixel: 0, ws_ypixel: 0 };

/// The file system of terminals as it was before the first program ran: one that unmounts /dev/pts,
/// or mounts over it, takes nothing from the next.
static DEVPTS: OnceLock<OwnedFd> = OnceLock::new();

/// Keyboard and screen, which does not block, and what a program has open as its terminal.
///
/// # Errors
/// When the kernel has no terminal left.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    // Who is not root may not open this one, and can do nothing to the other.
    let master = openat(devpts()?, "ptmx", OFlags::from_bits_retain(flags.bits()), Mode::empty())
        .or_else(|_| openpt(flags))?;
    unlockpt(&master)?;
    let slave = ioctl_tiocgptpeer(&master, flags)?;
    tcsetwinsize(&slave, WINDOW)?;
    rustix::io::ioctl_fionbio(&master, true)?;
    Ok((master, slave))
}

fn devpts() -> io::Result<&'static OwnedFd> {
    if DEVPTS.get().is_none() {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let _ = DEVPTS.set(openat(CWD, "/dev/pts", flags, Mode::empty())?);
    }
    DEVPTS.get().ok_or_else(|| io::Error::other("/dev/pts cannot be opened"))
}

/// Makes it the terminal of the calling process, in a session of its own, as `login_tty(3)`
/// does; for use after fork.
///
/// # Errors
/// When the process leads a group already.
pub fn log_in(slave: &OwnedFd) -> io::Result<()> {
    setsid()?;
    ioctl_tiocsctty(slave)?;
    dup2_stdin(slave)?;
    dup2_stdout(slave)?;
    dup2_stderr(slave)?;
    Ok(())
}
