//! A shell for a person at a guest's serial console.

use std::io::{self, IsTerminal, Read, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};
use nix::unistd::Pid;

use crate::{Command, Error, Guest, Outcome};

/// A login shell with the serial port as its terminal. It prints a line when the port is open:
/// before that, the port drops all input.
const SHELL: &str = "exec 3<>/dev/ttyS0
    stty sane rows $ROWS cols $COLS <&3
    echo ready
    exec setsid --ctty --wait bash --login <&3 >&3 2>&3 3<&-";

/// Ctrl-], which ends the machine and with it the shell.
const LEAVE: u8 = 0x1d;

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
    let mut command = Command::new(["/bin/sh", "-c", &script()]);
    command.deadline = A_DAY;
    run(&mut guest, &command, &mut |_| true)
}

/// A script for the guest's `/bin/sh`: a login shell on the guest's console, whose size is that of
/// the caller's terminal. The script prints a line when the console is open.
pub fn script() -> String {
    let (rows, columns) = size();
    format!("ROWS={rows} COLS={columns}; {SHELL}")
}

/// Runs a program in the guest. From the line for which `is_open` returns true, the guest's console
/// has the caller's standard input and output.
pub(crate) fn run(
    guest: &mut Guest,
    command: &Command,
    is_open: &mut dyn FnMut(&[u8]) -> bool,
) -> Result<Outcome, Error> {
    let mut keyboard =
        guest.running().keyboard.try_clone().map_err(Error::io("use", "the guest's console"))?;
    let console = guest.running().console.clone();
    let mut raw = None;
    let (ready, when_ready) = channel();
    let left = Arc::new(AtomicBool::new(false));
    let (leave, machine) = (Arc::clone(&left), Pid::from_raw(guest.qemu_pid().cast_signed()));
    std::thread::spawn(move || {
        if when_ready.recv().is_err() {
            return;
        }
        let is_person = io::stdin().is_terminal();
        let mut buffer = [0; 1024];
        while let Ok(count @ 1..) = io::stdin().read(&mut buffer) {
            let typed = &buffer[..count];
            if is_person && typed.contains(&LEAVE) {
                leave.store(true, Ordering::Relaxed);
                let _ = kill(machine, Signal::SIGKILL);
                return;
            }
            if keyboard.write_all(typed).is_err() {
                break;
            }
        }
        // Ctrl-D, so that the end of a pipe ends the shell too. A shell that has not read yet loses
        // it: it is typed until the machine is gone.
        while keyboard.write_all(b"\x04").is_ok() {
            std::thread::sleep(Duration::from_secs(1));
        }
    });
    let outcome = guest.run(command, &mut |line| {
        if is_open(line) && raw.is_none() {
            console.echo_to(io::stdout());
            raw = Some(Raw::enter());
            let _ = ready.send(());
        }
    });
    Ok(if left.load(Ordering::Relaxed) { Outcome::Exited { code: 0, stderr: vec![] } } else { outcome })
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
