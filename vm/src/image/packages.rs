//! An image made from packages, for where the official one cannot be fetched: `mmdebstrap` makes the tree,
//! `mkfs.ext4 -d` the disk. Neither needs root where users may have namespaces of their own.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;
use nix::unistd::geteuid;

use super::provision::PACKAGES;
use crate::cache::Lock;
use crate::{Error, Event, Suite, Unit, spawn, tool};

/// Where the kernel finds the root before provisioning.
pub(super) const ROOT: &str = "root=LABEL=vmroot ds=nocloud";

/// What makes an image another one, besides the provisioning.
pub(super) const RECIPE: &str = include_str!("packages.sh");

/// Makes `raw`, and beside it `vmlinuz` and `initrd`.
pub(super) fn make(
    suite: Suite,
    built: &Path,
    raw: &Path,
    size: &str,
    lock: &Lock,
    on: &mut dyn FnMut(Event),
) -> Result<(), Error> {
    on(Event::Step(format!("making {} from packages", suite.title())));
    let mkfs = tool::MKFS.path()?;
    let mmdebstrap = tool::MMDEBSTRAP.path()?;
    let sources = sources(suite)?;
    let log = built.join("log");
    let include: Vec<&str> = PACKAGES.lines().collect();

    // In namespaces of its own its mounts are seen by nobody else, and all of it ends with this process.
    let mut command = Command::new(tool::UNSHARE.path()?);
    if !geteuid().is_root() {
        command.args(["--map-root-user", "--map-auto"]);
    }
    command.args(["--mount", "--pid", "--fork", "--kill-child=KILL", "--mount-proc", "sh"]);
    command
        .args(["-c", include_str!("packages.sh"), "packages.sh"])
        .env("MMDEBSTRAP", mmdebstrap)
        .env("MKFS", mkfs)
        .env("SUITE", suite.codename())
        .env("INCLUDE", include.join(","))
        .env("SOURCES", sources)
        .env("BUILT", built)
        .env("RAW", raw)
        .env("SIZE", size)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    // The lock goes with it: nobody clears away what is still being made.
    let mut child = spawn::spawn(command, vec![lock.descriptor()?], Signal::SIGKILL)
        .map_err(Error::io("run", "mmdebstrap"))?;

    let mut said = Vec::new();
    let mut done = 0;
    if let Some(stderr) = child.stderr.take() {
        for line in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
            if line.starts_with(b"I: ") {
                done += 1;
                on(Event::Progress { done, total: Some(STEPS), unit: Unit::Items });
            }
            said.extend_from_slice(&line);
            said.push(b'\n');
        }
    }
    let status = child.wait().map_err(Error::io("wait for", "mmdebstrap"))?;
    let _ = fs::write(log, &said);
    if status.success() { Ok(()) } else { Err(tool::MMDEBSTRAP.failed(status, &said)) }
}

/// How many steps mmdebstrap and the script announce.
const STEPS: u64 = 16;

/// The host's own package sources for this suite, as lines of a sources.list; empty where it has none, and
/// mmdebstrap then uses the distribution's.
fn sources(suite: Suite) -> Result<String, Error> {
    let format = "$(REPO_URI) $(RELEASE) $(COMPONENT)";
    let output = Command::new("apt-get")
        .args(["indextargets", "--format", format, "Created-By: Packages"])
        .stdin(Stdio::null())
        .output()
        .map_err(Error::io("run", "apt-get"))?;
    let mut lines: Vec<String> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter(|line| {
            let release = line.split(' ').nth(1).unwrap_or_default();
            let name = suite.codename();
            ["", "-updates", "-security"].iter().any(|suffix| release == format!("{name}{suffix}"))
        })
        .map(|line| format!("deb {line}"))
        .collect();
    lines.sort();
    lines.dedup();
    Ok(lines.join("\n"))
}
