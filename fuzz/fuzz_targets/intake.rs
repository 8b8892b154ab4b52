//! Any bytes as an archive: nothing outside the folder it is unpacked into changes, nothing in it
//! leads out, and what is done to a copy later stays in it.
#![no_main]

use std::fs;
use std::path::Path;

use harness::follow_through::{self, Graft};
use harness::submission::{Limits, open};
use harness::{course, stage};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let home = tempfile::tempdir().expect("a folder");
    let path = |name: &str| home.path().join(name);
    fs::create_dir(path("into")).expect("a folder in it");
    fs::write(path("victim"), "untouched").expect("a file in it");
    fs::write(path("s.tar"), bytes).expect("the archive");
    let limits = Limits { entries: 200, file: 1 << 20, total: 4 << 20, ..Limits::default() };
    if let Ok(submission) = open(&path("s.tar"), &path("into"), &limits, None) {
        stays_inside(&path("into"), &path("into"));
        course::unpack(&path("course")).expect("the course's files");
        let _ = stage::supply(&path("course"), &submission.root);
        let _ = follow_through::apply(Graft::Conductor, &submission.root, &[path("s.tar")]);
        fs::remove_dir_all(path("course")).expect("it is ours");
    }
    assert_eq!(fs::read(path("victim")).expect("it is there"), b"untouched");
    assert_eq!(fs::read_dir(home.path()).expect("it is there").count(), 3);
});

/// Every link that leads anywhere leads into `top`.
fn stays_inside(folder: &Path, top: &Path) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let kind = fs::symlink_metadata(&path).expect("an entry").file_type();
        if let (true, Ok(end)) = (kind.is_symlink(), path.canonicalize()) {
            assert!(end.starts_with(top.canonicalize().expect("the top")), "{} leads out", path.display());
        }
        if kind.is_dir() {
            stays_inside(&path, top);
        }
    }
}
