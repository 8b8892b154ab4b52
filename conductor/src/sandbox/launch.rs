//! The last steps before a new process executes its command: session, terminal, signals,
//! environment, execve(2).
//!
//! They run in a new child that is already in its namespaces and root. The child reports to its
//! parent over a socket that closes when execve succeeds. A message is an error or the master side
//! of the child's terminal; the end of the stream means that the command runs.

use std::ffi::{CString, OsStr, OsString};
use std::fs::File;
use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::cmsg_space;
use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigHandler, SigSet, Signal, signal};
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg, sendmsg,
    socketpair,
};
use nix::unistd::execve;

use crate::sandbox::reaper::{self, Reaper};
use crate::sandbox::rootfs::Failure;
use crate::sandbox::tty;

/// The environment of a command in a container. From the host it takes only the kind of terminal,
/// and where the host does not know it, the one that all terminals resemble.
pub fn environment(streams: Streams) -> Vec<(OsString, OsString)> {
    let mut env: Vec<(OsString, OsString)> = vec![
        ("PATH".into(), "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".into()),
        ("HOME".into(), "/root".into()),
        ("USER".into(), "root".into()),
        ("container".into(), "conductor".into()),
    ];
    if streams == Streams::Terminal {
        env.push(("TERM".into(), std::env::var_os("TERM").unwrap_or_else(|| "xterm".into())));
    }
    env
}

/// The standard streams of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Streams {
    /// The caller's streams.
    Inherited,
    /// The caller's standard output and error; standard input is empty.
    NoInput,
    /// A new terminal. [`Report::wait`] returns its master side.
    Terminal,
}

impl Streams {
    /// The streams for a command that a person or a script starts in a container.
    pub fn of_ours() -> Self {
        if tty::is_interactive() {
            Self::Terminal
        } else if tty::is_in_background() {
            Self::NoInput
        } else {
            Self::Inherited
        }
    }
}

/// A command with its environment.
#[derive(Debug, Clone)]
pub struct Command {
    /// The program and its arguments. A program without a slash is searched in the `PATH` of `env`.
    pub argv: Vec<OsString>,
    /// The whole environment.
    pub env: Vec<(OsString, OsString)>,
    /// The working directory.
    pub cwd: PathBuf,
    /// The standard streams.
    pub streams: Streams,
    /// The process that waits for orphans.
    pub reaper: Reaper,
}

/// Why a command did not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The program cannot be executed.
    #[error("cannot execute {program}")]
    Execute {
        /// The program as given.
        program: String,
        /// The error of execve(2).
        source: io::Error,
    },
    /// An earlier step failed.
    #[error("cannot {step}")]
    Setup {
        /// The step.
        step: String,
        /// The reason.
        source: io::Error,
    },
    /// A NUL byte in an argument or a variable. No system call can pass one.
    #[error("{0:?} contains a NUL byte")]
    Nul(OsString),
}

/// A command in the form that execve(2) takes: the child need not allocate memory.
#[derive(Debug)]
pub struct Prepared {
    program: String,
    candidates: Vec<CString>,
    argv: Vec<CString>,
    env: Vec<CString>,
    cwd: CString,
    streams: Streams,
    reaper: Reaper,
}

impl Command {
    /// Checks the command and converts it.
    pub fn prepare(&self) -> Result<Prepared, Error> {
        let c_string = |word: &OsStr| CString::new(word.as_bytes()).map_err(|_| Error::Nul(word.to_owned()));
        let program = self.argv.first().map_or(OsStr::new(""), OsString::as_os_str);
        let variable = |(name, value): &(OsString, OsString)| {
            let mut word = name.clone();
            word.push("=");
            word.push(value);
            c_string(&word)
        };
        Ok(Prepared {
            program: if program.is_empty() { "''".into() } else { program.to_string_lossy().into_owned() },
            candidates: self
                .candidates(program)
                .map(|path| c_string(path.as_os_str()))
                .collect::<Result<_, _>>()?,
            argv: self.argv.iter().map(|word| c_string(word)).collect::<Result<_, _>>()?,
            env: self.env.iter().map(variable).collect::<Result<_, _>>()?,
            cwd: c_string(self.cwd.as_os_str())?,
            streams: self.streams,
            reaper: self.reaper,
        })
    }

    /// The paths where the program may be.
    fn candidates<'a>(&'a self, program: &'a OsStr) -> Box<dyn Iterator<Item = PathBuf> + 'a> {
        if program.as_bytes().contains(&b'/') || program.is_empty() {
            return Box::new(std::iter::once(PathBuf::from(program)));
        }
        let path = self.env.iter().find(|(name, _)| name == "PATH").map(|(_, value)| value.as_bytes());
        let folders = path.unwrap_or_default().split(|byte| *byte == b':');
        Box::new(folders.map(move |folder| Path::new(OsStr::from_bytes(folder)).join(program)))
    }
}

/// Creates both ends of a report. The child also waits at its end until [`Report::go`].
pub fn channel() -> io::Result<(Report, Reporter)> {
    let (parent, child) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
    Ok((Report(parent), Reporter(child)))
}

/// The parent's end of a report.
#[derive(Debug)]
pub struct Report(OwnedFd);

/// The child's end of a report.
#[derive(Debug)]
pub struct Reporter(OwnedFd);

const TERMINAL: u8 = 0;
const SETUP: u8 = 1;
const EXECUTE: u8 = 2;

impl Report {
    /// Lets the child execute its command. If the parent dies before that, the child ends.
    pub fn go(&self) -> io::Result<()> {
        match nix::sys::socket::send(self.0.as_raw_fd(), &[1], MsgFlags::MSG_NOSIGNAL) {
            // The child has ended; its report gives the reason.
            Ok(_) | Err(Errno::EPIPE | Errno::ECONNRESET) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits until the command runs. Returns the master side of its terminal, if it has one.
    pub fn wait(self, command: &Prepared) -> Result<Option<OwnedFd>, Error> {
        let mut terminal = None;
        loop {
            let mut bytes = [0; 1024];
            let (length, descriptor) = receive(&self.0, &mut bytes)
                .map_err(|source| Error::Setup { step: "read from the new process".into(), source })?;
            terminal = descriptor.or(terminal);
            match &bytes[..length] {
                [] => return Ok(terminal),
                [TERMINAL, ..] => {}
                [kind, message @ ..] => {
                    let (errno, step) = message.split_first_chunk().unwrap_or((&[0; 4], &[]));
                    let source = io::Error::from_raw_os_error(i32::from_ne_bytes(*errno));
                    return Err(match *kind {
                        EXECUTE => Error::Execute { program: command.program.clone(), source },
                        _ => Error::Setup { step: String::from_utf8_lossy(step).into_owned(), source },
                    });
                }
            }
        }
    }
}

fn receive(socket: &OwnedFd, bytes: &mut [u8]) -> io::Result<(usize, Option<OwnedFd>)> {
    let mut control = cmsg_space!(RawFd);
    loop {
        let mut buffers = [IoSliceMut::new(bytes)];
        match recvmsg::<()>(socket.as_raw_fd(), &mut buffers, Some(&mut control), MsgFlags::MSG_CMSG_CLOEXEC)
        {
            // ECONNRESET arrives once if the other end was closed with an unread message from us.
            // Its own messages follow.
            Err(Errno::EINTR | Errno::ECONNRESET) => {}
            Err(error) => return Err(error.into()),
            Ok(message) => {
                let mut descriptors = message.cmsgs()?.filter_map(|control| match control {
                    ControlMessageOwned::ScmRights(descriptors) => descriptors.first().copied(),
                    _ => None,
                });
                // SAFETY: the kernel has just opened this descriptor for us.
                let descriptor = descriptors.next().map(|raw| unsafe { OwnedFd::from_raw_fd(raw) });
                return Ok((message.bytes, descriptor));
            }
        }
    }
}

impl Reporter {
    /// Runs `setup`, waits for [`Report::go`] and executes the command. Never returns: it reports
    /// an error and ends the process.
    pub fn launch(self, command: &Prepared, setup: impl FnOnce(&Self) -> Result<(), Failure>) -> ! {
        leave_keyring_behind();
        let ready =
            setup(&self).and_then(|()| leave_init_behind(command)).and_then(|()| self.surroundings(command));
        let (kind, step, error) = match ready {
            Ok(()) if !self.may_go() => exit_now(),
            Ok(()) => {
                let errno = execute(command);
                (EXECUTE, String::new(), io::Error::from(errno))
            }
            Err((step, error)) => (SETUP, step, error),
        };
        let mut message = vec![kind];
        message.extend_from_slice(&error.raw_os_error().unwrap_or(libc::EIO).to_ne_bytes());
        message.extend_from_slice(&step.as_bytes()[..step.len().min(900)]);
        let _ = nix::sys::socket::send(self.0.as_raw_fd(), &message, MsgFlags::MSG_NOSIGNAL);
        exit_now()
    }

    fn surroundings(&self, command: &Prepared) -> Result<(), Failure> {
        let step = |what: &str, error: Errno| (what.to_owned(), io::Error::from(error));
        nix::unistd::chdir(command.cwd.as_c_str())
            .map_err(|error| step(&format!("enter {}", command.cwd.to_string_lossy()), error))?;
        // A new session: the caller's terminal must not be its controlling terminal.
        let _ = nix::unistd::setsid();
        match command.streams {
            Streams::Inherited => {}
            Streams::NoInput => {
                let null = File::open("/dev/null").map_err(|error| ("open /dev/null".to_owned(), error))?;
                nix::unistd::dup2_stdin(null).map_err(|error| step("redirect standard input", error))?;
            }
            Streams::Terminal => {
                let (master, slave) =
                    tty::open_pair().map_err(|error| ("open a terminal".to_owned(), error))?;
                let descriptors = [master.as_raw_fd()];
                let rights = [ControlMessage::ScmRights(&descriptors)];
                let bytes = [io::IoSlice::new(&[TERMINAL])];
                sendmsg::<()>(self.0.as_raw_fd(), &bytes, &rights, MsgFlags::MSG_NOSIGNAL, None)
                    .map_err(|error| step("hand over the terminal", error))?;
                tty::make_ours(&slave).map_err(|error| ("take the terminal".to_owned(), error))?;
            }
        }
        reset_signals(command.reaper).map_err(|error| step("reset signals", error))?;
        nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o022));
        // Descriptors that we inherited are not meant for the container (compare CVE-2024-21626).
        // SAFETY: the call only marks descriptors to be closed by execve.
        let marked = unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
        Errno::result(marked).map(drop).map_err(|error| step("close descriptors", error))
    }

    /// Closes all descriptors in the child but the standard streams and this report. Otherwise the
    /// child would keep the parent's locks until it executes its command, even after the parent was
    /// killed.
    ///
    /// Nothing in the child may use or drop another descriptor of the parent afterwards.
    pub fn close_others(&self) -> io::Result<()> {
        let own = self.0.as_raw_fd().cast_unsigned();
        for (first, last) in [(3, own - 1), (own + 1, u32::MAX)] {
            if first <= last {
                // SAFETY: the caller's duty, see above.
                Errno::result(unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) })?;
            }
        }
        Ok(())
    }

    /// Whether the parent's end is still open.
    pub fn parent_lives(&self) -> bool {
        let mut hung_up = [PollFd::new(self.0.as_fd(), PollFlags::POLLHUP)];
        poll(&mut hung_up, PollTimeout::ZERO).is_ok_and(|ready| ready == 0)
    }

    fn may_go(&self) -> bool {
        let mut byte = [0];
        matches!(receive(&self.0, &mut byte), Ok((1, _)))
    }
}

/// Joins a new session keyring: the caller's may hold keys, for instance of Kerberos or of an
/// encrypted disk. Kernels without keys, and hosts that forbid the call, have nothing to leave.
fn leave_keyring_behind() {
    // SAFETY: the call touches no memory of ours.
    unsafe { libc::syscall(libc::SYS_keyctl, libc::KEYCTL_JOIN_SESSION_KEYRING, std::ptr::null::<u8>()) };
}

/// Leaves an init behind and continues in its child, if the command asks for an init.
fn leave_init_behind(command: &Prepared) -> Result<(), Failure> {
    match command.reaper {
        Reaper::Init => reaper::begin_init().map_err(|error| ("make an init process".to_owned(), error)),
        Reaper::ProcessOne | Reaper::Kernel => Ok(()),
    }
}

/// Gives every signal its default action and unblocks all. A caller may ignore signals (nohup(1),
/// `run … &` in a script, the Rust runtime), and ignored signals stay ignored across execve(2): the
/// command would never receive SIGINT or SIGQUIT. With [`Reaper::Kernel`], SIGCHLD is ignored so
/// that the kernel reaps orphans.
fn reset_signals(reaper: Reaper) -> Result<(), Errno> {
    // The kernel's `struct sigaction` as zeros: SIG_DFL, no flags, an empty mask of `MASK_BYTES`.
    const MASK_BYTES: usize = 8;
    let default = [0_u64; 4];
    for number in 1..=libc::SIGRTMAX() {
        // SAFETY: this program has no signal handlers. The C library's call would refuse two
        // signals that a caller may ignore. The kernel refuses SIGKILL and SIGSTOP, which nobody
        // can ignore.
        unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                number,
                &raw const default,
                std::ptr::null::<u64>(),
                MASK_BYTES,
            )
        };
    }
    if reaper == Reaper::Kernel {
        // SAFETY: this program has no signal handlers.
        unsafe { signal(Signal::SIGCHLD, SigHandler::SigIgn) }?;
    }
    SigSet::empty().thread_set_mask()
}

/// Tries the candidates in turn, like execvp(3). Returns the error to report.
fn execute(command: &Prepared) -> Errno {
    let mut worst = Errno::ENOENT;
    for path in &command.candidates {
        match execve(path, &command.argv, &command.env) {
            Err(Errno::ENOENT | Errno::ENOTDIR) => {}
            Err(Errno::EACCES) => worst = Errno::EACCES,
            Err(error) => return error,
            Ok(never) => match never {},
        }
    }
    worst
}

fn exit_now() -> ! {
    // SAFETY: ends the process without running exit handlers of the parent.
    unsafe { libc::_exit(255) }
}
