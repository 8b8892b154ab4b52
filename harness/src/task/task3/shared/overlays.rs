//! All overlay file systems that are mounted in the machine's mount namespace or in a container's.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::colons;
use super::state::{self, Size};
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
    /// Those of them, by their place, that look like the root of a system; `None` in older
    /// evidence.
    #[serde(default)]
    pub trees: Option<Vec<usize>>,
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

impl Overlay {
    /// The root trees among its lower folders; none in older evidence.
    pub fn root_trees(&self) -> Vec<&Directory> {
        self.trees.iter().flatten().filter_map(|place| self.lower.get(*place)).collect()
    }
}

impl Overlays {
    /// What the base takes up on which the one overlay is mounted: its largest root tree, or else
    /// its lowest folder.
    pub fn base(&self) -> Option<Size> {
        let [only] = self.mounted.as_slice() else { return None };
        let size = |dir: &Directory| state::size(Path::new(&dir.path), &[]);
        let largest = only.root_trees().into_iter().map(size).max_by_key(|size| size.bytes);
        largest.or_else(|| only.lower.last().filter(|dir| dir.ino != 0).map(size))
    }
}

/// The upper folder of the overlay that is a container's root, where the kernel
/// tells its whole path.
pub fn upper_of_root(mounts: &[Mount]) -> Option<String> {
    let root = mounts.iter().rfind(|mount| mount.mount_point == "/" && mount.fs_type == "overlay")?;
    let upper = root.options.split(',').find_map(|option| option.strip_prefix("upperdir="))?;
    upper.starts_with('/').then(|| colons::without_escapes(&plain(upper)))
}

/// Whether it is a copy of an overlay that the machine itself lives on.
pub fn is_machines(mount: &Mount, machine: &Machine) -> bool {
    machine.mounts.iter().any(|old| old.fs_type == "overlay" && old.device == mount.device)
}

fn read(mount: &Mount, place: String, submission: &Path) -> Overlay {
    let option = |name: &str| {
        let prefix = format!("{name}=");
        mount.options.split(',').filter_map(move |option| option.strip_prefix(&prefix).map(plain))
    };
    let whole = |name: &str| option(name).map(|path| colons::without_escapes(&path));
    let resolve = |path: &str| state::resolve(path, submission, submission);
    let lower = option("lowerdir").flat_map(|value| colons::split(&value));
    let lower = lower.chain(whole("lowerdir+")).filter(|path| !path.is_empty());
    let unresolved = |path: String| Directory { path, ..Directory::default() };
    let lower: Vec<Directory> =
        lower.map(|path| resolve(&path).unwrap_or_else(|| unresolved(path))).collect();
    let is_tree =
        |place: &usize| lower[*place].ino != 0 && state::is_root_tree(Path::new(&lower[*place].path));
    Overlay {
        device: mount.device.clone(),
        at: vec![place],
        trees: Some((0..lower.len()).filter(is_tree).collect()),
        lower,
        upper: whole("upperdir").next().map(|path| resolve(&path).unwrap_or_else(|| unresolved(path))),
        options: mount.options.clone(),
    }
}

/// The value of an option, with a backslash before each colon of a name. Some kernels show such a
/// colon as `\072`.
fn plain(value: &str) -> String {
    mounts::unescape(&value.replace(r"\134\072", r"\:").replace(r"\072", r"\:"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use std::fs;

    use super::*;

    #[test]
    fn lower_folders_are_divided_at_the_colons_that_no_backslash_escapes() {
        let home = tempfile::tempdir().unwrap();
        let base = home.path().join("base/debian:bookworm");
        for folder in
            ["etc", "usr", "var"].map(|name| base.join(name)).iter().chain([&home.path().join("top")])
        {
            fs::create_dir_all(folder).unwrap();
        }
        let home = home.path().to_str().unwrap();
        for colon in [r"\134:", r"\072", r"\134\072"] {
            let options =
                format!("rw,lowerdir={home}/top:{home}/base/debian{colon}bookworm,upperdir={home}/top");
            let mount = Mount { options, ..Mount::default() };
            let overlay = read(&mount, String::new(), Path::new(home));
            let paths: Vec<&str> = overlay.lower.iter().map(|dir| dir.path.as_str()).collect();
            assert_eq!(paths, [format!("{home}/top"), base.to_str().unwrap().to_owned()]);
            assert!(overlay.lower.iter().all(|dir| dir.ino != 0));
            assert_eq!(overlay.trees, Some(vec![1]));
        }
    }

    #[test]
    fn the_base_is_the_largest_root_tree_and_not_the_lowest_folder() {
        let home = tempfile::tempdir().unwrap();
        for folder in ["base/etc", "base/usr", "base/var", "scratch"] {
            fs::create_dir_all(home.path().join(folder)).unwrap();
        }
        fs::write(home.path().join("base/usr/program"), vec![1; 100_000]).unwrap();
        let home = home.path().to_str().unwrap();
        let options = format!("lowerdir={home}/base:{home}/scratch");
        let overlay = read(&Mount { options, ..Mount::default() }, String::new(), Path::new(home));
        let overlays = Overlays { step: String::new(), mounted: vec![overlay] };
        assert!(overlays.base().unwrap().bytes >= 100_000);
    }
}
