//! Protects the agent from a machine that is short of memory or processor time. What keeps other
//! programs away from the agent is in `guard.rs`.

use std::fs;
use std::io;
use std::thread::JoinHandle;

use nix::sys::mman::{MlockAllFlags, mlockall};
use nix::sys::prctl;

/// Keeps the agent's memory resident, the OOM killer away, and debuggers of the same user out.
pub(super) fn put_on() {
    // Each of these helps on its own, and the agent works without them.
    let _ = fs::write("/proc/self/oom_score_adj", "-1000");
    let _ = mlockall(MlockAllFlags::MCL_CURRENT | MlockAllFlags::MCL_FUTURE);
    let _ = prctl::set_dumpable(false);
    prefer_this_thread();
}

/// Starts a thread that runs before every ordinary process, with a small stack.
pub(super) fn thread<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    std::thread::Builder::new().name(name.to_owned()).stack_size(512 << 10).spawn(move || {
        prefer_this_thread();
        work()
    })
}

/// `SCHED_FIFO`, not inherited by children: see sched(7).
fn prefer_this_thread() {
    let parameters = libc::sched_param { sched_priority: 50 };
    // SAFETY: the pointer is to a live sched_param, and the call keeps nothing of it.
    unsafe {
        libc::sched_setscheduler(0, libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK, &raw const parameters);
    }
}
