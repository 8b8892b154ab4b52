//! Tests of the judges of copied folders, and of a file that RUN rewrites.

use std::collections::BTreeMap;

use serde_json::json;

use super::Found;
use super::plan::LINK;
use super::tests::Recorded;
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
