//! Tests of the judges of 3d: what counts as the base, as a copy of it, and as a layer that is
//! named in the file `layers`.

use serde_json::{Value, json};

use super::tests::{folder, judged, on_overlay};
use crate::evidence::process::Directory;
use crate::task::task3::shared::overlays::{Overlay, Overlays};
use crate::task::task3::shared::state::{Image, Size};
use crate::verdict::Status;

type Records = Vec<(&'static str, Value)>;

fn base() -> Directory {
    folder("/srv/.cache/base", 5)
}

/// A container that runs on these folders, of which some are root trees. `layers` names `named`.
fn stacked(named: &[Directory], lower: &[Directory], trees: Option<&[usize]>) -> Records {
    let mut records = on_overlay(base(), base());
    let at = |kind: &str, records: &Records| records.iter().position(|record| record.0 == kind).unwrap();
    let image = at("image", &records);
    records[image].1["named"] = json!(named);
    let overlays = at("overlays", &records);
    let overlay = Overlay {
        device: "0:50".to_owned(),
        lower: lower.to_vec(),
        trees: trees.map(<[usize]>::to_vec),
        ..Overlay::default()
    };
    records[overlays].1 = json!(Overlays { step: "worker".to_owned(), mounted: vec![overlay] });
    records
}

fn written() -> (&'static str, Value) {
    ("written", json!({ "step": "write", "error": null, "kept": true, "found": [] }))
}

#[test]
fn writes_stay_in_a_container_only_where_an_overlay_keeps_them() {
    let status = |records: &Records| judged("3d/writes-stay-in-container", records).status;
    let mut records = on_overlay(base(), base());
    records.push(written());
    assert_eq!(status(&records), Status::Pass);
    records.retain(|record| record.0 != "overlays");
    records.push(("overlays", json!(Overlays { step: "worker".to_owned(), mounted: vec![] })));
    assert_eq!(status(&records), Status::Skip);
}

#[test]
fn a_small_layer_of_one_container_need_not_be_named_and_a_root_tree_must_be() {
    let init = || folder("/srv/.containers/eg/init", 8);
    let unused = || folder("/srv/.cache/layers/key", 9);
    let judged = |named: &[Directory], trees: Option<&[usize]>| {
        judged("3d/layers-file", &stacked(named, &[init(), base()], trees)).status
    };
    assert_eq!(judged(&[base()], Some(&[1])), Status::Pass);
    assert_eq!(judged(&[folder("/srv/.cache", 4), base()], Some(&[1])), Status::Pass);
    assert_eq!(judged(&[base(), unused()], Some(&[1])), Status::Fail);
    assert_eq!(judged(&[base()], Some(&[0, 1])), Status::Fail);
    assert_eq!(judged(&[base()], Some(&[])), Status::Fail);
    assert_eq!(judged(&[init()], Some(&[1])), Status::Fail);
    // Evidence that does not tell which of them is a root tree is judged as before.
    assert_eq!(judged(&[base()], None), Status::Fail);
}

fn disk(step: &str, beside: Size, trees: &[Directory], used: u64) -> (&'static str, Value) {
    ("disk", json!({ "step": step, "beside": beside, "trees": trees, "used": used }))
}

#[test]
fn images_share_the_base_only_if_none_has_a_root_tree_of_its_own() {
    let copy = || folder("/srv/.cache/own", 6);
    let status = |named: &[Directory], trees: &[Directory], used: u64| {
        let mut records = stacked(&[base()], &[base()], Some(&[0]));
        let second = Image { step: "build-second".to_owned(), named: named.to_vec(), ..Image::default() };
        records.push(("image", json!(second)));
        records.push(disk("build", Size::default(), &[base()], 300_000_000));
        records.push(disk("build-second", Size::default(), trees, used));
        judged("3d/base-shared", &records).status
    };
    assert_eq!(status(&[base()], &[base()], 301_000_000), Status::Pass);
    assert_eq!(status(&[copy(), base()], &[base(), copy()], 301_000_000), Status::Fail);
    assert_eq!(status(&[copy(), base()], &[base()], 301_000_000), Status::Pass);
    assert_eq!(status(&[copy(), base()], &[base()], 600_000_000), Status::Fail);
}

#[test]
fn containers_run_on_the_same_base_if_their_root_trees_are_the_same() {
    let scratch = || folder("/srv/.cache/scratch", 7);
    let status = |other: Directory| {
        let mut records = stacked(&[base()], &[base(), scratch()], Some(&[0]));
        let second =
            Image { step: "build-second".to_owned(), named: vec![scratch(), base()], ..Image::default() };
        records.push(("image", json!(second)));
        let mut of_other = stacked(&[base()], &[other, scratch()], Some(&[0]));
        of_other.retain(|record| ["container", "overlays"].contains(&record.0));
        for record in &mut of_other {
            record.1["step"] = json!("other");
        }
        records.extend(of_other);
        judged("3d/base-shared", &records).status
    };
    assert_eq!(status(base()), Status::Pass);
    assert_eq!(status(folder("/srv/.cache/base-of-other", 6)), Status::Fail);
}

#[test]
fn an_archive_of_the_base_is_no_copy_of_it_and_thousands_of_files_are() {
    let status = |entries: u64, used: u64, running: u64| {
        let after = Size { entries: 24 + entries, bytes: 310_000_000 };
        let disks = [
            disk("before", Size { entries: 24, bytes: 0 }, &[], 0),
            disk("build", after, &[base()], used),
            disk("build-second", after, &[base()], used),
            disk("worker", after, &[base()], running),
        ];
        judged("3d/no-copy", &[on_overlay(base(), base()), disks.to_vec()].concat()).status
    };
    assert_eq!(status(10, 627_000_000, 628_000_000), Status::Pass);
    assert_eq!(status(9_000, 627_000_000, 628_000_000), Status::Fail);
    // Beside the archive there is a copy elsewhere, such as in a disk image that is mounted.
    assert_eq!(status(10, 940_000_000, 941_000_000), Status::Fail);
    assert_eq!(status(10, 627_000_000, 940_000_000), Status::Fail);
}
