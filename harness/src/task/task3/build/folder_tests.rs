//! Tests of the judges of copied folders, of a file that RUN rewrites, and of images from the
//! cache.

use std::collections::BTreeMap;

use serde_json::json;

use super::plan::LINK;
use super::tests::Recorded;
use super::{Found, Layers};
use crate::evidence::process::Directory;
use crate::verdict::{Finding, Status};

/// What a container shows of the folder at `top` after a correct COPY.
fn copied(recorded: &Recorded, top: &str) -> BTreeMap<String, Found> {
    let found = |kind: &str, mode, text: &str| Found { kind: kind.to_owned(), mode, text: text.to_owned() };
    let content = recorded.plan.folder_content();
    let entries = content.iter().map(|(path, mode, text)| {
        let kind = if text.is_some() { "file" } else { "folder" };
        (format!("{top}/{path}"), found(kind, *mode, text.unwrap_or_default()))
    });
    entries.chain([(format!("{top}/{}", LINK.0), found("link", 0o777, LINK.1))]).collect()
}

/// The finding of 3e/directory where the folder with a new name is changed, in every path that ends
/// so. The folder that is copied to `/` is correct.
fn judged(end: &str, change: impl Fn(&mut BTreeMap<String, Found>, &str)) -> Finding {
    let mut recorded = Recorded::correct();
    let (named, root) = (recorded.plan.copied_folder(), recorded.plan.copied_to_root());
    let mut content = copied(&recorded, &named);
    change(&mut content, &format!("{named}/{end}"));
    for (step, found) in [("copy-folder", content), ("copy-to-root", copied(&recorded, &root[0]))] {
        recorded.others.push(("overlays", json!({ "step": step, "mounted": [] })));
        recorded.others.push(("found", json!({ "step": step, "found": found })));
    }
    recorded.judged("3e/directory")
}

#[test]
fn a_copied_folder_has_all_files_folders_and_links() {
    assert_eq!(judged("run.sh", |_, _| ()).status, Status::Pass);
    for path in [".hidden", "run.sh", "deep", "deep/er", LINK.0] {
        let finding = judged(path, |found, path| drop(found.remove(path)));
        assert!(finding.status == Status::Fail && finding.actual.contains(path), "{finding:?}");
    }
}

#[test]
fn a_link_is_a_link_to_the_same_place_and_a_folder_is_a_folder() {
    let kind = |path, kind: &'static str| {
        let change = move |found: &mut BTreeMap<String, Found>, path: &str| {
            found.get_mut(path).unwrap().kind = kind.to_owned();
        };
        judged(path, change).actual
    };
    assert!(kind(LINK.0, "file").ends_with(" is a file, not a link"));
    assert!(kind("deep", "link").ends_with("deep is a link"));
    let elsewhere = judged(LINK.0, |found, path| found.get_mut(path).unwrap().text = "run.sh".to_owned());
    assert!(elsewhere.actual.ends_with("leads to \"run.sh\", not to \"deep/er\""), "{}", elsewhere.actual);
}

#[test]
fn a_file_that_run_rewrites_has_its_new_text() {
    let rewritten = |text: &str| {
        let mut recorded = Recorded::correct();
        let path = recorded.plan.wrote("run-rewrites");
        recorded.show("run-rewrites", &path, text);
        recorded.judged("3f/deletions")
    };
    let recorded = Recorded::correct();
    let (new, old) = (recorded.plan.word_of("run-rewrites"), recorded.plan.text_of("run-rewrites"));
    assert_eq!(rewritten(new).status, Status::Pass);
    assert!(rewritten(old).actual.ends_with("still has the old text"));
    assert!(rewritten("another").actual.ends_with("has the text \"another\""));
}

/// The layers of a folder's image, of which the layer above the base has these files.
fn of_folder(step: &str, layer: Option<u64>, files: &[&str]) -> (&'static str, serde_json::Value) {
    let dir = |ino| Directory { path: format!("/{ino}"), dev: 1, ino };
    let found = Found { kind: "file".to_owned(), mode: 0o644, text: String::new() };
    let dirs = layer.into_iter().chain([1]).map(dir).collect();
    let found = files.iter().map(|path| ((*path).to_owned(), vec![found.clone()])).collect();
    ("layers", json!(Layers { step: step.to_owned(), dirs, found, ..Layers::default() }))
}

#[test]
fn an_image_from_the_cache_that_lacks_a_layer_has_no_new_one() {
    let mut recorded = Recorded::correct();
    let [secret, program] = recorded.plan.changed_files();
    let files = [secret.as_str(), program.as_str()];
    recorded.others.extend([
        of_folder("copy-folder", Some(90), &files),
        of_folder("copied-again", None, &[]),
        of_folder("mode-changed", None, &[]),
        of_folder("text-changed", Some(91), &files),
        of_folder("run-after-copy", Some(92), &[]),
        of_folder("rebuilt", None, &[]),
    ]);
    let of_copy = recorded.judged("3e/layer-cached");
    assert_eq!(of_copy.status, Status::Skip);
    assert!(!of_copy.actual.contains("did not pass"), "{}", of_copy.actual);
    assert!(of_copy.actual.contains("names 1 of the 2 folders"), "{}", of_copy.actual);
    let of_run = recorded.judged("3f/layer-cached");
    assert_eq!(of_run.status, Status::Fail);
    assert!(of_run.actual.starts_with("the second build made no new layer"), "{}", of_run.actual);
}
