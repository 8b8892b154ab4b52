//! Keeps root away from the agent and the protected programs. Loads the hooks of
//! `vm/guard/guard.bpf.c` into the kernel, then locks the kernel down. This is done once, before
//! the template is frozen, and lasts as long as the agent, restores included.
//!
//! The order matters: a locked-down kernel refuses programs that read its memory, and the hooks do.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use aya::programs::Lsm;
use aya::{Btf, Ebpf, EbpfLoader};

use crate::channel::PORT;
use crate::error::chain;

static OBJECT: &[u8] = aya::include_bytes_aligned!("../../guard/guard.bpf.o");

/// Each hook's function in the object, and its name in the kernel.
const HOOKS: [(&str, &str); 15] = [
    ("task_kill", "task_kill"),
    ("sigio", "file_send_sigiotask"),
    ("ptrace_check", "ptrace_access_check"),
    ("setnice", "task_setnice"),
    ("setioprio", "task_setioprio"),
    ("setrlimit", "task_setrlimit"),
    ("movememory", "task_movememory"),
    ("setscheduler", "task_setscheduler"),
    ("bpf_call", "bpf"),
    ("perf_open", "perf_event_open"),
    ("notify", "path_notify"),
    ("rmdir", "inode_rmdir"),
    ("mkdir", "inode_mkdir"),
    ("file_open", "file_open"),
    ("capable", "capable"),
];

/// The agent's control group: no other process may change it or move a process out of it.
const KEPT: &str = "/sys/fs/cgroup/keep";
const OWN: &str = "/sys/fs/cgroup/keep/agent";

/// Why root can reach the agent.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("{what}")]
    Io { what: &'static str, source: io::Error },
    #[error("the kernel has no BPF in its list of security modules ({0})")]
    NoLsm(String),
    #[error("the kernel does not describe its types")]
    Types(#[from] aya::BtfError),
    #[error("the kernel refuses the hooks")]
    Load(#[from] aya::EbpfError),
    #[error("the kernel refuses the hook {hook}: {why}")]
    Hook { hook: &'static str, why: String },
}

impl Error {
    fn at(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { what, source }
    }
}

/// Does all of this. If a step fails, the earlier steps do not disturb the machine.
pub(super) fn raise() -> Result<(), Error> {
    let modules =
        fs::read_to_string("/sys/kernel/security/lsm").map_err(Error::at("the security modules"))?;
    if !modules.split(',').any(|module| module == "bpf") {
        return Err(Error::NoLsm(modules));
    }
    let group = own_group().map_err(Error::at("the agent's control group"))?;
    let hooks = load(group)?;
    // The hooks would be detached when dropped.
    std::mem::forget(hooks);
    fs::write("/sys/kernel/security/lockdown", "confidentiality").map_err(Error::at("the lockdown"))?;
    fs::write("/proc/sys/kernel/kexec_load_disabled", "1").map_err(Error::at("kexec_load_disabled"))
}

/// Whether there is a control group for the agent and the protected programs.
pub(super) fn has_group() -> bool {
    Path::new(OWN).is_dir()
}

/// Moves the agent into a control group of its own and returns the group's inode. Every group
/// from the root down has the controller `cpuset`: only this controller asks a hook before a
/// process changes its group.
fn own_group() -> io::Result<u64> {
    fs::create_dir_all(KEPT)?;
    // A controller that is enabled below the root cannot be disabled there again:
    // enable only this one.
    for parent in ["/sys/fs/cgroup", KEPT] {
        fs::write(format!("{parent}/cgroup.subtree_control"), "+cpuset")?;
    }
    fs::create_dir_all(OWN)?;
    fs::write(format!("{KEPT}/cpu.weight"), "10000")?;
    fs::write(format!("{OWN}/cgroup.procs"), "0")?;
    Ok(fs::metadata(KEPT)?.ino())
}

fn load(group: u64) -> Result<Ebpf, Error> {
    let port = major(&format!("/dev/virtio-ports/{PORT}")).map_err(Error::at("the port"))?;
    let disk = major("/dev/disk/by-id/virtio-payload").map_err(Error::at("the disks"))?;
    let agent = std::process::id() as i32;
    let types = Btf::from_sys_fs()?;
    let mut hooks = EbpfLoader::new()
        .btf(Some(&types))
        .override_global("agent", &agent, true)
        .override_global("port_major", &port, true)
        .override_global("disk_major", &disk, true)
        .override_global("group", &group, true)
        .load(OBJECT)?;
    for (function, hook) in HOOKS {
        let why = |error: aya::programs::ProgramError| Error::Hook { hook, why: chain(&error) };
        lsm(&mut hooks, function)?.load(hook, &types).map_err(why)?;
    }
    for (function, hook) in HOOKS {
        let attached = lsm(&mut hooks, function)?.attach();
        attached.map_err(|error| Error::Hook { hook, why: chain(&error) })?;
    }
    Ok(hooks)
}

fn lsm<'a>(hooks: &'a mut Ebpf, function: &'static str) -> Result<&'a mut Lsm, Error> {
    let missing =
        || Error::Hook { hook: function, why: "the compiled object has no such program".to_owned() };
    let program = hooks.program_mut(function).ok_or_else(missing)?;
    program
        .try_into()
        .map_err(|error: aya::programs::ProgramError| Error::Hook { hook: function, why: chain(&error) })
}

fn major(path: &str) -> io::Result<u32> {
    let meta = fs::metadata(path)?;
    let kind = meta.file_type();
    if !kind.is_char_device() && !kind.is_block_device() {
        return Err(io::Error::other(format!("{path} is not a device")));
    }
    Ok(libc::major(meta.rdev()))
}
