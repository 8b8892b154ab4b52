//! Pseudo-terminals (pty(7)) that can be had whatever a program does to /dev.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::OnceLock;

use nix::libc;
use nix::sys::signal::{SigSet, Signal};
use nix::unistd;

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

/// Goes on in a second process, which has the terminal's foreground to itself; for use after
/// [`log_in`]. The calling process stays as the leader of the session and does nothing more: it
/// tells the second one's PID and closes all its files. Both have the same parent.
///
/// # Errors
/// When no process can be had.
pub fn leave_leader(slave: &OwnedFd, tell: &OwnedFd) -> io::Result<()> {
    let flags = libc::CLONE_PARENT | libc::SIGCHLD;
    // SAFETY: without a stack of its own, the new process goes on in a copy of this one, as after
    // fork; both only make system calls.
    let program = unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) };
    match i32::try_from(program).unwrap_or(-1) {
        0 => take_foreground(slave),
        program if program < 0 => Err(io::Error::last_os_error()),
        program => {
            let _ = unistd::write(tell, &program.to_ne_bytes());
            // SAFETY: nothing in this process uses a file any more.
            unsafe { libc::syscall(libc::SYS_close_range, 0, libc::c_uint::MAX, 0) };
            loop {
                unistd::pause();
            }
        }
    }
}

/// Makes the calling process a group of its own, and that group the terminal's foreground.
fn take_foreground(slave: &OwnedFd) -> io::Result<()> {
    // Who does this from the background is stopped, unless the signal is blocked (tcsetpgrp(3)).
    let mut stops = SigSet::empty();
    stops.add(Signal::SIGTTOU);
    stops.thread_block()?;
    let own = unistd::getpid();
    unistd::setpgid(own, own)?;
    unistd::tcsetpgrp(slave, own)?;
    Ok(())
}
