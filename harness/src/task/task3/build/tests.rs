//! Tests of the judges of 3e and 3f, with recordings made by hand.

use std::collections::BTreeMap;

use rand::SeedableRng;
use rand::rngs::StdRng;
use serde::Deserialize;
use serde_json::{Value, json};

use super::plan::{self, BuildPlan, COPIES, COPIES_OF_TWO, REMADE, RUNS};
use super::{Contents, Found, Layers, OtherMounts, RunProcess};
use crate::evidence::mount::Mount;
use crate::evidence::process::{Directory, Process};
use crate::evidence::program::End;
use crate::evidence::{Bundle, Ending, Record, Recording};
use crate::task::task3;
use crate::task::task3::shared::command::Command;
use crate::task::task3::shared::overlays::Overlays;
use crate::task::task3::shared::view::Machine;
use crate::verdict::{Environment, Finding, Status, SubmissionInfo};

const FOURTH: &str = "run-after-run-fourth";

/// What a tool made, by step: the layers of an image, top first, and what a container shows. Both
/// hold text by path.
pub(super) struct Recorded {
    pub(super) plan: BuildPlan,
    pub(super) layers: BTreeMap<String, Vec<BTreeMap<String, String>>>,
    pub(super) shown: BTreeMap<String, BTreeMap<String, String>>,
    /// Mount points that a build left.
    mounts: BTreeMap<String, String>,
    /// The record of a step's layers, where it is another one.
    pub(super) replaced: BTreeMap<String, Layers>,
    /// The status of a build, where it is not 0.
    status: BTreeMap<String, i32>,
    /// Other records.
    pub(super) others: Vec<(&'static str, Value)>,
}

impl Recorded {
    /// What a correct tool makes of COPY and RUN.
    pub(super) fn correct() -> Self {
        let plan = BuildPlan::deserialize(plan::plan(&mut StdRng::seed_from_u64(1))).unwrap();
        let mut layers = BTreeMap::new();
        let copies = |step: &str| (plan.copied(step), plan.text_of(step).to_owned());
        let writes = |step: &str| (plan.wrote(step), plan.word_of(step).to_owned());
        let reads = |from: &[&str], step: &str| {
            let words: Vec<&str> =
                from.iter().map(|from| plan.word_of(from)).chain([plan.word_of(step)]).collect();
            (plan.wrote(step), words.join("\n"))
        };
        let mut make = |step: &str, brought: Vec<Vec<(String, String)>>| {
            let top_first = brought.into_iter().rev().map(BTreeMap::from_iter).collect();
            layers.insert(step.to_owned(), top_first);
        };
        for step in ["copy-name", "copy-into", "copy-bin"] {
            make(step, vec![vec![copies(step)]]);
        }
        make("copy-two", COPIES_OF_TWO.map(|copy| vec![copies(copy)]).to_vec());
        make("run-echo", vec![vec![writes("run-echo")]]);
        let [one, two, three] = ["run-after-run", "run-after-run-second", "run-after-run-third"];
        let four_runs = [writes(one), reads(&[one], two), writes(three), reads(&[one, three], FOURTH)];
        make("run-after-run", four_runs.map(|wrote| vec![wrote]).to_vec());
        make("run-deletes", vec![vec![writes("run-deletes")]]);
        let over = plan.copied("run-rewrites-second");
        let rewrites = vec![writes("run-rewrites"), (over, plan.word_of("run-rewrites").to_owned())];
        make(
            "run-rewrites",
            vec![vec![copies("run-rewrites")], rewrites, vec![copies("run-rewrites-second")]],
        );
        let (shown, mounts, replaced, status) = Default::default();
        let others = vec![("command", command("fails", 1))];
        let mut recorded = Self { plan, layers, shown, mounts, replaced, status, others };
        recorded.run(Vec::clone);
        recorded
    }

    /// Looks into containers whose `run` mounts `stack` of an image's layers, top first.
    fn run(&mut self, stack: impl Fn(&Vec<BTreeMap<String, String>>) -> Vec<BTreeMap<String, String>>) {
        let merged = |layers| stack(layers).into_iter().rev().flatten().collect();
        self.shown = self.layers.iter().map(|(step, layers)| (step.clone(), merged(layers))).collect();
    }

    /// The text that a container of a step's image shows at a path.
    pub(super) fn show(&mut self, step: &str, path: &str, text: &str) {
        self.shown.get_mut(step).unwrap().insert(path.to_owned(), text.to_owned());
    }

    /// What the RUN of a step leaves at its path, in the layers and in containers.
    fn write(&mut self, step: &str, path: &str, text: &str) {
        let layers = self.layers.get_mut(step).unwrap();
        let layer = layers.iter_mut().find(|layer| layer.contains_key(path)).unwrap();
        layer.insert(path.to_owned(), text.to_owned());
        self.show(step, path, text);
    }

    fn records(&self) -> Vec<Record> {
        let base = Directory { path: "/base".to_owned(), dev: 1, ino: 1 };
        let mut records = vec![(
            "image",
            json!({ "step": "build", "name": "", "dir": null, "layers": null,
            "size": { "entries": 0, "bytes": 0 }, "base": { "entries": 0, "bytes": 0 }, "named": [base] }),
        )];
        for (step, layers) in &self.layers {
            records.push(("command", command(step, self.status.get(step).copied().unwrap_or(0))));
            records.push(("overlays", json!(Overlays { step: step.clone(), mounted: vec![] })));
            let left = self.mounts.get(step).map(|place| Mount {
                mount_point: place.clone(),
                fs_type: "devtmpfs".to_owned(),
                ..Mount::default()
            });
            let mounts = left.into_iter().collect();
            records.push(("other-mounts", json!(OtherMounts { step: step.clone(), mounts })));
            let replaced = self.replaced.get(step).cloned();
            let layers = replaced.unwrap_or_else(|| self.recorded_layers(step, layers, &base));
            records.push(("layers", json!(layers)));
            let found = self.shown[step].iter().map(|(path, text)| (path.clone(), file(text))).collect();
            records.push(("found", json!(Contents { step: step.clone(), found })));
        }
        records.extend(self.others.iter().cloned());
        let record =
            |(kind, data): (&str, Value)| Record { ms: 0, host_ms: None, kind: kind.to_owned(), data };
        records.into_iter().map(record).collect()
    }

    fn recorded_layers(&self, step: &str, layers: &[BTreeMap<String, String>], base: &Directory) -> Layers {
        let own = |number| Directory { path: format!("/{step}/{number}"), dev: 1, ino: 2 + number as u64 };
        let mut recorded = Layers { step: step.to_owned(), ..Layers::default() };
        recorded.dirs = (0..layers.len()).map(own).chain([base.clone()]).collect();
        for path in self.plan.paths(step) {
            let with =
                layers.iter().enumerate().filter_map(|(number, layer)| Some((number, layer.get(&path)?)));
            let (numbers, texts): (Vec<usize>, Vec<Found>) =
                with.map(|(number, text)| (number, file(text))).unzip();
            recorded.having.insert(path.clone(), numbers);
            recorded.found.insert(path, texts);
        }
        recorded
    }

    pub(super) fn judged(&self, check: &str) -> Finding {
        let recording = Recording {
            scenario: "3-build".to_owned(),
            plan: json!(self.plan),
            ending: Ending::Finished,
            seconds: 0.0,
            records: self.records(),
        };
        let bundle = Bundle {
            submission: SubmissionInfo { id: String::new(), source: String::new(), sha256: String::new() },
            environment: Environment::default(),
            subtasks: vec![],
            layout: Value::Null,
            recordings: BTreeMap::from([("3-build".to_owned(), recording)]),
        };
        let subtask = task3::SUBTASKS.iter().find(|subtask| check.starts_with(subtask.id)).unwrap();
        let findings = (subtask.judge)(&bundle);
        findings.into_iter().find(|finding| finding.check == check).unwrap()
    }

    /// Those of the checks about layers that fail.
    fn failing(&self) -> Vec<&'static str> {
        let checks = [
            "3e/file",
            "3e/own-layer",
            "3e/unmounted",
            "3f/runs-in-image",
            "3f/own-layer",
            "3f/sees-earlier-layers",
            "3f/deletions",
            "3f/unmounted",
            "3f/failure-fails-build",
        ];
        let findings = checks.map(|check| self.judged(check));
        let told: Vec<_> = findings.iter().filter(|finding| finding.status == Status::Fail).collect();
        assert!(findings.iter().all(|finding| finding.status != Status::Skip), "{findings:#?}");
        told.iter().map(|finding| finding.check).collect()
    }
}

/// How a build ended.
fn command(step: &str, status: i32) -> Value {
    json!(Command {
        step: step.to_owned(),
        argv: vec!["build".to_owned()],
        end: Some(End::Status(status)),
        stopped: None,
        seconds: 0.0,
        screen: String::new(),
    })
}

fn file(text: &str) -> Found {
    Found { kind: "file".to_owned(), mode: 0o644, text: format!("{text}\n") }
}

#[test]
fn a_correct_tool_loses_nothing() {
    assert_eq!(Recorded::correct().failing(), [""; 0]);
}

#[test]
fn a_run_that_leaves_out_a_layer_costs_only_the_layers_of_copy() {
    for kept in [0..3, 1..4, 0..2, 2..4] {
        let mut recorded = Recorded::correct();
        recorded.run(|layers| match layers.len() {
            4 => layers[kept.clone()].to_vec(),
            _ => layers.clone(),
        });
        assert_eq!(recorded.failing(), ["3e/own-layer"], "{kept:?}");
    }
}

#[test]
fn a_stack_that_is_turned_round_costs_deletions_alone() {
    let mut recorded = Recorded::correct();
    recorded.run(|layers| layers.iter().rev().cloned().collect());
    assert_eq!(recorded.failing(), ["3f/deletions"]);
}

#[test]
fn an_image_whose_plain_copy_does_not_work_does_not_show_what_run_leaves_out() {
    let mut recorded = Recorded::correct();
    let lost = recorded.plan.copied("copy-two-third");
    recorded.shown.get_mut("copy-two").unwrap().remove(&lost);
    assert_eq!(recorded.failing(), ["3e/own-layer"]);
    recorded.shown.get_mut("copy-name").unwrap().clear();
    assert_eq!(recorded.failing(), ["3e/file"]);
}

#[test]
fn a_fourth_run_that_does_not_see_the_first_or_the_third_costs_sees_earlier_layers() {
    for (missed, order) in [("run-after-run", "first"), ("run-after-run-third", "third")] {
        let mut recorded = Recorded::correct();
        let path = recorded.plan.wrote(FOURTH);
        let words = ["run-after-run", "run-after-run-third", FOURTH];
        let read = words.iter().filter(|step| **step != missed).map(|step| recorded.plan.word_of(step));
        let text = read.collect::<Vec<_>>().join("\n");
        recorded.write("run-after-run", &path, &text);
        assert_eq!(recorded.failing(), ["3f/sees-earlier-layers"]);
        let told = recorded.judged("3f/sees-earlier-layers").actual;
        assert!(told.contains(&format!("the {order} one wrote")), "{told}");
    }
}

#[test]
fn a_copy_that_is_executed_before_an_earlier_run_costs_deletions() {
    let mut recorded = Recorded::correct();
    let path = recorded.plan.copied("run-rewrites-second");
    let word = recorded.plan.word_of("run-rewrites").to_owned();
    recorded.show("run-rewrites", &path, &word);
    assert_eq!(recorded.failing(), ["3f/deletions"]);
}

#[test]
fn old_files_in_a_folder_that_was_made_again_cost_deletions() {
    let mut recorded = Recorded::correct();
    recorded.show("run-deletes", REMADE.1, "of the base");
    assert_eq!(recorded.failing(), ["3f/deletions"]);
    let mut without_new = Recorded::correct();
    without_new.shown.get_mut("run-deletes").unwrap().clear();
    assert_eq!(without_new.failing(), ["3f/deletions"]);
}

#[test]
fn other_mounts_of_a_build_cost_unmounted_of_run_alone() {
    // What the first build with RUN mounts may be there for all builds.
    for (step, failing) in [(RUNS[1], vec!["3f/unmounted"]), (RUNS[0], vec![]), (COPIES[0], vec![])] {
        let mut recorded = Recorded::correct();
        recorded.mounts.insert(step.to_owned(), "/srv/task3/.cache/dev".to_owned());
        assert_eq!(recorded.failing(), failing);
    }
}

#[test]
fn a_command_with_the_machines_root_directory_or_below_another_folder_costs_runs_in_image() {
    let root = |ino| Directory { path: "/".to_owned(), dev: 8, ino };
    let judged = |ino, folder: &str| {
        let mut recorded = Recorded::correct();
        let process = Process { root: root(ino), ..Process::default() };
        recorded.others.push(("machine", json!(Machine { root: root(2), ..Machine::default() })));
        recorded
            .others
            .push(("run-process", json!(RunProcess { step: "run-after-run".to_owned(), process })));
        let third = "run-after-run-third";
        let (path, word) = (recorded.plan.wrote(third), recorded.plan.word_of(third).to_owned());
        recorded.write("run-after-run", &path, &format!("{word}\n{folder}"));
        recorded.judged("3f/runs-in-image")
    };
    assert_eq!(judged(3, "/var/tmp").status, Status::Pass);
    let on_machine = judged(2, "/var/tmp");
    assert_eq!(on_machine.status, Status::Fail);
    assert!(on_machine.actual.contains("the machine's root directory"), "{}", on_machine.actual);
    let below = judged(3, "/srv/task3/merged/var/tmp");
    assert_eq!(below.status, Status::Fail);
    assert!(below.actual.ends_with("is /srv/task3/merged/var/tmp"), "{}", below.actual);
}

#[test]
fn a_status_that_complete_images_have_too_tells_of_no_failure_where_there_is_an_image() {
    let judged = |step: &str, dirs: &[Directory]| {
        let mut recorded = Recorded::correct();
        recorded.status.insert(step.to_owned(), 1);
        let layers = Layers { step: "fails".to_owned(), dirs: dirs.to_vec(), ..Layers::default() };
        recorded.others.push(("layers", json!(layers)));
        recorded.judged("3f/failure-fails-build")
    };
    let image = [Directory::default()];
    assert_eq!(judged("run-after-run", &image).status, Status::Fail);
    assert_eq!(judged("run-after-run", &[]).status, Status::Pass);
    // This image may lack its last layer.
    assert_eq!(judged("run-rewrites", &image).status, Status::Pass);
    assert_eq!(judged("copy-two", &image).status, Status::Pass);
}

#[test]
fn a_layer_that_holds_the_base_or_another_instructions_files_is_no_layer_of_its_own() {
    let judged = |change: &dyn Fn(&mut Layers, &[String])| {
        let mut recorded = Recorded::correct();
        let paths = recorded.plan.paths("copy-two");
        let base = Directory { path: "/base".to_owned(), dev: 1, ino: 1 };
        let mut layers = recorded.recorded_layers("copy-two", &recorded.layers["copy-two"], &base);
        change(&mut layers, &paths);
        recorded.replaced.insert("copy-two".to_owned(), layers);
        recorded.failing()
    };
    assert_eq!(judged(&|_, _| ()), [""; 0]);
    // The layers are listed top first, and the base is one of them.
    assert_eq!(judged(&|layers, _| layers.whole = vec![4]), [""; 0]);
    assert_eq!(judged(&|layers, _| layers.whole = (0..5).collect()), ["3e/own-layer"]);
    // The first file is in all layers, as if each layer began with a copy of the one below.
    let in_all = |layers: &mut Layers, paths: &[String]| {
        layers.having.insert(paths[0].clone(), (0..4).collect());
    };
    assert_eq!(judged(&in_all), ["3e/own-layer"]);
    // Something such as chmod(1) made the overlay copy it up.
    let copied_up = |layers: &mut Layers, paths: &[String]| {
        in_all(layers, paths);
        layers.copied_up.insert(paths[0].clone(), (0..3).collect());
    };
    assert_eq!(judged(&copied_up), [""; 0]);
    // `layers` also names the folder in which the layers lie.
    let with_parent = |layers: &mut Layers, paths: &[String]| {
        layers.dirs.push(Directory { path: "/copy-two".to_owned(), dev: 1, ino: 99 });
        for path in paths {
            layers.having.get_mut(path).unwrap().push(5);
        }
    };
    assert_eq!(judged(&with_parent), [""; 0]);
}
