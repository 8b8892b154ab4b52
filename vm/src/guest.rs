//! A restored machine: run a program in it, and learn how that ended.

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

/// From when on a machine that says nothing is looked at: signs of life come twice a second. One whose deadline passes
/// in that state is silent rather than late.
const QUIET: Duration = Duration::from_secs(4);

/// Time between two looks at a machine that says nothing.
const LOOK: Duration = Duration::from_millis(500);

/// How long a machine may go on after its guest half ended, as it does while it shuts down.
const LAST_BREATH: Duration = Duration::from_secs(8);

/// What a kernel's last words begin with.
const PANIC: &str = "Kernel panic - not syncing";

/// A restored machine. Dropping it ends it and leaves nothing behind.
#[derive(Debug)]
pub struct Guest {
    running: Running,
    opener: Opener,
    lines: Lines,
    /// What the guest half said and nobody has looked at yet.
    said: VecDeque<FromGuest>,
    /// Since when nothing was heard, while a program runs: otherwise nothing has to be.
    silence: Option<Silence>,
    spent: Option<Outcome>,
    restored_in: Duration,
    /// The template's memory file that the machine woke up from, and its seal.
    memory: Option<(File, Seal)>,
}

/// The first words of the agent of a machine that boots.
pub(crate) struct Ready {
    /// Identifies its source.
    pub(crate) source: String,
    /// Why root in that machine can reach it, where it can.
    pub(crate) unguarded: Option<String>,
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

    /// Runs a program and waits for its end. Each line it writes to standard output is handed to `on_line` as
    /// it comes, without the newline; a last line without one is handed over at the end. May be called again
    /// after [`Outcome::Exited`] and [`Outcome::NotStarted`]; after anything else it returns the same outcome
    /// again.
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

    fn attend(&mut self, command: &Command, on_line: &mut dyn FnMut(&[u8])) -> Outcome {
        let began = Instant::now();
        let console = self.running.console.position();
        self.silence = Some(Silence::of(self.running.pid()));
        // What cannot be written shows in what comes next: the guest half, the machine or QEMU is gone.
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
                Next::Word(FromGuest::Stdout { data }) => {
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
                Next::Word(FromGuest::Exited { code, stderr }) => {
                    if !line.is_empty() {
                        on_line(&line);
                    }
                    let mut stderr = decode(&stderr).unwrap_or_default();
                    stderr.drain(..stderr.len().saturating_sub(STDERR_TAIL));
                    return Outcome::Exited { code, stderr };
                }
                Next::Word(FromGuest::NotStarted { why }) => {
                    return Outcome::NotStarted { why: why.chars().take(STDERR_TAIL).collect() };
                }
                Next::Word(_) => {}
                Next::Deadline => return self.late(),
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

    /// The host's end of a stream of bytes to whichever program of the guest opens the port [`STREAM`](crate::STREAM), one
    /// at a time; `None` once it was taken. QEMU buffers nothing: who writes more than the other side reads has to wait.
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

    /// Waits for the first words of the guest half of a machine that boots: its source and the kernel.
    pub(crate) fn wait_ready(&mut self, patience: Duration) -> Result<Ready, Error> {
        // Nothing is heard of a machine that boots: only the whole has a limit.
        let deadline = Instant::now() + patience;
        loop {
            let soon = deadline.min(Instant::now() + Duration::from_secs(1));
            match self.next(soon, 0) {
                Next::Word(FromGuest::Ready { agent, kernel: _, unguarded }) => {
                    return Ok(Ready { source: agent, unguarded });
                }
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
        self.silence = None;
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

    /// How a program ended that had no more time.
    fn late(&self) -> Outcome {
        let quiet = self.silence.as_ref().filter(|silence| silence.lasts() > QUIET);
        let silent = quiet.and_then(|silence| self.silent(silence.at_the_end()));
        silent.unwrap_or_else(|| Outcome::TimedOut(self.console_tail()))
    }

    /// How a machine ended that says nothing, where that can be said by now.
    fn silent(&self, verdict: Verdict) -> Option<Outcome> {
        match verdict {
            Verdict::Wait => None,
            Verdict::Stopped => Some(Outcome::Silent(self.console_tail())),
            Verdict::Starved => Some(Outcome::Starved(self.console_tail())),
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
        if let Some(silence) = &mut self.silence {
            silence.end();
        }
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
