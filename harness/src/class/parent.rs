//! A grade that was started for a class ends when the class's process does, however that
//! ends: otherwise it would hold the submission's report, and its machine, while the
//! next process wants them.

use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::unistd::getppid;

/// Has the kernel end this process when its parent ends.
///
/// # Errors
/// When the parent, whose process id is given, is gone already.
pub fn end_with(parent: i32) -> std::io::Result<()> {
    set_pdeathsig(Signal::SIGKILL)?;
    if getppid().as_raw() == parent {
        Ok(())
    } else {
        Err(std::io::Error::other(format!("the process {parent} that started this grade has ended")))
    }
}
