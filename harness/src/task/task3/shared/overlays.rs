//! All overlay file systems that are mounted in the machine's mount namespace or in a container's.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::state;
use super::view::Machine;
use crate::evidence::mount::Mount;
use crate::evidence::process::Directory;
use crate::guest::observe::mounts;

/// One overlay file system, however often and wherever it is mounted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overlay {
    /// Its device number: one for each mount of the file system itself; bind mounts
    /// and copies share it.
    pub device: String,
    /// Where it is mounted, `machine:/path` or `process 7:/path`.
    pub at: Vec<String>,
    /// Its lower folders, top first.
    pub lower: Vec<Directory>,
    /// Its upper folder.
    pub upper: Option<Directory>,
    /// As the kernel tells them.
    pub options: String,
}

/// All overlays at one moment; the record `overlays`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Overlays {
    /// What the scenario calls this moment.
    pub step: String,
    /// Those that were not there before.
    pub mounted: Vec<Overlay>,
}

impl Overlays {
    /// What is mounted now, beyond what the machine had from the start.
    pub fn now(step: &str, machine: &Machine, submission: &Path) -> Self {
        let mut mounted: Vec<Overlay> = Vec::new();
        let own =
            mounts::of(nix::unistd::gettid().as_raw()).into_iter().map(|mount| ("machine".to_owned(), mount));
        let theirs = machine.contained().into_iter().flat_map(|process| {
            let who = format!("process {}", process.pid);
            mounts::of(process.pid).into_iter().map(move |mount| (who.clone(), mount))
        });
        for (who, mount) in own.chain(theirs) {
            let old = machine.mounts.iter().any(|old| old.device == mount.device && old.id == mount.id);
            if mount.fs_type != "overlay" || old || is_machines(&mount, machine) {
                continue;
            }
            let place = format!("{who}:{}", mount.mount_point);
            match mounted.iter_mut().find(|overlay| overlay.device == mount.device) {
                Some(overlay) => overlay.at.push(place),
                None => mounted.push(read(&mount, place, submission)),
            }
        }
        Self { step: step.to_owned(), mounted }
    }
}

impl Overlays {
    /// The lowest folder of the one overlay that is mounted.
    pub fn lowest(&self) -> Option<&Directory> {
        match self.mounted.as_slice() {
            [only] => only.lower.last().filter(|dir| dir.ino != 0),
            _ => None,
        }
    }
}

/// The upper folder of the overlay that is a container's root, where the kernel
/// tells its whole path.
pub fn upper_of_root(mounts: &[Mount]) -> Option<String> {
    let root = mounts.iter().rfind(|mount| mount.mount_point == "/" && mount.fs_type == "overlay")?;
    let upper = root.options.split(',').find_map(|option| option.strip_prefix("upperdir="))?;
    upper.starts_with('/').then(|| upper.to_owned())
}

/// Whether it is a copy of an overlay that the machine itself lives on.
pub fn is_machines(mount: &Mount, machine: &Machine) -> bool {
    machine.mounts.iter().any(|old| old.fs_type == "overlay" && old.device == mount.device)
}

fn read(mount: &Mount, place: String, submission: &Path) -> Overlay {
    let option = |name: &str| {
        let prefix = format!("{name}=");
        mount.options.split(',').filter_map(move |option| option.strip_prefix(&prefix).map(str::to_owned))
    };
    let resolve = |path: &str| state::resolve(path, submission, submission);
    let lower = option("lowerdir").flat_map(|value| value.split(':').map(str::to_owned).collect::<Vec<_>>());
    let lower: Vec<String> = lower.chain(option("lowerdir+")).filter(|path| !path.is_empty()).collect();
    let unresolved = |path: &String| Directory { path: path.clone(), ..Directory::default() };
    Overlay {
        device: mount.device.clone(),
        at: vec![place],
        lower: lower.iter().map(|path| resolve(path).unwrap_or_else(|| unresolved(path))).collect(),
        upper: option("upperdir").next().map(|path| resolve(&path).unwrap_or_else(|| unresolved(&path))),
        options: mount.options.clone(),
    }
}
