//! The machine's own host name, and every change of it that lasts until somebody looks.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::fd::{AsFd, BorrowedFd};

use nix::sched::{CloneFlags, setns};
use nix::unistd::gethostname;

use super::handles;

/// The kernel wakes whoever polls this file when any host name changes (`proc_sys_poll`); it reads
/// as the name in the UTS namespace of the reader.
const FILE: &str = "sys/kernel/hostname";

/// The host name in the UTS namespace of process `pid`; empty when that cannot be looked into.
pub fn of(pid: i32) -> String {
    // setns moves only the calling thread: a short-lived one goes and looks.
    let look = move || -> Option<String> {
        let namespace = File::open(handles::proc(format!("{pid}/ns/uts"))).ok()?;
        setns(&namespace, CloneFlags::CLONE_NEWUTS).ok()?;
        Some(gethostname().ok()?.to_string_lossy().into_owned())
    };
    std::thread::spawn(look).join().ok().flatten().unwrap_or_default()
}

/// Tells of changes of the host name in the UTS namespace of the thread that made it. As a file
/// handle it becomes ready (`POLLPRI`) when there is something to tell.
#[derive(Debug)]
pub struct Watch {
    file: File,
    last: String,
}

impl Watch {
    /// Watches from now on.
    ///
    /// # Errors
    /// When `/proc` is not mounted.
    pub fn start() -> io::Result<Self> {
        let mut watch = Self { file: File::open(handles::proc(FILE))?, last: String::new() };
        watch.last = watch.read()?;
        Ok(watch)
    }

    /// The name as it was last read.
    pub fn name(&self) -> &str {
        &self.last
    }

    /// The new name, if it has changed since the last look.
    ///
    /// # Errors
    /// When the file cannot be read any more.
    pub fn changed(&mut self) -> io::Result<Option<String>> {
        let name = self.read()?;
        Ok((name != self.last).then(|| {
            self.last.clone_from(&name);
            name
        }))
    }

    fn read(&mut self) -> io::Result<String> {
        let mut name = String::new();
        self.file.rewind()?;
        self.file.read_to_string(&mut name)?;
        Ok(name.trim_end_matches('\n').to_owned())
    }
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use nix::sched::unshare;
    use nix::unistd::{Uid, gettid, sethostname};

    use super::*;

    #[test]
    fn a_change_is_told_once() {
        if !Uid::effective().is_root() {
            eprintln!("skipped: needs root for a UTS namespace");
            return;
        }
        std::thread::spawn(|| {
            unshare(CloneFlags::CLONE_NEWUTS).unwrap();
            let mut watch = Watch::start().unwrap();
            assert_eq!(watch.changed().unwrap(), None);
            sethostname("renamed").unwrap();
            assert_eq!(watch.changed().unwrap(), Some("renamed".to_owned()));
            assert_eq!(of(gettid().as_raw()), "renamed");
            assert_eq!(watch.changed().unwrap(), None);
        })
        .join()
        .unwrap();
    }
}
