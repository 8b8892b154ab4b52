//! Whether this machine can run guests, as plain facts for someone else to render.

use std::path::PathBuf;

use crate::{Cache, Calibration, Error};

/// What was found out about the machine.
#[derive(Debug, Clone)]
pub struct Facts {
    /// QEMU's version, or `None` where it is not installed.
    pub qemu: Option<String>,
    /// Whether KVM can be used, tried for real where an image is at hand.
    pub kvm: Kvm,
    /// The programs needed, found or not.
    pub tools: Vec<Tool>,
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
    /// `/dev/kvm` opens, but there is no image yet to try it with.
    Untried,
}

/// A program of the host that is needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tool {
    /// Its name.
    pub program: &'static str,
    /// The Debian package that supplies it.
    pub package: &'static str,
    /// What it is for.
    pub purpose: &'static str,
    /// Where it is, if it is.
    pub found: Option<PathBuf>,
}

/// Looks at the machine. Takes up to some 10 s where KVM has to be tried and was not before.
pub fn doctor(cache: &Cache) -> Result<Facts, Error> {
    let _ = cache;
    unimplemented!()
}
