//! What QEMU may do on the host. A guest that takes over QEMU by a fault in it
//! meets these limits next.
//!
//! QEMU filters its own system calls (`-sandbox`, seccomp(2)). Before it starts, its process gets
//! resource limits. Where root starts it, the process also gets a user of its own, so that no two
//! machines share one, and a network namespace without a card. Files reach QEMU as open
//! descriptors: that user can open no file of the harness by name.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::sched::{CloneFlags, unshare};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigHandler, Signal, signal};
use nix::unistd::{Gid, Uid, geteuid, setgroups, setresgid, setresuid};

use crate::Kind;

/// All that QEMU's filter can deny.
pub(crate) const SANDBOX: &str = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny";

/// The limits of every QEMU. Its address space holds the guest's 2 GiB, translated code and the
/// stacks of threads; its largest file is the guest's disk of 20 GiB with the disk's tables.
const LIMITS: [(Resource, u64); 4] = [
    (Resource::RLIMIT_AS, 6 << 30),
    (Resource::RLIMIT_FSIZE, 24 << 30),
    (Resource::RLIMIT_NOFILE, 1024),
    (Resource::RLIMIT_CORE, 0),
];

/// How many threads a user may have who has one QEMU: up to 64 work on its disks.
const THREADS: u64 = 128;

/// The user of a QEMU that root started is this one plus the process id. No system gives
/// these numbers to people.
const FIRST_USER: u32 = 2_000_000_000;

/// The largest process id of Linux.
const LAST_PID: u32 = 1 << 22;

/// Confines the process that `command` will start. It keeps the host's network only
/// if it is `networked`.
pub(crate) fn confine(command: &mut Command, accel: Kind, networked: bool) {
    // The caller's environment may hold secrets, such as a mirror's password. MALLOC_ARENA_MAX:
    // each thread that allocates may reserve 64 MiB of addresses for itself.
    command.env_clear().env("MALLOC_ARENA_MAX", "4").current_dir("/");
    let groups = groups(accel).filter(|_| has_own_user());
    let apart = !networked && geteuid().is_root();
    // SAFETY: between fork and exec only system calls are made, and nothing is allocated.
    unsafe {
        command.pre_exec(move || {
            if apart {
                // Not every root may do this, in a container for example; the filter and the
                // limits hold there too.
                let _ = unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWIPC);
            }
            if let Some(groups) = &groups {
                take_own_user(groups)?;
                lower(Resource::RLIMIT_NPROC, THREADS)?;
            }
            for (resource, most) in LIMITS {
                lower(resource, most)?;
            }
            // A write beyond the limit is an error that QEMU reports, not its end.
            signal(Signal::SIGXFSZ, SigHandler::SigIgn)?;
            Ok(())
        });
    }
}

/// Lets QEMU open a file again by the name of its descriptor in /proc, where root starts
/// QEMU as another user. Nobody else can: the names of these files lead through a folder
/// that only root may enter.
pub(crate) fn lend(file: &File, written: bool) -> io::Result<()> {
    let needed = if written { 0o006 } else { 0o004 };
    let mode = file.metadata()?.mode() & 0o7777;
    if geteuid().is_root() && mode & needed != needed {
        let search = u32::from(file.metadata()?.is_dir());
        file.set_permissions(Permissions::from_mode(mode | needed | search))?;
    }
    Ok(())
}

/// Whether root started this process and may give its children any user: not in a
/// namespace with few users.
fn has_own_user() -> bool {
    let has = |map: &str| {
        let text = fs::read_to_string(map).unwrap_or_default();
        text.lines().any(|line| maps_all(line, FIRST_USER, FIRST_USER + LAST_PID))
    };
    geteuid().is_root() && has("/proc/self/uid_map") && has("/proc/self/gid_map")
}

/// Whether a line of a map, `inside outside length` (see `user_namespaces(7)`), has these ids.
fn maps_all(line: &str, first: u32, last: u32) -> bool {
    let fields: Vec<u64> = line.split_whitespace().filter_map(|field| field.parse().ok()).collect();
    matches!(fields[..], [inside, _, length]
        if inside <= u64::from(first) && u64::from(last) < inside + length)
}

/// The groups in which a QEMU with a user of its own finds what it needs; `None` where only root
/// may open `/dev/kvm`, and QEMU has to stay root.
fn groups(accel: Kind) -> Option<Vec<Gid>> {
    if accel == Kind::Tcg {
        return Some(Vec::new());
    }
    let device = fs::metadata("/dev/kvm").ok()?;
    match (device.mode() & 0o666, device.gid()) {
        (0o666, _) => Some(Vec::new()),
        (0o660, group @ 1..) => Some(vec![Gid::from_raw(group)]),
        _ => None,
    }
}

fn take_own_user(groups: &[Gid]) -> nix::Result<()> {
    let number = FIRST_USER + std::process::id();
    let (user, group) = (Uid::from_raw(number), Gid::from_raw(number));
    setgroups(groups)?;
    setresgid(group, group, group)?;
    setresuid(user, user, user)
}

/// Sets a limit, unless a lower one is set already.
fn lower(resource: Resource, most: u64) -> nix::Result<()> {
    let (_, hard) = getrlimit(resource)?;
    let limit = most.min(hard);
    setrlimit(resource, limit, limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_with_few_users_has_none_for_machines() {
        let has = |line| maps_all(line, FIRST_USER, FIRST_USER + LAST_PID);
        assert!(has("         0          0 4294967295"));
        assert!(!has("         0     100000      65536"));
        assert!(!has(""));
    }
}
