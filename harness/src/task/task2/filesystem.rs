//! 2a: `container_prog` runs with `container_root` as its root directory, and finds its libraries there.

use std::path::Path;

use super::timeline::{Round, ScriptTimeline};
use super::{Supplied, reach, script};
use crate::evidence::Bundle;
use crate::evidence::process::Directory;
use crate::evidence::program::End;
use crate::task::CheckSpec;
use crate::task::finding::Question;
use crate::verdict::{Finding, Status};

const SNAPSHOT: &str = include_str!("../../../../snapshots/task2a.snap");

/// What is checked.
pub static CHECKS: [CheckSpec; 3] = [
    CheckSpec {
        id: "2a/root-isolated",
        title: "container_root is the root directory",
        requirement: "Run the program container_prog by assigning the provided directory container_root as its \
                      root directory.",
        hint: "Compare `ls -di /` with `ls -di /proc/PID/root/.` of container_prog while it runs, and look at what is \
               mounted below container_root.",
        informational: false,
    },
    CheckSpec {
        id: "2a/libraries-from-script",
        title: "the script provides the libraries",
        requirement: "All required dependencies should be copied/linked from within the script. The script should \
                      execute correctly given an empty container_root directory.",
        hint: "Empty container_root and run the script again. `ldd container_prog` names files and the places \
               where they are looked for; the loader is one of them.",
        informational: false,
    },
    CheckSpec {
        id: "2a/transcript",
        title: "output as shown",
        requirement: "Output Subtask 2a: Process PID, Child Process PID, Files/Directories in root directory",
        hint: "Lines with `-` are missing or in another place. Extra lines, with `+`, cost no marks. What does \
               container_prog see as its root?",
        informational: false,
    },
];

/// One finding per check.
pub fn judge(bundle: &Bundle) -> Vec<Finding> {
    let timeline = match ScriptTimeline::open(bundle, &CHECKS) {
        Ok(timeline) => timeline,
        Err(findings) => return findings,
    };
    let libraries = libraries(&timeline);
    let root = match &timeline.rounds[0] {
        None if libraries.status != Status::Pass => Question::new("2a/root-isolated", ROOT)
            .skip("container_prog did not start: see libraries-from-script"),
        round => root_isolated(&timeline, round.as_ref(), "2a/root-isolated"),
    };
    let facts = [&root, &libraries].iter().all(|finding| finding.status == Status::Pass);
    let transcript = script::judge(&timeline, 0, "2a/transcript", SNAPSHOT, facts);
    vec![root, libraries, transcript]
}

const ROOT: &str = "container_root as its root directory";

/// Whether a run's root directory is `container_root`, with nothing of the machine's own in it.
pub fn root_isolated(timeline: &ScriptTimeline, round: Option<&Round>, check: &'static str) -> Finding {
    let question = Question::new(check, ROOT);
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
    if !is_container_root(timeline, root) {
        return question.fail(format!("its root is {}, not container_root", root.path));
    }
    let shown = |name| round.run.entries.contains(name);
    if !timeline.machine.entries.is_empty() && timeline.machine.entries.iter().all(shown) {
        return question.fail(format!(
            "its root is {}, and all that lies in the machine's own root directory is in it",
            root.path
        ));
    }
    if let Some(fault) = reach::fault(timeline, round) {
        return question.fail(fault);
    }
    question.pass(format!("its root is {} (inode {}, the machine's {})", root.path, root.ino, machine.ino))
}

/// By path, for something may be mounted there; or by itself, wherever it is mounted. In a mount namespace with another
/// root (`pivot_root(2)`) there is no path to tell it by.
fn is_container_root(timeline: &ScriptTimeline, root: &Directory) -> bool {
    let Some(Supplied { container_root, .. }) = &timeline.supplied else { return true };
    let named = Path::new(&root.path);
    named.file_name().is_none() || named.ends_with("task2/container_root") || root.is(container_root)
}

/// The first attempt of 2a to start `container_prog` in another root directory decides, or of what follows; where there
/// was none, whether it starts in `container_root` as the script left it.
fn libraries(timeline: &ScriptTimeline) -> Finding {
    let question =
        Question::new("2a/libraries-from-script", "container_prog starts in a container_root that was empty");
    let is_isolated = |round: &&Round| !round.process().root.is(&timeline.machine.root);
    let in_2a = timeline.rounds[0].as_ref().filter(is_isolated);
    let isolated = timeline.rounds.iter().flatten().filter(is_isolated);
    let first = in_2a.or_else(|| isolated.min_by_key(|round| round.record));
    // Other programs than container_prog may have run there before: where it ran in 2a, they were not in its place.
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
            "nothing was run there, but container_prog starts in container_root after the script's end",
        ),
        Some(_) => question.fail("container_prog does not start in container_root after the script's end"),
        None => question.fail(format!("there is no container_root/container_prog; {}", timeline.fate())),
    }
}
