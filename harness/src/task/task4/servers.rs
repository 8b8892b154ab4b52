//! The programs that serve in a container's network: which process listens, and below which root
//! directory it runs. A program that only joined the network is not in the container.

use serde::{Deserialize, Serialize};

use super::COUNTER_PORT;
use super::container::Container;
use crate::evidence::process::{Directory, Process};
use crate::guest::observe::{processes, sockets};

/// Programs that run scripts or forward connections; `make` builds none of them.
const INTERPRETERS: [&str; 24] = [
    "awk",
    "bash",
    "busybox",
    "dash",
    "gawk",
    "ksh",
    "lua",
    "luajit",
    "mawk",
    "nc",
    "nc.openbsd",
    "nc.traditional",
    "ncat",
    "node",
    "nodejs",
    "perl",
    "php",
    "pypy",
    "python",
    "ruby",
    "sh",
    "socat",
    "tclsh",
    "zsh",
];
/// How the names of programs that run `app.py` begin.
const PYTHONS: [&str; 2] = ["python", "pypy"];

/// A process that listens in a container's network namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Server {
    /// Its port.
    pub port: u16,
    /// Its PID.
    pub pid: i32,
    /// The program's file, as the process sees it.
    pub exe: String,
    /// Its root directory.
    pub root: Directory,
}

/// The servers in the network namespace of a process, wherever they run otherwise.
pub fn servers(pid: i32) -> Vec<Server> {
    let open = sockets::listeners(pid);
    if open.is_empty() {
        return Vec::new();
    }
    let mut found = Vec::new();
    for holder in processes::parents().into_keys() {
        let held = sockets::held(holder);
        let mut ports: Vec<u16> =
            open.iter().filter(|(inode, _)| held.contains(inode)).map(|(_, port)| *port).collect();
        ports.sort_unstable();
        ports.dedup();
        let Some(process) = (!ports.is_empty()).then(|| processes::read(holder)).flatten() else { continue };
        let server =
            |port| Server { port, pid: holder, exe: process.exe.clone(), root: process.root.clone() };
        found.extend(ports.into_iter().map(server));
    }
    found
}

impl Server {
    /// The file name of its program; `None` where it does not tell what runs.
    fn program(&self) -> Option<&str> {
        let process = Process { exe: self.exe.clone(), ..Process::default() };
        let path = self.exe.strip_suffix(" (deleted)").unwrap_or(&self.exe);
        path.rsplit('/').next().filter(|name| !name.is_empty() && !process.is_loader())
    }

    fn is_interpreter(&self) -> bool {
        let is_version = |char: char| char.is_ascii_digit() || char == '.' || char == '-';
        let listed = |name: &str| {
            INTERPRETERS.contains(&name) || INTERPRETERS.contains(&name.trim_end_matches(is_version))
        };
        self.program().is_some_and(listed)
    }

    fn is_python(&self) -> bool {
        self.program().is_none_or(|name| PYTHONS.iter().any(|python| name.starts_with(python)))
    }
}

/// Why what listens in this container is not the counter-service.
pub fn not_the_counter(container: &Container) -> Option<String> {
    let inside = match inside(container) {
        Ok(inside) => inside,
        Err(fault) => return Some(fault),
    };
    // Whoever inherits a socket holds it too.
    let script = inside.first().filter(|_| inside.iter().all(|server| server.is_interpreter()))?;
    Some(format!(
        "a script listens on port {} instead of the program that `make` builds: {}",
        script.port, script.exe
    ))
}

/// Why what listens in this container is not the external-service.
pub fn not_the_page(container: &Container) -> Option<String> {
    let inside = match inside(container) {
        Ok(inside) => inside,
        Err(fault) => return Some(fault),
    };
    let other = inside.first().filter(|_| !inside.iter().any(|server| server.is_python()))?;
    Some(format!("{} listens on port {} instead of python3 with app.py", other.exe, other.port))
}

/// The servers on the services' port, or else on any, that run below the container's root; none
/// where the evidence does not tell.
fn inside(container: &Container) -> Result<Vec<&Server>, String> {
    let all: Vec<&Server> =
        container.servers.iter().flatten().filter(|server| server.root.ino != 0).collect();
    let usual: Vec<&Server> = all.iter().copied().filter(|server| server.port == COUNTER_PORT).collect();
    let serving = if usual.is_empty() { all } else { usual };
    let inside: Vec<&Server> =
        serving.iter().copied().filter(|server| server.root.is(&container.root)).collect();
    match serving.first() {
        Some(server) if inside.is_empty() => Err(format!(
            "the program that listens on port {} has another root directory than its container: {} does not run in it",
            server.port, server.exe
        )),
        _ => Ok(inside),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: u64 = 7;

    fn container(servers: &[(u16, &str, u64)]) -> Container {
        let root = |ino| Directory { path: String::new(), dev: 1, ino };
        let server = |(port, exe, ino): &(u16, &str, u64)| Server {
            port: *port,
            pid: 1,
            exe: (*exe).to_owned(),
            root: root(*ino),
        };
        let servers = Some(servers.iter().map(server).collect());
        Container { root: root(ROOT), servers, ..Container::default() }
    }

    #[test]
    fn a_program_that_only_joined_the_network_is_not_in_the_container() {
        let outside = container(&[(8080, "/home/x/counter-service", 2)]);
        assert!(not_the_counter(&outside).unwrap().contains("another root directory"));
        assert!(not_the_page(&outside).is_some());
        let both = container(&[(8080, "/usr/bin/nsenter", 2), (8080, "/opt/counter-service", ROOT)]);
        assert_eq!(not_the_counter(&both), None);
        let beside = container(&[(22, "/usr/sbin/sshd", 2), (8080, "/opt/counter-service", ROOT)]);
        assert_eq!(not_the_counter(&beside), None);
    }

    #[test]
    fn a_script_is_not_the_counter_service() {
        for exe in [
            "/usr/bin/perl",
            "/usr/bin/perl5.36.0",
            "/usr/bin/python3.11",
            "/bin/busybox",
            "/usr/bin/nc.openbsd",
        ] {
            assert!(not_the_counter(&container(&[(8080, exe, ROOT)])).is_some(), "{exe}");
        }
        for exe in [
            "/opt/counter-service/counter-service",
            "/srv/luacounter",
            "/srv/c (deleted)",
            "/lib64/ld-linux-x86-64.so.2",
            "",
        ] {
            assert_eq!(not_the_counter(&container(&[(8080, exe, ROOT)])), None, "{exe}");
        }
    }

    #[test]
    fn the_external_service_runs_in_python() {
        assert!(not_the_page(&container(&[(8080, "/usr/bin/perl", ROOT)])).is_some());
        for exe in ["/usr/bin/python3.11", "/opt/conda/bin/python3", "/usr/bin/pypy3", ""] {
            assert_eq!(not_the_page(&container(&[(8080, exe, ROOT)])), None, "{exe}");
        }
    }

    #[test]
    fn evidence_that_does_not_tell_is_no_fault() {
        let older = Container::default();
        assert_eq!((not_the_counter(&older), not_the_page(&older)), (None, None));
        assert_eq!(not_the_counter(&container(&[(8080, "/x", 0)])), None);
    }

    #[test]
    fn the_process_that_holds_a_listening_socket_is_found() {
        let server = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
        let (own, port) = (std::process::id() as i32, server.local_addr().unwrap().port());
        let found = servers(own);
        assert!(found.iter().any(|server| server.port == port && server.pid == own && server.root.ino != 0));
    }
}
