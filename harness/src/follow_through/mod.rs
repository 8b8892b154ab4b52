//! Follow-through marks: where a basic command of a conductor is broken, what builds on it is tried
//! once more with only that command replaced.
//!
//! Pure on the host's side: [`wanted`] reads recordings and says which scenarios to drive again
//! with which [`Graft`]; their recordings lie beside the first ones, under names of their own, and
//! the same judges read them. No replaced command earns anything by it: [`Graft::earns`] names the
//! checks that rest on the submission's own work.

mod graft;

use crate::evidence::program::Stopped;
use crate::evidence::{Bundle, Ending, Recording};
use crate::task::task3::shared::command::Command;
use crate::task::task3::shared::timeline::Timeline;
use crate::task::{Scenario, Subtask, scenarios, task4};
use crate::verdict::{Finding, Status};

pub use graft::{apply, interface, programs};

/// What of a conductor is replaced by the reference's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Graft {
    /// `build`.
    Build,
    /// `run`.
    Run,
    /// Both.
    BuildAndRun,
    /// All of it, for task 4.
    Conductor,
}

impl Graft {
    /// In the names of recordings, and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Build => "build",
            Self::Run => "run",
            Self::BuildAndRun => "build-and-run",
            Self::Conductor => "conductor",
        }
    }

    /// The name of a scenario's recording with this graft.
    pub fn recording(self, scenario: &str) -> String {
        format!("{scenario}+{}", self.name())
    }

    /// Whether a check can be passed by the submission's own work when this is replaced.
    pub fn earns(self, check: &str) -> bool {
        let subtask = check.split('/').next().unwrap_or_default();
        match self {
            Self::Build => {
                ["3a", "3b", "3c"].contains(&subtask)
                    || ["3d/one-overlay-while-running", "3d/writes-stay-in-container", "3d/unmounted-on-stop"]
                        .contains(&check)
            }
            Self::Run => ["3b", "3c", "3e", "3f"].contains(&subtask),
            Self::BuildAndRun => ["3b", "3c"].contains(&subtask),
            Self::Conductor => subtask == "4",
        }
    }
}

/// All grafts; what earns by several has it from the first, which replaces least.
pub const GRAFTS: [Graft; 4] = [Graft::Build, Graft::Run, Graft::BuildAndRun, Graft::Conductor];

/// The scenarios to be driven again, and with what, by what has been recorded so far. Ask again
/// when these are there: where `build` had to be replaced, it shows only then whether `run` works.
pub fn wanted(bundle: &Bundle) -> Vec<(&'static Scenario, Graft)> {
    if cfg!(not(feature = "follow-through")) {
        return Vec::new();
    }
    let is_missing = |(scenario, graft): &(&'static Scenario, Graft)| {
        bundle.recordings.contains_key(scenario.id)
            && !bundle.recordings.contains_key(&graft.recording(scenario.id))
    };
    let mut wanted = Vec::new();
    for scenario in scenarios() {
        let graft = if scenario.id == task4::SCENARIO.id {
            matrix_lost(bundle).then_some(Graft::Conductor)
        } else {
            graft_for(bundle, scenario.id)
        };
        wanted.extend(graft.map(|graft| (scenario, graft)));
    }
    wanted.retain(is_missing);
    wanted
}

/// What must be replaced for a scenario of task 3 to get anywhere.
fn graft_for(bundle: &Bundle, scenario: &str) -> Option<Graft> {
    let broken = bundle.recordings.get(scenario).and_then(fault)?;
    // A scenario about what `build` makes has nothing to show without it.
    if scenario == "3-build" {
        return (broken == Graft::Run).then_some(Graft::Run);
    }
    let grafted = bundle.recordings.get(&broken.recording(scenario));
    match grafted.and_then(fault) {
        Some(Graft::Run) if broken == Graft::Build => Some(Graft::BuildAndRun),
        _ => Some(broken),
    }
}

/// The basic command that failed, if one did: no image came of `build`, or no container of `run`.
/// Of a machine that was lost it shows only whether it was `build` that used it up.
fn fault(recording: &Recording) -> Option<Graft> {
    let timeline = Timeline::of(recording);
    let build = timeline.at::<Command>("command", "build")?.value;
    match recording.ending {
        Ending::Finished => {}
        Ending::Lost { .. } if matches!(build.stopped, Some(Stopped::Exhausted(_))) => {
            return Some(Graft::Build);
        }
        Ending::Lost { .. } | Ending::Infrastructure { .. } => return None,
    }
    let ran = recording.records.iter().any(|record| record.kind == "container");
    let refused = recording.records.iter().any(|record| record.kind == "absent");
    match (build.succeeded(), ran) {
        (_, true) => None,
        (false, false) => Some(Graft::Build),
        (true, false) => refused.then_some(Graft::Run),
    }
}

/// Whether task 4 lost marks that its conductor may be to blame for: a check of task 4 failed, and
/// so did one of task 3 on a command that it rests on. A subtask of task 3 that was not graded may
/// be broken unless the page counts.
fn matrix_lost(bundle: &Bundle) -> bool {
    let findings = (task4::SUBTASK.judge)(bundle);
    let is_failed = |finding: &&Finding| finding.status == Status::Fail && is_lost(&task4::SUBTASK, finding);
    let failed: Vec<&Finding> = findings.iter().filter(is_failed).collect();
    if failed.is_empty() {
        return false;
    }
    let counts =
        findings.iter().any(|finding| finding.check == task4::COUNTS && finding.status == Status::Pass);
    let is_broken = |subtask: &&Subtask| {
        let is_graded = subtask.scenarios.iter().all(|id| bundle.recordings.contains_key(*id));
        if is_graded { loses(subtask, &(subtask.judge)(bundle)) } else { !counts }
    };
    let subtasks = crate::task::subtasks();
    let of_conductor = subtasks.into_iter().filter(|subtask| subtask.id.starts_with('3'));
    let broken: Vec<&str> = of_conductor.filter(is_broken).map(|subtask| subtask.id).collect();
    failed.iter().any(|finding| task4::rests_on(finding.check).iter().any(|one| broken.contains(one)))
}

/// Whether a subtask lost marks.
fn loses(subtask: &Subtask, findings: &[Finding]) -> bool {
    findings.iter().any(|finding| is_lost(subtask, finding))
}

fn is_lost(subtask: &Subtask, finding: &Finding) -> bool {
    let informational = subtask.checks.iter().any(|spec| spec.id == finding.check && spec.informational);
    !informational && matches!(finding.status, Status::Fail | Status::Skip)
}

/// The bundle as it would be had the scenarios been driven with a graft only;
/// `None` where none was.
pub fn grafted(bundle: &Bundle, graft: Graft) -> Option<Bundle> {
    let mut changed = bundle.clone();
    let mut any = false;
    for scenario in scenarios() {
        if let Some(recording) = bundle.recordings.get(&graft.recording(scenario.id)) {
            changed.recordings.insert(scenario.id.to_owned(), recording.clone());
            any = true;
        }
    }
    any.then_some(changed)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::{Value, json};

    use super::*;
    use crate::evidence::Record;
    use crate::verdict::{Environment, SubmissionInfo};

    fn recording(scenario: &str, build: i32, kinds: &[&str]) -> Recording {
        let command = json!({ "step": "build", "argv": ["./conductor.sh"], "end": { "status": build },
                              "stopped": null, "seconds": 1.0, "screen": "" });
        let record = |kind: &str, data: Value| Record { ms: 0, host_ms: None, kind: kind.to_owned(), data };
        let mut records = vec![record("command", command)];
        records.extend(kinds.iter().map(|kind| record(kind, json!({}))));
        Recording {
            scenario: scenario.to_owned(),
            plan: Value::Null,
            ending: Ending::Finished,
            seconds: 0.0,
            records,
        }
    }

    fn bundle(recordings: Vec<Recording>) -> Bundle {
        let recordings: BTreeMap<_, _> =
            recordings.into_iter().map(|recording| (recording.scenario.clone(), recording)).collect();
        Bundle {
            submission: SubmissionInfo { id: String::new(), source: String::new(), sha256: String::new() },
            environment: Environment::default(),
            subtasks: vec![],
            layout: Value::Null,
            recordings,
        }
    }

    fn names(bundle: &Bundle) -> Vec<String> {
        wanted(bundle).into_iter().map(|(scenario, graft)| graft.recording(scenario.id)).collect()
    }

    #[test]
    fn the_command_in_these_tests_is_read_as_one() {
        let timeline = recording("3-run", 0, &[]);
        let command: Option<Command> = timeline.first("command");
        assert!(command.is_some_and(|command| command.succeeded()));
    }

    #[test]
    fn a_conductor_that_works_is_not_driven_again() {
        let good = ["3-run", "3-network", "3-build"].map(|id| recording(id, 0, &["container"]));
        assert_eq!(names(&bundle(good.to_vec())), Vec::<String>::new());
    }

    #[test]
    fn a_broken_run_is_replaced_everywhere_and_a_broken_build_where_it_is_not_the_subject() {
        let no_run = ["3-run", "3-network", "3-build"].map(|id| recording(id, 0, &["absent"]));
        assert_eq!(names(&bundle(no_run.to_vec())), ["3-run+run", "3-network+run", "3-build+run"]);
        let no_build = ["3-run", "3-network", "3-build"].map(|id| recording(id, 1, &["absent"]));
        assert_eq!(names(&bundle(no_build.to_vec())), ["3-run+build", "3-network+build"]);
    }

    #[test]
    fn both_are_replaced_when_it_shows_that_both_are_broken() {
        let first = recording("3-run", 1, &["absent"]);
        let second = recording("3-run+build", 0, &["absent"]);
        assert_eq!(names(&bundle(vec![first.clone(), second.clone()])), ["3-run+build-and-run"]);
        let third = recording("3-run+build-and-run", 0, &["container"]);
        assert_eq!(names(&bundle(vec![first, second, third])), Vec::<String>::new());
    }

    #[test]
    fn a_machine_that_a_build_used_up_is_tried_with_another_build() {
        let lost = |stopped: Value| {
            let ending = Ending::Lost { what: String::new(), console: vec![] };
            let mut recording = Recording { ending, ..recording("3-run", 1, &[]) };
            recording.records[0].data["stopped"] = stopped;
            bundle(vec![recording])
        };
        assert_eq!(names(&lost(json!("disk"))), ["3-run+build"]);
        // Where every command uses up all its time, once is enough.
        assert_eq!(names(&lost(json!("time"))), Vec::<String>::new());
        assert_eq!(names(&lost(Value::Null)), Vec::<String>::new());
    }

    #[test]
    fn the_replaced_command_earns_nothing() {
        assert!(!Graft::Run.earns("3a/namespaces") && Graft::Run.earns("3b/namespaces"));
        assert!(!Graft::Build.earns("3d/layers-file") && !Graft::Build.earns("3e/file"));
        assert!(Graft::Build.earns("3a/namespaces") && Graft::Conductor.earns("4/counts"));
    }
}
