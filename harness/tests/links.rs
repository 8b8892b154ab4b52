//! Tests links in submissions, by tar, zip and directory. No link may reach a file outside the
//! submission's folder, even when the harness renames, reads or writes files later.
#![allow(clippy::unwrap_used)]

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use harness::follow_through::{self, Graft};
use harness::submission::{Error, Limits, Refusal, Submission, open};
use harness::{course, stage};
use proptest::prelude::*;
use tar::{EntryType, Header};
use tempfile::TempDir;
use zip::write::{SimpleFileOptions, ZipWriter};

const ROOT: &str = "23m0001_assignment3";
const FORMS: [&str; 3] = ["s.tar", "s.zip", ROOT];
const SECRET: &str = "#!/bin/sh\r\necho the victim's secret\n";

/// An entry below [`ROOT`].
#[derive(Clone, Copy)]
enum Entry {
    File(&'static str, &'static str),
    Link(&'static str, &'static str),
}
use Entry::{File as F, Link as L};

/// A folder with a victim file and a victim folder beside the submission.
struct Place(TempDir);

impl Place {
    fn new(entries: &[Entry]) -> Self {
        let home = TempDir::new().unwrap();
        fs::create_dir(home.path().join("into")).unwrap();
        fs::create_dir(home.path().join("folder")).unwrap();
        for victim in ["victim", "folder/victim"] {
            fs::write(home.path().join(victim), SECRET).unwrap();
            fs::set_permissions(home.path().join(victim), fs::Permissions::from_mode(0o640)).unwrap();
        }
        let place = Self(home);
        place.tar(entries);
        place.zip(entries);
        place.directory(entries);
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn tar(&self, entries: &[Entry]) {
        let mut builder = tar::Builder::new(File::create(self.path("s.tar")).unwrap());
        for entry in entries {
            let mut header = Header::new_gnu();
            let (name, content, kind, link) = match entry {
                F(name, content) => (name, *content, EntryType::Regular, ""),
                L(name, to) => (name, "", EntryType::Symlink, *to),
            };
            header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
            header.set_entry_type(kind);
            header.set_mode(0o644);
            header.set_size(content.len() as u64);
            header.set_path(format!("{ROOT}/{name}")).unwrap();
            header.set_cksum();
            builder.append(&header, content.as_bytes()).unwrap();
        }
        builder.finish().unwrap();
    }

    fn zip(&self, entries: &[Entry]) {
        let mut writer = ZipWriter::new(File::create(self.path("s.zip")).unwrap());
        for entry in entries {
            let options = SimpleFileOptions::default();
            match entry {
                F(name, content) => {
                    writer.start_file(format!("{ROOT}/{name}"), options).unwrap();
                    writer.write_all(content.as_bytes()).unwrap();
                }
                L(name, to) => writer.add_symlink(format!("{ROOT}/{name}"), *to, options).unwrap(),
            }
        }
        writer.finish().unwrap();
    }

    fn directory(&self, entries: &[Entry]) {
        let root = self.path(ROOT);
        fs::create_dir(&root).unwrap();
        for entry in entries {
            let (F(name, _) | L(name, _)) = entry;
            let path = root.join(name);
            // A directory cannot have an entry behind a link. Only the archives can.
            let _ = fs::create_dir_all(path.parent().unwrap());
            match entry {
                F(_, content) => drop(fs::write(&path, content)),
                L(_, to) => drop(symlink(to, &path)),
            }
        }
    }

    /// Opens one form with a starter to compare, and then does everything that a run does to the
    /// copy.
    fn take(&self, form: &str) -> Result<Submission, Error> {
        let into = self.path("into").join(form);
        fs::create_dir(&into).unwrap();
        let starter = self.path("starter");
        fs::create_dir_all(&starter).unwrap();
        course::unpack(&starter).unwrap();
        let taken = open(&self.path(form), &into, &Limits::default(), Some(&starter));
        if let Ok(submission) = &taken {
            stage::supply(&starter, &submission.root).unwrap();
            let program = self.path("program");
            fs::write(&program, "a program").unwrap();
            let programs = [program.clone(), program];
            for graft in [Graft::Run, Graft::BuildAndRun, Graft::Conductor] {
                follow_through::apply(graft, &submission.root, &programs).unwrap();
            }
        }
        self.is_untouched();
        taken
    }

    fn is_untouched(&self) {
        for victim in ["victim", "folder/victim"] {
            let path = self.path(victim);
            assert_eq!(fs::read_to_string(&path).unwrap(), SECRET);
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o640);
        }
        assert_eq!(fs::read_dir(self.path("folder")).unwrap().count(), 1);
    }

    fn refused(&self, form: &str) -> (String, Refusal) {
        match self.take(form) {
            Err(Error::Refused { entry, why, .. }) => (entry, why),
            other => panic!("{form}: {other:?}"),
        }
    }
}

#[test]
fn a_link_that_would_lead_out_after_a_change_of_case_is_not_renamed() {
    let nested = "../task1/task1/task1/../../../victim";
    let entries = [L("TASK1", "."), L("task2/simple_container.sh", nested), F("task3/conductor.sh", "")];
    let place = Place::new(&entries);
    for form in FORMS {
        let submission = place.take(form).unwrap();
        assert!(fs::symlink_metadata(submission.root.join("TASK1")).unwrap().is_symlink());
        assert!(!submission.root.join("task2/simple_container.sh").exists());
        assert!(!said(&submission).contains("secret"));
    }
}

/// The layout of an opened submission as text, including the diff with the starter.
fn said(submission: &Submission) -> String {
    serde_json::to_string(&submission.layout).unwrap()
}

#[test]
fn a_link_that_leads_out_with_the_final_names_is_refused_and_named() {
    let code = F("task1/namespace_prog.c", "int main() {}\n");
    let nested = "../task1/task1/task1/../../../victim";
    let attacks: &[&[Entry]] = &[
        // Each step through task1 stays inside. Each step up leads out.
        &[L("task1", "."), L("task2/simple_container.sh", nested), F("task3/conductor.sh", "")],
        &[code, L("task2", "../folder")],
        &[code, L("TASK2", "../folder")],
        &[code, L("Task2/Simple_Container.sh", "../../victim")],
        &[code, L("task3/conductor.sh", "/proc/kmsg")],
        &[code, L("task3/conductor.sh", "../../victim")],
        &[code, L("task4/counter-service", "../../folder")],
        &[code, L("task4/a", "b"), L("task4/b", "../c"), L("c", "../victim")],
        // The link is inside with the archive's names, and outside once task3 has its right name.
        &[code, F("Task3/x/y/z", ""), L("Task3/up", "x/y/../../../../victim")],
    ];
    for (number, entries) in attacks.iter().enumerate() {
        let place = Place::new(entries);
        for form in FORMS {
            let (entry, why) = place.refused(form);
            let is_link = entries.iter().any(
                |link| matches!(link, L(name, _) if entry.to_lowercase().ends_with(&name.to_lowercase())),
            );
            assert!(is_link, "attack {number}, {form}: {entry}: {why}");
            assert!(
                matches!(why, Refusal::LinkEscapes(_) | Refusal::LinkAround),
                "attack {number}, {form}: {entry}: {why}"
            );
            assert_eq!(fs::read_dir(place.path("into").join(form)).unwrap().count(), 0, "{form}: written");
        }
    }
}

#[test]
fn a_link_in_the_place_of_a_task_is_replaced_by_a_copy_and_reported() {
    let place = Place::new(&[
        F("src/namespace_prog.c", "int main() {}\n"),
        F("src/lib.h", "// lib\n"),
        L("src/header.h", "lib.h"),
        L("src/readme", "../README"),
        F("README", "hello\n"),
        L("task1", "src"),
        L("task2/simple_container.sh", "../scripts/c.sh"),
        F("scripts/c.sh", "#!/bin/sh\n"),
        L("task3/conductor.sh", "missing.sh"),
    ]);
    for form in FORMS {
        let submission = place.take(form).unwrap();
        let files: Vec<_> = submission.layout.files.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(files, ["task1/namespace_prog.c", "task2/simple_container.sh"], "{form}");
        assert_eq!(
            submission.layout.replaced,
            [
                "task1 was a link to src; a copy was graded",
                "task2/simple_container.sh was a link to ../scripts/c.sh; a copy was graded",
                "task3/conductor.sh was a link to missing.sh, which does not exist",
            ]
        );
        let root = &submission.root;
        assert!(fs::symlink_metadata(root.join("task1")).unwrap().is_dir());
        assert_eq!(fs::read_to_string(root.join("task1/header.h")).unwrap(), "// lib\n");
        assert_eq!(fs::read_to_string(root.join("task1/readme")).unwrap(), "hello\n");
        assert!(fs::symlink_metadata(root.join("task2/simple_container.sh")).unwrap().is_file());
        // The copy is executable, and the original keeps its mode.
        assert_eq!(fs::metadata(root.join("scripts/c.sh")).unwrap().permissions().mode() & 0o111, 0);
    }
}

#[test]
fn other_links_that_stay_inside_are_kept_and_can_be_read() {
    let place = Place::new(&[
        F("task3/conductor.sh", "#!/bin/sh\n"),
        F("task3/setup.sh", "DEFAULT_IFC=ens3\n"),
        L("task4/conductor.sh", "../task3/conductor.sh"),
        L("task4/setup.sh", "./there/setup.sh"),
        L("task4/there", "../task3"),
    ]);
    for form in FORMS {
        let into = place.path("into").join(form);
        fs::create_dir(&into).unwrap();
        let submission = open(&place.path(form), &into, &Limits::default(), None).unwrap();
        let link = fs::read_link(submission.root.join("task4/conductor.sh")).unwrap();
        assert_eq!(link, Path::new("../task3/conductor.sh"));
        assert_eq!(submission.read(Path::new("task4/setup.sh"), 100).unwrap(), b"DEFAULT_IFC=ens3\n");
        assert!(submission.read(Path::new("task4/setup.sh"), 10).is_err(), "larger than the limit");
        assert!(submission.read(Path::new("task4/none"), 100).is_err());
        assert!(submission.layout.replaced.is_empty());
    }
}

#[test]
fn a_file_with_the_right_name_has_priority_and_a_link_is_never_renamed() {
    let place = Place::new(&[
        F("Task1/namespace_prog.c", "wrong\n"),
        F("task1/namespace_prog.c", "right\n"),
        F("TASK2/Simple_Container.SH", "#!/bin/sh\n"),
        F("stuff/x", ""),
        L("TASK3", "stuff"),
    ]);
    for form in FORMS {
        let submission = place.take(form).unwrap();
        let root = &submission.root;
        assert_eq!(fs::read_to_string(root.join("task1/namespace_prog.c")).unwrap(), "right\n");
        let [_, script] = submission.layout.files.as_slice() else { panic!("{:?}", submission.layout) };
        assert_eq!(script.found_as.as_deref(), Some("TASK2/Simple_Container.SH"));
        assert!(fs::symlink_metadata(root.join("TASK3")).unwrap().is_symlink());
    }
}

#[test]
fn the_layout_never_quotes_a_file_outside_the_submission() {
    // A hard link, a link to it, and a link to that link. All of them stay inside the submission.
    let place = Place::new(&[
        F("task1/namespace_prog.c", "int own_text;\n"),
        L("task2/simple_container.sh", "../one"),
        L("one", "two"),
        L("two", "task1/namespace_prog.c"),
    ]);
    for form in FORMS {
        let said = said(&place.take(form).unwrap());
        assert!(said.contains("own_text") && !said.contains("secret"), "{said}");
    }
}

/// A random path of a few names. Some of them differ only in case.
fn path_of_names() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec![
        "task1",
        "TASK1",
        "Task2",
        "task2",
        "task3",
        "task4",
        "conductor.sh",
        "Conductor.SH",
        "simple_container.sh",
        "a",
        "b",
    ]);
    prop::collection::vec(name, 1..4).prop_map(|names| names.join("/"))
}

/// A random link target with steps up and down.
fn text_of_a_link() -> impl Strategy<Value = String> {
    let part = prop::sample::select(vec![
        "..",
        ".",
        "task1",
        "TASK1",
        "task2",
        "task3",
        "a",
        "b",
        "conductor.sh",
        "victim",
    ]);
    prop::collection::vec(part, 1..7).prop_map(|parts| parts.join("/"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    /// With any combination of names and links, the victims do not change and no remaining link
    /// leads out.
    #[test]
    fn no_combination_of_names_and_links_leads_out(
        entries in prop::collection::vec((path_of_names(), prop::option::of(text_of_a_link())), 1..9)
    ) {
        let place = Place::new(&[]);
        let mut builder = tar::Builder::new(File::create(place.path("s.tar")).unwrap());
        for (name, link) in &entries {
            let mut header = Header::new_gnu();
            header.set_mode(0o644);
            header.set_size(0);
            header.set_entry_type(if link.is_some() { EntryType::Symlink } else { EntryType::Regular });
            let link = link.as_deref().unwrap_or_default();
            header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
            header.set_path(format!("{ROOT}/{name}")).unwrap();
            header.set_cksum();
            builder.append(&header, &b""[..]).unwrap();
        }
        builder.finish().unwrap();
        drop(builder);
        if let Ok(submission) = place.take("s.tar") {
            for ours in ["task3/build-replaced", "task3/run-replaced", "task3/conductor"] {
                assert_eq!(fs::read(submission.root.join(ours)).unwrap(), b"a program", "{ours}");
            }
            stays_inside(&submission.root, &submission.root.canonicalize().unwrap());
        }
        place.is_untouched();
    }
}

/// Asserts that every working link leads into `top`.
fn stays_inside(folder: &Path, top: &Path) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let kind = fs::symlink_metadata(&path).unwrap().file_type();
        if let (true, Ok(end)) = (kind.is_symlink(), path.canonicalize()) {
            assert!(end.starts_with(top), "{} leads to {}", path.display(), end.display());
        }
        if kind.is_dir() {
            stays_inside(&path, top);
        }
    }
}

#[test]
fn a_folder_cannot_be_copied_into_itself_and_copies_count_against_the_limits() {
    let place = Place::new(&[F("task2/x", ""), L("task1", ".")]);
    for form in FORMS {
        assert_eq!(place.refused(form).1, Refusal::LinkAround);
    }
    let place = Place::new(&[
        F("big/noise", "0123456789012345678901234567890123456789"),
        L("task1", "big"),
        L("task2", "big"),
        L("task3", "big"),
        F("task4/x", ""),
    ]);
    let limits = Limits { total: 100, ..Limits::default() };
    let taken = open(&place.path("s.tar"), &place.path("into"), &limits, None);
    assert!(matches!(taken, Err(Error::Refused { why: Refusal::TotalTooLarge(100), .. })), "{taken:?}");
}

#[test]
fn thousands_of_circular_links_are_refused() {
    let home = TempDir::new().unwrap();
    let (root, into) = (home.path().join(ROOT), home.path().join("into"));
    fs::create_dir_all(root.join("task1/a")).unwrap();
    fs::create_dir(&into).unwrap();
    let long = "a/../".repeat(800);
    for number in 0..5_000 {
        symlink(format!("{long}{}", number + 1), root.join(format!("task1/{number}"))).unwrap();
    }
    let taken = open(&root, &into, &Limits::default(), None);
    assert!(matches!(taken, Err(Error::Refused { why: Refusal::LinkLoop, .. })), "{taken:?}");
}
