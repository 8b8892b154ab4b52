//! `harness grade --here` changes nothing of this machine, not even when it is killed.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use serde_json::Value;

/// What a grade must leave as it was.
#[derive(Debug, PartialEq)]
struct Host {
    mounts: String,
    links: String,
    addresses: String,
    rules: String,
    groups: BTreeSet<PathBuf>,
    controllers: String,
    name: String,
    forwarding: String,
    files: BTreeMap<PathBuf, (u64, i64)>,
}

impl Host {
    fn now() -> Self {
        let said = |program: &str, arguments: &[&str]| {
            let output = Command::new(program).args(arguments).output();
            output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default()
        };
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let group = groups_root();
        Self {
            mounts: read("/proc/thread-self/mountinfo"),
            links: said("ip", &["-o", "link", "show", "type", "veth"]),
            addresses: said("ip", &["-o", "-4", "address"]),
            rules: without_counters(&said("iptables-save", &[])),
            groups: folders(&group).into_iter().filter(|path| is_ours(path)).collect(),
            controllers: read(&group.join("cgroup.subtree_control").to_string_lossy()),
            name: read("/proc/sys/kernel/hostname"),
            forwarding: read("/proc/sys/net/ipv4/ip_forward"),
            files: ["/etc", "/usr/local", "/home", "/srv", "/mnt", "/opt", "/dev"]
                .iter()
                .flat_map(|folder| entries(Path::new(folder)))
                .collect(),
        }
    }
}

/// Where the groups of version 2 are mounted.
fn groups_root() -> PathBuf {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let mount = mounts.lines().find(|line| line.split(' ').nth(2) == Some("cgroup2"));
    mount.and_then(|line| line.split(' ').nth(1)).map(PathBuf::from).expect("a cgroup v2 hierarchy")
}

fn folders(at: &Path) -> Vec<PathBuf> {
    fs::read_dir(at).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect()
}

fn is_ours(group: &Path) -> bool {
    group.file_name().is_some_and(|name| name.to_string_lossy().starts_with("harness-here-"))
}

fn without_counters(rules: &str) -> String {
    rules.lines().filter(|line| !line.starts_with('#')).map(|line| line.split(" [").next().unwrap()).collect()
}

/// Size and time of change of what is in a folder of the host.
fn entries(folder: &Path) -> Vec<(PathBuf, (u64, i64))> {
    use std::os::unix::fs::MetadataExt;
    let files = walkdir::WalkDir::new(folder).same_file_system(true).into_iter().flatten();
    let facts = |entry: walkdir::DirEntry| {
        let meta = entry.metadata().ok()?;
        meta.is_file().then(|| (entry.into_path(), (meta.size(), meta.mtime())))
    };
    files.filter_map(facts).collect()
}

struct Run {
    cache: tempfile::TempDir,
}

impl Run {
    fn new() -> Self {
        Self { cache: tempfile::tempdir_in("/var/tmp").unwrap() }
    }

    fn command(&self, submission: &Path, only: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_harness"));
        command.env("HARNESS_CACHE", self.cache.path()).stdin(Stdio::null());
        command.args(["grade", "--here", "--yes", "--only", only, "--force", "--report"]);
        command.arg(self.report()).arg(submission);
        command
    }

    fn report(&self) -> PathBuf {
        self.cache.path().join("report")
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&fs::read(self.report().join("report.json")).unwrap()).unwrap()
    }

    /// The folders of runs in the cache.
    fn left(&self) -> Vec<PathBuf> {
        folders(&self.cache.path().join("runs"))
    }
}

fn reference() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/submissions/reference-bash")
}

/// A submission whose task 1 writes to files of the machine, and goes on until it is killed.
fn lingering(at: &Path) -> PathBuf {
    let root = at.join("22b0001_assignment3");
    fs::create_dir_all(root.join("task1")).unwrap();
    let program = "#include <stdlib.h>\n#include <unistd.h>\n\
         int main(void) { system(\"mount -t tmpfs none /mnt; echo changed > /etc/harness-was-here; rm -f /etc/hosts; \
         ip link add left0 type dummy; iptables -A FORWARD -j DROP; hostname changed; setsid sleep 4711 &\"); \
         sleep(3600); return 0; }\n";
    fs::write(root.join("task1/namespace_prog.c"), program).unwrap();
    root
}

/// Groups and files are those of the whole machine, so one test at a time.
static TURN: Mutex<()> = Mutex::new(());

/// Runs a test as root of a host whose mounts and network nothing else changes meanwhile.
fn on_a_host(test: impl FnOnce() + Send + 'static) {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: needs root for namespaces");
        return;
    }
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let host = std::thread::spawn(|| {
        unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS).unwrap();
        let (none, private) = (None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE);
        mount(none, "/", none, private, none).unwrap();
        test();
    });
    if let Err(panic) = host.join() {
        std::panic::resume_unwind(panic);
    }
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < deadline, "{what} did not happen in a minute");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Whether a process with this command line exists, in whatever namespace.
fn is_running(command: &str) -> bool {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter_map(|entry| fs::read(entry.path().join("cmdline")).ok())
        .any(|line| String::from_utf8_lossy(&line).replace('\0', " ").trim() == command)
}

#[test]
fn task_1_is_graded_here_and_nothing_of_the_machine_changes() {
    on_a_host(|| {
        let run = Run::new();
        let before = Host::now();
        let output = run.command(&reference(), "1").output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
        assert!(said.contains("on this machine: not a mark"), "{said}");
        let report = run.json();
        assert_eq!(report["score"], report["max"]);
        assert_eq!(report["environment"]["notes"][0], "on this machine: not a mark");
        let summary = fs::read_to_string(run.report().join("summary.md")).unwrap();
        let page = fs::read_to_string(run.report().join("index.html")).unwrap();
        assert!(
            summary.contains("on this machine: not a mark") && page.contains("on this machine: not a mark")
        );
        assert_eq!(run.left(), [""; 0].map(PathBuf::from));
        assert_eq!(Host::now(), before);
    });
}

/// The bash reference's task 1, which also makes a process that no tracer sees.
fn untraced(at: &Path, until: &str) -> PathBuf {
    let root = at.join("22b0002_assignment3");
    let source = fs::read_to_string(reference().join("task1/namespace_prog.c")).unwrap();
    let (body, end) = source.rsplit_once("    return EXIT_SUCCESS;").unwrap();
    let fork = "if (syscall(SYS_clone, CLONE_UNTRACED | SIGCHLD, 0, 0, 0, 0) == 0)";
    let source = format!(
        "{body}    signal(SIGHUP, SIG_IGN);\n    {fork} {{ {until}; _exit(0); }}\n    return EXIT_SUCCESS;{end}"
    );
    fs::create_dir_all(root.join("task1")).unwrap();
    fs::write(root.join("task1/namespace_prog.c"), source).unwrap();
    root
}

#[test]
fn a_process_that_no_tracer_sees_may_end_soon_but_not_stay() {
    for (until, expected) in [("usleep(300000)", "pass"), ("pause()", "fail")] {
        on_a_host(move || {
            let run = Run::new();
            let submission = untraced(run.cache.path(), until);
            let output = run.command(&submission, "1").output().unwrap();
            assert_eq!(
                output.status.success(),
                expected == "pass",
                "{}",
                String::from_utf8_lossy(&output.stderr)
            );
            let report = run.json();
            let findings = report["subtasks"].as_array().unwrap().iter();
            let mut findings = findings.flat_map(|subtask| subtask["checks"].as_array().unwrap());
            let clean = findings.find(|finding| finding["id"] == "1/exits-clean").unwrap();
            assert_eq!(clean["status"], expected, "{clean}");
            let told = clean["actual"].as_str().unwrap().contains("were still running: ");
            assert_eq!(told, expected == "fail", "{clean}");
        });
    }
}

#[test]
fn a_killed_run_leaves_no_process_and_the_next_command_removes_the_rest() {
    on_a_host(|| {
        let run = Run::new();
        let submission = lingering(run.cache.path());
        let before = Host::now();
        let mut harness: Child = run.command(&submission, "1").stderr(Stdio::null()).spawn().unwrap();
        wait_until("the submission's program", || is_running("sleep 4711"));
        harness.kill().unwrap();
        harness.wait().unwrap();
        wait_until("the end of the submission's program", || !is_running("sleep 4711"));
        assert_eq!(run.left().len(), 1, "a killed run leaves its folder");
        let output = run.command(&reference(), "layout").output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(run.left(), [""; 0].map(PathBuf::from));
        assert_eq!(Host::now(), before);
    });
}

#[test]
fn a_base_tree_that_is_not_to_be_had_costs_only_the_tasks_that_need_it_their_verdict() {
    on_a_host(|| {
        let run = Run::new();
        let output = run.command(&reference(), "1,3a").arg("--offline").output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{said}");
        let report = run.json();
        for (subtask, expected) in report["subtasks"].as_array().unwrap().iter().zip(["pass", "error"]) {
            for check in subtask["checks"].as_array().unwrap() {
                assert_eq!(check["status"], expected, "{check}");
            }
        }
        let why = &report["subtasks"][1]["checks"][0]["actual"].as_str().unwrap();
        assert!(why.contains("cannot get or make a base tree of bookworm"), "{why}");
        // Where nothing else is graded, the report from before stays.
        let output = run.command(&reference(), "3a").arg("--offline").output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{said}");
        assert!(said.contains("cannot get or make a base tree of bookworm"), "{said}");
        assert_eq!(run.json(), report);
    });
}

#[test]
fn without_a_terminal_and_without_yes_one_sentence_says_what_to_do() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_harness"));
    let output = command.args(["grade", "--here"]).arg(reference()).stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let (status, remedy) = if nix::unistd::geteuid().is_root() { (2, "add --yes") } else { (3, "sudo") };
    assert_eq!(output.status.code(), Some(status), "{said}");
    assert!(said.contains(remedy) && said.trim().lines().count() == 1, "{said}");
}

/// Both references, every task. Checks of 2c have no verdict where the machine
/// cannot limit the CPU.
#[test]
#[ignore = "slow: two minutes and more"]
fn both_references_get_full_marks_here_and_nothing_of_the_machine_changes() {
    on_a_host(|| {
        let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/reference");
        for submission in [reference(), built].iter().filter(|submission| submission.exists()) {
            let home = tempfile::tempdir_in("/var/tmp").unwrap();
            let before = Host::now();
            let mut command = Command::new(env!("CARGO_BIN_EXE_harness"));
            let report = home.path().join("report");
            command.args(["grade", "--here", "--yes", "--report"]).arg(&report).arg(submission);
            let output = command.stdin(Stdio::null()).output().unwrap();
            let report: Value =
                serde_json::from_slice(&fs::read(report.join("report.json")).unwrap()).unwrap();
            let checks = report["subtasks"]
                .as_array()
                .unwrap()
                .iter()
                .flat_map(|one| one["checks"].as_array().unwrap());
            for check in checks {
                let (id, status) = (check["id"].as_str().unwrap(), check["status"].as_str().unwrap());
                let is_excused =
                    id.starts_with("2c/") && check["actual"].as_str().unwrap().contains("no cpu controller");
                assert!(status == "pass" || is_excused, "{id} {status}: {}", check["actual"]);
            }
            println!("{}", String::from_utf8_lossy(&output.stdout));
            assert_eq!(Host::now(), before);
        }
    });
}
