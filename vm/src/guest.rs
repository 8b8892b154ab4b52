//! A restored machine: run a program in it, and learn how that ended.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddrV4;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::channel::{CHUNK, FromGuest, Key, Lines, Opener, ToGuest, decode, encode};
use crate::machine::{Happening, Running};
use crate::{Console, Error, Outcome};

/// Without a sign of life for this long a machine counts as [`Outcome::Silent`]. Signs come twice a second.
const SILENCE: Duration = Duration::from_secs(15);

/// A machine whose deadline passes while it has been quiet for this long is silent rather than late.
const QUIET: Duration = Duration::from_secs(4);

/// How long a machine may go on after its guest half ended, as it does while it shuts down.
const LAST_BREATH: Duration = Duration::from_secs(8);

/// What a kernel's last words begin with.
const PANIC: &str = "Kernel panic - not syncing";

/// Disk images (see [`disk_from_dir`](crate::disk_from_dir)) for the two slots every guest has. Both are
/// mounted read-only, at `/run/vm/payload` and `/run/vm/store`, before the first program runs; an empty slot is
/// not mounted.
#[derive(Debug, Clone, Default)]
pub struct Disks {
    /// What is to be run.
    pub payload: Option<PathBuf>,
    /// Data that many guests share.
    pub store: Option<PathBuf>,
}

/// What of the host the guest's card `uplink0` can reach: nothing by default. No card reaches beyond QEMU.
///
/// Every guest has three cards, all down and without address: `lan0` and `world0` are two ends of one cable;
/// `uplink0` is at QEMU's user network (10.0.2.0/24, host at 10.0.2.2, restricted to what is named here).
#[derive(Debug, Clone, Default)]
pub struct Network {
    /// TCP ports of the host that lead to the guest.
    pub host_forwards: Vec<HostForward>,
    /// TCP addresses inside the user network that lead to a socket of the host.
    pub guest_forwards: Vec<GuestForward>,
}

/// A TCP port of the host whose connections go to the guest's 10.0.2.15.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostForward {
    /// Where QEMU listens on the host.
    pub listen: SocketAddrV4,
    /// The port of 10.0.2.15 they go to.
    pub guest_port: u16,
}

/// A TCP address inside 10.0.2.0/24 whose connections go to a Unix socket of the host, one each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestForward {
    /// The address that the guest connects to, such as 10.0.2.100:3142.
    pub address: SocketAddrV4,
    /// The listening Unix socket.
    pub socket: PathBuf,
}

/// A program to run in a guest, as root, in `/root`, in a session and a cgroup of its own.
#[derive(Debug, Clone)]
pub struct Command {
    /// The program, absolute or looked up in the usual PATH, and its arguments.
    pub argv: Vec<String>,
    /// What it reads from standard input, then end of file.
    pub stdin: Vec<u8>,
    /// How long it may take, by the host's clock.
    pub deadline: Duration,
    /// Milliseconds that it may take beyond that. Whoever hears that it needs them adds them while it runs.
    pub more: Arc<AtomicU64>,
    /// How many bytes it may write to standard output.
    pub max_output: u64,
}

impl Command {
    /// With nothing on standard input, a minute, and 16 MiB of output.
    pub fn new<S: Into<String>>(argv: impl IntoIterator<Item = S>) -> Command {
        Command {
            argv: argv.into_iter().map(Into::into).collect(),
            stdin: Vec::new(),
            deadline: Duration::from_secs(60),
            more: Arc::default(),
            max_output: 16 << 20,
        }
    }
}

/// A restored machine. Dropping it ends it and leaves nothing behind.
#[derive(Debug)]
pub struct Guest {
    running: Running,
    opener: Opener,
    lines: Lines,
    /// What the guest half said and nobody has looked at yet.
    said: VecDeque<FromGuest>,
    heard: Instant,
    spent: Option<Outcome>,
    restored_in: Duration,
}

/// What waiting for the guest half's next word can come to.
enum Next {
    Word(FromGuest),
    Deadline,
    Ended(Outcome),
}

impl Guest {
    /// A machine whose guest half has not been heard yet.
    pub(crate) fn of(running: Running) -> Guest {
        Guest {
            running,
            opener: Opener::new(Key::default()),
            lines: Lines::default(),
            said: VecDeque::new(),
            heard: Instant::now(),
            spent: None,
            restored_in: Duration::ZERO,
        }
    }

    /// Runs a program and waits for its end. Each line it writes to standard output is handed to `on_line` as
    /// it comes, without the newline; a last line without one is handed over at the end. May be called again
    /// after [`Outcome::Exited`] and [`Outcome::NotStarted`]; after anything else it returns the same outcome
    /// again.
    pub fn run(&mut self, command: &Command, on_line: &mut dyn FnMut(&[u8])) -> Outcome {
        if let Some(outcome) = &self.spent {
            return outcome.clone();
        }
        let outcome = self.attend(command, on_line);
        if !matches!(outcome, Outcome::Exited { .. } | Outcome::NotStarted { .. }) {
            self.running.kill();
            self.spent = Some(outcome.clone());
        }
        outcome
    }

    fn attend(&mut self, command: &Command, on_line: &mut dyn FnMut(&[u8])) -> Outcome {
        let began = Instant::now();
        let console = self.running.console.position();
        self.heard = Instant::now();
        // What cannot be written shows in what comes next: the guest half, the machine or QEMU is gone.
        let _ = command
            .stdin
            .chunks(CHUNK)
            .try_for_each(|chunk| self.say(&ToGuest::Stdin { data: encode(chunk) }))
            .and_then(|()| self.say(&ToGuest::Run { argv: command.argv.clone() }));

        let mut line = Vec::new();
        let mut written = 0;
        loop {
            let more = Duration::from_millis(command.more.load(Ordering::Relaxed));
            match self.next(began + command.deadline + more, console) {
                Next::Word(FromGuest::Stdout { data }) => {
                    let Some(data) = decode(&data) else { continue };
                    written += data.len() as u64;
                    if written > command.max_output {
                        return Outcome::Flooded(self.console_tail());
                    }
                    for piece in data.split_inclusive(|&byte| byte == b'\n') {
                        line.extend_from_slice(piece);
                        if line.last() == Some(&b'\n') {
                            line.pop();
                            on_line(&line);
                            line.clear();
                        }
                    }
                }
                Next::Word(FromGuest::Exited { code, stderr }) => {
                    if !line.is_empty() {
                        on_line(&line);
                    }
                    return Outcome::Exited { code, stderr: decode(&stderr).unwrap_or_default() };
                }
                Next::Word(FromGuest::NotStarted { why }) => return Outcome::NotStarted { why },
                Next::Word(_) => {}
                Next::Deadline if self.heard.elapsed() > QUIET => {
                    return Outcome::Silent(self.console_tail());
                }
                Next::Deadline => return Outcome::TimedOut(self.console_tail()),
                Next::Ended(outcome) => return outcome,
            }
        }
    }

    /// The last lines of the console up to now.
    pub fn console_tail(&self) -> Console {
        self.running.console.tail()
    }

    /// How long the restore took, from the start of QEMU to the guest half's first answer.
    pub fn restored_in(&self) -> Duration {
        self.restored_in
    }

    /// The process id of the guest's QEMU, for measuring what it takes of the host.
    pub fn qemu_pid(&self) -> u32 {
        self.running.pid()
    }

    pub(crate) fn running(&mut self) -> &mut Running {
        &mut self.running
    }

    pub(crate) fn restored(mut self, began: Instant) -> Guest {
        self.restored_in = began.elapsed();
        self
    }

    /// Waits for the first words of the guest half of a machine that boots: its source and the kernel.
    pub(crate) fn wait_ready(&mut self, patience: Duration) -> Result<(String, String), Error> {
        // Nothing is heard of a machine that boots: only the whole has a limit.
        let deadline = Instant::now() + patience;
        loop {
            self.heard = Instant::now();
            let soon = deadline.min(Instant::now() + Duration::from_secs(1));
            match self.next(soon, 0) {
                Next::Word(FromGuest::Ready { agent, kernel }) => return Ok((agent, kernel)),
                Next::Word(_) => {}
                Next::Deadline if Instant::now() < deadline => {}
                Next::Deadline => {
                    return Err(self.failed(format!("the machine did not boot in {patience:?}")));
                }
                Next::Ended(outcome) => return Err(self.failed(outcome.to_string())),
            }
        }
    }

    /// Begins a session with a new key; when this returns, clock, randomness and mounts are right.
    pub(crate) fn hello(&mut self, payload: bool, store: bool, patience: Duration) -> Result<(), Error> {
        let mut random = [0; 104];
        getrandom(&mut random).map_err(Error::io("read", "/dev/urandom"))?;
        let (key, rest) = random.split_at(32);
        let key = Key::new(key.try_into().unwrap_or_default());
        let nonce = u64::from_le_bytes(rest[..8].try_into().unwrap_or_default());
        let unix_time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as u64;
        self.opener = Opener::new(key.clone());
        self.heard = Instant::now();
        let entropy = encode(&rest[8..]);
        let said = self.say(&ToGuest::Hello { key, nonce, unix_time, entropy, payload, store });
        said.map_err(Error::io("write to", "the guest's channel"))?;
        match self.next(Instant::now() + patience, 0) {
            Next::Word(FromGuest::Hello { nonce: answer }) if answer == nonce => Ok(()),
            Next::Word(FromGuest::Failed { why }) => Err(self.failed(why)),
            Next::Word(other) => Err(self.failed(format!("the guest half answered {other:?}"))),
            Next::Deadline => Err(self.failed(format!("the guest half did not answer in {patience:?}"))),
            Next::Ended(outcome) => Err(self.failed(outcome.to_string())),
        }
    }

    /// Ends the session: the guest half waits for the next one's first line, and nothing is on its way.
    pub(crate) fn rest(&mut self, patience: Duration) -> Result<(), Error> {
        self.say(&ToGuest::Rest).map_err(Error::io("write to", "the guest's channel"))?;
        let deadline = Instant::now() + patience;
        loop {
            match self.next(deadline, 0) {
                Next::Word(FromGuest::Resting) => return Ok(()),
                Next::Word(_) => {}
                Next::Deadline => return Err(self.failed("the guest half does not rest".to_owned())),
                Next::Ended(outcome) => return Err(self.failed(outcome.to_string())),
            }
        }
    }

    /// Waits until a migration is through.
    pub(crate) fn migrated(&mut self, patience: Duration) -> Result<(), Error> {
        let deadline = Instant::now() + patience;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.running.happenings.recv_timeout(left) {
                Ok(Happening::Migration { status }) if status == "completed" => return Ok(()),
                Ok(Happening::Migration { status }) if status == "failed" => break,
                Ok(_) => {}
                Err(_) => break,
            }
        }
        let why = self.running.bury();
        Err(Error::Qemu { what: "cannot save or restore the machine".to_owned(), why })
    }

    pub(crate) fn failed(&self, what: String) -> Error {
        Error::Guest { what, console: self.console_tail().to_string() }
    }

    fn say(&mut self, message: &ToGuest) -> io::Result<()> {
        let mut line = serde_json::to_vec(message)?;
        line.push(b'\n');
        self.running.say(&line)
    }

    /// The guest half's next word. `console` is where the console was when the program began.
    fn next(&mut self, deadline: Instant, console: usize) -> Next {
        loop {
            match self.said.pop_front() {
                Some(FromGuest::Beat) => continue,
                Some(word) => return Next::Word(word),
                None => {}
            }
            let now = Instant::now();
            let silent = self.heard + SILENCE;
            if now >= deadline {
                return Next::Deadline;
            }
            match self.running.happenings.recv_timeout(deadline.min(silent).saturating_duration_since(now)) {
                Ok(Happening::Said(bytes)) => {
                    if !self.hear(&bytes) {
                        return Next::Ended(Outcome::AgentLost(self.console_tail()));
                    }
                }
                Ok(Happening::NoRoom) => {
                    return Next::Ended(Outcome::HostDiskFull(self.console_tail()));
                }
                Ok(Happening::Shutdown { reason }) => {
                    return Next::Ended(self.end(console, Some(reason), LAST_BREATH));
                }
                Ok(Happening::Gone | Happening::Port { open: false })
                | Err(RecvTimeoutError::Disconnected) => {
                    return Next::Ended(self.end(console, None, LAST_BREATH));
                }
                Err(RecvTimeoutError::Timeout) if Instant::now() >= silent => {
                    return Next::Ended(Outcome::Silent(self.console_tail()));
                }
                Ok(Happening::Port { open: true } | Happening::Migration { .. })
                | Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    /// Takes in what came over the channel; false where it is not the guest half's.
    fn hear(&mut self, bytes: &[u8]) -> bool {
        let Guest { lines, opener, said, .. } = self;
        let mut genuine = true;
        let whole = lines.push(bytes, &mut |line| match opener.open(line) {
            Some(word) => said.push_back(word),
            None => genuine = false,
        });
        self.heard = Instant::now();
        genuine && whole.is_ok()
    }

    /// The guest half or QEMU is gone: waits for what else comes and says what it was.
    fn end(&mut self, console: usize, mut reason: Option<String>, patience: Duration) -> Outcome {
        let deadline = Instant::now() + patience;
        let ended = loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.running.happenings.recv_timeout(left) {
                Ok(Happening::Shutdown { reason: new }) => reason = reason.or(Some(new)),
                Ok(_) => {}
                Err(RecvTimeoutError::Disconnected) => break true,
                Err(RecvTimeoutError::Timeout) => break false,
            }
        };
        let tail = self.console_tail();
        let panicked = self.running.console.since(console).contains(PANIC);
        match reason.as_deref() {
            Some("guest-reset" | "guest-panic") if panicked => {
                Outcome::Panicked(self.running.console.from(PANIC))
            }
            Some("guest-reset") => Outcome::Rebooted(tail),
            Some("guest-shutdown") => Outcome::PoweredOff(tail),
            _ if ended => Outcome::QemuDied { why: self.running.bury(), console: tail },
            _ => Outcome::AgentLost(tail),
        }
    }
}

fn getrandom(buffer: &mut [u8]) -> io::Result<()> {
    use std::io::Read;
    std::fs::File::open("/dev/urandom")?.read_exact(buffer)
}
