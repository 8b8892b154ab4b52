//! Task 2 on this machine's own kernel: real scripts in, verdicts out. Every run has UTS and
//! mount namespaces of its own in the place of the machine's. What needs the cpu controller is
//! tested in a virtual machine.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use harness::evidence::{Bundle, Ending, Recording};
use harness::guest::recorder::Recorder;
use harness::rubric::Rubric;
use harness::task::{Site, as_shown, task2};
use harness::verdict::{Environment, Status, SubmissionInfo};
use harness::{corpus, judge};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::Uid;
use rand::SeedableRng;

/// The script's cgroup has one name: one script at a time.
static ALONE: Mutex<()> = Mutex::new(());

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn is_root() -> bool {
    let root = Uid::effective().is_root();
    if !root {
        eprintln!("skipped: creating namespaces needs root");
    }
    root
}

/// The bash reference, edited.
fn script(edits: &[(&str, &str)]) -> String {
    let file = repository().join("fixtures/submissions/reference-bash/task2/simple_container.sh");
    edits.iter().fold(std::fs::read_to_string(file).unwrap(), |source, (find, replace)| {
        assert!(source.contains(find), "the reference has no {find:?}");
        source.replacen(find, replace, 1)
    })
}

fn own_machine() {
    unshare(CloneFlags::CLONE_NEWUTS | CloneFlags::CLONE_NEWNS).unwrap();
    let none = None::<&str>;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
    mount(Some("cgroup2"), "/sys/fs/cgroup", Some("cgroup2"), MsFlags::empty(), none).unwrap();
}

fn record(script: &str) -> Bundle {
    let submission = tempfile::tempdir().unwrap();
    std::fs::create_dir(submission.path().join("task2")).unwrap();
    std::fs::write(submission.path().join("task2/simple_container.sh"), script).unwrap();
    record_submission(submission.path(), &["2a", "2b", "2c"].map(str::to_owned))
}

fn record_submission(submission: &Path, subtasks: &[String]) -> Bundle {
    let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let site = Site {
        submission: submission.to_owned(),
        course: repository().join("fixtures/course"),
        slowdown: 1.0,
    };
    let plan = (task2::SCENARIO.plan)(&mut rand::rngs::StdRng::seed_from_u64(1));
    let mut lines = Vec::new();
    // Namespaces move only the calling thread: what it starts lives in them.
    std::thread::scope(|scope| {
        scope.spawn(|| {
            own_machine();
            let recorder = Recorder::new(&mut lines);
            (task2::SCENARIO.drive)(&site, &plan, &recorder).unwrap();
        });
    });
    drop(alone);
    let records = lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let recording = Recording {
        scenario: "2".to_owned(),
        plan,
        ending: Ending::Finished,
        seconds: 0.0,
        records: records.map(|line| serde_json::from_slice(line).unwrap()).collect(),
    };
    Bundle {
        submission: SubmissionInfo { id: String::new(), source: String::new(), sha256: String::new() },
        environment: Environment::default(),
        subtasks: subtasks.to_vec(),
        layout: serde_json::Value::Null,
        recordings: [("2".to_owned(), recording)].into(),
    }
}

/// The checks of one subtask that lose marks, as `name: status`.
fn lost(bundle: &Bundle, subtask: &str) -> Vec<String> {
    let subtask = task2::SUBTASKS.iter().find(|candidate| candidate.id == subtask).unwrap();
    let findings = (subtask.judge)(bundle);
    let order: Vec<&str> = subtask.checks.iter().map(|spec| spec.id).collect();
    assert_eq!(findings.iter().map(|finding| finding.check).collect::<Vec<_>>(), order);
    for finding in &findings {
        println!("{} {}: {}", finding.check, finding.status, finding.actual);
    }
    let rubric = Rubric::default();
    let lost = findings
        .iter()
        .filter(|finding| finding.status != Status::Pass && rubric.points(finding.check) > 0.0);
    lost.map(|finding| format!("{}: {}", &finding.check[3..], finding.status)).collect()
}

const NONE: [&str; 0] = [];

#[test]
fn the_reference_passes_2a_and_2b_and_prints_what_the_assignment_shows() {
    if !is_root() {
        return;
    }
    let bundle = record(&script(&[]));
    assert_eq!(lost(&bundle, "2a"), NONE);
    assert_eq!(lost(&bundle, "2b"), NONE);
    println!("{:?}", lost(&bundle, "2c"));
    for (subtask, shown) in [as_shown::TASK_2A, as_shown::TASK_2B, as_shown::TASK_2C].into_iter().enumerate()
    {
        let seen = task2::redacted_transcript(&bundle.recordings["2"], subtask);
        assert_eq!(
            seen.join(
                "
"
            ),
            shown.trim_end()
        );
    }
}

/// The page draws it, and no judge reads it.
#[test]
fn the_use_of_the_cpu_is_recorded_over_time() {
    if !is_root() {
        return;
    }
    let bundle = record(&script(&[]));
    let uses: Vec<(i64, u64)> = bundle.recordings["2"]
        .records
        .iter()
        .filter(|record| record.kind == "use")
        .map(|record| (record.data["pid"].as_i64().unwrap(), record.data["used_usec"].as_u64().unwrap()))
        .collect();
    assert!(uses.len() > 5, "{uses:?}");
    let grows = |pair: &[(i64, u64)]| pair[0].0 != pair[1].0 || pair[0].1 <= pair[1].1;
    assert!(uses.windows(2).all(grows), "{uses:?}");
    assert!(uses.iter().any(|(_, used)| *used > 20_000), "the benchmark computes: {uses:?}");
}

#[test]
fn without_fork_only_the_child_is_in_the_namespace() {
    if !is_root() {
        return;
    }
    let bundle = record(&script(&[("unshare --pid --uts --fork chroot", "unshare --pid --uts chroot")]));
    assert_eq!(lost(&bundle, "2b"), ["pid-namespace: fail", "transcript: fail"]);
}

#[test]
fn libraries_that_come_after_the_first_start_do_not_count() {
    if !is_root() {
        return;
    }
    let text = script(&[]);
    let from = text.find("ldd container_prog").unwrap();
    let copying = &text[from..from + text[from..].find("# ---").unwrap()];
    let run = "chroot \"$CONTAINER_ROOT\" /container_prog subtask1\n";
    let late = script(&[(copying, ""), (run, &format!("{run}{copying}"))]);
    let bundle = record(&late);
    assert_eq!(
        lost(&bundle, "2a"),
        ["root-isolated: skip", "libraries-from-script: fail", "transcript: fail"]
    );
    assert_eq!(lost(&bundle, "2b"), NONE);
}

#[test]
fn a_host_name_that_is_put_back_was_changed_all_the_same() {
    if !is_root() {
        return;
    }
    let run = "unshare --pid --uts --fork chroot \"$CONTAINER_ROOT\" /container_prog subtask2";
    let changed = format!("machine=$(hostname)\n{}\nhostname \"$machine\"", run.replace("--uts ", ""));
    let bundle = record(&script(&[(run, &changed)]));
    assert_eq!(lost(&bundle, "2b"), ["uts-namespace: fail", "host-hostname-kept: fail", "transcript: skip"]);
}

#[test]
fn the_machines_root_behind_container_root_is_not_isolation() {
    if !is_root() {
        return;
    }
    let run = "chroot \"$CONTAINER_ROOT\" /container_prog subtask1";
    let bound = "task2=$PWD\nmount --bind / \"$CONTAINER_ROOT\"\n\
                 chroot \"$CONTAINER_ROOT\" \"$task2/container_prog\" subtask1\numount \"$CONTAINER_ROOT\"";
    let bundle = record(&script(&[(run, bound)]));
    assert_eq!(lost(&bundle, "2a"), ["root-isolated: fail", "transcript: fail"]);
}

#[test]
fn an_overlay_of_the_machines_root_is_not_isolation_even_where_it_hides_its_layers() {
    if !is_root() {
        return;
    }
    let libraries = "ldd container_prog | grep";
    let overlay = "mkdir -p low top && mount -t tmpfs none top && mkdir top/upper top/work\n\
                   mount --bind / low && mknod top/upper/srv c 0 0\n\
                   mount -t overlay none -o lowerdir=low,upperdir=top/upper,workdir=top/work \"$CONTAINER_ROOT\"\n\
                   umount low && cp container_prog \"$CONTAINER_ROOT/\"\n\
                   trap 'umount \"$CONTAINER_ROOT\"; umount top' EXIT\nldd container_prog | grep";
    let bundle = record(&script(&[(libraries, overlay)]));
    assert_eq!(lost(&bundle, "2a"), ["root-isolated: fail", "transcript: skip"]);
    assert_eq!(lost(&bundle, "2b"), ["root-isolated: fail", "transcript: skip"]);
}

#[test]
fn libraries_bound_from_the_machine_and_a_copy_of_its_settings_are_isolation() {
    if !is_root() {
        return;
    }
    let libraries = "ldd container_prog | grep";
    let bound = "mkdir -p \"$CONTAINER_ROOT\"/usr && mount --rbind /usr \"$CONTAINER_ROOT/usr\"\n\
                 cp -a /etc \"$CONTAINER_ROOT/etc\"\n\
                 trap 'umount -R \"$CONTAINER_ROOT/usr\"' EXIT\nldd container_prog | grep";
    let bundle = record(&script(&[(libraries, bound)]));
    assert_eq!(lost(&bundle, "2b"), NONE);
}

#[test]
fn container_prog_may_be_started_by_the_loader_and_needs_the_same_isolation() {
    if !is_root() {
        return;
    }
    let loader = "/lib64/ld-linux-x86-64.so.2 --inhibit-cache";
    let called = script(&[
        ("/container_prog subtask1", &format!("{loader} /container_prog subtask1")),
        ("/container_prog subtask2", &format!("{loader} ./container_prog subtask2")),
    ]);
    let bundle = record(&called);
    assert_eq!(lost(&bundle, "2a"), NONE);
    assert_eq!(lost(&bundle, "2b"), NONE);
    let outside = script(&[(
        "--fork chroot \"$CONTAINER_ROOT\" /container_prog subtask2",
        &format!("--fork {loader} ./container_prog subtask2"),
    )]);
    assert_eq!(lost(&record(&outside), "2b"), ["root-isolated: fail", "transcript: fail"]);
}

#[test]
fn a_script_that_prints_the_text_earns_nothing() {
    if !is_root() {
        return;
    }
    let fake = "#!/bin/sh\nprintf 'Process PID: %d\\nChild Process PID: %d\\n' $$ $$\n\
                printf '_ _ _ _ _ _ _ _ _ _ _ _ _ _ \\nFiles/Directories in root directory:\\n'\n\
                printf 'lib64\\ncontainer_prog\\n.\\n..\\nlib\\n_ _ _ _ _ _ _ _ _ _ _ _ _ _ \\n'\n";
    let bundle = record(fake);
    assert_eq!(
        lost(&bundle, "2a"),
        ["root-isolated: skip", "libraries-from-script: fail", "transcript: skip"]
    );
    assert_eq!(lost(&bundle, "2b").len(), 5);
    assert_eq!(lost(&bundle, "2c").len(), 7);
}

/// The corpus's cases of 2a and 2b, without a virtual machine. Those of 2c and
/// hostile ones need one.
#[test]
#[ignore = "slow: some twenty scripts, each with a compiler and two benchmarks"]
fn the_corpus_gets_the_verdicts_it_expects() {
    if !is_root() {
        return;
    }
    let folder = repository().join("fixtures/submissions");
    let mut wrong = Vec::new();
    for case in corpus::cases(&folder).unwrap() {
        let files_only = case.expect.subtasks.iter().all(|subtask| ["2a", "2b"].contains(&subtask.as_str()));
        if !files_only || case.name.starts_with("hostile/") {
            continue;
        }
        let place = tempfile::tempdir().unwrap();
        let root = corpus::assemble(&folder, &case, place.path()).unwrap();
        let bundle = record_submission(&root, &case.expect.subtasks);
        let differences =
            corpus::compare(&case.expect, &judge::judge(&bundle, &Rubric::default())).differences;
        wrong.extend(differences.into_iter().map(|line| format!("{}: {line}", case.name)));
    }
    assert_eq!(wrong, Vec::<String>::new());
}
