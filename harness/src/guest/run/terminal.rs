//! A program on a terminal, as a person runs it: a pty with a window size, output read as it comes,
//! input typed only when the program waits for it.
//!
//! On a pipe a C program's output is buffered, doubled across fork and lost on SIGKILL; on a
//! terminal it is not. What a terminal does to text (CR, NUL, doubled blank lines) stays in the
//! recording; judges take it out.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::pty;
use crate::guest::observe::handles;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::{self, ForkResult, Pid};

/// Longest piece of output in one record, in bytes.
const PIECE: usize = 16 * 1024;

/// What to run, where.
#[derive(Clone, Debug)]
pub struct Program {
    /// The file to execute (no PATH search) and its arguments.
    pub argv: Vec<String>,
    /// The working directory, as seen from `root`.
    pub dir: PathBuf,
    /// Another root directory than the machine's.
    pub root: Option<PathBuf>,
}

impl Program {
    /// `argv[0]` is the file, as seen from `dir`.
    pub fn new<S: Into<String>>(dir: &Path, argv: impl IntoIterator<Item = S>) -> Self {
        Self { argv: argv.into_iter().map(Into::into).collect(), dir: dir.to_owned(), root: None }
    }
}

/// The environment of a root shell.
pub fn environment() -> Vec<(&'static str, &'static str)> {
    vec![
        ("HOME", "/root"),
        ("LANG", "C.UTF-8"),
        ("LOGNAME", "root"),
        ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
        ("SHELL", "/bin/bash"),
        ("TERM", "xterm"),
        ("USER", "root"),
    ]
}

/// What a read brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Output; invalid UTF-8 is replaced.
    Text(String),
    /// Nothing came in the time given.
    Nothing,
    /// Nobody has the terminal open any more.
    Closed,
}

/// The keyboard and screen of one program.
#[derive(Debug)]
pub struct Terminal {
    master: File,
    /// The program's PID.
    pub pid: i32,
    gate: Option<OwnedFd>,
    /// The leader of the session, where that is not the program.
    leader: Option<Pid>,
    /// Bytes of a character that is not complete yet.
    partial: Vec<u8>,
    /// Bytes read so far.
    pub received: u64,
}

impl Terminal {
    /// Creates the process, which waits for [`release`](Self::release) before it
    /// becomes the program.
    ///
    /// # Errors
    /// When no pty or process can be had, or a name holds a NUL.
    pub fn hold(program: &Program) -> io::Result<Self> {
        Self::held(program, None)
    }

    /// As [`hold`](Self::hold), in the session of a process that stays, as a person's shell does.
    /// The end of a session's leader hangs up on what a program left in the background.
    ///
    /// # Errors
    /// As [`hold`](Self::hold).
    pub fn hold_in_session(program: &Program) -> io::Result<Self> {
        let (told, tell) = unistd::pipe2(OFlag::O_CLOEXEC)?;
        let mut terminal = Self::held(program, Some(tell))?;
        let leader = Pid::from_raw(terminal.pid);
        terminal.leader = Some(leader);
        let mut pid = [0; 4];
        if unistd::read(&told, &mut pid)? != pid.len() {
            return Err(io::Error::other("no process can be had below the leader of a session"));
        }
        terminal.pid = i32::from_ne_bytes(pid);
        Ok(terminal)
    }

    fn held(program: &Program, tell: Option<OwnedFd>) -> io::Result<Self> {
        let argv =
            program.argv.iter().map(|word| CString::new(word.as_str())).collect::<Result<Vec<_>, _>>()?;
        let file = argv.first().ok_or_else(|| io::Error::other("no program named"))?.clone();
        let by_shell: Vec<CString> = std::iter::once(c"/bin/bash".to_owned()).chain(argv.clone()).collect();
        let dir = CString::new(program.dir.as_os_str().as_bytes())?;
        let root = program.root.as_ref().map(|root| CString::new(root.as_os_str().as_bytes())).transpose()?;
        let env = environment()
            .into_iter()
            .map(|(name, value)| CString::new(format!("{name}={value}")))
            .collect::<Result<Vec<_>, _>>()?;
        let group = group_of_programs()?;
        let (gate_in, gate) = unistd::pipe2(OFlag::O_CLOEXEC)?;
        let (master, slave) = pty::pair()?;
        // SAFETY: between fork and exec the child only makes system calls on values prepared above.
        match unsafe { unistd::fork() }? {
            ForkResult::Child => {
                drop(gate);
                let mut byte = [0];
                let logged_in = pty::log_in(&slave).is_ok()
                    && tell.is_none_or(|tell| pty::leave_leader(&slave, &tell).is_ok());
                let released = logged_in && unistd::read(&gate_in, &mut byte) == Ok(1);
                let there = root.is_none_or(|root| unistd::chroot(root.as_c_str()).is_ok())
                    && unistd::chdir(dir.as_c_str()).is_ok();
                let moved = group.is_none_or(|group| unistd::write(&group, b"0").is_ok());
                if released && there && moved && be_ordinary().is_ok() {
                    let _ = unistd::execve(&file, &argv, &env);
                    // A script without `#!`: a shell at whose prompt it is called runs
                    // it itself (bash(1)).
                    if Errno::last() == Errno::ENOEXEC {
                        let _ = unistd::execve(&by_shell[0], &by_shell, &env);
                    }
                }
                // SAFETY: ends this process and nothing else.
                unsafe { libc::_exit(127) }
            }
            ForkResult::Parent { child } => Ok(Self {
                master: File::from(master),
                pid: child.as_raw(),
                gate: Some(gate),
                leader: None,
                partial: Vec::new(),
                received: 0,
            }),
        }
    }

    /// Lets the program start.
    ///
    /// # Errors
    /// When the held process is gone.
    pub fn release(&mut self) -> io::Result<()> {
        match self.gate.take() {
            Some(gate) => File::from(gate).write_all(b"g"),
            None => Ok(()),
        }
    }

    /// Reads what there is, waiting up to `wait` for something.
    ///
    /// # Errors
    /// What the kernel answers, other than that the terminal is closed.
    pub fn read(&mut self, wait: Duration) -> io::Result<Heard> {
        let mut ready = [PollFd::new(self.master.as_fd(), PollFlags::POLLIN)];
        let wait = PollTimeout::try_from(wait).unwrap_or(PollTimeout::MAX);
        match poll(&mut ready, wait) {
            Ok(0) | Err(Errno::EINTR) => return Ok(Heard::Nothing),
            Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
        let mut piece = vec![0; PIECE];
        match self.master.read(&mut piece) {
            Ok(0) => Ok(Heard::Closed),
            Ok(count) => {
                self.received += count as u64;
                self.partial.extend_from_slice(&piece[..count]);
                Ok(Heard::Text(take_text(&mut self.partial)))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Heard::Nothing),
            // The other side of a pty is closed: EIO, not end of file.
            Err(error) if error.raw_os_error() == Some(libc::EIO) => Ok(Heard::Closed),
            Err(error) => Err(error),
        }
    }

    /// Types at the keyboard. Give it up when the program does not read for a second.
    ///
    /// # Errors
    /// When the terminal is closed or its buffer stays full.
    pub fn type_in(&mut self, text: &str) -> io::Result<()> {
        let deadline = Instant::now() + Duration::from_secs(1);
        let mut rest = text.as_bytes();
        while !rest.is_empty() {
            match self.master.write(rest) {
                Ok(count) => rest = &rest[count..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The process in the foreground, such as the shell that waits at its
    /// prompt or what it started.
    pub fn foreground(&self) -> Option<Pid> {
        unistd::tcgetpgrp(&self.master).ok()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if let Some(leader) = self.leader {
            let _ = kill(leader, Signal::SIGKILL);
            let _ = waitpid(leader, None);
        }
    }
}

impl AsFd for Terminal {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.master.as_fd()
    }
}

/// The file by which a program joins the group of those that come and go: the guest half's own is
/// closed to all others. `None` where the guest half has no group of its own.
fn group_of_programs() -> io::Result<Option<File>> {
    let Some(root) = handles::cgroup() else { return Ok(None) };
    let file = Path::new(&root).join(vm::agent::PROGRAMS).join("cgroup.procs");
    File::options().write(true).open(file).map(Some)
}

/// The program starts with nothing blocked and nothing ignored, and may be killed when memory runs
/// out, whatever the guest half arranged for itself.
fn be_ordinary() -> nix::Result<()> {
    use nix::sys::signal::{SigHandler, SigSet, Signal, signal};
    let flags = OFlag::O_WRONLY | OFlag::O_CLOEXEC;
    if let Ok(file) = nix::fcntl::open(c"/proc/self/oom_score_adj", flags, nix::sys::stat::Mode::empty()) {
        let _ = unistd::write(&file, b"0");
    }
    // SAFETY: sets a default action, no handler of ours.
    unsafe { signal(Signal::SIGPIPE, SigHandler::SigDfl) }?;
    SigSet::empty().thread_set_mask()
}

/// Takes complete characters off the front; what may still become one stays.
fn take_text(bytes: &mut Vec<u8>) -> String {
    let incomplete = match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() => bytes.len() - error.valid_up_to(),
        _ => 0,
    };
    // Invalid bytes earlier on hide where the last character starts; at most three
    // bytes can belong to it.
    let keep = if incomplete <= 3 { incomplete } else { 0 };
    let rest = bytes.split_off(bytes.len() - keep);
    let text = String::from_utf8_lossy(bytes).into_owned();
    *bytes = rest;
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(argv: &[&str], typed: &str) -> String {
        let mut terminal = Terminal::hold(&Program::new(Path::new("/"), argv.iter().copied())).unwrap();
        terminal.release().unwrap();
        let mut screen = String::new();
        let mut typed = (!typed.is_empty()).then_some(typed);
        loop {
            match terminal.read(Duration::from_secs(10)).unwrap() {
                Heard::Text(text) => screen += &text,
                Heard::Nothing => panic!("silent for ten seconds after {screen:?}"),
                Heard::Closed => break,
            }
            if screen.contains("? ")
                && let Some(typed) = typed.take()
            {
                terminal.type_in(typed).unwrap();
            }
        }
        nix::sys::wait::waitpid(Pid::from_raw(terminal.pid), None).unwrap();
        screen
    }

    #[test]
    fn a_program_meets_a_terminal_of_known_size() {
        assert_eq!(run(&["/bin/sh", "-c", "test -t 0 && test -t 1 && stty size"], ""), "50 160\r\n");
    }

    #[test]
    fn input_is_typed_after_the_prompt() {
        let screen = run(&["/bin/sh", "-c", "printf 'name? '; read name; echo hello $name"], "you\n");
        assert_eq!(screen, "name? you\r\nhello you\r\n");
    }

    #[test]
    fn what_a_program_leaves_in_the_background_goes_on_where_the_leader_of_its_session_stays() {
        let survives = |hold: fn(&Program) -> io::Result<Terminal>| {
            let program = Program::new(Path::new("/"), ["/bin/bash", "-c", "sleep 60 & echo $!"]);
            let mut terminal = hold(&program).unwrap();
            terminal.release().unwrap();
            waitpid(Pid::from_raw(terminal.pid), None).unwrap();
            let Heard::Text(text) = terminal.read(Duration::from_secs(10)).unwrap() else { panic!("no PID") };
            std::thread::sleep(Duration::from_millis(300));
            let left = handles::proc(format!("{}/ns/mnt", text.trim()));
            let survives = std::fs::metadata(left).is_ok();
            drop(terminal);
            survives
        };
        assert!(survives(Terminal::hold_in_session));
        assert!(!survives(Terminal::hold));
    }

    #[test]
    fn a_program_that_is_not_there_ends_with_127() {
        let mut terminal = Terminal::hold(&Program::new(Path::new("/"), ["/no/such/program"])).unwrap();
        terminal.release().unwrap();
        let status = nix::sys::wait::waitpid(Pid::from_raw(terminal.pid), None).unwrap();
        assert!(matches!(status, nix::sys::wait::WaitStatus::Exited(_, 127)));
    }

    #[test]
    fn characters_are_not_torn_between_reads() {
        let mut bytes = "a\u{20ac}".as_bytes()[..3].to_vec();
        assert_eq!(take_text(&mut bytes), "a");
        bytes.push(0xac);
        assert_eq!(take_text(&mut bytes), "\u{20ac}");
        let mut garbage = vec![0xff, b'x', 0xe2];
        assert_eq!(take_text(&mut garbage), "\u{fffd}x\u{fffd}");
    }
}
