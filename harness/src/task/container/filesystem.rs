//! 2a: `container_prog` runs with `container_root` as its root directory, and finds its libraries there.

use super::script;
use super::story::{Round, Story};
use crate::evidence::Bundle;
use crate::guest::trace::End;
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
        hint: "Compare `ls -di /` with `ls -di /proc/PID/root/.` of container_prog while it runs.",
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
        hint: "Lines with `-` are missing, lines with `+` came instead: what does container_prog see as its root?",
        informational: false,
    },
];

/// One finding per check.
pub fn judge(bundle: &Bundle) -> Vec<Finding> {
    let story = match Story::open(bundle, &CHECKS) {
        Ok(story) => story,
        Err(findings) => return findings,
    };
    let libraries = libraries(&story);
    let root = match &story.rounds[0] {
        None if libraries.status != Status::Pass => Question::new("2a/root-isolated", ROOT)
            .skip("container_prog did not start: see libraries-from-script"),
        round => root_isolated(&story, round.as_ref(), "2a/root-isolated"),
    };
    let facts = [&root, &libraries].iter().all(|finding| finding.status == Status::Pass);
    let transcript = script::judge(&story, 0, "2a/transcript", SNAPSHOT, facts);
    vec![root, libraries, transcript]
}

const ROOT: &str = "a root directory of its own";

/// Whether a run's root directory is another one than the machine's.
pub fn root_isolated(story: &Story, round: Option<&Round>, check: &'static str) -> Finding {
    let question = Question::new(check, ROOT);
    let Some(round) = round else {
        return question.fail(format!("container_prog was not run here; {}", story.fate()));
    };
    let (root, machine) = (&round.process().root, &story.machine.root);
    let question = question.proof(story.proof(round.record));
    if root.is(machine) {
        question.fail(format!(
            "container_prog (process {}) has the machine's own root directory (inode {} of device {})",
            round.process().pid,
            root.ino,
            root.dev
        ))
    } else {
        question
            .pass(format!("its root is {} (inode {}, the machine's {})", root.path, root.ino, machine.ino))
    }
}

/// The first attempt to start `container_prog` in another root directory decides; where there was none, whether it
/// starts in `container_root` as the script left it.
fn libraries(story: &Story) -> Finding {
    let question =
        Question::new("2a/libraries-from-script", "container_prog starts in a container_root that was empty");
    let isolated =
        story.rounds.iter().flatten().filter(|round| !round.process().root.is(&story.machine.root));
    let first = isolated.min_by_key(|round| round.record);
    let failed = story.entered.first();
    if let Some((record, process)) = failed
        && first.is_none_or(|round| *record < round.record)
    {
        return question.proof(story.proof(*record)).fail(format!(
            "{} changed its root to {} and could not start container_prog there: the file, or the loader that it \
             names, was not found",
            process.exe, process.root.path
        ));
    }
    if let Some(round) = first {
        let question = question.proof(story.proof(round.record));
        return match round.end {
            Some(End::Status(127)) => question.fail(format!(
                "it started in {} and ended with status 127: the loader did not find a library",
                round.process().root.path
            )),
            _ => question.pass(format!("it started in {}", round.process().root.path)),
        };
    }
    match &story.probe {
        Some(probe) if probe.started => question.pass(
            "nothing was run there, but container_prog starts in container_root after the script's end",
        ),
        Some(_) => question.fail("container_prog does not start in container_root after the script's end"),
        None => question.fail(format!("there is no container_root/container_prog; {}", story.fate())),
    }
}
