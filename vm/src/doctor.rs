//! Whether this machine can run guests, as plain facts for someone else to render.

use std::path::PathBuf;

use crate::space::{free_disk, size_on_disk};
use crate::{Cache, Calibration, Error, kvm, qemu, template, tool};

/// What was found out about the machine.
#[derive(Debug, Clone)]
pub struct Facts {
    /// QEMU's version, or `None` where it is not installed.
    pub qemu: Option<String>,
    /// Whether KVM can be used, as it was when it was last tried for real.
    pub kvm: Kvm,
    /// Whether this user may make a user namespace, as found by making one.
    pub user_namespaces: UserNamespaces,
    /// The cache's place.
    pub cache: PathBuf,
    /// What the cache takes on disk, in bytes.
    pub cache_bytes: u64,
    /// Free room where the cache is, in bytes.
    pub free_disk: u64,
    /// Memory that programs can still have, in bytes.
    pub free_memory: u64,
    /// Processors.
    pub cpus: usize,
    /// How fast a guest is, where a template has been made.
    pub calibration: Option<Calibration>,
}

/// What is known about KVM here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kvm {
    /// A guest's kernel ran under it.
    Works,
    /// It cannot be used: why, and what to do about it, each a sentence.
    Unusable {
        /// What was seen.
        why: String,
        /// What helps, where anything does.
        remedy: Option<String>,
    },
    /// `/dev/kvm` opens, but no guest has been tried with it since the host booted.
    Untried,
}

/// Whether a user namespace can be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserNamespaces {
    /// One was made.
    Allowed,
    /// The kernel's words when one was asked for.
    Refused(String),
    /// Not tried: root has no need of one.
    NotNeeded,
}

/// Looks at the machine. Nothing is started but QEMU for its version and `unshare` for a moment; whether KVM works is what the last
/// [`prepare`](crate::prepare) found out.
pub fn doctor(cache: &Cache) -> Result<Facts, Error> {
    cache.clear_abandoned()?;
    let kvm = match (kvm::device(), kvm::remembered(cache)) {
        (Err(unusable), _) | (Ok(()), Ok(Some(Err(unusable)))) => {
            Kvm::Unusable { why: unusable.why, remedy: unusable.remedy }
        }
        (Ok(()), Ok(Some(Ok(())))) => Kvm::Works,
        (Ok(()), Ok(None) | Err(_)) => Kvm::Untried,
    };
    Ok(Facts {
        qemu: qemu::Installed::find().ok().map(|installed| installed.version),
        kvm,
        user_namespaces: user_namespaces(),
        cache: cache.root().to_owned(),
        cache_bytes: size_on_disk(cache.root()),
        free_disk: free_disk(cache.root()),
        free_memory: free_memory(),
        cpus: std::thread::available_parallelism().map_or(1, usize::from),
        calibration: template::newest_calibration(cache),
    })
}

/// Tries to make a namespace in which this user is root: many systems forbid it in one way or another.
fn user_namespaces() -> UserNamespaces {
    if nix::unistd::geteuid().is_root() {
        return UserNamespaces::NotNeeded;
    }
    let tried = tool::UNSHARE.output(|command| {
        command.args(["--user", "--map-root-user", "--mount", "true"]);
    });
    match tried {
        Ok(_) => UserNamespaces::Allowed,
        Err(Error::ToolFailed { output, .. }) => UserNamespaces::Refused(output.trim().to_owned()),
        Err(error) => UserNamespaces::Refused(error.to_string()),
    }
}

/// `MemAvailable` of `/proc/meminfo`.
fn free_memory() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib =
        line.and_then(|line| line.trim().strip_suffix(" kB")).and_then(|kib| kib.trim().parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}
