//! The outermost process of a machine: joins its control group, leaves the host's namespaces
//! and waits for PID 1.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus};

use nix::sched::{CloneFlags, unshare};

use super::{Plan, failed, groups};

/// Runs a program as `plan` says, with the standard input of [`super::first`];
/// returns its exit status.
///
/// # Errors
/// When a namespace cannot be made.
pub fn outside(plan: &str, argv: &[&str]) -> io::Result<i32> {
    let group = serde_json::from_str::<Plan>(plan)?.group;
    groups::join(&group).map_err(failed("join the machine's control group"))?;
    unshare(
        CloneFlags::CLONE_NEWNS
            | CloneFlags::CLONE_NEWNET
            | CloneFlags::CLONE_NEWUTS
            | CloneFlags::CLONE_NEWIPC
            | CloneFlags::CLONE_NEWPID
            | CloneFlags::CLONE_NEWCGROUP,
    )
    .map_err(|error| failed("make namespaces")(error.into()))?;
    // The group is now the root that the machine sees. A root with processes of its own
    // cannot share out the CPU.
    groups::join(groups::INIT).map_err(failed("join the control group of the machine's first processes"))?;
    let status = Command::new(std::env::current_exe()?).args(["first", plan]).args(argv).status()?;
    Ok(code(status))
}

/// The status as a shell reports it.
pub(super) fn code(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}
