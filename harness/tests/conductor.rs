//! Tasks 3 and 4 on this machine's own kernel: real tools in, verdicts out. Each scenario is driven in a machine of its own
//! (every namespace but the user's). Ignored by default: they build images and run containers, which takes seconds.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use harness::corpus::{self, Case};
use harness::evidence::{Bundle, Ending, Recording};
use harness::guest::recorder::Recorder;
use harness::packages::Supply;
use harness::task::{self, Scenario, Site, Subtask};
use harness::verdict::{Environment, Status, SubmissionInfo};
use harness::{course, stage};
use rand::SeedableRng;
use serde_json::Value;

/// The tree that `debootstrap` is to make, not below /tmp; it gets hard links to its files. Without it these tests
/// have no base.
const BASE: &str = "HARNESS_TEST_BASE";
/// Inside a machine: the scenario, the submission and the file for its records.
const SCENARIO: &str = "HARNESS_TEST_SCENARIO";
const SUBMISSION: &str = "HARNESS_TEST_SUBMISSION";
const RECORDS: &str = "HARNESS_TEST_RECORDS";
/// The socket of a package cache, as in the world of a virtual machine; without it there are no packages.
const PACKAGES: &str = "HARNESS_TEST_PACKAGES";

/// What is not to be seen by other machines, which have their /tmp for themselves.
const HOMES: &str = "/var/tmp";

/// A cable, a /run, /tmp, /etc and /sys of its own, a `debootstrap` that is quick, and a `sudo`.
const SET_UP: &str = r#"
    set -e
    mount -t tmpfs tmpfs /run
    mount -t tmpfs tmpfs /tmp
    mkdir /run/etc /run/work /run/sbin
    mount -t overlay overlay -o lowerdir=/etc,upperdir=/run/etc,workdir=/run/work /etc
    umount /etc/resolv.conf 2> /dev/null || true
    mount -t sysfs sysfs /sys
    mount --bind /run/sbin /usr/local/sbin
    cat > /usr/local/sbin/debootstrap <<END
#!/bin/sh
for word; do
    case \$word in -*|bookworm|http*|/usr/share/*) ;; *) target=\$word ;; esac
done
mkdir -p "\$target" && cp -al "$HARNESS_TEST_BASE/." "\$target"
END
    printf '#!/bin/sh\nexec "$@"\n' > /usr/local/sbin/sudo
    chmod 755 /usr/local/sbin/*
    ip link set lo up
    ip link add lan0 type veth peer name world0
"#;

/// Not a test by itself: what [`record`] runs as the first process of a machine.
#[test]
#[ignore = "slow: runs inside the machines of the other tests"]
fn inside_a_machine() {
    let Ok(id) = std::env::var(SCENARIO) else { return };
    assert!(Command::new("sh").args(["-c", SET_UP]).status().unwrap().success());
    let scenario = task::scenarios().into_iter().find(|scenario| scenario.id == id).unwrap();
    let site = Site {
        submission: std::env::var_os(SUBMISSION).unwrap().into(),
        course: PathBuf::new(),
        slowdown: 3.0,
    };
    let records = std::fs::File::create(std::env::var_os(RECORDS).unwrap()).unwrap();
    (scenario.drive)(&site, &plan(scenario), &Recorder::new(records)).unwrap();
}

fn plan(scenario: &Scenario) -> Value {
    let mut plan = (scenario.plan)(&mut rand::rngs::StdRng::seed_from_u64(1));
    // There is no card that leads to a package cache.
    plan["world"]["packages"] = match std::env::var(PACKAGES) {
        Ok(socket) => serde_json::json!({ "socket": socket }),
        Err(_) => serde_json::json!("nowhere"),
    };
    plan
}

fn record(submission: &Path, scenario: &Scenario) -> Recording {
    let home = tempfile::tempdir_in(HOMES).unwrap();
    let packages = (scenario.id == "4-matrix").then(|| packages(home.path()));
    let (copy, records) = (home.path().join("submission"), home.path().join("records.jsonl"));
    let copied = Command::new("cp").arg("-a").arg(submission).arg(&copy).status().unwrap();
    assert!(copied.success());
    let machine = Command::new("unshare")
        .args(["--mount", "--net", "--pid", "--uts", "--ipc", "--fork", "--kill-child", "--mount-proc"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "inside_a_machine", "--nocapture", "--ignored"])
        .envs([
            (SCENARIO, scenario.id.as_ref()),
            (SUBMISSION, copy.as_os_str()),
            (RECORDS, records.as_os_str()),
        ])
        .envs(packages.iter().map(|supply| (PACKAGES, supply.socket())))
        .status()
        .unwrap();
    assert!(machine.success());
    let lines = std::fs::read_to_string(records).unwrap();
    Recording {
        scenario: scenario.id.to_owned(),
        plan: plan(scenario),
        ending: Ending::Finished,
        seconds: 0.0,
        records: lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect(),
    }
}

/// The package cache of this user, which fetches what is not in it yet.
fn packages(workdir: &Path) -> Supply {
    Supply::start(vm::Cache::from_env().unwrap().root(), false, workdir, &[]).unwrap()
}

fn bundle(recordings: Vec<Recording>) -> Bundle {
    Bundle {
        submission: SubmissionInfo { id: String::new(), source: String::new(), sha256: String::new() },
        environment: Environment::default(),
        subtasks: Vec::new(),
        layout: Value::Null,
        recordings: recordings.into_iter().map(|recording| (recording.scenario.clone(), recording)).collect(),
    }
}

/// The checks with marks that do not pass, as `name: status`.
fn lost(subtasks: &[&Subtask], bundle: &Bundle) -> BTreeSet<String> {
    let mut lost = BTreeSet::new();
    for subtask in subtasks {
        let findings = (subtask.judge)(bundle);
        assert_eq!(findings.len(), subtask.checks.len());
        for (finding, spec) in findings.iter().zip(subtask.checks) {
            assert_eq!(finding.check, spec.id);
            println!("{} {}: {}", finding.check, finding.status, finding.actual);
            if finding.status != Status::Pass && !spec.informational {
                lost.insert(format!("{}: {}", finding.check, finding.status));
            }
        }
    }
    lost
}

fn corpus_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/submissions")
}

/// Drives and judges what a case says about tasks 3 and 4.
fn check(case: &Case) {
    let is_driven = |subtask: &&'static Subtask| {
        subtask.id.starts_with(['3', '4']) && case.expect.subtasks.iter().any(|id| id == subtask.id)
    };
    let subtasks: Vec<&Subtask> = task::subtasks().into_iter().filter(is_driven).collect();
    let home = tempfile::tempdir_in(HOMES).unwrap();
    let submission = corpus::assemble(&corpus_folder(), case, home.path()).unwrap();
    let course = home.path().join("course");
    course::unpack(&course).unwrap();
    stage::supply(&course, &submission).unwrap();
    let needed =
        |scenario: &&Scenario| subtasks.iter().any(|subtask| subtask.scenarios.contains(&scenario.id));
    let recordings =
        task::scenarios().into_iter().filter(needed).map(|scenario| record(&submission, scenario)).collect();
    let failed = case.expect.fail.iter().map(|check| format!("{check}: fail"));
    let skipped = case.expect.skip.iter().map(|check| format!("{check}: skip"));
    assert_eq!(lost(&subtasks, &bundle(recordings)), failed.chain(skipped).collect(), "{}", case.name);
}

/// Whether these tests can run here.
fn can_run() -> bool {
    let can = nix::unistd::geteuid().is_root() && std::env::var_os(BASE).is_some();
    if !can {
        eprintln!("skipped: needs root, and a base tree that {BASE} names");
    }
    can
}

#[test]
#[ignore = "slow: builds images and runs containers"]
fn the_reference_passes_task_3() {
    if can_run() {
        let cases = corpus::cases(&corpus_folder()).unwrap();
        check(cases.iter().find(|case| case.name == "reference-bash").unwrap());
    }
}

/// `HARNESS_TEST_CASE=mutants/task3a-no-proc` names the case.
#[test]
#[ignore = "slow: for one case of the corpus at a time"]
fn a_case_of_the_corpus_comes_out_as_expected() {
    if let Ok(name) = std::env::var("HARNESS_TEST_CASE")
        && can_run()
    {
        let cases = corpus::cases(&corpus_folder()).unwrap();
        check(cases.iter().find(|case| case.name == name).unwrap());
    }
}
