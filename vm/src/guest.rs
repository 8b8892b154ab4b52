//! A restored machine: runs a program in it and reports how the program ended.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::net::UnixStream;
use std::sync::atomic::Ordering;
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::channel::{CHUNK, FromGuest, Key, Lines, Opener, STDERR_TAIL, ToGuest, decode, encode};
use crate::machine::{Happening, Running};
use crate::memory::Seal;
use crate::silence::{Silence, Verdict};
use crate::{Command, Console, Error, Outcome};

/// A machine counts as quiet after this time without a sign of life; signs come twice a second. If
/// the deadline passes while the machine is quiet, the outcome is `Silent`, not `TimedOut`.
const QUIET: Duration = Duration::from_secs(4);

/// The time between two looks at a quiet machine.
const LOOK: Duration = Duration::from_millis(500);

/// How long a machine may run on after its agent ended: a machine that shuts down does so.
const LAST_BREATH: Duration = Duration::from_secs(8);

/// The beginning of a kernel's last message.
const PANIC: &str = "Kernel panic - not syncing";

/// A restored machine. When dropped, it ends and leaves nothing behind.
#[derive(Debug)]
pub struct Guest {
    running: Running,
    opener: Opener,
    lines: Lines,
    /// Messages of the agent that wait to be handled.
    said: VecDeque<FromGuest>,
    /// The time since the last sign of life; only while a program runs.
    silence: Option<Silence>,
    spent: Option<Outcome>,
    restored_in: Duration,
    /// The template's memory file that the machine woke up from, and its seal.
    memory: Option<(File, Seal)>,
}

/// The agent's first message after a boot.
pub(crate) struct Ready {
    /// Identifies its source.
    pub(crate) source: String,
    /// Why root in that machine can reach the agent, if it can.
    pub(crate) unguarded: Option<String>,
}

/// The result of waiting for the agent's next message.
enum Next {
    Message(FromGuest),
    Deadline,
    Ended(Outcome),
}

impl Guest {
    /// A machine whose agent has not spoken yet.
    pub(crate) fn of(running: Running) -> Guest {
        Guest {
            running,
            opener: Opener::new(Key::default()),
            lines: Lines::default(),
            said: VecDeque::new(),
            silence: None,
            spent: None,
            restored_in: Duration::ZERO,
            memory: None,
        }
    }

    /// Remembers the memory file that the machine shares with others.
    pub(crate) fn woke_from(&mut self, memory: Option<(File, Seal)>) {
        self.memory = memory;
    }

    /// Runs a program and waits for its end. Calls `on_line` with each line of its standard
    /// output as it comes, without the newline. May be called again after [`Outcome::Exited`]
    /// and [`Outcome::NotStarted`]. After any other outcome the guest is spent, and each call
    /// returns that outcome.
    pub fn run(&mut self, command: &Command, on_line: &mut dyn FnMut(&[u8])) -> Outcome {
        if let Some(outcome) = &self.spent {
            return outcome.clone();
        }
        let mut outcome = self.attend(command, on_line);
        if self.memory.as_ref().is_some_and(|(file, seal)| !seal.holds(file)) {
            outcome = Outcome::TemplateWritten(self.console_tail());
        }
        if !matches!(outcome, Outcome::Exited { .. } | Outcome::NotStarted { .. }) {
            self.running.kill();
            self.spent = Some(outcome.clone());
        }
        outcome
    }

    /// Like [`Guest::run`]. From the line for which `is_open` returns true, the caller's terminal
    /// is the guest's console, `/dev/ttyS0`, until the program ends or Ctrl-] is typed.
    ///
    /// # Errors
    /// When the console cannot be used.
    pub fn run_with_console(
        &mut self,
        command: &Command,
        is_open: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Result<Outcome, Error> {
        crate::shell::run(self, command, is_open)
    }

    fn attend(&mut self, command: &Command, on_line: &mut dyn FnMut(&[u8])) -> Outcome {
        let began = Instant::now();
        let console = self.running.console.position();
        self.silence = Some(Silence::of(self.running.pid()));
        // If a write fails, the agent, the machine or QEMU is gone, and the
        // next message says which.
        let _ = command
            .stdin
            .chunks(CHUNK)
            .try_for_each(|chunk| self.say(&ToGuest::Stdin { data: encode(chunk) }))
            .and_then(|()| self.say(&ToGuest::Run { argv: command.argv.clone(), kept: command.kept }));

        let mut line = Vec::new();
        let mut written = 0;
        loop {
            let more = Duration::from_millis(command.more.load(Ordering::Relaxed));
            match self.next(began + command.deadline + more, console) {
                Next::Message(FromGuest::Stdout { data }) => {
                    let Some(data) = decode(&data) else { continue };
                    written += data.len() as u64;
                    if written > command.max_output {
                        return Outcome::Flooded(self.console_tail());
                    }
                    for piece in data.split_inclusive(|&byte| byte == b'\n') {
                        line.extend_from_slice(piece);
                        if line.len() > command.max_line {
                            return Outcome::Flooded(self.console_tail());
                        }
                        if line.last() == Some(&b'\n') {
                            line.pop();
                            on_line(&line);
                            line.clear();
                        }
                    }
                }
                Next::Message(FromGuest::Exited { code, stderr }) => {
                    if !line.is_empty() {
                        on_line(&line);
                    }
                    let mut stderr = decode(&stderr).unwrap_or_default();
                    stderr.drain(..stderr.len().saturating_sub(STDERR_TAIL));
                    return Outcome::Exited { code, stderr };
                }
                Next::Message(FromGuest::NotStarted { why }) => {
                    return Outcome::NotStarted { why: why.chars().take(STDERR_TAIL).collect() };
                }
                Next::Message(_) => {}
                Next::Deadline => return self.late(),
                Next::Ended(outcome) => return outcome,
            }
        }
    }

    /// The last lines of the console up to now.
    pub fn console_tail(&self) -> Console {
        self.running.console.tail()
    }

    /// The duration of the restore, from the start of QEMU to the agent's first answer.
    pub fn restored_in(&self) -> Duration {
        self.restored_in
    }

    /// The process id of the guest's QEMU, to measure what QEMU takes of the host.
    pub fn qemu_pid(&self) -> u32 {
        self.running.pid()
    }

    /// The host's end of a stream of bytes, or `None` if it was taken before. The other end is the
    /// port [`STREAM`](crate::STREAM), which one program of the guest can open at a time. A side
    /// that writes waits for the other side to read.
    pub fn stream(&mut self) -> Option<UnixStream> {
        self.running.stream.take()
    }

    pub(crate) fn running(&mut self) -> &mut Running {
        &mut self.running
    }

    pub(crate) fn restored(mut self, began: Instant) -> Guest {
        self.restored_in = began.elapsed();
        self
    }

    /// Waits for the agent's first message after a boot.
    pub(crate) fn wait_ready(&mut self, patience: Duration) -> Result<Ready, Error> {
        // A machine that boots sends no signs of life: only the whole boot has a limit.
        let deadline = Instant::now() + patience;
        loop {
            let soon = deadline.min(Instant::now() + Duration::from_secs(1));
            match self.next(soon, 0) {
                Next::Message(FromGuest::Ready { agent, kernel: _, unguarded }) => {
                    return Ok(Ready { source: agent, unguarded });
                }
                Next::Message(_) => {}
                Next::Deadline if Instant::now() < deadline => {}
                Next::Deadline => {
                    return Err(self.failed(format!("the machine did not boot in {patience:?}")));
                }
                Next::Ended(outcome) => return Err(self.failed(outcome.to_string())),
            }
        }
    }

    /// Begins a session with a new key. When this returns, clock, randomness and mounts are right.
    pub(crate) fn hello(&mut self, payload: bool, store: bool, patience: Duration) -> Result<(), Error> {
        let mut random = [0; 104];
        getrandom(&mut random).map_err(Error::io("read", "/dev/urandom"))?;
        let (key, rest) = random.split_at(32);
        let key = Key::new(key.try_into().unwrap_or_default());
        let nonce = u64::from_le_bytes(rest[..8].try_into().unwrap_or_default());
        let unix_time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as u64;
        self.opener = Opener::new(key.clone());
        self.silence = None;
        let entropy = encode(&rest[8..]);
        let said = self.say(&ToGuest::Hello { key, nonce, unix_time, entropy, payload, store });
        said.map_err(Error::io("write to", "the guest's channel"))?;
        match self.next(Instant::now() + patience, 0) {
            Next::Message(FromGuest::Hello { nonce: answer }) if answer == nonce => Ok(()),
            Next::Message(FromGuest::Failed { why }) => Err(self.failed(why)),
            Next::Message(other) => Err(self.failed(format!("the agent answered {other:?}"))),
            Next::Deadline => Err(self.failed(format!("the agent did not answer in {patience:?}"))),
            Next::Ended(outcome) => Err(self.failed(outcome.to_string())),
        }
    }

    /// Ends the session: the agent waits for the next one, and no message is on its way.
    pub(crate) fn rest(&mut self, patience: Duration) -> Result<(), Error> {
        self.say(&ToGuest::Rest).map_err(Error::io("write to", "the guest's channel"))?;
        let deadline = Instant::now() + patience;
        loop {
            match self.next(deadline, 0) {
                Next::Message(FromGuest::Resting) => return Ok(()),
                Next::Message(_) => {}
                Next::Deadline => return Err(self.failed("the agent did not end the session".to_owned())),
                Next::Ended(outcome) => return Err(self.failed(outcome.to_string())),
            }
        }
    }

    /// Waits for the end of a migration.
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

    /// The agent's next message. `console` is the console's position at the start of the program.
    fn next(&mut self, deadline: Instant, console: usize) -> Next {
        loop {
            match self.said.pop_front() {
                Some(FromGuest::Beat) => continue,
                Some(message) => return Next::Message(message),
                None => {}
            }
            let now = Instant::now();
            if now >= deadline {
                return Next::Deadline;
            }
            let quiet = self.silence.as_ref().is_some_and(|silence| silence.lasts() > QUIET);
            if let Some(outcome) = self.silence.as_ref().and_then(|silence| self.silent(silence.verdict())) {
                return Next::Ended(outcome);
            }
            let patience = if quiet { LOOK } else { QUIET };
            match self.running.happenings.recv_timeout(deadline.min(now + patience).duration_since(now)) {
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
                Ok(Happening::Port { open: true } | Happening::Migration { .. })
                | Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    /// The outcome of a program whose deadline passed.
    fn late(&self) -> Outcome {
        let quiet = self.silence.as_ref().filter(|silence| silence.lasts() > QUIET);
        let silent = quiet.and_then(|silence| self.silent(silence.at_the_end()));
        silent.unwrap_or_else(|| Outcome::TimedOut(self.console_tail()))
    }

    /// The outcome of a silent machine, if the verdict is known.
    fn silent(&self, verdict: Verdict) -> Option<Outcome> {
        match verdict {
            Verdict::Wait => None,
            Verdict::Stopped => Some(Outcome::Silent(self.console_tail())),
            Verdict::Starved => Some(Outcome::Starved(self.console_tail())),
        }
    }

    /// Takes bytes from the channel. Returns false if they are not the agent's.
    fn hear(&mut self, bytes: &[u8]) -> bool {
        let Guest { lines, opener, said, .. } = self;
        let mut genuine = true;
        let whole = lines.push(bytes, &mut |line| match opener.open(line) {
            Some(message) => said.push_back(message),
            None => genuine = false,
        });
        if let Some(silence) = &mut self.silence {
            silence.end();
        }
        genuine && whole.is_ok()
    }

    /// The agent or QEMU is gone: waits for further events and finds the cause.
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
