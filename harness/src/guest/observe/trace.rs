//! Watches a process tree with ptrace(2): each process stands still at its first instruction, after
//! each exec and before its end, so that what is read of it then is no race.
//!
//! Seizing is invisible to job control and to the processes' parents. Nothing here blocks:
//! [`Tracer::poll`] is called from the loop that also reads the terminal. Processes that
//! evade it (`CLONE_UNTRACED`) are simply not evidence: judges ask for what was seen,
//! never for what was not. Task 1 alone looks for those that stay, by their control group.

use std::collections::{HashMap, HashSet, VecDeque};
use std::io;
use std::time::{Duration, Instant};

use super::processes;
use crate::evidence::program::{Call, End};
use nix::errno::Errno;
use nix::libc;
use nix::sys::ptrace::{self, Options};
use nix::unistd::Pid;

/// Something a traced process did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The PID. The process stands still until [`Tracer::resume`], unless it has ended.
    pub pid: i32,
    /// The event.
    pub what: What,
}

/// What a traced process did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// It is about to execute its first instruction.
    Born {
        /// The process that created it; its parent, unless it was made with `CLONE_PARENT`.
        creator: i32,
    },
    /// It has become another program and is about to execute that one's first instruction.
    Executed,
    /// One of the [`WATCHED`] system calls returned.
    Called(Call),
    /// It is about to end; it still has its namespaces and its cgroup.
    Exiting,
    /// It has ended. One killed outright may come here without [`What::Exiting`].
    Ended(End),
}

/// What processes get to stop, so that they can be let go.
const RELEASE: Duration = Duration::from_secs(1);

/// The system calls that [`What::Called`] reports.
pub const WATCHED: [(i64, &str); 3] =
    [(libc::SYS_setns, "setns"), (libc::SYS_unshare, "unshare"), (libc::SYS_sethostname, "sethostname")];

/// Follows processes and all that they create.
#[derive(Debug)]
pub struct Tracer {
    calls: bool,
    /// Each process and thread with the seized process it descends from.
    alive: HashMap<i32, i32>,
    /// Children that stopped before their creator reported them.
    unclaimed: HashSet<i32>,
    /// Children whose creator reported them before they stopped.
    announced: HashMap<i32, i32>,
    /// The watched call that a process is in.
    inside: HashMap<i32, (&'static str, [u64; 2])>,
    /// Events that came to light together with another.
    due: VecDeque<Event>,
}

impl Tracer {
    /// A tracer; `calls` also reports system calls, which slows the traced programs down.
    pub fn new(calls: bool) -> Self {
        Self {
            calls,
            alive: HashMap::new(),
            unclaimed: HashSet::new(),
            announced: HashMap::new(),
            inside: HashMap::new(),
            due: VecDeque::new(),
        }
    }

    /// Follows `pid` from here on. Only the calling thread can use this tracer then.
    ///
    /// # Errors
    /// When the kernel does not allow it, or the process is gone.
    pub fn seize(&mut self, pid: i32) -> io::Result<()> {
        let mut options = Options::PTRACE_O_TRACEFORK
            | Options::PTRACE_O_TRACEVFORK
            | Options::PTRACE_O_TRACECLONE
            | Options::PTRACE_O_TRACEEXEC
            | Options::PTRACE_O_TRACEEXIT;
        if self.calls {
            options |= Options::PTRACE_O_TRACESYSGOOD;
        }
        ptrace::seize(Pid::from_raw(pid), options)?;
        self.alive.insert(pid, pid);
        Ok(())
    }

    /// Which seized process this one descends from.
    pub fn root_of(&self, pid: i32) -> Option<i32> {
        self.alive.get(&pid).copied()
    }

    /// The processes and threads below (and including) the seized process `root`
    /// that have not ended.
    pub fn alive_below(&self, root: i32) -> Vec<i32> {
        self.alive.iter().filter(|(_, origin)| **origin == root).map(|(pid, _)| *pid).collect()
    }

    /// The next event, if there is one now. Events of other kinds are dealt with on the way.
    pub fn poll(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.due.pop_front() {
                return Some(event);
            }
            let mut status = 0;
            let flags = libc::__WALL | libc::WNOHANG | libc::__WNOTHREAD;
            // SAFETY: writes one int. Not nix's waitpid: that one loses stops
            // with real-time signals.
            let pid = unsafe { libc::waitpid(-1, &raw mut status, flags) };
            if pid <= 0 {
                return None;
            }
            if let Some(what) = self.understand(pid, status) {
                return Some(Event { pid, what });
            }
        }
    }

    /// Lets a process go on after its event.
    pub fn resume(&self, pid: i32) {
        self.go_on(pid, 0);
    }

    fn understand(&mut self, pid: i32, status: i32) -> Option<What> {
        if libc::WIFEXITED(status) {
            return self.ended(pid, End::Status(libc::WEXITSTATUS(status)));
        }
        if libc::WIFSIGNALED(status) {
            return self.ended(pid, End::Signal(libc::WTERMSIG(status)));
        }
        let signal = libc::WSTOPSIG(status);
        match status >> 16 {
            libc::PTRACE_EVENT_FORK | libc::PTRACE_EVENT_VFORK | libc::PTRACE_EVENT_CLONE => {
                let child = ptrace::getevent(Pid::from_raw(pid)).ok().map(|child| child as i32);
                if let Some(child) = child {
                    self.announced.insert(child, pid);
                }
                self.go_on(pid, 0);
                if let Some(child) = child.filter(|child| self.unclaimed.remove(child)) {
                    let born = self.stopped(child).map(|what| Event { pid: child, what });
                    self.due.extend(born);
                }
                None
            }
            libc::PTRACE_EVENT_EXEC => {
                self.inside.remove(&pid);
                Some(What::Executed)
            }
            libc::PTRACE_EVENT_EXIT => Some(What::Exiting),
            libc::PTRACE_EVENT_STOP if signal == libc::SIGTRAP => self.stopped(pid),
            libc::PTRACE_EVENT_STOP => {
                // A job control stop: it stays stopped until someone continues it.
                request(libc::PTRACE_LISTEN, pid, 0);
                None
            }
            _ if signal == libc::SIGTRAP | 0x80 => self.syscall(pid),
            _ if is_fault_of_init(pid, signal) => {
                request(libc::PTRACE_DETACH, pid, signal);
                self.ended(pid, End::Signal(signal))
            }
            _ => {
                self.go_on(pid, signal);
                None
            }
        }
    }

    fn stopped(&mut self, pid: i32) -> Option<What> {
        if let Some(creator) = self.announced.remove(&pid) {
            let origin = self.alive.get(&creator).copied().unwrap_or(creator);
            self.alive.insert(pid, origin);
            return Some(What::Born { creator });
        }
        if self.alive.contains_key(&pid) {
            self.go_on(pid, 0);
        } else {
            self.unclaimed.insert(pid);
        }
        None
    }

    fn ended(&mut self, pid: i32, end: End) -> Option<What> {
        self.unclaimed.remove(&pid);
        self.announced.remove(&pid);
        self.inside.remove(&pid);
        self.alive.remove(&pid).map(|_| What::Ended(end))
    }

    fn syscall(&mut self, pid: i32) -> Option<What> {
        let Ok(info) = ptrace::syscall_info(Pid::from_raw(pid)) else {
            self.go_on(pid, 0);
            return None;
        };
        match info.op {
            libc::PTRACE_SYSCALL_INFO_ENTRY => {
                // SAFETY: `op` says which member of the union the kernel filled.
                let entry = unsafe { info.u.entry };
                if let Some((_, name)) = WATCHED.iter().find(|(number, _)| *number == entry.nr as i64) {
                    self.inside.insert(pid, (name, [entry.args[0], entry.args[1]]));
                }
            }
            libc::PTRACE_SYSCALL_INFO_EXIT => {
                if let Some((name, arguments)) = self.inside.remove(&pid) {
                    // SAFETY: as above.
                    let result = unsafe { info.u.exit.sval };
                    return Some(What::Called(Call { name: name.to_owned(), arguments, result }));
                }
            }
            _ => {}
        }
        self.go_on(pid, 0);
        None
    }

    fn go_on(&self, pid: i32, signal: i32) {
        let how = if self.calls { libc::PTRACE_SYSCALL } else { libc::PTRACE_CONT };
        request(how, pid, signal);
    }
}

impl Drop for Tracer {
    /// Lets everything go that is still alive: a process that stops for a tracer which does
    /// not look stays stopped.
    fn drop(&mut self) {
        let deadline = Instant::now() + RELEASE;
        for pid in self.unclaimed.drain() {
            request(libc::PTRACE_DETACH, pid, 0);
        }
        // What stands still can be let go at once; what runs has to stop for it, and so
        // have announced children.
        self.alive.retain(|pid, _| ptrace::detach(Pid::from_raw(*pid), None).is_err());
        self.alive.extend(self.announced.drain());
        for pid in self.alive.keys() {
            let _ = ptrace::interrupt(Pid::from_raw(*pid));
        }
        while !self.alive.is_empty() && Instant::now() < deadline {
            let mut status = 0;
            let flags = libc::__WALL | libc::WNOHANG | libc::__WNOTHREAD;
            // SAFETY: writes one int.
            let pid = unsafe { libc::waitpid(-1, &raw mut status, flags) };
            if pid <= 0 {
                std::thread::sleep(Duration::from_millis(1));
                continue;
            }
            self.alive.remove(&pid);
            if libc::WIFSTOPPED(status) {
                let event = status >> 16;
                if [libc::PTRACE_EVENT_FORK, libc::PTRACE_EVENT_VFORK, libc::PTRACE_EVENT_CLONE]
                    .contains(&event)
                    && let Ok(child) = ptrace::getevent(Pid::from_raw(pid))
                {
                    self.alive.insert(child as i32, pid);
                }
                let signal = libc::WSTOPSIG(status);
                let is_delivery = event == 0 && signal & 0x7f != libc::SIGTRAP;
                request(libc::PTRACE_DETACH, pid, if is_delivery { signal } else { 0 });
            }
        }
    }
}

/// Whether the kernel would end the first process of a PID namespace for a fault of its own, were
/// it not traced: then it keeps the signal from it, and the fault comes again and again
/// (`force_sig_info_to_task` in kernel/signal.c).
fn is_fault_of_init(pid: i32, signal: i32) -> bool {
    const FAULTS: [i32; 5] = [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE, libc::SIGSYS];
    if !FAULTS.contains(&signal) {
        return false;
    }
    let is_by_kernel = ptrace::getsiginfo(Pid::from_raw(pid)).is_ok_and(|info| info.si_code > 0);
    is_by_kernel && processes::is_init_of_namespace(pid) && !processes::handles(pid, signal)
}

/// One ptrace request that needs no memory. A process that was killed answers ESRCH: its
/// end is reported by the next wait, so nothing is lost by going on.
fn request(what: libc::c_uint, pid: i32, signal: i32) {
    // SAFETY: these requests take no pointers.
    let answer = unsafe { libc::ptrace(what, pid, 0, libc::c_long::from(signal)) };
    debug_assert!(answer == 0 || Errno::last() == Errno::ESRCH, "ptrace request {what}: {}", Errno::last());
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command};

    use super::*;

    /// Something that creates processes without end.
    fn busy() -> Child {
        Command::new("sh").args(["-c", "while :; do (true) & (exit 3); wait; done"]).spawn().unwrap()
    }

    fn next(tracer: &mut Tracer) -> Event {
        loop {
            match tracer.poll() {
                Some(event) => return event,
                None => std::thread::sleep(Duration::from_millis(1)),
            }
        }
    }

    #[test]
    fn a_child_is_seen_born_and_ended() {
        let mut shell = busy();
        let pid = shell.id() as i32;
        let mut tracer = Tracer::new(false);
        tracer.seize(pid).unwrap();
        let mut born = HashSet::new();
        loop {
            let event = next(&mut tracer);
            match event.what {
                What::Born { creator } => {
                    assert_eq!(creator, pid);
                    assert_eq!(tracer.root_of(event.pid), Some(pid));
                    born.insert(event.pid);
                }
                What::Ended(End::Status(3)) if born.contains(&event.pid) => break,
                _ => {}
            }
            tracer.resume(event.pid);
        }
        // A tracer that still looks on would take the end of the shell before
        // its parent asks for it.
        drop(tracer);
        shell.kill().unwrap();
        shell.wait().unwrap();
    }

    #[test]
    fn what_is_let_go_runs_on() {
        let mut shell = busy();
        let pid = shell.id() as i32;
        let mut tracer = Tracer::new(false);
        tracer.seize(pid).unwrap();
        // One event is never answered: its process stands still.
        next(&mut tracer);
        drop(tracer);
        let status = || std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        assert!(status().contains("TracerPid:\t0"), "{}", status());
        let switches = || status().lines().find(|line| line.starts_with("voluntary")).unwrap().to_owned();
        let before = switches();
        while switches() == before {
            std::thread::sleep(Duration::from_millis(1));
        }
        shell.kill().unwrap();
        shell.wait().unwrap();
    }
}
