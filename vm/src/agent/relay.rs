//! A guest half is a static program that is at hand wherever there is a template, so it also does the one small
//! job on the host that QEMU wants a program for: connecting a guest's TCP connection, which QEMU makes the
//! standard input and output of a process, with a Unix socket.

use std::fs::File;
use std::io::{self, copy};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;

/// Copies in both directions until the socket's side is at its end.
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
