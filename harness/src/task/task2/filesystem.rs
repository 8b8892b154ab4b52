//! 2a: `container_prog` must run with `container_root` as its root directory, and find its
//! libraries there.

use std::path::Path;

use super::checks::ROWS_2A;
use super::timeline::{Round, ScriptTimeline};
use super::{Mounted, Supplied, reach, script};
use crate::evidence::Bundle;
use crate::evidence::mount::Mount;
use crate::evidence::program::End;
use crate::task::as_shown;
use crate::task::check::{self, Verdicts};
use crate::task::finding::Question;
use crate::verdict::Finding;

/// One finding per check.
pub fn judge(bundle: &Bundle) -> Vec<Finding> {
    match ScriptTimeline::open(bundle, &ROWS_2A) {
        Ok(timeline) => {
            check::judge(&ROWS_2A, |judge, question, verdicts| judge(&timeline, question, verdicts))
        }
        Err(findings) => findings,
    }
}

/// 2a's own run: where `container_prog` could not start, its root is nowhere to be seen.
pub fn root_isolated(timeline: &ScriptTimeline, question: Question, verdicts: &Verdicts) -> Finding {
    match &timeline.rounds[0] {
        None if !verdicts.passed("2a/libraries-from-script") => {
            question.expects(ROOT).unmet("2a/libraries-from-script", "container_prog did not start")
        }
        round => root_of(timeline, round.as_ref(), question),
    }
}

pub fn transcript(timeline: &ScriptTimeline, question: Question, verdicts: &Verdicts) -> Finding {
    script::judge(timeline, 0, question, as_shown::TASK_2A, verdicts)
}

const ROOT: &str = "container_root as its root directory";

/// Whether a run's root directory is `container_root`, with nothing of the machine's own in it.
pub fn root_of(timeline: &ScriptTimeline, round: Option<&Round>, question: Question) -> Finding {
    let question = question.expects(ROOT);
    let Some(round) = round else {
        return question.fail(format!("container_prog was not run here; {}", timeline.fate()));
    };
    let (root, machine) = (&round.process().root, &timeline.machine.root);
    let question = question.proof(timeline.proof(round.record));
    if root.is(machine) {
        return question.fail(format!(
            "container_prog (process {}) has the machine's own root directory (inode {} of device {})",
            round.process().pid,
            root.ino,
            root.dev
        ));
    }
    if !is_container_root(timeline, round) {
        return question.fail(format!("its root is {}, not container_root", root.path));
    }
    let shown = |name| round.run.entries.contains(name);
    if !timeline.machine.entries.is_empty() && timeline.machine.entries.iter().all(shown) {
        return question.fail(format!(
            "its root is {}, which holds everything in the machine's own root directory",
            root.path
        ));
    }
    if let Some(fault) = reach::fault(timeline, round) {
        return question.fail(fault);
    }
    question.pass(format!("its root is {} (inode {}, the machine's {})", root.path, root.ino, machine.ino))
}

/// By itself, wherever it is mounted; by path, for something may be mounted there; or by what its
/// mount shows. In a mount namespace with another root (`pivot_root(2)`) there is no path to tell
/// it by: then its mount must have been on `container_root`.
fn is_container_root(timeline: &ScriptTimeline, round: &Round) -> bool {
    let Some(Supplied { container_root, .. }) = &timeline.supplied else { return true };
    let root = &round.process().root;
    if root.is(container_root) || root.path == container_root.path {
        return true;
    }
    let Some(was_there) = round.run.was_at_container_root else {
        let named = Path::new(&root.path);
        return named.file_name().is_none() || named.ends_with("task2/container_root");
    };
    let mounted = round.run.mounts.iter().find(|mounted| mounted.mount.mount_point == "/");
    let shows =
        |mounted: &Mounted| shows(&mounted.mount, &timeline.machine.mounts, Path::new(&container_root.path));
    was_there || mounted.is_some_and(shows)
}

/// Whether a mount shows a folder, alone or as a layer of an overlay.
fn shows(mount: &Mount, machine: &[Mount], folder: &Path) -> bool {
    // A program that serves a file system need not tell what it shows.
    if mount.fs_type.starts_with("fuse") {
        return true;
    }
    if mount.fs_type != "overlay" {
        return reach::sources(mount, machine).iter().any(|source| source == folder);
    }
    let is_layer = |layer: &str| {
        let layer = Path::new(layer);
        layer.starts_with(folder) || layer.is_relative() && layer.ends_with("container_root")
    };
    let values = mount.options.split(',').filter_map(|option| option.split_once('='));
    let layers = values.filter(|(name, _)| ["lowerdir", "lowerdir+", "upperdir"].contains(name));
    layers.flat_map(|(_, value)| value.split(':')).any(is_layer)
}

/// The first attempt of 2a to start `container_prog` in another root directory decides, or of what
/// follows; where there was none, whether it starts in `container_root` as the script left it.
pub fn libraries(timeline: &ScriptTimeline, question: Question, _: &Verdicts) -> Finding {
    let question = question.expects("container_prog starts in a container_root that was empty");
    let is_isolated = |round: &&Round| !round.process().root.is(&timeline.machine.root);
    let in_2a = timeline.rounds[0].as_ref().filter(is_isolated);
    let isolated = timeline.rounds.iter().flatten().filter(is_isolated);
    let first = in_2a.or_else(|| isolated.min_by_key(|round| round.record));
    // Other programs than container_prog may have run there before: where it ran in 2a, they
    // were not in its place.
    if let Some((record, process)) = timeline.entered.first()
        && in_2a.is_none()
        && first.is_none_or(|round| *record < round.record)
    {
        return question.proof(timeline.proof(*record)).fail(format!(
            "{} changed its root to {} and ended there before container_prog had started{}",
            process.exe,
            process.root.path,
            timeline.complaint(0)
        ));
    }
    if let Some(round) = first {
        let question = question.proof(timeline.proof(round.record));
        return match round.end {
            Some(End::Status(127)) => question.fail(format!(
                "it started in {} and ended with status 127: the loader did not find a library",
                round.process().root.path
            )),
            _ => question.pass(format!("it started in {}", round.process().root.path)),
        };
    }
    match &timeline.probe {
        Some(probe) if probe.started => question.pass(
            "the script did not run it there, but container_prog starts in container_root after the script ended",
        ),
        Some(_) => question.fail("container_prog does not start in container_root after the script ended"),
        None => question.fail(format!("there is no container_root/container_prog; {}", timeline.fate())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_shown(fs_type: &str, device: &str, root: &str, options: &str) -> bool {
        let [fs_type, device, root, options] = [fs_type, device, root, options].map(str::to_owned);
        let mount = Mount { device, root, fs_type, options, ..Mount::default() };
        let machine =
            [Mount { device: "8:1".into(), root: "/".into(), mount_point: "/".into(), ..Mount::default() }];
        shows(&mount, &machine, Path::new("/home/a/task2/container_root"))
    }

    #[test]
    fn a_root_is_container_root_if_its_mount_shows_that_folder() {
        assert!(is_shown("ext4", "8:1", "/home/a/task2/container_root", "rw"));
        assert!(is_shown("overlay", "0:9", "/", "rw,lowerdir=/x:/home/a/task2/container_root,upperdir=/u"));
        assert!(is_shown("overlay", "0:9", "/", "rw,lowerdir=container_root,upperdir=/u"));
        assert!(is_shown("overlay", "0:9", "/", "rw,lowerdir=/x,upperdir=/home/a/task2/container_root"));
    }

    #[test]
    fn a_folder_with_the_same_name_is_not_container_root() {
        assert!(!is_shown("ext4", "8:1", "/tmp/task2/container_root", "rw"));
        assert!(!is_shown("overlay", "0:9", "/", "rw,lowerdir=/tmp/task2/container_root,upperdir=/u"));
        assert!(!is_shown("tmpfs", "0:9", "/", "rw"));
    }
}
