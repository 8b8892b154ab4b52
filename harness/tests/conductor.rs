//! Tasks 3 and 4 on this machine's own kernel: real tools in, verdicts out. Each scenario is driven in a machine of its own
//! (every namespace but the user's). Ignored by default: they build images and run containers, which takes seconds.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod stored;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use harness::corpus::{self, Case};
use harness::evidence::{Bundle, Ending, Recording};
use harness::fit::Fit;
use harness::guest::recorder::Recorder;
use harness::packages::Supply;
use harness::rubric::Rubric;
use harness::task::{self, Scenario, Site, Subtask};
use harness::verdict::{Environment, SubmissionInfo};
use harness::{course, stage};
use harness::{follow_through, judge};
use rand::SeedableRng;
use serde_json::Value;

/// The tree that `debootstrap` is to make of bookworm, not below /tmp; it gets hard links to its files. Without it these
/// tests have no base. Those of jammy and focal have the same name with `-jammy` and `-focal` behind it.
const BASE: &str = "HARNESS_TEST_BASE";
/// Inside a machine: the scenario, the submission and the file for its records.
const SCENARIO: &str = "HARNESS_TEST_SCENARIO";
const SUBMISSION: &str = "HARNESS_TEST_SUBMISSION";
const RECORDS: &str = "HARNESS_TEST_RECORDS";
/// The name of the machine's interface.
const INTERFACE: &str = "HARNESS_TEST_INTERFACE";
/// The socket of a package cache, as in the world of a virtual machine; without it there are no packages.
const PACKAGES: &str = "HARNESS_TEST_PACKAGES";

/// What is not to be seen by other machines, which have their /tmp for themselves.
const HOMES: &str = "/var/tmp";

/// A cable, a /run, /tmp, /etc, /usr/share and /sys of its own, a `debootstrap` that is quick, and a `sudo`.
const SET_UP: &str = r#"
    set -e
    mount -t tmpfs tmpfs /run
    mount -t tmpfs tmpfs /tmp
    mkdir /run/sbin
    for folder in /etc /usr/share; do
        mkdir -p /run/upper$folder /run/work$folder
        mount -t overlay overlay -o "lowerdir=$folder,upperdir=/run/upper$folder,workdir=/run/work$folder" $folder
    done
    umount /etc/resolv.conf 2> /dev/null || true
    mount -t sysfs sysfs /sys
    mount -t tmpfs tmpfs /usr/local/share
    mount --bind /run/sbin /usr/local/sbin
    cat > /usr/local/sbin/debootstrap <<END
#!/bin/sh
base=$HARNESS_TEST_BASE
for word; do
    case \$word in
    jammy|focal) base=$HARNESS_TEST_BASE-\$word ;;
    -*|bookworm|http*|/usr/share/*) ;;
    *) target=\$word ;;
    esac
done
mkdir -p "\$target" && cp -al "\$base/." "\$target" || exit
mkdir -p "\$target/usr/local/share/ca-certificates"
cp /usr/local/share/ca-certificates/world.crt "\$target/usr/local/share/ca-certificates/"
bundle=\$target/etc/ssl/certs/ca-certificates.crt
if [ -e "\$bundle" ]; then
    cat "\$bundle" /usr/local/share/ca-certificates/world.crt > "\$bundle.new" && mv "\$bundle.new" "\$bundle"
fi
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
    let interface = std::env::var(INTERFACE).unwrap();
    (scenario.drive)(&site, &plan(scenario, &interface), &Recorder::new(records)).unwrap();
}

fn plan(scenario: &Scenario, interface: &str) -> Value {
    let mut plan = (scenario.plan)(&mut rand::rngs::StdRng::seed_from_u64(1));
    plan["world"]["interface"] = interface.into();
    // There is no card that leads to a package cache.
    plan["world"]["packages"] = match std::env::var(PACKAGES) {
        Ok(socket) => serde_json::json!({ "socket": socket }),
        Err(_) => serde_json::json!("nowhere"),
    };
    // Other programs of this machine write to its disk meanwhile.
    plan["shared_disk"] = true.into();
    plan
}

fn record(submission: &Path, scenario: &Scenario) -> Recording {
    let interface = Fit::of(submission).interface(scenario.id).to_owned();
    let home = tempfile::tempdir_in(HOMES).unwrap();
    let packages = ["3-packages", "4-matrix"].contains(&scenario.id).then(|| packages(home.path()));
    let (copy, records) = (home.path().join("submission"), home.path().join("records.jsonl"));
    let copied = Command::new("cp").arg("-a").arg(submission).arg(&copy).status().unwrap();
    assert!(copied.success());
    let machine = Command::new("unshare")
        .args(["--mount", "--net", "--pid", "--uts", "--ipc", "--fork", "--kill-child", "--mount-proc"])
        // The first process, which waits for all that is left to it, as the first one of a machine does.
        .args(["sh", "-c", "\"$@\"; exit $?", "sh"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "inside_a_machine", "--nocapture", "--ignored"])
        .envs([
            (SCENARIO, scenario.id.as_ref()),
            (SUBMISSION, copy.as_os_str()),
            (RECORDS, records.as_os_str()),
            (INTERFACE, interface.as_ref()),
        ])
        .envs(packages.iter().map(|supply| (PACKAGES, supply.socket())))
        .status()
        .unwrap();
    assert!(machine.success());
    sweep(&plan(scenario, &interface));
    let lines = std::fs::read_to_string(records).unwrap();
    Recording {
        scenario: scenario.id.to_owned(),
        plan: plan(scenario, &interface),
        ending: Ending::Finished,
        seconds: 0.0,
        records: lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect(),
    }
}

/// Removes what a RUN wrote that ran on the machine: the next one has the same names, and no /var/tmp of its own either.
fn sweep(plan: &Value) {
    let written = plan["written"].as_object().into_iter().flatten().map(|(_, file)| &file["name"]);
    let folder = written.filter_map(Value::as_str).map(|name| Path::new(HOMES).join(name));
    let at_root = plan["files"]["run-rewrites"]["name"].as_str().map(|name| Path::new("/").join(name));
    folder.chain(at_root).for_each(|path| drop(std::fs::remove_file(path)));
}

/// The package cache of this user, which fetches what is not in it yet.
fn packages(workdir: &Path) -> Supply {
    Supply::start(harness::machine::cache().unwrap().root(), false, workdir, &[], &[], None, &mut |_| {})
        .unwrap()
}

fn bundle(subtasks: &[&Subtask], recordings: Vec<Recording>) -> Bundle {
    Bundle {
        submission: SubmissionInfo { id: String::new(), source: String::new(), sha256: String::new() },
        environment: Environment::default(),
        subtasks: subtasks.iter().map(|subtask| subtask.id.to_owned()).collect(),
        layout: Value::Null,
        recordings: recordings.into_iter().map(|recording| (recording.scenario.clone(), recording)).collect(),
    }
}

fn corpus_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/submissions")
}

/// The subtasks of a case that are driven here.
fn driven(case: &Case) -> Vec<&'static Subtask> {
    let is_driven = |subtask: &&'static Subtask| {
        subtask.id.starts_with(['3', '4']) && case.expect.subtasks.iter().any(|id| id == subtask.id)
    };
    task::subtasks().into_iter().filter(is_driven).collect()
}

/// Puts a case's submission together below `home`, with the course's files over it.
fn assembled(case: &Case, home: &Path) -> PathBuf {
    let submission = corpus::assemble(&corpus_folder(), case, home).unwrap();
    let course = home.join("course");
    course::unpack(&course).unwrap();
    stage::supply(&course, &submission).unwrap();
    Fit::make(&submission).unwrap();
    submission
}

/// Drives and judges what a case says about tasks 3 and 4; says what came out otherwise.
fn differences(case: &Case) -> Vec<String> {
    let subtasks = driven(case);
    let home = tempfile::tempdir_in(HOMES).unwrap();
    let submission = assembled(case, home.path());
    let needed =
        |scenario: &&Scenario| subtasks.iter().any(|subtask| subtask.scenarios.contains(&scenario.id));
    let recordings =
        task::scenarios().into_iter().filter(needed).map(|scenario| record(&submission, scenario)).collect();
    let mut bundle = bundle(&subtasks, recordings);
    loop {
        let wanted = follow_through::wanted(&bundle);
        if wanted.is_empty() {
            break;
        }
        for (scenario, graft) in wanted {
            let name = graft.recording(scenario.id);
            let grafted = home.path().join(&name);
            let copied = Command::new("cp").arg("-a").arg(&submission).arg(&grafted).status().unwrap();
            assert!(copied.success());
            let programs = follow_through::Programs {
                guest_half: harness::siblings::find(stage::GUEST_HALF).unwrap(),
                conductor: harness::siblings::find("conductor").unwrap(),
            };
            follow_through::apply(graft, &grafted, &programs).unwrap();
            let recording = Recording { scenario: name.clone(), ..record(&grafted, scenario) };
            bundle.recordings.insert(name, recording);
        }
    }
    let report = judge::judge(&bundle, &Rubric::default());
    for check in report.subtasks.iter().flat_map(|subtask| &subtask.checks) {
        println!("{} {}: {}", check.id, check.status, check.actual);
        if let Some(own) = &check.follow_through {
            println!("    +{} {}: {}", own.score, own.condition(), own.actual);
        }
    }
    corpus::compare(&case.expect, &report).differences
}

/// Whether these tests can run here.
fn can_run() -> bool {
    let can = nix::unistd::geteuid().is_root() && std::env::var_os(BASE).is_some();
    if !can {
        eprintln!("skipped: needs root, and a base tree that {BASE} names");
    }
    can
}

/// `HARNESS_TEST_CASE` names the cases, by how their names begin: `mutants/task3a-no-proc`, `mutants/task3`. Without
/// it the whole corpus has its turn, a line for each case: its seconds, and what came out otherwise than expected.
#[test]
#[ignore = "slow: half a minute and more for each case"]
fn the_corpus_of_tasks_3_and_4_comes_out_as_expected() {
    if !can_run() {
        return;
    }
    let wanted = std::env::var("HARNESS_TEST_CASE").unwrap_or_default();
    let cases = corpus::cases(&corpus_folder()).unwrap();
    let cases = cases
        .iter()
        .filter(|case| case.name.starts_with(&wanted) && !case.name.starts_with("hostile/"))
        .filter(|case| !driven(case).is_empty());
    let mut table = String::new();
    let mut wrong = 0;
    for case in cases {
        let began = Instant::now();
        let differences = differences(case);
        let verdict = if differences.is_empty() { "as expected" } else { "DIFFERENT" };
        let seconds = began.elapsed().as_secs_f64();
        let _ = writeln!(table, "{verdict:<11}  {:<52} {seconds:>6.1} s", case.name);
        for line in &differences {
            let _ = writeln!(table, "             {line}");
        }
        wrong += usize::from(!differences.is_empty());
    }
    println!("{table}");
    assert_eq!(wrong, 0, "\n{table}");
}

/// Records evidence for `judges.rs`. `HARNESS_TEST_CASE` names the cases, divided by commas, each as
/// `mutants/task3a-no-proc=3-run`; several scenarios are divided by `+`.
#[test]
#[ignore = "slow: writes tests/evidence, half a minute and more for each scenario"]
fn evidence_is_recorded_for_the_judges() {
    let wanted = std::env::var("HARNESS_TEST_CASE").unwrap_or_default();
    if !can_run() || !wanted.contains('=') {
        return;
    }
    let cases = corpus::cases(&corpus_folder()).unwrap();
    let hostname = nix::unistd::gethostname().unwrap().to_string_lossy().into_owned();
    for (name, scenarios) in wanted.split(',').filter_map(|one| one.split_once('=')) {
        let case = cases.iter().find(|case| case.name == name).unwrap();
        let home = tempfile::tempdir_in(HOMES).unwrap();
        let submission = assembled(case, home.path());
        let scenarios: Vec<&str> = scenarios.split('+').collect();
        for scenario in task::scenarios().into_iter().filter(|one| scenarios.contains(&one.id)) {
            let began = Instant::now();
            let recording = record(&submission, scenario);
            println!("{name} {}: {:.0} s", scenario.id, began.elapsed().as_secs_f64());
            stored::store(name, &recording, &hostname, HOMES);
        }
    }
}
