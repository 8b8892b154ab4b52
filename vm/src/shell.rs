//! A shell for a person at a guest's serial console.

use std::io::{self, IsTerminal, Read, Write};
use std::os::fd::AsFd;
use std::sync::mpsc::channel;
use std::time::Duration;

use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};

use crate::{Command, Error, Guest, Outcome};

/// A login shell with the serial port as its terminal. It prints a line when the port is open:
/// before that, the port drops all input.
const SHELL: &str = "exec 3<>/dev/ttyS0
    stty sane rows $ROWS cols $COLS <&3
    echo ready
    exec setsid --ctty --wait bash --login <&3 >&3 2>&3 3<&-";

/// The time limit of a shell.
const A_DAY: Duration = Duration::from_secs(24 * 3600);

/// The former settings of the caller's terminal, restored when dropped.
struct Raw(Option<Termios>);

impl Raw {
    fn enter() -> Raw {
        let stdin = io::stdin();
        if !stdin.is_terminal() {
            return Raw(None);
        }
        let before = tcgetattr(stdin.as_fd()).ok();
        if let Some(mut raw) = before.clone() {
            cfmakeraw(&mut raw);
            let _ = tcsetattr(stdin.as_fd(), SetArg::TCSANOW, &raw);
        }
        Raw(before)
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            let _ = tcsetattr(io::stdin().as_fd(), SetArg::TCSANOW, before);
        }
    }
}

/// Runs a shell on the guest's console with the caller's standard input and output, to its end.
pub(crate) fn attach(mut guest: Guest) -> Result<Outcome, Error> {
    let mut keyboard =
        guest.running().keyboard.try_clone().map_err(Error::io("use", "the guest's console"))?;
    guest.running().console.echo_to(io::stdout());
    let _raw = Raw::enter();
    let (ready, when_ready) = channel();
    std::thread::spawn(move || {
        if when_ready.recv().is_err() {
            return;
        }
        let mut buffer = [0; 1024];
        while let Ok(count @ 1..) = io::stdin().read(&mut buffer) {
            if keyboard.write_all(&buffer[..count]).is_err() {
                break;
            }
        }
        // Ctrl-D, so that the end of a pipe ends the shell too.
        let _ = keyboard.write_all(b"\x04");
    });
    let (rows, columns) = size();
    let script = format!("ROWS={rows} COLS={columns}; {SHELL}");
    let mut command = Command::new(["/bin/sh", "-c", &script]);
    command.deadline = A_DAY;
    Ok(guest.run(&command, &mut |_| {
        let _ = ready.send(());
    }))
}

/// The caller's terminal's rows and columns.
fn size() -> (u16, u16) {
    nix::ioctl_read_bad!(window_size, libc::TIOCGWINSZ, libc::winsize);
    let mut found = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the pointer is to a live winsize, which the kernel fills in.
    match unsafe { window_size(libc::STDOUT_FILENO, &raw mut found) } {
        Ok(_) if found.ws_row > 0 => (found.ws_row, found.ws_col),
        _ => (24, 80),
    }
}
