//! What Rust's own start does for a program, as far as this one needs it.

use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::{SigHandler, Signal, signal};

/// Ignores SIGPIPE, so that a write to a closed pipe is an error, and opens /dev/null for each
/// standard stream that is closed. Otherwise the next file would be opened as that stream, and
/// messages would be written into it.
pub fn prepare() -> Result<(), Errno> {
    // SAFETY: this program has no signal handlers.
    unsafe { signal(Signal::SIGPIPE, SigHandler::SigIgn) }?;
    for stream in 0..=2 {
        // SAFETY: the calls touch no memory of ours. `open` takes the lowest free number.
        unsafe {
            if libc::fcntl(stream, libc::F_GETFD) < 0 {
                Errno::result(libc::open(c"/dev/null".as_ptr(), libc::O_RDWR))?;
            }
        }
    }
    Ok(())
}
