//! Judges a shell that `run` or `exec` starts without a command: which program it is, and what `ps`
//! lists in it.

use super::Typed;
use super::judge::describe;
use crate::task::finding::Question;
use crate::task::task3::shared::timeline::{Seen, Timeline, quote};
use crate::task::task3::shared::view::{ContainerView, Machine};
use crate::task::transcript;
use crate::verdict::Finding;

/// Judges what `ps` listed at a shell's prompt, together with what is in that shell's /proc.
pub fn judge_ps(
    timeline: Timeline,
    question: Question,
    step: &str,
    shell: &ContainerView,
    machine: &Machine,
) -> Finding {
    let Some(typed) = timeline.at::<Typed>("typed", step) else {
        return timeline.missing(question, "no shell showed its prompt");
    };
    let question = question.proof(&typed.place);
    let Some(shown) = &typed.value.shown else {
        return question.fail("`ps` was typed, but the prompt did not come back");
    };
    let listed: Vec<(i32, String)> =
        transcript::lines(shown).iter().filter_map(|line| process_line(line)).collect();
    let foreign: Vec<&str> = listed
        .iter()
        .filter(|(pid, name)| !typed.value.running.contains(pid) && name != "ps")
        .map(|(_, name)| name.as_str())
        .collect();
    if listed.is_empty() {
        question.fail(format!("ps lists no process at all{}", quote(shown)))
    } else if shell.main.namespaces.pid == machine.namespaces.pid {
        question.fail("ps lists the machine's processes: the container has no PID namespace of its own")
    } else if !foreign.is_empty() {
        question.fail(format!("ps lists processes that are not the container's: {}", foreign.join(", ")))
    } else if !listed.iter().any(|(pid, _)| *pid == shell.main.own_pid()) {
        question.fail("ps does not list the shell in which it was typed")
    } else if shell.proc.first != shell.main.namespaces.pid {
        question.fail("ps lists the right processes, but /proc belongs to another PID namespace")
    } else {
        question.pass(format!("ps lists {} processes, all in the container", listed.len()))
    }
}

/// A line of `ps -o pid= -o comm=`.
fn process_line(line: &str) -> Option<(i32, String)> {
    let (pid, name) = line.trim().split_once(' ')?;
    Some((pid.parse().ok()?, name.trim().to_owned()))
}

/// Judges which program waits at the prompt.
pub fn judge_shell(question: Question, seen: &Seen<ContainerView>) -> Finding {
    let exe = &seen.value.main.exe;
    let question = question.proof(&seen.place);
    question.answer(
        exe.ends_with("/bash"),
        format!("{exe} waits at the prompt, started as {}", describe(&seen.value)),
    )
}
