//! Name servers for a container that reaches the Internet.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::sandbox::process;
use crate::state::{self, if_there};

/// Files with name servers. If the first names a local resolver (systemd-resolved), which a
/// container cannot reach, the second names the servers behind it.
const FILES: [&str; 2] = ["/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"];

/// Name servers for a host that has none.
const FALLBACK: &str = "nameserver 1.1.1.1\nnameserver 8.8.8.8\n";

/// A resolv.conf(5) with the name servers of the host that a container can reach.
pub fn resolv_conf() -> Result<String, state::Error> {
    for path in FILES.map(Path::new) {
        let text = if_there(fs::read(path), "read", path)?;
        if let Some(servers) = text.and_then(|text| reachable(&String::from_utf8_lossy(&text))) {
            return Ok(servers);
        }
    }
    Ok(FALLBACK.to_owned())
}

fn reachable(text: &str) -> Option<String> {
    let is_server = |line: &str| line.starts_with("nameserver");
    let is_local = |line: &str| {
        let address = line.split_ascii_whitespace().nth(1).unwrap_or_default();
        // IPv6 servers too: a container has no IPv6 network.
        address.starts_with("127.") || address.contains(':')
    };
    let lines: Vec<&str> = text.lines().filter(|line| !is_server(line) || !is_local(line)).collect();
    lines.iter().any(|line| is_server(line)).then(|| lines.join("\n") + "\n")
}

/// The root directory of the process `pidfd`, whose PID is or was `pid`. `None` if that process has
/// ended, even if another process has its PID now.
pub fn root_of(pidfd: &OwnedFd, pid: i32) -> io::Result<Option<OwnedFd>> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open(format!("/proc/{pid}/root"), flags, Mode::empty());
    // If the process still runs, it still has its PID, and the root is its own.
    if process::has_ended(pidfd)? { Ok(None) } else { Ok(Some(root?)) }
}

/// Writes /etc/resolv.conf in the container with the root directory `root`. Symbolic links in the
/// container cannot lead out of it.
pub fn write(root: impl AsFd, text: &str) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let open = || rustix::fs::openat2(root.as_fd(), c"etc", flags, Mode::empty(), ResolveFlags::IN_ROOT);
    let etc = match open() {
        Err(Errno::NOENT) => {
            rustix::fs::mkdirat(root.as_fd(), c"etc", Mode::from_raw_mode(0o755))?;
            open()?
        }
        etc => etc?,
    };
    // Often a symbolic link to a file of a service that does not run in the container.
    match rustix::fs::unlinkat(&etc, c"resolv.conf", AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(error) => return Err(error.into()),
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let file = rustix::fs::openat(&etc, c"resolv.conf", flags, Mode::from_raw_mode(0o644))?;
    // Every user of the container must be able to read the file, whatever our umask is.
    rustix::fs::fchmod(&file, Mode::from_raw_mode(0o644))?;
    File::from(file).write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_that_only_the_host_reaches_are_left_out() {
        let text = "# comment\nnameserver 127.0.0.53\nnameserver 10.0.2.3\nnameserver fe80::1\nsearch a.b\n";
        assert_eq!(reachable(text).unwrap(), "# comment\nnameserver 10.0.2.3\nsearch a.b\n");
        assert_eq!(reachable("nameserver 127.0.0.1\n"), None);
    }

    #[test]
    fn a_link_in_the_container_does_not_lead_out_of_it() {
        let root = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("etc")).unwrap();
        let victim = outside.path().join("victim");
        fs::write(&victim, "precious").unwrap();
        std::os::unix::fs::symlink(&victim, root.path().join("etc/resolv.conf")).unwrap();
        write(File::open(root.path()).unwrap(), "nameserver 10.0.2.3\n").unwrap();
        assert_eq!(fs::read_to_string(victim).unwrap(), "precious");
        assert_eq!(fs::read_to_string(root.path().join("etc/resolv.conf")).unwrap(), "nameserver 10.0.2.3\n");
    }

    #[test]
    fn the_root_of_whoever_has_the_pid_of_an_ended_process_is_not_taken_for_its_own() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let pid = child.id().cast_signed();
        let raw = rustix::process::Pid::from_raw(pid).unwrap();
        let pidfd = rustix::process::pidfd_open(raw, rustix::process::PidfdFlags::empty()).unwrap();
        assert!(root_of(&pidfd, pid).unwrap().is_some());
        child.kill().unwrap();
        child.wait().unwrap();
        let heir = std::process::id().cast_signed();
        assert!(root_of(&pidfd, heir).unwrap().is_none());
        assert!(root_of(&pidfd, pid).unwrap().is_none());
    }
}
