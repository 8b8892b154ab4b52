//! Collects from the evidence what was typed and shown at each step of a sample session.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Evidence, Names, SeenStep};
use crate::evidence::Recording;
use crate::task::task3::shared::command::Command;
use crate::task::task3::shared::said::Said;
use crate::task::task4::{AS_SHOWN, Shown};
use crate::task::{task1, task2, transcript};

/// How the script of task 2 is called.
pub const SCRIPT: &str = "./simple_container.sh";
/// Containers and images of `3-run` and `3-network` by their names in the plan.
const NAMED: [&str; 14] = [
    "image",
    "second_image",
    "third_image",
    "worker",
    "shell",
    "named_shell",
    "other",
    "session",
    "first",
    "online",
    "plain",
    "quiet",
    "web",
    "store",
];
/// What the assignment's own benchmark took in 2b and 2c.
const SHOWN_TIMES: (f64, f64) = (1_440_778.0, 2_866_732.0);

/// What was seen of a subtask's session in the recording of its scenario.
pub fn of(recording: &Recording, subtask: &str) -> Option<Evidence> {
    match subtask {
        "1" => Some(program("./namespace_prog", task1::redacted_transcript(recording))),
        "2a" => Some(program(SCRIPT, task2::redacted_transcript(recording, 0))),
        "2b" => Some(timed(recording, 1)),
        "2c" => Some(timed(recording, 2)),
        "3a" => Some(run(recording)),
        "3b" => Some(exec(recording)),
        "3c" => Some(network(recording)),
        "4" => Some(page(recording)),
        _ => None,
    }
}

fn program(command: &str, lines: Vec<String>) -> Evidence {
    let step = (!lines.is_empty()).then(|| SeenStep { command: command.to_owned(), lines });
    Evidence { names: Names::default(), steps: vec![step], notes: Vec::new(), without: None }
}

/// 2b or 2c, with the benchmark's times of both.
fn timed(recording: &Recording, subtask: usize) -> Evidence {
    let mut evidence = program(SCRIPT, task2::redacted_transcript(recording, subtask));
    if let [_, Some(free), Some(capped)] = task2::times(recording) {
        let ratio = |free: f64, capped: f64| capped / free.max(1.0);
        let (shown_free, shown_capped) = SHOWN_TIMES;
        evidence.notes.push(format!(
            "Time Taken: {free:.0} ms in 2b, {capped:.0} ms in 2c: {:.2} times as long. The assignment's: {shown_free:.0} and \
             {shown_capped:.0}, {:.2} times. The program counts microseconds.",
            ratio(free, capped),
            ratio(shown_free, shown_capped),
        ));
    }
    if subtask == 2 && task2::computes_nothing(recording) {
        evidence.without = Some((
            "Computation Benchmark:",
            "the script runs container_prog as subtask1, as its comments say, and subtask1 computes nothing",
        ));
    }
    evidence
}

fn run(recording: &Recording) -> Evidence {
    let steps = vec![
        called(recording, "images"),
        called(recording, "ps-before"),
        said(recording, "shell-starts"),
        said(recording, "shell-ps"),
        said(recording, "shell-exit"),
        called(recording, "ps-exited"),
        called(recording, "stop-shell"),
        called(recording, "ps-after"),
    ];
    let older = recording.all::<Said>("said").next().is_none();
    let steps = if older { Vec::new() } else { steps };
    Evidence { names: names(recording, "shell"), steps, notes: Vec::new(), without: None }
}

fn exec(recording: &Recording) -> Evidence {
    let steps = vec![
        called(recording, "session-ps"),
        said(recording, "session-exec"),
        said(recording, "session-ps-aef"),
    ];
    Evidence { names: names(recording, "session"), steps, notes: Vec::new(), without: None }
}

fn network(recording: &Recording) -> Evidence {
    let ping = said(recording, "session-ping");
    let mut names = names(recording, "session");
    if let Some(gateway) = ping.as_ref().and_then(|step| step.command.strip_prefix("ping ")) {
        names.values.insert("gateway", gateway.to_owned());
    }
    if let Some(interface) = recording.plan.pointer("/world/interface").and_then(Value::as_str) {
        names.values.insert("interface", interface.to_owned());
    }
    let steps = vec![
        said(recording, "session-run"),
        said(recording, "session-ip-before"),
        said(recording, "session-ip-after"),
        ping,
        called(recording, "session-addnetwork"),
        called(recording, "session-ip-machine"),
    ];
    Evidence { names, steps, notes: Vec::new(), without: None }
}

/// The harness requests the page with a client of its own, because not every machine has curl.
fn page(recording: &Recording) -> Evidence {
    let asked = |from: &str| {
        let mut pages = recording.all::<Shown>(AS_SHOWN).map(|(_, page)| page);
        let page = pages.find(|page| page.from == from)?;
        let lines = match page.status {
            Some(200) => transcript::lines(&page.body),
            Some(status) => [vec![format!("HTTP status {status}")], transcript::lines(&page.body)].concat(),
            None => vec![page.error.unwrap_or_default()],
        };
        Some(SeenStep { command: format!("GET {}", page.url), lines })
    };
    let mut names = Names::default();
    if let Some(machine) = recording.plan.pointer("/world/machine").and_then(Value::as_str) {
        names.values.insert("host-ip", machine.to_owned());
    }
    Evidence { names, steps: vec![asked("machine"), asked("lan")], notes: Vec::new(), without: None }
}

/// The run's own names: `container` is the name of a field of the plan.
fn names(recording: &Recording, container: &str) -> Names {
    let text = |name: &str| recording.plan.get(name).and_then(Value::as_str).map(str::to_owned);
    let own = [("container", container), ("image", "image")];
    let values: BTreeMap<&str, String> =
        own.into_iter().filter_map(|(name, field)| Some((name, text(field)?))).collect();
    let entered = recording.plan.get("entered").and_then(Value::as_array).into_iter().flatten();
    let mut others: Vec<String> = NAMED.into_iter().filter_map(text).collect();
    others.extend(entered.filter_map(Value::as_str).map(str::to_owned));
    others.retain(|name| !name.is_empty() && !values.values().any(|own| own == name));
    Names { values, others }
}

/// A call of the tool that ended.
fn called(recording: &Recording, step: &str) -> Option<SeenStep> {
    let mut commands = recording.all::<Command>("command").map(|(_, command)| command);
    let command = commands.find(|command| command.step == step)?;
    let argv = command.argv.join(" ");
    // `env` finds programs on the machine's path.
    let typed = argv.strip_prefix("/usr/bin/env ").unwrap_or(&argv).to_owned();
    Some(SeenStep { command: typed, lines: transcript::lines(&command.screen) })
}

/// A line at a prompt and its answer, without the terminal's echo and without the next prompt.
fn said(recording: &Recording, step: &str) -> Option<SeenStep> {
    let mut all = recording.all::<Said>("said").map(|(_, said)| said);
    let said = all.find(|said| said.step == step)?;
    let mut lines = transcript::lines(&said.shown?);
    if lines.first().is_some_and(|first| first.ends_with(said.line.as_str())) {
        lines.remove(0);
    }
    if lines.last().is_some_and(|last| last.ends_with(['#', '$'])) {
        lines.pop();
    }
    let lines = lines.into_iter().flat_map(without_key).collect();
    Some(SeenStep { command: said.line, lines })
}

/// The key Ctrl-C and the output after it, as two lines. The terminal shows the key
/// wherever the cursor stands.
fn without_key(line: String) -> Vec<String> {
    match line.strip_prefix("^C") {
        Some(rest) if !rest.is_empty() => vec!["^C".to_owned(), rest.to_owned()],
        _ => vec![line],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_before_output_is_a_line_of_its_own() {
        assert_eq!(without_key("^C2 packets".to_owned()), ["^C", "2 packets"]);
        assert_eq!(without_key("^C".to_owned()), ["^C"]);
        assert_eq!(without_key("rtt".to_owned()), ["rtt"]);
    }
}
