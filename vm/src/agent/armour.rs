//! What keeps the guest half alive and heard while programs that are root do their worst beside it.
//!
//! None of it changes what other programs can do. A program that sets out to kill the guest half can: then the
//! channel closes, and the host says so.

use std::fs;
use std::io;
use std::thread::JoinHandle;

use nix::sys::mman::{MlockAllFlags, mlockall};
use nix::sys::prctl;

/// Never swapped or paged out, never chosen by the OOM killer, not in reach of a same-user debugger.
pub(super) fn put_on() {
    // Each is worth having without the others; where one is refused the guest half still works.
    let _ = fs::write("/proc/self/oom_score_adj", "-1000");
    let _ = mlockall(MlockAllFlags::MCL_CURRENT | MlockAllFlags::MCL_FUTURE);
    let _ = prctl::set_dumpable(false);
    prefer_this_thread();
}

/// A thread that is scheduled before every ordinary process, with a stack that is cheap to keep in memory.
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
