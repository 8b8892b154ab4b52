//! The first process of a machine, PID 1: sets the machine up, starts its program and
//! waits for all others.
//!
//! Its standard input is a pipe of the harness: a line with the length of the program's input, that
//! input, and then nothing until the harness ends or gives the machine up. When the pipe ends, so
//! does PID 1, and with it the machine.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::AsRawFd;
use std::process::{Command, Stdio};

use nix::errno::Errno;
use nix::sys::wait::{WaitStatus, waitpid};
use rustix::thread::{CapabilitySet, remove_capability_from_bounding_set};

use super::{Plan, failed, files};
use crate::guest::observe::handles::OWN_FILES;
use crate::guest::world::{LAN, WORLD};

/// The machine's name, until a scenario gives it another.
const NAME: &str = "cs695";
/// The longest input of a program.
const MOST: u64 = 64 << 20;
/// Capabilities that root of the machine must not have, because their use changes the host.
const WITHOUT: [CapabilitySet; 4] =
    [CapabilitySet::SYS_MODULE, CapabilitySet::SYS_TIME, CapabilitySet::SYS_BOOT, CapabilitySet::SYS_RAWIO];

/// Makes the machine, and runs a program in it; returns its exit status.
///
/// # Errors
/// When a part of the machine cannot be made.
pub fn first(plan: &str, argv: &[&str]) -> io::Result<i32> {
    let plan: Plan = serde_json::from_str(plan)?;
    let mut stdin = BufReader::new(io::stdin());
    let mut length = String::new();
    stdin.read_line(&mut length)?;
    let mut input = vec![0; length.trim().parse::<u64>().map_err(io::Error::other)?.min(MOST) as usize];
    stdin.read_exact(&mut input)?;
    std::thread::spawn(move || {
        let _ = io::copy(&mut stdin, &mut io::sink());
        std::process::exit(137);
    });
    nix::unistd::setsid()?;
    // The folder has no path in the machine. The guest half reaches it through this process.
    let own = File::open(&plan.home)?;
    files::mount_all(&plan)?;
    network()?;
    nix::unistd::sethostname(NAME)?;
    for capability in WITHOUT {
        remove_capability_from_bounding_set(capability)
            .map_err(|error| failed("give up a capability")(error.into()))?;
    }
    run(argv, input, &own)
}

/// A veth pair in place of a virtual machine's cable. Both ends begin in the machine; the
/// world takes one of them.
fn network() -> io::Result<()> {
    let links: [&[&str]; 2] =
        [&["link", "set", "lo", "up"], &["link", "add", LAN, "type", "veth", "peer", "name", WORLD]];
    for arguments in links {
        let output =
            Command::new("ip").args(arguments).output().map_err(failed("run ip (apt install iproute2)"))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(io::Error::other(format!("ip {}: {}", arguments.join(" "), said.trim())));
        }
    }
    // New namespaces take this setting from the host's.
    fs::write("/proc/sys/net/ipv4/ip_forward", "0").map_err(failed("switch off the forwarding of packets"))
}

/// Starts the program and waits for every process that is left to this one until the program ends.
fn run(argv: &[&str], input: Vec<u8>, own: &File) -> io::Result<i32> {
    let (program, arguments) =
        argv.split_first().ok_or_else(|| io::Error::other("there is nothing to run"))?;
    let mut child = Command::new(program)
        .args(arguments)
        .env_clear()
        .envs([("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"), ("HOME", "/root")])
        .envs([("USER", "root"), ("LOGNAME", "root"), ("SHELL", "/bin/bash")])
        .envs([("LANG", "C.UTF-8"), ("TERM", "xterm")])
        .env(OWN_FILES, format!("/proc/1/fd/{}", own.as_raw_fd()))
        .current_dir("/root")
        .stdin(Stdio::piped())
        .spawn()
        .map_err(failed("start the guest half"))?;
    if let Some(mut stdin) = child.stdin.take() {
        std::thread::spawn(move || stdin.write_all(&input));
    }
    loop {
        match waitpid(None, None) {
            Ok(WaitStatus::Exited(pid, status)) if pid.as_raw() == child.id() as i32 => return Ok(status),
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid.as_raw() == child.id() as i32 => {
                return Ok(128 + signal as i32);
            }
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
