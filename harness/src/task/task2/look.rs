//! What is recorded of a container that has more than a record holds: first what tells most.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::{Machine, Mounted, Shown, reach};
use crate::evidence::mount::Mount;
use crate::guest::observe::handles;
use crate::guest::observe::markers;
use crate::guest::observe::mounts;

/// Most processes of a sample that are there without having been seen to start.
const OTHERS_CAP: usize = 50;
/// Most names kept of a directory, beside those that are looked for.
const ENTRIES_CAP: usize = 300;
/// Most mounts kept of a container.
const MOUNTS_CAP: usize = 100;
/// Most files of the machine's kept of a container.
const FILES_CAP: usize = 20;
/// File systems whose mounts are looked into.
const LOOKED_AT: [&str; 7] = ["ext4", "ext3", "ext2", "xfs", "btrfs", "tmpfs", "overlay"];

/// The processes whose groups are recorded: `container_prog` first, then what else was seen to
/// start in a container, then other inhabitants of its PID namespace. Only these have a limit.
pub fn sampled(container_prog: Option<i32>, members: &BTreeSet<i32>, inhabitants: &[i32]) -> Vec<i32> {
    let first = container_prog.filter(|pid| members.contains(pid));
    let seen = members.iter().copied().filter(|pid| Some(*pid) != first);
    let others = inhabitants.iter().copied().filter(|pid| !members.contains(pid));
    first.into_iter().chain(seen).chain(others.take(OTHERS_CAP)).collect()
}

/// The names in a directory, sorted.
pub fn names(directory: &Path, looked_for: &[String]) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    kept(entries.map(|entry| entry.file_name().to_string_lossy().into_owned()), looked_for)
}

/// All names that are looked for, and some others.
fn kept(names: impl Iterator<Item = String>, looked_for: &[String]) -> Vec<String> {
    let mut others = 0;
    let is_kept = |name: &String| {
        let is_other = !looked_for.contains(name);
        others += usize::from(is_other);
        !is_other || others <= ENTRIES_CAP
    };
    let mut kept: Vec<String> = names.filter(is_kept).collect();
    kept.sort();
    kept
}

/// The mounts that have been on `container_root` in any mount namespace, by device and folder.
#[derive(Default)]
pub struct Rooted {
    seen: BTreeSet<(String, String)>,
    /// The process that was looked at last.
    last: Option<i32>,
}

impl Rooted {
    /// Looks at what a process sees there.
    pub fn look(&mut self, pid: i32, container_root: &Path) {
        self.last = Some(pid);
        let there =
            mounts::of(pid).into_iter().filter(|mount| Path::new(&mount.mount_point) == container_root);
        self.seen.extend(there.map(|mount| (mount.device, mount.root)));
    }

    /// Looks at the same process again, which may mount something without starting a program.
    pub fn look_again(&mut self, container_root: &Path) {
        if let Some(pid) = self.last {
            self.look(pid, container_root);
        }
    }

    /// Whether the root directory of a process is such a mount.
    pub fn has_root_of(&self, pid: i32) -> bool {
        let root = mounts::of(pid).into_iter().rfind(|mount| mount.mount_point == "/");
        root.is_some_and(|mount| self.seen.contains(&(mount.device, mount.root)))
    }
}

/// What is mounted on or below the root directory of a process.
pub fn reachable(pid: i32, machine: &Machine, container_root: &Path) -> Vec<Mounted> {
    let look = |mount: Mount| {
        let place = handles::proc(format!("{pid}/root{}", mount.mount_point));
        // Only file systems that answer: one that a program of the submission serves may not.
        let answers = LOOKED_AT.contains(&mount.fs_type.as_str());
        let folder = !answers || Path::new(&place).is_dir();
        let is_overlay = mount.fs_type == "overlay";
        let entries = if is_overlay { names(Path::new(&place), &machine.entries) } else { Vec::new() };
        Mounted { mount, folder, entries }
    };
    // Whoever has many mounts must not hide one behind the others.
    recorded(mounts::of(pid).into_iter().map(look), |mounted| {
        reach::shown(mounted, machine, Some(container_root)).is_some()
    })
}

/// Which files of the machine's own folders are below the root directory of a process, or below
/// what is mounted there.
pub fn machine_files(pid: i32, machine: &Machine) -> Vec<Shown> {
    let mounts = mounts::of(pid);
    let silent = markers::silent(pid, &mounts);
    let answers = |mount: &&Mount| LOOKED_AT.contains(&mount.fs_type.as_str());
    let below = mounts.iter().filter(answers).map(|mount| mount.mount_point.as_str());
    let places = ["/"].into_iter().chain(below.filter(|place| *place != "/"));
    let shown = places.flat_map(|place| {
        let outside = handles::proc(format!("{pid}/root{}", place.trim_end_matches('/')));
        let files = markers::seen(&machine.markers, Path::new(&outside), &silent);
        files.into_iter().map(|file| Shown { file, place: place.to_owned() })
    });
    shown.take(FILES_CAP).collect()
}

/// Mounts that cost marks come first, the others in their order.
fn recorded(mounts: impl Iterator<Item = Mounted>, costs: impl Fn(&Mounted) -> bool) -> Vec<Mounted> {
    let (mut first, others): (Vec<Mounted>, Vec<Mounted>) = mounts.partition(costs);
    first.extend(others);
    first.truncate(MOUNTS_CAP);
    first
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    #[test]
    fn idle_processes_with_lower_pids_do_not_hide_container_prog() {
        let inhabitants: Vec<i32> = (100..900).collect();
        let sampled = sampled(Some(800), &[700, 800].into(), &inhabitants);
        assert_eq!(sampled[..2], [800, 700]);
        assert_eq!(sampled[2..], inhabitants[..OTHERS_CAP]);
    }

    #[test]
    fn a_container_prog_that_has_ended_is_not_sampled() {
        assert_eq!(sampled(Some(800), &[700].into(), &[700, 701]), [700, 701]);
    }

    #[test]
    fn a_mount_that_costs_marks_is_recorded_however_many_come_before_it() {
        let mounted = |number: usize| Mounted {
            mount: Mount { mount_point: format!("/lib/{number}"), ..Mount::default() },
            folder: true,
            entries: Vec::new(),
        };
        let recorded = recorded((0..110).map(mounted), |mounted| mounted.mount.mount_point == "/lib/109");
        let places: Vec<&str> = recorded.iter().map(|mounted| mounted.mount.mount_point.as_str()).collect();
        assert_eq!((places.len(), &places[..3]), (MOUNTS_CAP, &["/lib/109", "/lib/0", "/lib/1"][..]));
    }

    #[test]
    fn a_name_that_is_looked_for_is_kept_however_many_come_before_it() {
        let names = (0..400).map(|number| format!("a{number}")).chain(["usr".to_owned()]);
        let kept = kept(names, &["usr".to_owned()]);
        assert_eq!(kept.len(), ENTRIES_CAP + 1);
        assert_eq!(kept.last().unwrap(), "usr");
    }
}
