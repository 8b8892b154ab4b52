//! The forms in which a class comes, and what in them is hostile.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::Write;
use std::path::Path;

use harness::class::fetch::{Error, fetch, look};
use harness::class::listing::lines;
use harness::class::{Class, Kind, input};
use tempfile::TempDir;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

fn work(folder: &Path) {
    fs::create_dir_all(folder.join("task1")).unwrap();
    fs::write(folder.join("task1/namespace_prog.c"), "int own;\n").unwrap();
}

fn zip(path: &Path, files: &[(&str, &[u8])]) {
    let mut zip = ZipWriter::new(fs::File::create(path).unwrap());
    for (name, bytes) in files {
        zip.start_file(*name, SimpleFileOptions::default()).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap();
}

fn ids(class: &Class) -> Vec<&str> {
    class.entries.iter().map(|entry| entry.id.as_str()).collect()
}

/// What is wrong with each entry once it is opened.
fn problems(class: &Class, home: &Path) -> Vec<String> {
    let scratch = home.join("scratch");
    fs::create_dir_all(&scratch).unwrap();
    lines(class, None, &scratch).into_iter().map(|line| line.problems.join("; ")).collect()
}

#[test]
fn a_folder_has_a_submission_for_each_entry_and_a_clash_is_never_resolved() {
    let home = TempDir::new().unwrap();
    let class = home.path().join("class");
    for name in ["23m0001_assignment3", "23m0002", "23M0001_assignment3_late", ".git"] {
        work(&class.join(name));
    }
    let read = input::read(&class).unwrap();
    assert_eq!((read.kind, ids(&read)), (Kind::Folder, vec!["23M0001", "23m0001", "23m0002"]));
    let problems = problems(&read, home.path());
    assert!(problems[0].contains("not unique") && problems[0].contains("_late"), "{problems:?}");
    assert!(problems[1].contains("not unique") && problems[2].is_empty(), "{problems:?}");
}

const METADATA: &str = "---
submission_77:
  :submitters:
  - :name: Zoë Łoś
    :sid: '0042'
    :email: zoe@example.org
  - :name: Jane Doe
    :sid:
    :email: jane@example.org
  :created_at: 2026-02-01 18:00:00.549494000 Z
  :score: 12.5
  :status: processed
  :history:
  - :id: 12
    :created_at: 2026-01-31 18:00:00.000000000 Z
submission_78:
  :submitters:
  - :name: Alone
  :created_at: 2026-02-03 18:00:00.549494000 -08:00
";

#[test]
fn gradescopes_export_has_one_entry_for_a_group_as_a_folder_and_as_a_zip() {
    let home = TempDir::new().unwrap();
    let export = home.path().join("unpacked/assignment_5_export");
    work(&export.join("submission_77"));
    fs::write(export.join("submission_metadata.yml"), METADATA).unwrap();
    let packed = home.path().join("export.zip");
    zip(
        &packed,
        &[
            ("assignment_5_export/submission_metadata.yml", METADATA.as_bytes()),
            ("assignment_5_export/submission_77/task1/namespace_prog.c", b"int own;\n"),
            ("assignment_5_export/submission_99/x", b""),
        ],
    );
    for path in [home.path().join("unpacked"), export, packed.clone()] {
        let mut read = input::read(&path).unwrap();
        if path == packed {
            // What the metadata does not name may be somebody's work.
            let other = read.entries.pop().unwrap();
            assert!(other.id == "submission_99" && other.problems[0].contains("no student"), "{other:?}");
        }
        assert_eq!((read.kind, ids(&read)), (Kind::Gradescope, vec!["submission_77", "submission_78"]));
        assert_eq!(read.entries[0].names(), "Zoë Łoś, Jane Doe");
        assert_eq!(read.entries[0].people[0].number, "0042");
        assert_eq!(
            read.entries[0].submitted.unwrap().in_zone(time::UtcOffset::UTC).unix_timestamp(),
            1_769_968_800
        );
        let problems = problems(&read, home.path());
        assert!(problems[0].is_empty() && problems[1].contains("no folder submission_78"), "{problems:?}");
    }
}

#[test]
fn metadata_that_would_fill_the_memory_is_an_error() {
    let home = TempDir::new().unwrap();
    let mut bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
    for level in 1..12 {
        let inner = vec![format!("*a{}", level - 1); 10].join(",");
        bomb = format!("{bomb}a{level}: &a{level} [{inner}]\n");
    }
    fs::write(home.path().join("submission_metadata.yml"), bomb).unwrap();
    assert!(input::read(home.path()).is_err());
}

#[test]
fn a_table_names_paths_beside_it_and_repositories_on_other_hosts() {
    let home = TempDir::new().unwrap();
    work(&home.path().join("in/one"));
    let table = home.path().join("class.csv");
    let urls = [
        "https://tok@host.invalid/x",
        "file:///srv/x",
        "http://tok@127.0.0.1:18080/x",
        "git@localhost:x",
        "ext::sh -c x://",
    ];
    let rows: Vec<_> = (0..).zip(urls).map(|(number, url)| format!("b{number},\"Doe, J\",{url}\n")).collect();
    fs::write(&table, format!("\u{feff}id,name,path\na,Jane,in/one\n{}", rows.concat())).unwrap();
    let read = input::read(&table).unwrap();
    assert_eq!((read.kind, ids(&read)), (Kind::Table, vec!["a", "b0", "b1", "b2", "b3", "b4"]));
    let fetched = fetch(&read, &read.entries[0], &home.path().join("copy")).unwrap();
    assert_eq!(look(&fetched.source, home.path()).unwrap().sha256.len(), 64);
    // What leads to this machine is refused, in the list and where it would be cloned.
    let problems = problems(&read, home.path());
    assert!(problems[..2].iter().all(String::is_empty), "{problems:?}");
    let said = ["write the path instead", "is this machine", "is this machine", "https, http, ssh or git"];
    let copy = home.path().join("submissions/b");
    for (place, said) in said.into_iter().enumerate() {
        let problem = &problems[place + 2];
        assert!(problem.contains(said) && !problem.contains("tok"), "{problem}");
        let error = fetch(&read, &read.entries[place + 2], &copy).unwrap_err();
        assert!(matches!(&error, Error::Theirs(why) if why.contains(said)), "{error}");
        assert_eq!(fs::read_dir(copy.parent().unwrap()).unwrap().count(), 0);
    }
    // A host that is away is no participant's fault.
    let error = fetch(&read, &read.entries[1], &copy).unwrap_err();
    assert!(matches!(error, Error::Ours(_)) && !error.to_string().contains("tok"), "{error}");
    assert!(error.to_string().contains("its host cannot be reached"), "{error}");

    for (text, said) in [
        ("id,path\n../x,a\n", "line 2"),
        ("name,path\nx,a\n", "columns id and path"),
        ("id,path\na\n", "line"),
    ] {
        fs::write(&table, text).unwrap();
        let error = input::read(&table).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
}

#[test]
fn one_participants_file_name_does_not_decide_the_form_of_a_folder() {
    let home = TempDir::new().unwrap();
    let inner = home.path().join("inner.zip");
    zip(&inner, &[("task1/namespace_prog.c", b"int own;\n")]);
    let work = fs::read(&inner).unwrap();
    let others = ["23m0001.zip", "23m0002.zip"];
    for (odd, export) in [
        ("Eve_1_assignsubmission_file_x.zip", "Moodle's export"),
        ("submission_metadata.yml", "Gradescope's export"),
    ] {
        let folder = home.path().join(format!("{odd} and others"));
        let packed = home.path().join(format!("{odd} and others.zip"));
        fs::create_dir(&folder).unwrap();
        let names: Vec<_> = others.iter().chain([&odd]).collect();
        for name in &names {
            fs::write(folder.join(name), &work).unwrap();
        }
        zip(&packed, &names.iter().map(|name| (**name, &work[..])).collect::<Vec<_>>());
        for path in [folder, packed] {
            let read = input::read(&path).unwrap();
            assert_eq!((read.kind, read.entries.len()), (Kind::Folder, 3), "{}", path.display());
            assert_eq!(ids(&read)[..2], ["23m0001", "23m0002"]);
            let problems = problems(&read, home.path());
            assert!(problems[..2].iter().all(String::is_empty), "{problems:?}");
            assert!(problems[2].contains(odd) && problems[2].contains(export), "{problems:?}");
        }
    }
}

#[test]
fn work_beside_an_export_is_a_problem_and_notes_are_left_aside() {
    let home = TempDir::new().unwrap();
    let class = home.path().join("class");
    for name in ["A_1_assignsubmission_file_", "B_2_assignsubmission_file_", "23m0003"] {
        work(&class.join(name));
    }
    fs::write(class.join("grades.csv"), "").unwrap();
    let read = input::read(&class).unwrap();
    assert_eq!((read.kind, ids(&read)), (Kind::Moodle, vec!["1", "2", "23m0003"]));
    let problems = problems(&read, home.path());
    assert!(problems[0].is_empty() && problems[1].is_empty(), "{problems:?}");
    assert!(problems[2].contains("23m0003 belongs to no participant"), "{problems:?}");
    assert!(read.left_aside.len() == 1 && read.left_aside[0].contains("grades.csv"), "{read:?}");
}

#[test]
fn a_name_inside_the_only_submission_does_not_make_it_an_export() {
    let home = TempDir::new().unwrap();
    let class = home.path().join("class");
    let only = class.join("23m0001_assignment3");
    work(&only);
    work(&only.join("Eve_1_assignsubmission_file"));
    fs::write(only.join("submission_metadata.yml"), METADATA).unwrap();
    let packed = home.path().join("class.zip");
    let names = ["task1/namespace_prog.c", "Eve_1_assignsubmission_file/x", "submission_metadata.yml"];
    let paths = names.map(|name| format!("23m0001_assignment3/{name}"));
    zip(&packed, &paths.each_ref().map(|path| (path.as_str(), &b"int own;\n"[..])));
    for path in [class, packed] {
        let read = input::read(&path).unwrap();
        assert_eq!((read.kind, ids(&read)), (Kind::Folder, vec!["23m0001"]), "{}", path.display());
        assert_eq!(problems(&read, home.path()), [""]);
    }
}

#[test]
fn moodles_older_zips_and_one_that_was_unpacked_are_read() {
    let home = TempDir::new().unwrap();
    let inner = home.path().join("inner.zip");
    zip(&inner, &[("task1/namespace_prog.c", b"int own;\n")]);
    let bytes = fs::read(&inner).unwrap();
    let flat = home.path().join("flat.zip");
    zip(
        &flat,
        &[
            ("Ana María_11_assignsubmission_file_my_work.zip", &bytes),
            ("Bo_12_assignsubmission_file_/w.zip", &bytes),
        ],
    );
    let read = input::read(&flat).unwrap();
    assert_eq!(ids(&read), ["11", "12"]);
    let folders: Vec<_> = read.entries.iter().map(|entry| entry.folder.clone().unwrap()).collect();
    assert_eq!(folders, ["Ana María_11_assignsubmission_file_", "Bo_12_assignsubmission_file_/"]);
    assert_eq!(problems(&read, home.path()), ["", ""]);

    let unpacked = home.path().join("unpacked");
    fs::create_dir_all(unpacked.join("Bo_12_assignsubmission_file")).unwrap();
    fs::write(unpacked.join("Bo_12_assignsubmission_file/w.zip"), &bytes).unwrap();
    fs::write(unpacked.join("Cy_13_assignsubmission_file_w.zip"), &bytes).unwrap();
    fs::write(unpacked.join("notes.txt"), "mine").unwrap();
    let read = input::read(&unpacked).unwrap();
    assert_eq!((read.kind, ids(&read)), (Kind::Moodle, vec!["12", "13"]));
    assert_eq!(problems(&read, home.path()), ["", ""]);
    assert_eq!(read.left_aside.len(), 1);
}

#[test]
fn names_in_a_class_zip_lead_nowhere_and_one_bad_participant_costs_the_others_nothing() {
    let home = TempDir::new().unwrap();
    let path = home.path().join("evil.zip");
    zip(
        &path,
        &[
            ("A_1_assignsubmission_file/../../../escaped", b"x"),
            ("B_2_assignsubmission_file/a/../../b", b"x"),
            ("C_3_assignsubmission_file//etc/passwd", b"x"),
            ("../D_4_assignsubmission_file/x", b"x"),
            ("E_5_assignsubmission_file/task1/namespace_prog.c", b"int own;\n"),
        ],
    );
    let read = input::read(&path).unwrap();
    assert_eq!(ids(&read), ["1", "2", "3", "5"]);
    let problems = problems(&read, home.path());
    assert!(problems[0].contains("lead out") && problems[1].contains("lead out"), "{problems:?}");
    assert!(!problems[2].is_empty() && problems[3].is_empty(), "{problems:?}");
    assert!(!home.path().join("escaped").exists() && !home.path().parent().unwrap().join("escaped").exists());
    let beside: Vec<_> = fs::read_dir(home.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(beside.len(), 2, "{beside:?}");
}

#[test]
fn the_one_archive_with_a_submission_is_taken_wherever_it_lies() {
    let home = TempDir::new().unwrap();
    // No part of the path but the file's own name counts.
    let class = home.path().join("cs_assignment3/class");
    let ann = class.join("Ann_1_assignsubmission_file");
    let bo = class.join("Bo_2_assignsubmission_file");
    let cy = class.join("Cy_3_assignsubmission_file");
    for folder in [&ann, &bo, &cy] {
        fs::create_dir_all(folder).unwrap();
    }
    let own: &[(&str, &[u8])] = &[("task1/namespace_prog.c", b"int own;\n")];
    let office: &[(&str, &[u8])] = &[("[Content_Types].xml", b"<x/>")];
    zip(&ann.join("a.zip"), own);
    zip(&ann.join("b_assignment3.zip"), own);
    zip(&bo.join("report.docx"), office);
    zip(&bo.join("pictures.zip"), &[("a.png", b"x")]);
    zip(&bo.join("work.zip"), own);
    zip(&cy.join("a.zip"), own);
    zip(&cy.join("b.zip"), own);
    let read = input::read(&class).unwrap();
    let taken = |place: usize| {
        let fetched = fetch(&read, &read.entries[place], &home.path().join("copy/entry"));
        fetched.map(|fetched| fetched.source.file_name().unwrap().to_string_lossy().into_owned())
    };
    assert_eq!(taken(0).unwrap(), "b_assignment3.zip");
    assert_eq!(taken(1).unwrap(), "work.zip");
    assert!(taken(2).unwrap_err().to_string().contains("several archives"));
    fs::remove_file(bo.join("pictures.zip")).unwrap();
    fs::remove_file(bo.join("work.zip")).unwrap();
    zip(&bo.join("work.jar"), own);
    assert_eq!(taken(1).unwrap(), "Bo_2_assignsubmission_file");
}

#[test]
fn what_is_no_class_is_said() {
    let home = TempDir::new().unwrap();
    fs::write(home.path().join("x.txt"), "text").unwrap();
    let error = input::read(&home.path().join("x.txt")).unwrap_err().to_string();
    assert!(error.contains("is not a class"), "{error}");
    assert!(input::read(&home.path().join("nowhere")).is_err());
}

#[test]
fn moodles_folders_are_found_in_one_folder_around_them() {
    let home = TempDir::new().unwrap();
    let outer = home.path().join("outer");
    let names = ["Jane Doe_7_assignsubmission_file", "Zoë Łoś_8_assignsubmission_file"];
    for name in names {
        work(&outer.join("submissions").join(name));
    }
    let packed = home.path().join("outer.zip");
    let paths = names.map(|name| format!("submissions/{name}/task1/namespace_prog.c"));
    zip(&packed, &paths.each_ref().map(|path| (path.as_str(), &b"int own;\n"[..])));
    for path in [outer, packed] {
        let read = input::read(&path).unwrap();
        assert_eq!((read.kind, ids(&read)), (Kind::Moodle, vec!["7", "8"]), "{}", path.display());
        assert_eq!(problems(&read, home.path()), ["", ""]);
        assert_eq!(read.entries[0].folder.as_deref(), Some("Jane Doe_7_assignsubmission_file/"));
    }
}

#[test]
fn moodles_participants_whose_names_begin_with_a_dot_are_kept() {
    let home = TempDir::new().unwrap();
    let dotted = ". Kumar_2001_assignsubmission_file_";
    let others = ["Asha Rao_2002_assignsubmission_file_", "._Asha Rao_2002_assignsubmission_file_", ".git"];
    for (class, names) in [("alone", &others[..0]), ("all", &others[..])] {
        let folder = home.path().join(class);
        let packed = home.path().join(format!("{class}.zip"));
        let names: Vec<_> = names.iter().chain([&dotted]).collect();
        for name in &names {
            work(&folder.join(name));
        }
        let paths: Vec<_> = names.iter().map(|name| format!("{name}/task1/namespace_prog.c")).collect();
        let files: Vec<_> = paths.iter().map(|path| (path.as_str(), &b"int own;\n"[..])).collect();
        zip(&packed, &files);
        for path in [folder, packed] {
            let read = input::read(&path).unwrap();
            let expected = if class == "alone" { vec!["2001"] } else { vec!["2001", "2002"] };
            assert_eq!((read.kind, ids(&read)), (Kind::Moodle, expected), "{}", path.display());
            assert_eq!(read.entries[0].names(), ". Kumar");
            assert!(problems(&read, home.path()).iter().all(String::is_empty));
        }
    }
}
