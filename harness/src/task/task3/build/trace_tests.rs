//! Tests of what a tool earns that ignores COPY and RUN, or makes no layers of them.

use serde_json::json;

use super::tests::Recorded;
use super::{Base, Layers};
use crate::verdict::Status;

const OF_COPY: [&str; 2] = ["3e/base-untouched", "3e/unmounted"];
const OF_RUN: [&str; 2] = ["3f/base-untouched", "3f/unmounted"];

/// A correct tool, of which `changed` came into the base.
fn recorded(changed: &[&str]) -> Recorded {
    let mut recorded = Recorded::correct();
    let changed: Vec<String> = changed.iter().map(|path| (*path).to_owned()).collect();
    for step in ["copies", "runs"] {
        recorded.others.push(("base", json!(Base { step: step.to_owned(), changed: changed.clone() })));
    }
    recorded
}

/// Takes from the images of some steps what the instructions brought.
fn ignore(recorded: &mut Recorded, ignored: impl Fn(&str) -> bool) {
    let steps: Vec<String> = recorded.layers.keys().filter(|step| ignored(step)).cloned().collect();
    for step in steps {
        recorded.layers.get_mut(&step).unwrap().clear();
        recorded.shown.get_mut(&step).unwrap().clear();
    }
}

fn statuses(recorded: &Recorded, checks: [&str; 2]) -> [Status; 2] {
    checks.map(|check| recorded.judged(check).status)
}

#[test]
fn an_instruction_that_left_nothing_anywhere_left_no_base_untouched_and_nothing_unmounted() {
    let mut without_copy = recorded(&[]);
    ignore(&mut without_copy, |step| step.starts_with("copy"));
    assert_eq!(statuses(&without_copy, OF_COPY), [Status::Skip; 2]);
    assert_eq!(statuses(&without_copy, OF_RUN), [Status::Pass; 2]);
    let told = without_copy.judged(OF_COPY[0]).actual;
    assert!(told.contains("needs 3e/file"), "{told}");

    let mut without_run = recorded(&[]);
    ignore(&mut without_run, |step| step.starts_with("run"));
    // COPY brings files into the images of two builds with RUN.
    let copied = without_run.plan.copied("run-rewrites");
    without_run.show("run-rewrites", &copied, "copied");
    assert_eq!(statuses(&without_run, OF_COPY), [Status::Pass; 2]);
    assert_eq!(statuses(&without_run, OF_RUN), [Status::Skip; 2]);
}

#[test]
fn one_instruction_that_left_something_is_enough() {
    let mut one_copy = recorded(&[]);
    ignore(&mut one_copy, |step| step.starts_with("copy") && step != "copy-bin");
    assert_eq!(statuses(&one_copy, OF_COPY), [Status::Pass; 2]);

    let mut only_in_a_layer = recorded(&[]);
    ignore(&mut only_in_a_layer, |step| step != "copy-name" && step != "run-echo");
    only_in_a_layer.shown.values_mut().for_each(std::collections::BTreeMap::clear);
    assert_eq!(statuses(&only_in_a_layer, OF_COPY), [Status::Pass; 2]);
    assert_eq!(statuses(&only_in_a_layer, OF_RUN), [Status::Pass; 2]);
}

#[test]
fn a_run_that_only_deletes_left_something() {
    let mut recorded = recorded(&[]);
    ignore(&mut recorded, |step| step.starts_with("run"));
    // The base has the file, and the container does not show it.
    let found = serde_json::json!({ "/etc/issue.net": [{ "kind": "file", "mode": 0o644, "text": "" }] });
    let layers = Layers { step: "run-deletes".to_owned(), ..Layers::default() };
    let mut layers = json!(layers);
    layers["found"] = found;
    recorded.replaced.insert("run-deletes".to_owned(), serde_json::from_value(layers).unwrap());
    assert_eq!(statuses(&recorded, OF_RUN), [Status::Pass; 2]);
}

#[test]
fn what_came_into_the_base_fails_whatever_images_show() {
    let mut recorded = recorded(&["/srv/.cache/base/opt/copied"]);
    ignore(&mut recorded, |_| true);
    for check in [OF_COPY[0], OF_RUN[0]] {
        assert_eq!(recorded.judged(check).status, Status::Fail);
    }
}

#[test]
fn a_tool_without_layers_and_overlays_has_none_to_unmount() {
    let mut recorded = recorded(&[]);
    for step in recorded.layers.keys().cloned().collect::<Vec<_>>() {
        recorded.replaced.insert(step.clone(), Layers { step, ..Layers::default() });
    }
    for check in [OF_COPY[1], OF_RUN[1]] {
        let finding = recorded.judged(check);
        assert_eq!(finding.status, Status::Skip);
        assert!(finding.actual.contains("needs 3d/layers-file"), "{}", finding.actual);
    }
    let overlay = json!({ "id": 9, "parent": 1, "device": "0:50", "root": "/", "mount_point": "/",
        "fs_type": "overlay", "source": "", "options": "", "shared": false });
    recorded.others.push(("container", {
        let mut view = json!(crate::task::task3::shared::view::ContainerView::default());
        view["mounts"] = json!([overlay]);
        view
    }));
    assert_eq!(recorded.judged(OF_COPY[1]).status, Status::Pass);
    assert_eq!(recorded.judged(OF_RUN[1]).status, Status::Pass);
}
