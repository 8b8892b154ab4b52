//! Tests of the judges of 3d.

use serde_json::{Value, json};

use super::tests::{folder, judged, on_overlay};
use crate::evidence::process::Directory;
use crate::task::task3::shared::overlays::Overlays;
use crate::verdict::Status;

type Records = Vec<(&'static str, Value)>;

fn base() -> Directory {
    folder("/srv/.cache/base", 5)
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
