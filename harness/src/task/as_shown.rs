//! The sample sessions of the assignment, as plain text in `snapshots/as-shown`, compiled in.
//!
//! A person copied these files from the assignment; no test and no snapshot tool writes them.
//! Square brackets, such as `[pid]`, mark text that varies from run to run. A line with a prompt is
//! typed: `$ ` on the machine, `# ` in a container, `lan$ ` on another machine. The greeting of
//! task 4 is from the handed-out `app.py`; the assignment shows only the command.

/// Task 1: the output of `namespace_prog`.
pub const TASK_1: &str = include_str!("../../../snapshots/as-shown/1.txt");
/// 2a: what `simple_container.sh` shows of it.
pub const TASK_2A: &str = include_str!("../../../snapshots/as-shown/2a.txt");
/// 2b: what `simple_container.sh` shows of it.
pub const TASK_2B: &str = include_str!("../../../snapshots/as-shown/2b.txt");
/// 2c: what `simple_container.sh` shows of it.
pub const TASK_2C: &str = include_str!("../../../snapshots/as-shown/2c.txt");
/// 3a: `images`, `ps`, `run` and `stop`.
pub const TASK_3A: &str = include_str!("../../../snapshots/as-shown/3a.txt");
/// 3b: `exec` of a shell, and `ps aef` in it.
pub const TASK_3B: &str = include_str!("../../../snapshots/as-shown/3b.txt");
/// 3c: `ip a` and `ping` in a container, `addnetwork` and `ip a` on the machine.
pub const TASK_3C: &str = include_str!("../../../snapshots/as-shown/3c.txt");
/// Task 4: `curl` of the page, on the machine and on another one.
pub const TASK_4: &str = include_str!("../../../snapshots/as-shown/4.txt");

/// Where a line is typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prompt {
    /// On the machine.
    Machine,
    /// In a container.
    Container,
    /// On another machine of the LAN.
    Lan,
}

/// A line that is typed, and the lines that the assignment shows after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskedStep {
    /// Where it is typed.
    pub prompt: Prompt,
    /// Without its prompt.
    pub command: String,
    /// Until the next prompt.
    pub lines: Vec<String>,
}

/// The steps of a session that has prompts.
pub fn steps(text: &str) -> Vec<AskedStep> {
    let mut steps: Vec<AskedStep> = Vec::new();
    let prompts = [("$ ", Prompt::Machine), ("# ", Prompt::Container), ("lan$ ", Prompt::Lan)];
    for line in text.lines() {
        let typed = prompts.iter().find_map(|(sign, prompt)| Some((*prompt, line.strip_prefix(sign)?)));
        match (typed, steps.last_mut()) {
            (Some((prompt, command)), _) => {
                steps.push(AskedStep { prompt, command: command.to_owned(), lines: Vec::new() });
            }
            (None, Some(step)) => step.lines.push(line.to_owned()),
            (None, None) => {}
        }
    }
    steps
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::{Prompt, TASK_3A, TASK_3B, TASK_3C, TASK_4, steps};

    #[test]
    fn the_sessions_are_plain_text_that_no_snapshot_tool_writes() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../snapshots/as-shown");
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            assert_eq!(path.extension().unwrap(), "txt", "{}", path.display());
            let text = fs::read_to_string(&path).unwrap();
            assert!(!text.starts_with("---\nsource:"), "{} has the head of a snapshot", path.display());
        }
    }

    #[test]
    fn sessions_are_divided_at_their_prompts() {
        let counts = [TASK_3A, TASK_3B, TASK_3C, TASK_4].map(|text| steps(text).len());
        assert_eq!(counts, [8, 3, 6, 2]);
        let exit = &steps(TASK_3A)[4];
        assert_eq!((exit.prompt, exit.command.as_str()), (Prompt::Container, "exit"));
        assert_eq!(exit.lines, ["exit"]);
    }
}
