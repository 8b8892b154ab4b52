//! Whether this machine can run guests, as plain facts. The caller renders them.

use std::path::PathBuf;

use crate::space::{free_disk, size_on_disk};
use crate::{Cache, Calibration, Error, kvm, qemu, template, tool};

/// Facts about the machine.
#[derive(Debug, Clone)]
pub struct Facts {
    /// QEMU's version, or `None` if it is not installed.
    pub qemu: Option<String>,
    /// Whether KVM worked at its last trial.
    pub kvm: Kvm,
    /// Whether this user may make a user namespace, found by making one.
    pub user_namespaces: UserNamespaces,
    /// The cache's directory.
    pub cache: PathBuf,
    /// The cache's size on disk, in bytes.
    pub cache_bytes: u64,
    /// Free space on the cache's file system, in bytes.
    pub free_disk: u64,
    /// Memory that is still available to programs, in bytes.
    pub free_memory: u64,
    /// Processors.
    pub cpus: usize,
    /// The speed of a guest, if there is a template.
    pub calibration: Option<Calibration>,
}

/// The state of KVM here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kvm {
    /// A guest's kernel ran under it.
    Works,
    /// KVM cannot be used: the reason and the remedy, a sentence each.
    Unusable {
        /// The reason.
        why: String,
        /// The remedy, if there is one.
        remedy: Option<String>,
    },
    /// `/dev/kvm` opens, but no guest has been tried with it since the host booted.
    Untried,
}

/// Whether this user may make a user namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserNamespaces {
    /// One was made.
    Allowed,
    /// The kernel refused: its error message.
    Refused(String),
    /// Not tried: root does not need one.
    NotNeeded,
}

/// Looks at the machine. Starts only QEMU, for its version, and `unshare`, for a moment. The state
/// of KVM is the result of the last [`prepare`](crate::prepare).
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

/// Tries to make a namespace in which this user is root: many systems forbid this.
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
        Err(error) => UserNamespaces::Refused(crate::chain(&error)),
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
