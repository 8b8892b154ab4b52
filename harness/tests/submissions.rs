//! Tests which submissions are accepted and which are refused, with archives made byte by byte.
//! All tests share these archives, so the file is longer than the others.
#![allow(clippy::unwrap_used)]

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use harness::submission::{Error, Form, GitFact, Limits, Refusal, Submission, open};
use liblzma::write::XzEncoder;
use tar::{EntryType, Header};
use tempfile::TempDir;
use zip::write::{SimpleFileOptions, ZipWriter};

const SCRIPT: &[u8] = b"#!/bin/bash\necho hello\n";

/// The folders of one test: the submission, its destination, and files that must not change.
struct Scratch {
    home: TempDir,
}

impl Scratch {
    fn new() -> Self {
        let home = TempDir::new().unwrap();
        fs::create_dir(home.path().join("into")).unwrap();
        fs::write(home.path().join("outside"), "untouched").unwrap();
        Self { home }
    }

    fn with_tar(name: &str, entries: &[Entry]) -> Self {
        let scratch = Self::new();
        fs::write(scratch.path(name), tar(entries)).unwrap();
        scratch
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn take(&self, name: &str) -> Result<Submission, Error> {
        open(&self.path(name), &self.path("into"), &Limits::default(), None)
    }

    /// Opens a submission that must be refused. The error must name the entry, and nothing may be
    /// written outside `into`.
    fn refused(&self, name: &str, limits: &Limits) -> (String, Refusal) {
        let before = self.siblings();
        let error = open(&self.path(name), &self.path("into"), limits, None).expect_err("taken in");
        assert_eq!(self.siblings(), before, "written outside the target");
        assert_eq!(fs::read_to_string(self.path("outside")).unwrap(), "untouched");
        match error {
            Error::Refused { entry, why, .. } => (entry, why),
            other => panic!("another error: {other}"),
        }
    }

    fn siblings(&self) -> Vec<PathBuf> {
        let mut names: Vec<_> = fs::read_dir(self.home.path()).unwrap().map(|e| e.unwrap().path()).collect();
        names.sort();
        names
    }
}

/// One entry of a tar archive.
#[derive(Clone)]
struct Entry {
    name: String,
    kind: EntryType,
    link: String,
    content: Vec<u8>,
}

fn file(name: &str, content: &[u8]) -> Entry {
    Entry { name: name.into(), kind: EntryType::Regular, link: String::new(), content: content.into() }
}

fn other(name: &str, kind: EntryType, link: &str) -> Entry {
    Entry { name: name.into(), kind, link: link.into(), content: vec![] }
}

/// Makes a tar archive with unchecked names. The crate's own builder would refuse the bad ones.
fn tar(entries: &[Entry]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for entry in entries {
        let mut header = Header::new_gnu();
        header.as_old_mut().name[..entry.name.len()].copy_from_slice(entry.name.as_bytes());
        header.as_old_mut().linkname[..entry.link.len()].copy_from_slice(entry.link.as_bytes());
        header.set_entry_type(entry.kind);
        header.set_mode(if entry.kind == EntryType::Regular { 0o644 } else { 0o755 });
        header.set_size(entry.content.len() as u64);
        header.set_cksum();
        builder.append(&header, entry.content.as_slice()).unwrap();
    }
    builder.into_inner().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = XzEncoder::new(Vec::new(), 1);
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zip(path: &Path, entries: &[(&str, &[u8])]) {
    let mut writer = ZipWriter::new(File::create(path).unwrap());
    for (name, content) in entries {
        writer.start_file(*name, SimpleFileOptions::default()).unwrap();
        writer.write_all(content).unwrap();
    }
    writer.finish().unwrap();
}

fn plain_and(more: &[Entry]) -> Vec<Entry> {
    let mut entries = vec![
        other("23m0001_assignment3/", EntryType::Directory, ""),
        file("23m0001_assignment3/task1/namespace_prog.c", b"int main() {}\n"),
        file("23m0001_assignment3/task2/simple_container.sh", SCRIPT),
    ];
    entries.extend_from_slice(more);
    entries
}

fn found(submission: &Submission) -> Vec<&str> {
    submission.layout.files.iter().map(|file| file.path.as_str()).collect()
}

#[test]
fn the_compression_of_a_tar_is_detected_by_content_and_not_by_name() {
    let plain = tar(&plain_and(&[]));
    for (name, bytes, form) in [
        ("a.zip", plain.clone(), Form::Tar),
        ("b.tar", gzip(&plain), Form::TarGz),
        ("c.tgz", xz(&plain), Form::TarXz),
    ] {
        let scratch = Scratch::new();
        fs::write(scratch.path(name), bytes).unwrap();
        let submission = scratch.take(name).unwrap();
        assert_eq!(submission.layout.form, form);
        assert_eq!(submission.info.id, "23m0001");
        assert_eq!(found(&submission), ["task1/namespace_prog.c", "task2/simple_container.sh"]);
        assert_eq!(fs::read(submission.root.join("task2/simple_container.sh")).unwrap(), SCRIPT);
    }
}

#[test]
fn system_files_in_a_zip_from_macos_are_ignored() {
    let scratch = Scratch::new();
    zip(
        &scratch.path("s.zip"),
        &[
            ("23m0001_assignment3/task1/namespace_prog.c", b"int main() {}"),
            ("23m0001_assignment3/task1/._namespace_prog.c", b"\0\x05\x16\x07"),
            ("23m0001_assignment3/.DS_Store", b"Bud1"),
            ("__MACOSX/23m0001_assignment3/task1/._namespace_prog.c", b"\0"),
        ],
    );
    let submission = scratch.take("s.zip").unwrap();
    assert_eq!(submission.layout.left_aside, ["._*", ".DS_Store", "__MACOSX"]);
    assert_eq!(fs::read_dir(submission.root.join("task1")).unwrap().count(), 1);
}

#[test]
fn a_zip_from_windows_is_accepted_with_backslashes_and_crlf_and_without_execute_bits() {
    let scratch = Scratch::new();
    let name = "23M0001_Assignment3\\Task2\\simple_container.sh";
    zip(&scratch.path("s.zip"), &[(name, b"#!/bin/bash\r\necho\r\n")]);
    let submission = scratch.take("s.zip").unwrap();
    assert_eq!(submission.info.id, "23M0001");
    let [file] = submission.layout.files.as_slice() else { panic!("{:?}", submission.layout) };
    assert_eq!(file.found_as.as_deref(), Some("Task2/simple_container.sh"));
    assert!(file.crlf && file.lacks_run_bit);
    let script = submission.root.join("task2/simple_container.sh");
    assert_eq!(fs::metadata(script).unwrap().permissions().mode() & 0o111, 0o111);
}

#[test]
fn the_submission_is_found_at_the_top_and_one_folder_down() {
    let scratch =
        Scratch::with_tar("n.tar", &[file("upload/23m0001_assignment3/task1/namespace_prog.c", b"")]);
    let nested = scratch.take("n.tar").unwrap();
    assert_eq!((nested.layout.depth, nested.layout.folder.as_deref()), (2, Some("23m0001_assignment3")));

    let scratch = Scratch::with_tar("23m0002_assignment3.tar", &[file("./task1/namespace_prog.c", b"")]);
    let bare = scratch.take("23m0002_assignment3.tar").unwrap();
    assert_eq!((bare.layout.depth, bare.layout.folder, bare.info.id.as_str()), (0, None, "23m0002"));
}

#[test]
fn a_directory_is_copied_with_its_inner_links_and_hashed_by_content() {
    let scratch = Scratch::new();
    let root = scratch.path("23m0001_assignment3");
    fs::create_dir_all(root.join("task3/.cache/base")).unwrap();
    fs::create_dir_all(root.join("task4")).unwrap();
    fs::write(root.join("task3/conductor.sh"), SCRIPT).unwrap();
    symlink("../task3/conductor.sh", root.join("task4/conductor.sh")).unwrap();
    let first = scratch.take("23m0001_assignment3").unwrap();
    assert_eq!(first.layout.left_aside, ["task3/.cache"]);
    assert_eq!(fs::read(first.root.join("task4/conductor.sh")).unwrap(), SCRIPT);
    assert_eq!(first.layout.git, GitFact::Missing);

    fs::write(root.join("task3/conductor.sh"), b"other").unwrap();
    fs::remove_dir_all(scratch.path("into")).unwrap();
    fs::create_dir(scratch.path("into")).unwrap();
    assert_ne!(scratch.take("23m0001_assignment3").unwrap().info.sha256, first.info.sha256);
}

/// `harness grade .` writes its report into the submission; the next run must see
/// the same submission.
#[test]
fn reports_of_earlier_runs_are_left_aside() {
    let limits = Limits { file: 1 << 10, ..Limits::default() };
    let opened = |name: &str, scratch: &Scratch| {
        open(&scratch.path(name), &scratch.path("into"), &limits, None).unwrap()
    };
    let folder = || {
        let scratch = Scratch::new();
        fs::create_dir_all(scratch.path("s/task2")).unwrap();
        fs::write(scratch.path("s/task2/simple_container.sh"), SCRIPT).unwrap();
        scratch
    };
    let (first, again) = (folder(), folder());
    fs::create_dir_all(again.path("s/reports/s/1/evidence")).unwrap();
    fs::write(again.path("s/reports/s/1/index.html"), vec![b'x'; 1 << 11]).unwrap();
    let [first, again] = [&first, &again].map(|scratch| opened("s", scratch));
    assert_eq!(first.info.sha256, again.info.sha256);
    assert_eq!(again.layout.left_aside, ["reports"]);
    let report = file("23m0001_assignment3/reports/s/1/report.json", b"{}");
    let scratch = Scratch::with_tar("a.tar", &plain_and(&[report]));
    let submission = opened("a.tar", &scratch);
    assert!(submission.layout.left_aside == ["reports"] && !submission.root.join("reports").exists());
}

/// A commit as git stores it: without parents, of the empty tree.
const COMMIT: &[u8] = b"commit 98\0tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904
author a <a@b> 1 +0000
committer a <a@b> 1 +0000

m
";

#[test]
fn a_git_history_needs_a_commit() {
    let mut entries = vec![
        file("a_assignment3/.git/HEAD", b"ref: refs/heads/main\n"),
        file("a_assignment3/task1/namespace_prog.c", b""),
    ];
    let git = |entries: &[Entry]| Scratch::with_tar("s.tar", entries).take("s.tar").unwrap().layout.git;
    assert_eq!(git(&entries), GitFact::Empty);
    // A branch that names no existing commit is no history.
    entries.push(file("a_assignment3/.git/refs/heads/main", b""));
    assert_eq!(git(&entries), GitFact::Empty);
    let name = "3f595c507824531d0e69e7ab11dcbc3a85cf3382";
    entries.push(file("a_assignment3/.git/refs/heads/main", format!("{name}\n").as_bytes()));
    assert_eq!(git(&entries), GitFact::Empty);
    let mut object = flate2::write::ZlibEncoder::new(Vec::new(), Compression::fast());
    object.write_all(COMMIT).unwrap();
    let object = object.finish().unwrap();
    let objects = "a_assignment3/.git/objects";
    entries.push(file(&format!("{objects}/3f/{}", &name[2..]), &object));
    assert_eq!(git(&entries), GitFact::Present);
    // A commit under the name of another is none.
    entries.pop();
    entries.push(file("a_assignment3/.git/HEAD", format!("ab{}", &name[2..]).as_bytes()));
    entries.push(file(&format!("{objects}/ab/{}", &name[2..]), &object));
    assert_eq!(git(&entries), GitFact::Empty);
    // A repository outside the submission is not in the archive.
    assert_eq!(git(&[file("a_assignment3/.git", b"gitdir: ../x"), entries[1].clone()]), GitFact::Empty);
    // Nor is it in a folder: a worktree has such a file, but its repository was not handed in.
    let scratch = Scratch::new();
    for folder in ["elsewhere/objects", "elsewhere/refs", "b_assignment3/task1"] {
        fs::create_dir_all(scratch.path(folder)).unwrap();
    }
    fs::write(scratch.path("b_assignment3/task1/namespace_prog.c"), b"").unwrap();
    fs::write(scratch.path("b_assignment3/.git"), format!("gitdir: {}", scratch.path("elsewhere").display()))
        .unwrap();
    assert_eq!(scratch.take("b_assignment3").unwrap().layout.git, GitFact::Empty);
    // A plain file named .git is no repository.
    assert_eq!(git(&[file("a_assignment3/.git", b""), entries[1].clone()]), GitFact::Empty);
}

#[test]
fn a_repository_around_the_submission_counts_if_it_has_a_history_or_was_not_handed_in() {
    let scratch = Scratch::new();
    fs::create_dir_all(scratch.path("all/s_assignment3/task1")).unwrap();
    let git = |name: &str| {
        fs::remove_dir_all(scratch.path("into")).unwrap();
        fs::create_dir(scratch.path("into")).unwrap();
        scratch.take(name).unwrap().layout.git
    };
    assert_eq!(git("all"), GitFact::Missing);
    fs::write(scratch.path("all/.git"), "gitdir: nowhere").unwrap();
    assert_eq!(git("all"), GitFact::Missing);
    fs::remove_file(scratch.path("all/.git")).unwrap();
    fs::create_dir(scratch.path("all/.git")).unwrap();
    assert_eq!(git("all"), GitFact::Missing);
    assert_eq!(git("all/s_assignment3"), GitFact::Enclosing);
    for words in [&["init", "-q"][..], &["commit", "-q", "--allow-empty", "-m", "m"]] {
        let mut git = std::process::Command::new("git");
        git.arg("-C").arg(scratch.path("all")).args(["-c", "user.name=a", "-c", "user.email=a@b"]);
        assert!(git.args(words).status().unwrap().success());
    }
    assert_eq!(git("all"), GitFact::Enclosing);
}

#[test]
fn names_that_lead_out_are_refused() {
    for (name, why) in [
        ("a_assignment3/../../outside", Refusal::Traversal),
        ("../outside", Refusal::Traversal),
        ("/etc/cron.d/evil", Refusal::Absolute),
        ("C:/evil", Refusal::Absolute),
    ] {
        let scratch = Scratch::with_tar("s.tar", &plain_and(&[file(name, b"evil")]));
        assert_eq!(scratch.refused("s.tar", &Limits::default()), (name.to_owned(), why.clone()));
        let scratch = Scratch::new();
        zip(&scratch.path("s.zip"), &[("a_assignment3/task1/namespace_prog.c", b""), (name, b"evil")]);
        assert_eq!(scratch.refused("s.zip", &Limits::default()), (name.to_owned(), why));
    }
}

#[test]
fn links_that_lead_out_directly_or_through_others_are_refused() {
    let cases: [&[(&str, &str)]; 6] = [
        &[("task1/l", "/etc/passwd")],
        &[("task1/l", "../../outside")],
        &[("task1/l", "../../23m0001_assignment3/task1")],
        // Each link alone stays inside; one after the other they lead out.
        &[("task1/up", ".."), ("task1/up2", "up/..")],
        &[("task1/a", "b"), ("task1/b", "../../../../../etc/passwd")],
        &[("task1/d", "missing/../../..")],
    ];
    for links in cases {
        let links: Vec<_> = links
            .iter()
            .map(|(name, to)| other(&format!("23m0001_assignment3/{name}"), EntryType::Symlink, to))
            .collect();
        let scratch = Scratch::with_tar("s.tar", &plain_and(&links));
        let (entry, why) = scratch.refused("s.tar", &Limits::default());
        assert!(matches!(why, Refusal::LinkEscapes(_)), "{entry}: {why}");
        assert!(links.iter().any(|link| link.name == entry), "{entry}");
    }
}

#[test]
fn circular_links_are_refused() {
    let circle = [
        other("23m0001_assignment3/a", EntryType::Symlink, "b"),
        other("23m0001_assignment3/b", EntryType::Symlink, "a"),
    ];
    let scratch = Scratch::with_tar("s.tar", &plain_and(&circle));
    assert_eq!(scratch.refused("s.tar", &Limits::default()).1, Refusal::LinkLoop);
}

#[test]
fn nothing_is_written_through_a_link() {
    let through = [
        other("23m0001_assignment3/door", EntryType::Symlink, "../.."),
        file("23m0001_assignment3/door/outside", b"evil"),
    ];
    let scratch = Scratch::with_tar("s.tar", &plain_and(&through));
    assert_eq!(scratch.refused("s.tar", &Limits::default()).1, Refusal::Clash);
}

#[test]
fn a_hard_link_to_an_earlier_file_is_a_copy_and_any_other_is_refused() {
    let link = |to: &str| plain_and(&[other("23m0001_assignment3/h", EntryType::Link, to)]);
    let scratch = Scratch::with_tar("s.tar", &link("23m0001_assignment3/task1/namespace_prog.c"));
    assert_eq!(fs::read(scratch.take("s.tar").unwrap().root.join("h")).unwrap(), b"int main() {}\n");

    for to in ["/etc/passwd", "../outside", "23m0001_assignment3/none"] {
        let scratch = Scratch::with_tar("s.tar", &link(to));
        let (entry, why) = scratch.refused("s.tar", &Limits::default());
        assert_eq!((entry.as_str(), why), ("23m0001_assignment3/h", Refusal::HardLink(to.to_owned())));
    }
}

#[test]
fn devices_and_pipes_are_refused() {
    for kind in [EntryType::Block, EntryType::Char, EntryType::Fifo] {
        let scratch =
            Scratch::with_tar("s.tar", &plain_and(&[other("23m0001_assignment3/task1/sda", kind, "")]));
        assert!(matches!(scratch.refused("s.tar", &Limits::default()).1, Refusal::Special(_)));
    }
    let scratch = Scratch::new();
    fs::create_dir_all(scratch.path("d/task1")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(scratch.path("d/task1/sock")).unwrap();
    assert_eq!(scratch.refused("d", &Limits::default()), ("task1/sock".into(), Refusal::Special("socket")));
}

#[test]
fn bombs_are_refused_and_the_error_names_the_limit() {
    let small = Limits {
        entries: 40,
        file: 1 << 20,
        total: 2 << 20,
        depth: 6,
        path: 60,
        ratio: 50,
        ratio_from: 256 << 10,
    };
    let zeros = vec![0; 600 << 10];
    let noise: Vec<u8> = (0..700_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let files = |count: u32, content: &[u8]| -> Vec<Entry> {
        (0..count).map(|i| file(&format!("a_assignment3/task1/{i}"), content)).collect()
    };
    for (bytes, why) in [
        (tar(&files(60, b"")), Refusal::TooMany(41)),
        (tar(&files(1, &vec![1; (1 << 20) + 1])), Refusal::FileTooLarge(1 << 20)),
        (tar(&files(4, &noise)), Refusal::TotalTooLarge(2 << 20)),
        (tar(&[file("a_assignment3/1/2/3/4/5/6/7", b"")]), Refusal::TooDeep(6)),
        (tar(&[file(&format!("a_assignment3/task1/{}", "n".repeat(41)), b"")]), Refusal::TooLong(60)),
        (gzip(&tar(&files(1, &zeros))), Refusal::Ratio(50)),
    ] {
        let scratch = Scratch::new();
        fs::write(scratch.path("bomb"), bytes).unwrap();
        assert_eq!(scratch.refused("bomb", &small).1, why);
    }
    let scratch = Scratch::new();
    zip(&scratch.path("bomb.zip"), &[("a_assignment3/task1/zeros", &zeros)]);
    assert_eq!(scratch.refused("bomb.zip", &small), ("a_assignment3/task1/zeros".into(), Refusal::Ratio(50)));
}

/// The kernel takes no path of more than 4095 bytes: what is copied below must still have a name.
#[test]
fn a_path_that_no_copy_could_have_is_refused_in_every_form() {
    let long: PathBuf = std::iter::repeat_n("d".repeat(250), 17).collect();
    let path = format!("a_assignment3/task1/{}/empty", long.display());
    let shown = format!("{}…", &path[..300]);
    let scratch = Scratch::new();
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = Header::new_gnu();
    header.set_size(0);
    header.set_mode(0o644);
    builder.append_data(&mut header, &path, &b""[..]).unwrap();
    let packed = builder.into_inner().unwrap();
    fs::write(scratch.path("s.tar.gz"), gzip(&packed)).unwrap();
    zip(&scratch.path("s.zip"), &[(&path, b"")]);
    for form in ["s.tar.gz", "s.zip"] {
        assert_eq!(scratch.refused(form, &Limits::default()), (shown.clone(), Refusal::TooLong(1024)));
    }
    // No call of the kernel makes this folder at once.
    let mut folder = File::open(scratch.home.path()).unwrap();
    for part in Path::new(&path).parent().unwrap() {
        rustix::fs::mkdirat(&folder, part, rustix::fs::Mode::RWXU).unwrap();
        let flags = rustix::fs::OFlags::DIRECTORY;
        folder = rustix::fs::openat(&folder, part, flags, rustix::fs::Mode::empty()).unwrap().into();
    }
    let (entry, why) = scratch.refused("a_assignment3", &Limits::default());
    assert_eq!(why, Refusal::TooLong(1024));
    assert!(entry.starts_with("task1/ddd") && entry.ends_with('…'), "{entry}");
    let error = scratch.take("s.zip").unwrap_err().to_string();
    assert!(error.contains("its path is longer than 1024 bytes"), "{error}");
}

#[test]
fn a_path_of_a_kibibyte_is_taken_in_unless_a_copy_of_a_link_makes_it_longer() {
    let part = "d".repeat(250);
    let path = format!("s_assignment3/a/{part}/{part}/{part}/{}", "e".repeat(1024 - 16 - 3 * 251));
    let scratch = Scratch::new();
    zip(&scratch.path("s.zip"), &[("s_assignment3/task1/x.c", b""), (&path, b"")]);
    scratch.take("s.zip").unwrap();
    let within = Path::new(&path).strip_prefix("s_assignment3").unwrap();
    let scratch = Scratch::new();
    fs::create_dir_all(scratch.path("d").join(within.parent().unwrap())).unwrap();
    fs::write(scratch.path("d").join(within), "").unwrap();
    fs::create_dir(scratch.path("d/task1")).unwrap();
    symlink("a", scratch.path("d/task3")).unwrap();
    let limits = Limits { path: within.as_os_str().len(), ..Limits::default() };
    assert_eq!(scratch.refused("d", &limits), ("task3".into(), Refusal::TooLong(limits.path)));
}

#[test]
fn a_sparse_file_of_a_terabyte_in_a_directory_is_refused_without_reading_it_all() {
    let scratch = Scratch::new();
    fs::create_dir_all(scratch.path("d/task1")).unwrap();
    File::create(scratch.path("d/task1/huge")).unwrap().set_len(1 << 40).unwrap();
    let limits = Limits { file: 1 << 20, ..Limits::default() };
    assert_eq!(scratch.refused("d", &limits).1, Refusal::FileTooLarge(1 << 20));
}

#[test]
fn other_files_and_damaged_archives_are_named_as_such() {
    let scratch = Scratch::new();
    fs::write(scratch.path("notes.zip"), "my submission is on the shared drive").unwrap();
    assert!(matches!(scratch.take("notes.zip"), Err(Error::NotAnArchive { .. })));
    fs::write(scratch.path("empty.tar"), "").unwrap();
    assert!(matches!(scratch.take("empty.tar"), Err(Error::NotAnArchive { .. })));
    let whole = gzip(&tar(&plain_and(&[])));
    fs::write(scratch.path("cut.tar.gz"), &whole[..whole.len() / 2]).unwrap();
    assert!(matches!(scratch.take("cut.tar.gz"), Err(Error::Damaged { .. })));
    assert!(matches!(scratch.take("missing.tar"), Err(Error::File(_))));
    let scratch = Scratch::with_tar("other.tar", &[file("essay.txt", b"")]);
    assert!(matches!(scratch.take("other.tar"), Err(Error::NoSubmission { .. })));
}

#[test]
fn several_submissions_in_one_archive_are_refused_and_named() {
    let scratch = Scratch::with_tar("s.tar", &[file("a/task1/x.c", b""), file("b/task1/x.c", b"")]);
    match scratch.take("s.tar") {
        Err(Error::Several { folders, .. }) => assert_eq!(folders, ["a", "b"]),
        other => panic!("{other:?}"),
    }
    let many: Vec<_> = (10..40).map(|number| file(&format!("{number}/task1/x.c"), b"")).collect();
    match Scratch::with_tar("s.tar", &many).take("s.tar") {
        Err(Error::Several { folders, .. }) => assert_eq!(folders[9..], ["19", "and 20 more"]),
        other => panic!("{other:?}"),
    }
}
