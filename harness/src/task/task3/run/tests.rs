//! Tests of the judges of 3a, 3b and 3d, with recordings made by hand.

use std::collections::BTreeMap;

use rand::SeedableRng;
use rand::rngs::StdRng;
use serde::Deserialize;
use serde_json::{Value, json};

use super::judge::sys_fault;
use super::plan::RunPlan;
use super::{Left, plan};
use crate::evidence::mount::Mount;
use crate::evidence::process::{Directory, Namespaces, Process};
use crate::evidence::program::End;
use crate::evidence::{Bundle, Ending, Record, Recording};
use crate::task::task3;
use crate::task::task3::shared::command::Command;
use crate::task::task3::shared::overlays::{Overlay, Overlays};
use crate::task::task3::shared::state::{Image, Size};
use crate::task::task3::shared::view::{ContainerView, Machine};
use crate::verdict::{Environment, Finding, Status, SubmissionInfo};

pub(super) fn judged(check: &str, records: &[(&str, Value)]) -> Finding {
    judged_with(plan::plan(&mut StdRng::seed_from_u64(1)), check, records)
}

fn judged_with(plan: Value, check: &str, records: &[(&str, Value)]) -> Finding {
    let record = |(kind, data): &(&str, Value)| Record {
        ms: 0,
        host_ms: None,
        kind: (*kind).to_owned(),
        data: data.clone(),
    };
    let recording = Recording {
        scenario: "3-run".to_owned(),
        plan,
        ending: Ending::Finished,
        seconds: 0.0,
        records: records.iter().map(record).collect(),
    };
    let bundle = Bundle {
        submission: SubmissionInfo { id: String::new(), source: String::new(), sha256: String::new() },
        environment: Environment::default(),
        subtasks: vec![],
        layout: Value::Null,
        recordings: BTreeMap::from([("3-run".to_owned(), recording)]),
    };
    let subtask = task3::SUBTASKS.iter().find(|subtask| check.starts_with(subtask.id)).unwrap();
    let findings = (subtask.judge)(&bundle);
    findings.into_iter().find(|finding| finding.check == check).unwrap()
}

/// A machine and a container in namespaces of its own.
fn container() -> Vec<(&'static str, Value)> {
    let view = ContainerView { step: "worker".to_owned(), ..ContainerView::default() };
    vec![("machine", json!(Machine::default())), ("container", json!(view))]
}

fn left(step: &str, left: &Left) -> (&'static str, Value) {
    ("left", json!(Left { step: step.to_owned(), name: "eg".to_owned(), ..left.clone() }))
}

#[test]
fn sysfs_shows_the_containers_interfaces_and_no_others() {
    let is_faulty = |shown: &[&str]| {
        let sys = Mount { mount_point: "/sys".to_owned(), fs_type: "sysfs".to_owned(), ..Mount::default() };
        let mut view = ContainerView { mounts: vec![sys], ..ContainerView::default() };
        view.links = vec!["lo".to_owned()];
        view.interfaces = shown.iter().map(|name| (*name).to_owned()).collect();
        sys_fault(&view).is_some()
    };
    assert!(!is_faulty(&["lo"]) && !is_faulty(&["bonding_masters", "lo"]));
    assert!(is_faulty(&["eth0", "lo"]) && is_faulty(&[]));
}

#[test]
fn a_root_of_its_own_that_shows_the_machines_files_costs_root_alone() {
    let status = |check, files: &[&str]| {
        let (_, mut view) = running("worker", &["sleep"], 5);
        // Older evidence does not tell.
        if !files.is_empty() {
            view["machine_files"] = json!(files);
        }
        let machine = json!(Machine { root: folder("/", 2), ..Machine::default() });
        judged(check, &[("machine", machine), ("container", view)])
    };
    assert_eq!(status("3a/root", &[]).status, Status::Pass);
    let shown = status("3a/root", &["/etc/0123456789abcdef", "/root/0123456789abcdef"]);
    let actual = "the container's root shows the machine's files: /etc/0123456789abcdef is there";
    assert_eq!((shown.status, shown.actual.as_str()), (Status::Fail, actual));
    assert_eq!(status("3a/namespaces", &["/etc/0123456789abcdef"]).status, Status::Pass);
}

#[test]
fn evidence_that_does_not_tell_of_the_machines_mounts_is_too_old_for_that_check_alone() {
    let records = [container(), vec![left("stop-worker", &Left::default())]].concat();
    let finding = judged("3a/machine-unchanged", &records);
    assert_eq!(finding.status, Status::Error);
    assert!(finding.actual.contains("older than this check"), "{}", finding.actual);
    assert_eq!(judged("3a/stop-cleans-up", &records).status, Status::Pass);
}

#[test]
fn a_mount_point_that_is_covered_while_a_container_runs_or_gone_after_stop_costs_machine_unchanged() {
    let look = |disturbed: &[&str]| ("machine-mounts", json!({ "step": "worker", "disturbed": disturbed }));
    let gone = Left { disturbed: vec!["/dev/pts is unmounted".to_owned()], ..Left::default() };
    let status = |look, end: &Left| {
        let records = [container(), vec![look, left("stop-worker", end)]].concat();
        judged("3a/machine-unchanged", &records).status
    };
    assert_eq!(status(look(&[]), &Left::default()), Status::Pass);
    assert_eq!(status(look(&["/dev/pts is covered by a mount of devpts"]), &Left::default()), Status::Fail);
    assert_eq!(status(look(&[]), &gone), Status::Fail);
}

#[test]
fn ps_lists_a_container_from_run_to_stop_unless_stop_left_its_folder() {
    let status = |after: &str, state: Option<&str>| {
        let mut plan = plan::plan(&mut StdRng::seed_from_u64(1));
        plan["worker"] = json!("eg");
        let ps = |step: &str, screen: &str| {
            let argv = vec!["./conductor.sh".to_owned(), "ps".to_owned()];
            let step = step.to_owned();
            let screen = screen.to_owned();
            let end = Some(End::Status(0));
            ("command", json!(Command { step, argv, end, stopped: None, seconds: 0.1, screen }))
        };
        let stopped = Left { state: state.map(str::to_owned), ..Left::default() };
        let seen = vec![
            ps("ps-before", "Name\n"),
            ps("ps-running", "Name\neg sleep\n"),
            left("stop-worker", &stopped),
            ps("ps-after", after),
        ];
        judged_with(plan, "3a/listed-by-ps", &[container(), seen].concat()).status
    };
    assert_eq!(status("Name\n", None), Status::Pass);
    assert_eq!(status("Name\neg sleep\n", None), Status::Fail);
    assert_eq!(status("Name\neg\n", Some("/srv/task3/.containers/eg")), Status::Pass);
}

#[test]
fn an_exec_that_ended_the_neighbour_does_not_cost_stop() {
    let survival = |step: &str, alive: bool| ("survival", json!({ "step": step, "alive": alive }));
    let status = |before: bool| {
        let seen = vec![
            survival("worker-after-exec", before),
            left("stop-worker", &Left::default()),
            survival("worker-after-stop", false),
        ];
        judged("3a/stop-cleans-up", &[container(), seen].concat()).status
    };
    assert_eq!(status(false), Status::Pass);
    assert_eq!(status(true), Status::Fail);
}

#[test]
fn an_overlay_that_stays_mounted_is_no_matter_of_stop_cleans_up_and_another_mount_is() {
    let place = "/srv/task3/.containers/eg/merged".to_owned();
    let status = |mounts: Vec<String>| {
        let overlays = vec![place.clone()];
        let stopped =
            Left { mounts, overlays, state: Some("/srv/task3/.containers/eg".to_owned()), ..Left::default() };
        judged("3a/stop-cleans-up", &[container(), vec![left("stop-worker", &stopped)]].concat()).status
    };
    assert_eq!(status(vec![place.clone()]), Status::Pass);
    assert_eq!(status(vec![place.clone(), format!("{place}/dev")]), Status::Fail);
}

pub(super) fn folder(path: &str, ino: u64) -> Directory {
    Directory { path: path.to_owned(), dev: 1, ino }
}

/// An image, and a container that runs on an overlay of its `lower` folder.
pub(super) fn on_overlay(named: Directory, lower: Directory) -> Vec<(&'static str, Value)> {
    let image = Image {
        step: "build".to_owned(),
        layers: Some(named.path.clone()),
        named: vec![named],
        base: Size { entries: 1, bytes: 300_000_000 },
        ..Image::default()
    };
    let root = Mount { device: "0:50".to_owned(), mount_point: "/".to_owned(), ..Mount::default() };
    let view = ContainerView { step: "worker".to_owned(), mounts: vec![root], ..ContainerView::default() };
    let mounted = vec![Overlay { device: "0:50".to_owned(), lower: vec![lower], ..Overlay::default() }];
    let overlays = Overlays { step: "worker".to_owned(), mounted };
    vec![
        ("machine", json!(Machine::default())),
        ("image", json!(image)),
        ("container", json!(view)),
        ("overlays", json!(overlays)),
    ]
}

#[test]
fn an_entry_of_layers_is_the_layer_or_its_folder_and_nothing_above() {
    let layer = || folder("/srv/.cache/layers/key/diff", 5);
    let status = |named| judged("3d/layers-file", &on_overlay(named, layer())).status;
    assert_eq!(status(layer()), Status::Pass);
    assert_eq!(status(folder("/srv/.cache/layers/key", 4)), Status::Pass);
    assert_eq!(status(folder("/srv/.cache/layers", 3)), Status::Fail);
    assert_eq!(status(folder("/srv", 2)), Status::Fail);
}

#[test]
fn a_copy_anywhere_on_the_machine_shows_in_what_its_disks_hold() {
    let disk =
        |step: &str, used: u64| ("disk", json!({ "step": step, "beside": Size::default(), "used": used }));
    let status = |built: u64, running: u64| {
        let base = folder("/srv/base", 5);
        let disks =
            [disk("before", 0), disk("build", built), disk("build-second", built), disk("worker", running)];
        judged("3d/no-copy", &[on_overlay(base.clone(), base), disks.to_vec()].concat()).status
    };
    assert_eq!(status(310_000_000, 311_000_000), Status::Pass);
    assert_eq!(status(600_000_000, 601_000_000), Status::Fail);
    assert_eq!(status(310_000_000, 600_000_000), Status::Fail);
}

/// A command in a container whose namespaces and root have the inode `place`.
fn running(step: &str, words: &[&str], place: u64) -> (&'static str, Value) {
    let namespaces =
        Namespaces { uts: place, pid: place, net: place, mnt: place, ipc: place, ..Namespaces::default() };
    let cmdline = words.iter().map(|word| (*word).to_owned()).collect();
    let main = Process { pid: 9, cmdline, namespaces, root: folder("/", place), ..Process::default() };
    ("container", json!(ContainerView { step: step.to_owned(), main, ..ContainerView::default() }))
}

#[test]
fn an_argument_that_is_lost_costs_command_and_args_alone() {
    let plan = plan::plan(&mut StdRng::seed_from_u64(1));
    let drawn = RunPlan::deserialize(&plan).unwrap();
    let machine = || ("machine", json!(Machine::default()));
    let entered = || ("entered", json!({ "step": "exec-command", "container": "entered-1" }));
    let seen = |words: &[&str]| {
        let records = [machine(), running("worker", words, 5)];
        let of_run = ["3a/command-and-args", "3a/namespaces"].map(|check| judged(check, &records));
        let words = [&["sleep", &drawn.sleeps[1]], &words[2..]].concat();
        let records =
            [machine(), running("entered-1", &[], 5), entered(), running("exec-command", &words, 5)];
        let of_exec = ["3b/command-and-args", "3b/namespaces"].map(|check| judged(check, &records));
        [of_run, of_exec]
    };
    let command = drawn.command(0);
    assert_eq!(command.len(), 3);
    for findings in seen(&command) {
        assert_eq!(findings.map(|finding| finding.status), [Status::Pass, Status::Pass]);
    }
    for findings in seen(&command[..2]) {
        let lost = format!("runs without the last words of the command: `{}`", command[2]);
        assert!(findings[0].actual.ends_with(&lost), "{}", findings[0].actual);
        assert_eq!(findings.map(|finding| finding.status), [Status::Fail, Status::Pass]);
    }
    // Evidence from before there was a second argument.
    let mut old = plan.clone();
    for field in ["second_argument", "neighbours"] {
        assert!(old.as_object_mut().unwrap().remove(field).is_some());
    }
    let records = [machine(), running("worker", &command[..2], 5)];
    assert_eq!(judged_with(old, "3a/command-and-args", &records).status, Status::Pass);
}

#[test]
fn two_containers_that_run_at_once_share_no_namespace() {
    let status = |place, alive: Option<bool>| {
        let survival = |alive| ("survival", json!({ "step": "worker-before-stop", "alive": alive }));
        let records = [
            ("machine", json!(Machine::default())),
            running("worker", &["sleep", "1"], 5),
            running("shell", &["bash"], place),
        ];
        judged(
            "3a/namespaces",
            &[&records[..], &alive.map(survival).into_iter().collect::<Vec<_>>()].concat(),
        )
    };
    assert_eq!(status(6, Some(true)).status, Status::Pass);
    let shared = status(5, Some(true));
    assert_eq!(shared.status, Status::Fail);
    let actual = "`bash` (process 9) and `sleep 1` (process 9), which run in two containers, share UTS, PID, NET, MOUNT, IPC";
    assert_eq!(shared.actual, actual);
    // The numbers of a namespace that is gone are given again.
    assert_eq!(status(5, Some(false)).status, Status::Pass);
    assert_eq!(status(5, None).status, Status::Pass);
}

#[test]
fn a_file_that_stop_keeps_elsewhere_is_left_state() {
    let finding = |kept: Option<&str>| {
        let stopped = Left { kept: kept.map(str::to_owned), ..Left::default() };
        judged("3a/stop-cleans-up", &[container(), vec![left("stop-worker", &stopped)]].concat())
    };
    assert_eq!(finding(None).status, Status::Pass);
    let kept = finding(Some("/var/tmp/old/1/upper"));
    let actual = "a file written in the container is still in /var/tmp/old/1/upper";
    assert_eq!((kept.status, kept.actual.as_str()), (Status::Fail, actual));
}

#[test]
fn an_exec_that_enters_the_neighbour_is_told_by_both_names() {
    let plan = RunPlan::deserialize(plan::plan(&mut StdRng::seed_from_u64(1))).unwrap();
    let finding = |check, place| {
        let records = [
            ("machine", json!(Machine::default())),
            running("entered-1", &["sleep", "1"], 5),
            running("neighbour-1", &["sleep", "2"], 6),
            ("entered", json!({ "step": "exec-command", "container": "entered-1" })),
            running("exec-command", &["sleep", "3"], place),
        ];
        judged(check, &records)
    };
    let (named, other) = (&plan.entered[0], &plan.neighbours[0].name);
    for (check, actual) in [
        ("3b/namespaces", format!("`sleep 3` (process 9) is in the container {other}, not in {named}")),
        (
            "3b/root",
            format!("the root of `sleep 3` (process 9) is that of the container {other}, not of {named}"),
        ),
    ] {
        assert_eq!(finding(check, 5).status, Status::Pass);
        let wrong = finding(check, 6);
        assert_eq!((wrong.status, wrong.actual), (Status::Fail, actual));
        assert_eq!(finding(check, 7).status, Status::Fail);
        assert!(!finding(check, 7).actual.contains(other));
    }
}

#[test]
fn a_mount_that_every_container_leaves_costs_stop_and_one_that_only_the_first_brought_does_not() {
    let status = |came: &[(&str, Option<&[&str]>)]| {
        let with = |(step, came): &(&str, Option<&[&str]>)| {
            let came = came.map(|came| came.iter().map(|place| (*place).to_owned()).collect());
            left(step, &Left { came, ..Left::default() })
        };
        judged("3a/stop-cleans-up", &[container(), came.iter().map(with).collect()].concat()).status
    };
    let (one, other) = (["/var/lib/cnt/1 (tmpfs)"], ["/var/lib/cnt/2 (tmpfs)"]);
    let (worker, last) = ("stop-worker", "stop-other");
    assert_eq!(status(&[(worker, Some(&one)), (last, Some(&other))]), Status::Fail);
    assert_eq!(status(&[(worker, Some(&one)), (last, Some(&[]))]), Status::Pass);
    assert_eq!(status(&[(worker, Some(&one)), (last, None)]), Status::Pass);
    assert_eq!(status(&[(worker, Some(&one))]), Status::Pass);
    assert_eq!(status(&[(worker, None), (last, None)]), Status::Pass);
}
