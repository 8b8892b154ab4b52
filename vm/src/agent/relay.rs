//! The agent's second job, on the host: it connects a guest's TCP connection with a Unix socket. QEMU starts a program for each
//! such connection and makes the connection its standard input and output. The agent is at hand, because every template has
//! a copy.

use std::fs::File;
use std::io::{self, copy};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;

/// Copies in both directions until the socket is at its end.
pub(super) fn to(socket: &Path) -> io::Result<()> {
    let stream = UnixStream::connect(socket)?;
    let mut back = stream.try_clone()?;
    let mut input = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let mut output = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    std::thread::spawn(move || {
        let _ = copy(&mut input, &mut &stream);
        let _ = stream.shutdown(Shutdown::Write);
    });
    copy(&mut back, &mut output)?;
    Ok(())
}
