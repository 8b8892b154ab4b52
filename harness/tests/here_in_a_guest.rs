//! `harness grade --here` inside one of our virtual machines: there the cpu controller is at hand,
//! and an attack on the machine does no harm.
//!
//! `HARNESS_TEST_CASE` names other cases, divided by commas, by how their names begin.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use harness::corpus::{self, Case};
use harness::verdict::Report;

/// Good submissions, and for each check of 2c a bad one.
const CASES: [&str; 8] = [
    "reference-bash",
    "variants/task2-cp-parents-cgexec",
    "variants/task2-nested-groups",
    "mutants/task2-quota-of-one-core",
    "mutants/task2-not-put-into-group",
    "mutants/task2-2c-no-namespaces",
    "mutants/task2-2c-no-chroot",
    "mutants/task2-cgroup-left-behind",
];
/// What the network of a guest without a world can serve: nothing.
const TASKS: [&str; 4] = ["1", "2a", "2b", "2c"];

/// Grades the submission in `$1` with `--only=$2`. Prints the report, and on standard error what
/// differs afterwards.
const GRADE: &str = r#"
state() {
    findmnt -rno TARGET,SOURCE,FSTYPE
    ip -br link; ip -br address; iptables-save | grep -v '^#'
    hostname; cat /proc/sys/net/ipv4/ip_forward /sys/fs/cgroup/cgroup.subtree_control
    find /sys/fs/cgroup -mindepth 1 -maxdepth 1 -name 'harness*'
    find /etc /usr/local /home /srv /mnt /opt /dev -xdev \( -type f -o -type l \) -printf '%p %s %T@\n' | sort
    pgrep -a container_prog || :
    ls -A /var/cache/here/runs 2>/dev/null | grep -v '^.lock$' || :
}
mkdir -p /var/cache/here
export HARNESS_CACHE=/var/cache/here HOME=/root
state >/tmp/before
/run/vm/payload/harness grade --here --yes --only="$2" --force --report /var/cache/report "$1" >/tmp/said 2>&1 || :
state >/tmp/after
diff /tmp/before /tmp/after >&2 || :
[ -s /var/cache/report/report.json ] || { cat /tmp/said >&2; exit 1; }
tr -d '\n' </var/cache/report/report.json
"#;

fn corpus_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/submissions")
}

fn only(case: &Case) -> Vec<String> {
    let graded = case.expect.graded();
    graded.iter().map(|subtask| subtask.id.to_owned()).filter(|id| TASKS.contains(&id.as_str())).collect()
}

fn payload(case: &Case, at: &Path) -> PathBuf {
    let content = at.join("payload");
    fs::create_dir(&content).unwrap();
    for (name, program) in
        [("harness", env!("CARGO_BIN_EXE_harness")), ("harness-guest", env!("CARGO_BIN_EXE_harness-guest"))]
    {
        fs::copy(program, content.join(name)).unwrap();
    }
    corpus::assemble(&corpus_folder(), case, &content.join("submission")).unwrap();
    let disk = at.join("payload.img");
    vm::disk_from_dir(&content, &disk).unwrap();
    disk
}

/// The report of a grade in a guest of its own, and what the grade changed in that guest.
fn graded(template: &vm::Template, case: &Case) -> Result<(Report, String), String> {
    let scratch = tempfile::tempdir().unwrap();
    let disks = vm::Disks { payload: Some(payload(case, scratch.path())), store: None };
    let mut guest = template.restore(&disks).unwrap();
    let only = only(case).join(",");
    let mut command =
        vm::Command::new(["/bin/bash", "-c", GRADE, "grade", "/run/vm/payload/submission", only.as_str()]);
    command.deadline = Duration::from_secs(1800);
    let mut printed = Vec::new();
    let outcome = guest.run(&command, &mut |line| printed.extend_from_slice(line));
    let vm::Outcome::Exited { code: 0, stderr } = &outcome else { return Err(format!("{outcome:?}")) };
    let report = serde_json::from_slice(&printed).map_err(|error| error.to_string())?;
    Ok((report, String::from_utf8_lossy(stderr).into_owned()))
}

fn chosen(standard: &[&str]) -> Vec<Case> {
    let named = std::env::var("HARNESS_TEST_CASE").unwrap_or_else(|_| standard.join(","));
    let mut cases = corpus::cases(&corpus_folder()).unwrap();
    cases.retain(|case| named.split(',').any(|name| case.name.starts_with(name)) && !only(case).is_empty());
    assert!(!cases.is_empty(), "no case begins with {named}");
    cases
}

fn template() -> vm::Template {
    let cache = harness::machine::cache().unwrap();
    let request = vm::Request { setup: harness::machine::setup(), ..vm::Request::default() };
    vm::prepare(&cache, &request, &mut |event| eprintln!("{event:?}")).unwrap()
}

/// What a report says otherwise than the case expects of the subtasks that were graded.
fn differences(case: &Case, report: &Report) -> Vec<String> {
    let mut expect = case.expect.clone();
    expect.subtasks = only(case);
    let is_graded =
        |id: &String| expect.subtasks.iter().any(|subtask| id.starts_with(&format!("{subtask}/")));
    expect.fail.retain(is_graded);
    expect.skip.retain(is_graded);
    corpus::compare(&expect, report).differences
}

#[test]
#[ignore = "slow: half a minute and more for each case, in a virtual machine"]
fn a_guests_verdicts_are_those_of_a_virtual_machine_and_nothing_of_it_changes() {
    let template = template();
    let mut wrong = Vec::new();
    for case in chosen(&CASES) {
        let (report, changed) = graded(&template, &case).unwrap_or_else(|why| panic!("{}: {why}", case.name));
        let mut lines = differences(&case, &report);
        lines.extend(changed.lines().map(|line| format!("changed: {line}")));
        println!("{} {} / {} {lines:#?}", case.name, report.score, report.max);
        wrong.extend(lines.into_iter().map(|line| format!("{}: {line}", case.name)));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Evidence is not protected on the submission's own machine, so verdicts may differ: the test
/// prints them. The grade must not stop, and its report must say that it is no mark.
#[test]
#[ignore = "slow: attacks the machine on which it is graded, a virtual machine"]
fn attacks_on_the_machine_on_which_they_are_graded_are_printed_with_what_they_changed() {
    let template = template();
    for case in chosen(&["hostile/"]) {
        match graded(&template, &case) {
            Ok((report, changed)) => {
                let lines = differences(&case, &report);
                println!("{} {} / {} {lines:#?}\n{changed}", case.name, report.score, report.max);
                let notes = report.environment.notes.join("\n");
                assert!(notes.contains("not a mark"), "{}: {notes}", case.name);
            }
            Err(why) => println!("{}: no report: {why}", case.name),
        }
    }
}
