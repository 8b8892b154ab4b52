//! Starts processes that end with this process, however it ends.
//!
//! The kernel can send a signal to a child when its parent dies (`PR_SET_PDEATHSIG`,
//! prctl(2)). The parent is the *thread* that forked, so one thread, which lives as long as
//! the process, does all forks.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::unistd::{Pid, getpid, getppid};

struct Order {
    command: Command,
    keep: Vec<OwnedFd>,
    last_will: Signal,
    reply: Sender<io::Result<Child>>,
}

/// Starts `command` in a process group of its own, so that Ctrl-C reaches this process first. The
/// command inherits the descriptors in `keep` under their numbers. The kernel sends it `last_will`
/// when this process ends.
pub(crate) fn spawn(command: Command, keep: Vec<OwnedFd>, last_will: Signal) -> io::Result<Child> {
    static FORKER: OnceLock<Sender<Order>> = OnceLock::new();
    let gone = || io::Error::other("the thread that starts processes is gone");
    let (reply, answer) = channel();
    let forker = FORKER.get_or_init(|| {
        let (sender, orders) = channel::<Order>();
        std::thread::spawn(move || {
            while let Ok(order) = orders.recv() {
                let started = fork(order.command, &order.keep, order.last_will);
                let _ = order.reply.send(started);
            }
        });
        sender
    });
    forker.send(Order { command, keep, last_will, reply }).map_err(|_| gone())?;
    answer.recv().map_err(|_| gone())?
}

fn fork(mut command: Command, keep: &[OwnedFd], last_will: Signal) -> io::Result<Child> {
    let parent: Pid = getpid();
    let inherited: Vec<RawFd> = keep.iter().map(AsRawFd::as_raw_fd).collect();
    command.process_group(0);
    // SAFETY: between fork and exec only system calls are made, nothing is allocated, and the
    // descriptors are open: `keep` outlives the fork.
    unsafe {
        command.pre_exec(move || {
            set_pdeathsig(last_will)?;
            if getppid() != parent {
                return Err(io::Error::other("the parent is gone"));
            }
            for &number in &inherited {
                let fd = std::os::fd::BorrowedFd::borrow_raw(number);
                fcntl(fd.as_fd(), FcntlArg::F_SETFD(FdFlag::empty()))?;
            }
            Ok(())
        });
    }
    command.spawn()
}
