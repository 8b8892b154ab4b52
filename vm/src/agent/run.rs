//! Runs one program: sends its output to the host as it comes, and its exit status last.

use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::{Voice, armour, guard};
use crate::channel::{CHUNK, FromGuest, STDERR_TAIL, encode};

/// The control group of programs, beside the machine's others.
const GROUP: &str = "/sys/fs/cgroup/vm.run";

/// The PATH of a login.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Runs a program to its end. Does not wait for its descendants.
pub(super) fn program(argv: &[String], kept: bool, input: &[u8], voice: &Voice) -> io::Result<()> {
    match start(argv, kept) {
        Ok(child) => attend(child, input, voice),
        Err(why) => voice.say(&FromGuest::NotStarted { why: format!("{}: {why}", argv.join(" ")) }),
    }
}

fn start(argv: &[String], kept: bool) -> io::Result<Child> {
    let (program, arguments) =
        argv.split_first().ok_or_else(|| io::Error::other("there is nothing to run"))?;
    fs::create_dir_all(GROUP)?;
    let stays = kept && guard::has_group();
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env_clear()
        .envs([("PATH", PATH), ("HOME", "/root"), ("USER", "root"), ("LOGNAME", "root")])
        .envs([("SHELL", "/bin/bash"), ("LANG", "C.UTF-8"), ("TERM", "xterm")])
        .current_dir("/root")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    // SAFETY: between fork and exec only system calls are made, and nothing is allocated.
    unsafe {
        command.pre_exec(move || {
            nix::unistd::setsid()?;
            if !stays {
                write_once(c"/sys/fs/cgroup/vm.run/cgroup.procs", b"0")?;
            }
            write_once(c"/proc/self/oom_score_adj", b"0")
        });
    }
    command.spawn()
}

fn write_once(path: &std::ffi::CStr, text: &[u8]) -> io::Result<()> {
    let file = nix::fcntl::open(path, OFlag::O_WRONLY, nix::sys::stat::Mode::empty())?;
    nix::unistd::write(&file, text)?;
    Ok(())
}

/// Hands on what the program writes until it ends. A descendant that holds a pipe open does not
/// keep the verdict back: what the program itself wrote is in the pipe when it ends.
fn attend(mut child: Child, input: &[u8], voice: &Voice) -> io::Result<()> {
    let (Some(mut stdin), Some(stdout), Some(stderr)) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err(io::Error::other("no pipes"));
    };
    let input = input.to_vec();
    armour::thread("stdin", move || stdin.write_all(&input))?;
    let mut stdout = Stream::new(stdout)?;
    let mut stderr = Stream::new(stderr)?;
    let (over, ends) = io::pipe()?;
    let waiter = armour::thread("wait", move || {
        let status = child.wait();
        drop(ends);
        status
    })?;

    let mut tail = Tail::default();
    loop {
        let mut fds = vec![PollFd::new(over.as_fd(), PollFlags::POLLIN)];
        fds.extend(stdout.poll_fd());
        fds.extend(stderr.poll_fd());
        poll(&mut fds, PollTimeout::NONE)?;
        let ended = fds[0].any().unwrap_or(false);
        let rounds = if ended { 64 } else { 1 };
        stdout.read(rounds, |data| voice.say(&FromGuest::Stdout { data: encode(data) }))?;
        stderr.read(rounds, |data| {
            tail.push(data);
            Ok(())
        })?;
        if ended {
            break;
        }
    }
    let status = waiter.join().map_err(|_| io::Error::other("the waiting thread died"))??;
    voice.say(&FromGuest::Exited { code: code(status), stderr: encode(&tail.0) })
}

/// A pipe from the program, until its end.
struct Stream<R> {
    pipe: Option<R>,
    buffer: Vec<u8>,
}

impl<R: Read + AsFd> Stream<R> {
    fn new(pipe: R) -> io::Result<Stream<R>> {
        fcntl(&pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        Ok(Stream { pipe: Some(pipe), buffer: vec![0; CHUNK] })
    }

    fn poll_fd(&self) -> Option<PollFd<'_>> {
        self.pipe.as_ref().map(|pipe| PollFd::new(pipe.as_fd(), PollFlags::POLLIN))
    }

    /// Reads the available bytes, at most `rounds` times.
    fn read(&mut self, rounds: usize, mut take: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        for _ in 0..rounds {
            let Some(pipe) = &mut self.pipe else { break };
            match pipe.read(&mut self.buffer) {
                Ok(0) => self.pipe = None,
                Ok(count) => take(&self.buffer[..count])?,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// The end of a stream.
#[derive(Default)]
struct Tail(Vec<u8>);

impl Tail {
    fn push(&mut self, data: &[u8]) {
        self.0.extend_from_slice(data);
        let surplus = self.0.len().saturating_sub(STDERR_TAIL);
        self.0.drain(..surplus);
    }
}

/// The status as a shell reports it.
fn code(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}
