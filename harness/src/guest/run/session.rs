//! One loop that runs a program on a terminal, traces its processes, watches the machine's
//! host name and enforces the student's limits, while it records what happens in the order
//! in which it happens.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::Pid;

use super::patience::{Late, Patience};
use super::terminal::{Heard, Program, Terminal};
use crate::evidence::STARTS;
use crate::evidence::exhausted::Exhausted;
use crate::evidence::limits::EXTENDED;
use crate::evidence::limits::UNFINISHED;
use crate::evidence::process::Process;
use crate::evidence::program::{End, Hostname, Outcome, Output, Start, Stopped};
use crate::guest::observe::hostname;
use crate::guest::observe::processes;
use crate::guest::observe::trace::{Event, Tracer, What};
use crate::guest::observe::work::Watch;
use crate::guest::recorder::Recorder;

/// Longest time between two looks at everything.
const IDLE: Duration = Duration::from_millis(16);
/// Time between two [`Observation::Tick`]s.
const TICK: Duration = Duration::from_millis(100);
/// What processes that outlive the program get to end by themselves.
pub const GRACE: Duration = Duration::from_secs(1);
/// What killed processes get to vanish; one in an uninterruptible sleep may never.
const KILL_GRACE: Duration = Duration::from_secs(3);

/// What a program may use before it is stopped.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// From its first instruction.
    pub time: Duration,
    /// Bytes written to the terminal.
    pub output: u64,
    /// Processes and threads at one time.
    pub processes: usize,
}

/// What an observer is shown.
#[derive(Debug)]
pub enum Observation<'a> {
    /// A traced process stands still, or has ended.
    Event(&'a Event),
    /// Some time has passed.
    Tick,
}

/// What an observer may use.
pub struct SessionHandle<'a, 'r> {
    /// Where observations go.
    pub recorder: &'a Recorder<'r>,
    terminal: Terminal,
    over: bool,
    closed: bool,
    limit: u64,
}

impl SessionHandle<'_, '_> {
    /// Records what the terminal shows by now, waiting until it has been quiet for `settle`.
    ///
    /// # Errors
    /// When the channel is gone.
    pub fn hear(&mut self, settle: Duration) -> io::Result<()> {
        while !self.closed && !self.over {
            match self.terminal.read(settle)? {
                Heard::Text(text) => {
                    self.over = self.terminal.received > self.limit;
                    self.recorder.record("output", &Output { terminal: 0, text })?;
                }
                Heard::Nothing => break,
                Heard::Closed => self.closed = true,
            }
        }
        Ok(())
    }
}

/// As [`run_patiently`], with no known work but what every program may do.
///
/// # Errors
/// As [`run_patiently`].
pub fn run(
    program: &Program,
    tracer: Tracer,
    also: &[i32],
    limits: Limits,
    recorder: &Recorder,
    observe: &mut dyn FnMut(&mut SessionHandle, Observation) -> io::Result<()>,
) -> io::Result<Outcome> {
    run_patiently(program, tracer, also, limits, Watch::new(), recorder, observe)
}

/// Runs `program` to its end or to a limit, which known work may pass. `observe` sees every event
/// of its processes and of those that the processes in `also` create.
///
/// # Errors
/// When the channel is gone, or no process can be made and traced.
pub fn run_patiently(
    program: &Program,
    mut tracer: Tracer,
    also: &[i32],
    limits: Limits,
    work: Watch,
    recorder: &Recorder,
    observe: &mut dyn FnMut(&mut SessionHandle, Observation) -> io::Result<()>,
) -> io::Result<Outcome> {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGCHLD);
    signals.thread_block()?;
    let wakeups = SignalFd::with_flags(&signals, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
    let mut hostname = hostname::Watch::start()?;

    recorder.record(STARTS, &Start { terminal: 0, argv: program.argv.clone() })?;
    let terminal = Terminal::hold(program)?;
    let root = terminal.pid;
    tracer.seize(root)?;
    for pid in also {
        tracer.seize(*pid)?;
    }
    let mut session = SessionHandle { recorder, terminal, over: false, closed: false, limit: limits.output };
    session.terminal.release()?;

    let started = Instant::now();
    let mut patience = Patience::new(limits.time, work);
    let mut run = Run {
        root,
        end: None,
        ended: None,
        stopped: None,
        killed: None,
        left: Vec::new(),
        running: Vec::new(),
    };
    let mut last_tick = started;
    let mut pause = Duration::ZERO;
    loop {
        let mut eventful = false;
        while let Some(event) = tracer.poll() {
            eventful = true;
            session.hear(Duration::ZERO)?;
            observe(&mut session, Observation::Event(&event))?;
            run.account(&event, &mut tracer);
            if started.elapsed() > patience.until() {
                break;
            }
        }
        session.hear(Duration::ZERO)?;
        if let Some(name) = hostname.changed()? {
            recorder.record("hostname", &Hostname { name })?;
        }
        if last_tick.elapsed() >= TICK {
            last_tick = Instant::now();
            observe(&mut session, Observation::Tick)?;
        }
        let limit = if session.over {
            Some(Stopped::Output)
        } else if run.is_going_on()
            && let Some(late) = patience.late()
        {
            Some(cut_off(late, program, &patience, recorder)?)
        } else if tracer.alive_below(root).len() > limits.processes {
            Some(Stopped::Exhausted(Exhausted::Processes))
        } else {
            None
        };
        if let Some(extended) = patience.extended() {
            recorder.record(EXTENDED, &extended)?;
        }
        if run.is_over(limit, &tracer) {
            break;
        }
        pause = if eventful { Duration::ZERO } else { (pause * 2 + Duration::from_millis(1)).min(IDLE) };
        wait(&[wakeups.as_fd(), session.terminal.as_fd(), hostname.as_fd()], session.closed, pause);
        while let Ok(Some(_)) = wakeups.read_signal() {}
    }
    session.hear(Duration::from_millis(20))?;
    Ok(Outcome {
        pid: root,
        end: run.end,
        stopped: run.stopped,
        seconds: run.ended.unwrap_or_else(Instant::now).duration_since(started).as_secs_f64(),
        limit: patience.until().as_secs_f64(),
        left: run.left,
        running: run.running,
        output: session.terminal.received,
    })
}

/// The state of the program's end.
struct Run {
    root: i32,
    end: Option<End>,
    ended: Option<Instant>,
    stopped: Option<Stopped>,
    killed: Option<Instant>,
    left: Vec<Process>,
    running: Vec<Process>,
}

/// Records what known work was cut off, if any was.
fn cut_off(late: Late, program: &Program, patience: &Patience, recorder: &Recorder) -> io::Result<Stopped> {
    let Late::Working(progress) = late else { return Ok(Stopped::Time) };
    recorder.record(UNFINISHED, &patience.unfinished(&program.argv.join(" "), progress))?;
    Ok(Stopped::Working)
}

impl Run {
    /// Whether it has neither ended nor been killed.
    fn is_going_on(&self) -> bool {
        self.end.is_none() && self.killed.is_none()
    }

    fn account(&mut self, event: &Event, tracer: &mut Tracer) {
        match event.what {
            What::Ended(end) if event.pid == self.root => {
                self.end = Some(end);
                self.ended = Some(Instant::now());
            }
            What::Ended(_) => {}
            _ => {
                if self.killed.is_some() && tracer.root_of(event.pid) == Some(self.root) {
                    let _ = kill(Pid::from_raw(event.pid), Signal::SIGKILL);
                }
                tracer.resume(event.pid);
            }
        }
    }

    /// Kills what has to be killed; whether there is nothing more to wait for.
    fn is_over(&mut self, limit: Option<Stopped>, tracer: &Tracer) -> bool {
        let alive = tracer.alive_below(self.root);
        if alive.is_empty() && self.end.is_some() {
            return true;
        }
        if let Some(killed) = self.killed {
            kill_all(&alive);
            return killed.elapsed() > KILL_GRACE;
        }
        let outlived = self.ended.is_some_and(|ended| ended.elapsed() > GRACE);
        if limit.is_some() || outlived {
            let there = alive.iter().filter_map(|pid| processes::read(*pid)).take(20).collect();
            if self.end.is_some() {
                self.left = there;
            } else {
                self.stopped = limit;
                self.running = there;
            }
            self.killed = Some(Instant::now());
            kill_all(&alive);
        }
        false
    }
}

fn kill_all(alive: &[i32]) {
    for pid in alive.iter().chain(&processes::descendants(alive)) {
        let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL);
    }
}

/// Sleeps until something happens on one of three handles, or `pause` is over.
fn wait(handles: &[BorrowedFd; 3], closed: bool, pause: Duration) {
    let [signals, terminal, hostname] = *handles;
    let mut watched =
        vec![PollFd::new(signals, PollFlags::POLLIN), PollFd::new(hostname, PollFlags::POLLPRI)];
    // A terminal that nobody has open is always ready: it would make this a busy loop.
    if !closed {
        watched.push(PollFd::new(terminal, PollFlags::POLLIN));
    }
    let _ = poll(&mut watched, PollTimeout::try_from(pause).unwrap_or(PollTimeout::ZERO));
}
