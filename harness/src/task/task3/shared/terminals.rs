//! Several terminals at once, such as a container in the foreground of one and a shell in another.
//!
//! Nothing is traced here. A container tool is a script of hundreds of processes, and judges look
//! at the resulting state, not at how the tool reaches it.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use serde::Serialize;

use super::command::Command;
use crate::evidence::STARTS;
use crate::evidence::exhausted::Exhausted;
use crate::evidence::limits::{EXTENDED, UNFINISHED, WORKING};
use crate::evidence::program::{End, Output, Start, Stopped};
use crate::guest::observe::exhaustion::Watch;
use crate::guest::observe::processes;
use crate::guest::observe::served::SERVED;
use crate::guest::observe::stillness::Stillness;
use crate::guest::observe::work;
use crate::guest::recorder::Recorder;
use crate::guest::run::patience::{Late, Patience, Pulse};
use crate::guest::run::terminal::{Heard, Program, Terminal};
use crate::task::transcript;

/// Time between two looks at everything.
const PAUSE: Duration = Duration::from_millis(20);
/// Time between two looks at what the machine has left.
const GLANCE: Duration = Duration::from_secs(1);
/// A prompt is one when nothing has come after it for this long.
const QUIET: Duration = Duration::from_millis(150);
/// After this long without an active process, nothing more is expected: except for packages, a
/// container tool waits for seconds at most.
const STILL: Duration = Duration::from_secs(180);
/// The same after the first timeout.
const STILL_AGAIN: Duration = Duration::from_secs(20);
/// After the first timeout, later steps get their limit divided by this. A tool that hangs does so
/// at most steps, and any other tool needs a small part of its limit.
const PATIENCE_AGAIN: u32 = 4;
/// What one program may write: what `apt` says of two images, several times over.
const OUTPUT_CAP: u64 = 4 << 20;
/// How much of a screen's end is kept for [`Command::screen`].
const SCREEN_CAP: usize = 64 << 10;

/// One of the terminals's terminals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TerminalId(usize);

struct Session {
    terminal: Terminal,
    argv: Vec<String>,
    screen: String,
    started: Instant,
    heard: Instant,
    closed: bool,
    end: Option<(End, Instant)>,
}

/// All terminals of a scenario.
pub struct Terminals<'a, 'r> {
    recorder: &'a Recorder<'r>,
    sessions: Vec<Session>,
    watch: Watch,
    /// Processes that were there before, where the terminals gives up on a tool that hangs.
    before: Option<&'a BTreeSet<(i32, u64)>>,
    /// When it was made, in clock ticks since boot.
    since: u64,
    /// The course's files that are compiled.
    course: Vec<PathBuf>,
    /// Whether it has given up once.
    gave_up: bool,
    /// Whether known work goes on.
    pulse: Pulse,
    /// When it was last looked at what the machine has left.
    looked: Instant,
}

/// What became of waiting for something.
enum Waited {
    Done,
    TimedOut,
    Working,
    Still,
    Exhausted(Exhausted),
}

impl<'a, 'r> Terminals<'a, 'r> {
    /// A terminals without a terminal yet.
    pub fn new(recorder: &'a Recorder<'r>) -> Self {
        Self {
            recorder,
            sessions: Vec::new(),
            watch: Watch::begin(),
            before: None,
            since: processes::uptime_ticks(),
            course: Vec::new(),
            gave_up: false,
            pulse: Pulse::of(work::Watch::new()),
            looked: Instant::now(),
        }
    }

    /// Gives up waiting once no process has been active for some minutes, apart from those in
    /// `before` (by PID and start time). After the first timeout, later steps get less time.
    #[must_use]
    pub fn giving_up(mut self, before: &'a BTreeSet<(i32, u64)>) -> Self {
        self.before = Some(before);
        self
    }

    /// A compiler at these files is known work.
    #[must_use]
    pub fn compiling(mut self, course: Vec<PathBuf>) -> Self {
        self.course = course;
        self.pulse = Pulse::of(self.work());
        self
    }

    /// Starts a program on a terminal of its own.
    ///
    /// # Errors
    /// When the channel is gone, or no process or terminal can be had.
    pub fn start(&mut self, program: &Program) -> io::Result<TerminalId> {
        let id = TerminalId(self.sessions.len());
        self.recorder.record(STARTS, &Start { terminal: id.0, argv: program.argv.clone() })?;
        let mut terminal = Terminal::hold_in_session(program)?;
        terminal.release()?;
        let now = Instant::now();
        self.sessions.push(Session {
            terminal,
            argv: program.argv.clone(),
            screen: String::new(),
            started: now,
            heard: now,
            closed: false,
            end: None,
        });
        Ok(id)
    }

    /// Runs a program to its end, or kills it at the limit, and records what became of it.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn run(&mut self, step: &str, program: &Program, limit: Duration) -> io::Result<Command> {
        let terminal = self.start(program)?;
        self.finish(step, terminal, limit)
    }

    /// Waits for a program's end, or kills it at the limit, and records what became of it.
    ///
    /// # Errors
    /// When the channel is gone, or the machine [exhausted](Exhausted).
    pub fn finish(&mut self, step: &str, terminal: TerminalId, limit: Duration) -> io::Result<Command> {
        let waited =
            self.wait(limit, |terminals| terminals.end(terminal).is_some() || terminals.floods(terminal))?;
        let stopped = match (self.end(terminal), &waited) {
            (Some(_), _) => None,
            (None, Waited::Done) => Some(Stopped::Output),
            (None, Waited::TimedOut) => Some(Stopped::Time),
            (None, Waited::Working) => Some(Stopped::Working),
            (None, Waited::Still) => Some(Stopped::Still),
            (None, Waited::Exhausted(what)) => Some(Stopped::Exhausted(*what)),
        };
        if stopped.is_some() {
            self.kill(terminal)?;
        }
        // What it wrote last may still be on its way.
        self.look(PAUSE)?;
        let session = &self.sessions[terminal.0];
        let until = session.end.map_or_else(Instant::now, |(_, at)| at);
        let command = Command {
            step: step.to_owned(),
            argv: session.argv.clone(),
            end: session.end.map(|(end, _)| end),
            stopped,
            seconds: until.duration_since(session.started).as_secs_f64(),
            screen: end_of(&session.screen).to_owned(),
        };
        self.recorder.record("command", &command)?;
        match waited {
            Waited::Exhausted(what) => Err(what.into()),
            Waited::Done | Waited::TimedOut | Waited::Working | Waited::Still => Ok(command),
        }
    }

    /// Attends to all terminals until `done`, or until the time is over; says whether it is done.
    ///
    /// # Errors
    /// When the channel is gone, or the machine [exhausted](Exhausted).
    pub fn until(&mut self, limit: Duration, done: impl FnMut(&Self) -> bool) -> io::Result<bool> {
        match self.wait(limit, done)? {
            Waited::Done => Ok(true),
            Waited::TimedOut | Waited::Working | Waited::Still => Ok(false),
            Waited::Exhausted(what) => Err(what.into()),
        }
    }

    fn wait(&mut self, limit: Duration, mut done: impl FnMut(&Self) -> bool) -> io::Result<Waited> {
        let (limit, stillness_lasts) =
            if self.gave_up { (limit / PATIENCE_AGAIN, STILL_AGAIN) } else { (limit, STILL) };
        let mut patience = Patience::new(limit, self.work());
        let mut stillness = self.before.map(Stillness::of_all_but);
        loop {
            self.look(Duration::ZERO)?;
            if done(self) {
                return Ok(Waited::Done);
            }
            let late = patience.late();
            if let Some(extended) = patience.extended() {
                self.recorder.record(EXTENDED, &extended)?;
            }
            if let Some(late) = late {
                self.gave_up |= self.before.is_some() && !limit.is_zero();
                let Late::Working(progress) = late else { return Ok(Waited::TimedOut) };
                self.recorder.record(UNFINISHED, &patience.unfinished(&self.running(), progress))?;
                return Ok(Waited::Working);
            }
            if self.looked.elapsed() >= GLANCE {
                self.looked = Instant::now();
                if let Some(progress) = self.pulse.beat() {
                    self.recorder.record(WORKING, &format!("{progress:?}"))?;
                }
                if let Some(what) = self.watch.used_up() {
                    return Ok(Waited::Exhausted(what));
                }
                // What our server sends, or owes, is waited for.
                if SERVED.owes() {
                    stillness = self.before.map(Stillness::of_all_but);
                }
                let screens: usize = self.sessions.iter().map(|session| session.screen.len()).sum();
                let written = screens + SERVED.bytes() as usize;
                if stillness.as_mut().is_some_and(|stillness| stillness.lasts(written) >= stillness_lasts) {
                    self.gave_up = true;
                    return Ok(Waited::Still);
                }
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Records something beside what the terminals show.
    ///
    /// # Errors
    /// When the channel is gone.
    pub fn record(&self, kind: &str, data: &impl Serialize) -> io::Result<()> {
        self.recorder.record(kind, data)
    }

    /// What may go on beyond a limit: the known work of processes that came since
    /// the terminals was made.
    pub fn work(&self) -> work::Watch<'static> {
        work::Watch::since(self.since).compiling(self.course.clone())
    }

    /// What runs on the terminals, for a sentence.
    fn running(&self) -> String {
        let running = self.sessions.iter().filter(|session| session.end.is_none());
        running.map(|session| session.argv.join(" ")).next_back().unwrap_or_default()
    }

    /// How the program on a terminal ended, if it has.
    pub fn end(&self, terminal: TerminalId) -> Option<End> {
        self.sessions[terminal.0].end.map(|(end, _)| end)
    }

    /// The end of what a terminal has shown so far.
    pub fn screen_end(&self, terminal: TerminalId) -> &str {
        end_of(&self.sessions[terminal.0].screen)
    }

    /// What a terminal has shown so far.
    pub fn screen(&self, terminal: TerminalId) -> &str {
        &self.sessions[terminal.0].screen
    }

    /// The PID of the program that was started on a terminal.
    pub fn pid(&self, terminal: TerminalId) -> i32 {
        self.sessions[terminal.0].terminal.pid
    }

    /// The group of processes in a terminal's foreground.
    pub fn foreground(&self, terminal: TerminalId) -> Option<i32> {
        self.sessions[terminal.0].terminal.foreground().map(Pid::as_raw)
    }

    /// Whether a shell's prompt is the last thing on a terminal.
    pub fn at_prompt(&self, terminal: TerminalId) -> bool {
        let session = &self.sessions[terminal.0];
        let last = session.screen.rsplit('\n').next().unwrap_or_default();
        session.end.is_none()
            && session.heard.elapsed() >= QUIET
            && transcript::lines(last).last().is_some_and(|line| line.ends_with(['#', '$']))
    }

    /// Types a line and returns what the terminal shows from there on once the prompt is back;
    /// `None` where it does not come back in time.
    ///
    /// # Errors
    /// When the channel is gone, or the machine [exhausted](Exhausted).
    pub fn type_line(
        &mut self,
        terminal: TerminalId,
        line: &str,
        limit: Duration,
    ) -> io::Result<Option<String>> {
        let before = self.sessions[terminal.0].screen.len();
        if self.sessions[terminal.0].terminal.type_in(&format!("{line}\n")).is_err() {
            return Ok(None);
        }
        self.sessions[terminal.0].heard = Instant::now();
        let answered = self.until(limit, |terminals| {
            let shown = terminals.screen(terminal).get(before..).unwrap_or_default();
            shown.contains('\n') && terminals.at_prompt(terminal)
        })?;
        Ok(answered.then(|| self.screen(terminal).get(before..).unwrap_or_default().to_owned()))
    }

    /// Types the last line of a session; its end is for [`finish`](Self::finish) to see.
    pub fn type_last_line(&mut self, terminal: TerminalId, line: &str) {
        // A terminal that is closed by now has ended already.
        let _ = self.sessions[terminal.0].terminal.type_in(&format!("{line}\n"));
    }

    /// Presses Ctrl-C.
    pub fn interrupt(&mut self, terminal: TerminalId) {
        // A terminal that is closed by now has ended already.
        let _ = self.sessions[terminal.0].terminal.type_in("\x03");
    }

    /// Kills the program on a terminal and everything below it.
    ///
    /// # Errors
    /// When the channel is gone.
    pub fn kill(&mut self, terminal: TerminalId) -> io::Result<()> {
        let root = self.pid(terminal);
        if self.end(terminal).is_none() {
            for pid in processes::descendants(&[root]).into_iter().chain([root]) {
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
            self.wait(Duration::from_secs(3), |terminals| terminals.end(terminal).is_some())?;
        }
        Ok(())
    }

    /// Whether the program on a terminal wrote more than is read of it.
    pub fn floods(&self, terminal: TerminalId) -> bool {
        self.sessions[terminal.0].terminal.received > OUTPUT_CAP
    }

    /// Reads all terminals and sees who has ended.
    fn look(&mut self, wait: Duration) -> io::Result<()> {
        std::thread::sleep(wait);
        for (number, session) in self.sessions.iter_mut().enumerate() {
            while !session.closed && session.terminal.received <= OUTPUT_CAP {
                match session.terminal.read(Duration::ZERO)? {
                    Heard::Text(text) => {
                        session.heard = Instant::now();
                        session.screen.push_str(&text);
                        self.recorder.record("output", &Output { terminal: number, text })?;
                    }
                    Heard::Nothing => break,
                    Heard::Closed => session.closed = true,
                }
            }
            if session.end.is_none() {
                let pid = Pid::from_raw(session.terminal.pid);
                let end = match waitpid(pid, Some(WaitPidFlag::WNOHANG)) {
                    Ok(WaitStatus::Exited(_, status)) => End::Status(status),
                    Ok(WaitStatus::Signaled(_, signal, _)) => End::Signal(signal as i32),
                    _ => continue,
                };
                session.end = Some((end, Instant::now()));
            }
        }
        Ok(())
    }
}

impl Drop for Terminals<'_, '_> {
    /// Whatever still runs on a terminal ends with the scenario.
    fn drop(&mut self) {
        for number in 0..self.sessions.len() {
            let _ = self.kill(TerminalId(number));
        }
    }
}

/// The last part of a text, of at most [`SCREEN_CAP`] bytes.
fn end_of(screen: &str) -> &str {
    let start = screen.len().saturating_sub(SCREEN_CAP);
    let start = (start..=screen.len()).find(|at| screen.is_char_boundary(*at)).unwrap_or(screen.len());
    &screen[start..]
}
