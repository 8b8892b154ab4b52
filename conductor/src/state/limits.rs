//! The number of files that this process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the soft limit of open files to the hard limit. The former limit returns when this value
/// is dropped.
///
/// A `COPY` keeps one directory open for each level of its source. The usual soft limit of 1024
/// would be too low for a deep tree. It returns before any other program is started: some programs
/// close every descriptor up to the limit.
#[derive(Debug)]
#[must_use = "dropping it restores the limit"]
pub struct OpenFiles(Rlimit);

impl OpenFiles {
    /// Raises the limit. If the kernel refuses, the limit stays.
    pub fn raise() -> Self {
        let before = getrlimit(Resource::Nofile);
        let _ = setrlimit(Resource::Nofile, Rlimit { current: before.maximum, maximum: before.maximum });
        Self(before)
    }
}

impl Drop for OpenFiles {
    fn drop(&mut self) {
        let Rlimit { current, maximum } = self.0;
        let _ = setrlimit(Resource::Nofile, Rlimit { current, maximum });
    }
}
