//! Task 1 on this machine's own kernel: real programs in, verdicts out. Every run has a UTS
//! namespace of its own in the place of the machine's.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::path::{Path, PathBuf};

use harness::evidence::{Bundle, Ending, Recording};
use harness::guest::recorder::Recorder;
use harness::rubric::Rubric;
use harness::task::{Site, as_shown, task1};
use harness::verdict::{Environment, Status, SubmissionInfo};
use harness::{corpus, judge};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::Uid;
use rand::SeedableRng;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn reference() -> String {
    let file = repository().join("fixtures/submissions/reference-bash/task1/namespace_prog.c");
    std::fs::read_to_string(file).unwrap()
}

fn is_root() -> bool {
    let root = Uid::effective().is_root();
    if !root {
        eprintln!("skipped: creating namespaces needs root");
    }
    root
}

fn record(source: &str) -> Recording {
    let submission = tempfile::tempdir().unwrap();
    std::fs::create_dir(submission.path().join("task1")).unwrap();
    std::fs::write(submission.path().join("task1/namespace_prog.c"), source).unwrap();
    record_submission(submission.path())
}

fn record_submission(submission: &Path) -> Recording {
    let site = Site { submission: submission.to_owned(), course: PathBuf::new(), slowdown: 1.0 };
    let scenario = &task1::SCENARIO;
    let plan = (scenario.plan)(&mut rand::rngs::StdRng::seed_from_u64(1));
    let mut lines = Vec::new();
    // setns and unshare move only the calling thread: what it starts lives in its UTS namespace.
    std::thread::scope(|scope| {
        scope.spawn(|| {
            unshare(CloneFlags::CLONE_NEWUTS).unwrap();
            let recorder = Recorder::new(&mut lines);
            (scenario.drive)(&site, &plan, &recorder).unwrap();
        });
    });
    let records = lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    Recording {
        scenario: "1".to_owned(),
        plan,
        ending: Ending::Finished,
        seconds: 0.0,
        records: records.map(|line| serde_json::from_slice(line).unwrap()).collect(),
    }
}

fn bundle(recording: Recording) -> Bundle {
    let submission = SubmissionInfo { id: String::new(), source: String::new(), sha256: String::new() };
    Bundle {
        submission,
        environment: Environment::default(),
        subtasks: vec!["1".to_owned()],
        layout: serde_json::Value::Null,
        recordings: [("1".to_owned(), recording)].into(),
    }
}

/// The checks that lose marks, as `name: status`.
fn lost(recording: Recording) -> Vec<String> {
    let findings = (task1::SUBTASK.judge)(&bundle(recording));
    assert_eq!(findings.len(), task1::SUBTASK.checks.len());
    for finding in &findings {
        println!("{} {}: {}", finding.check, finding.status, finding.actual);
    }
    let rubric = Rubric::default();
    let lost = findings
        .iter()
        .filter(|finding| finding.status != Status::Pass && rubric.points(finding.check) > 0.0);
    lost.map(|finding| format!("{}: {}", &finding.check[2..], finding.status)).collect()
}

fn edited(edits: &[(&str, &str)]) -> String {
    edits.iter().fold(reference(), |source, (find, replace)| {
        assert!(source.contains(find), "the reference has no {find:?}");
        source.replacen(find, replace, 1)
    })
}

#[test]
fn the_reference_passes_and_prints_what_the_assignment_shows() {
    if !is_root() {
        return;
    }
    let recording = record(&reference());
    let transcript = task1::redacted_transcript(&recording).join("\n");
    assert_eq!(lost(recording), Vec::<String>::new());
    assert_eq!(transcript, as_shown::TASK_1.trim_end());
}

#[test]
fn a_program_that_does_not_compile_loses_everything_and_shows_why() {
    if !is_root() {
        return;
    }
    let recording = record("int main(void) { return 0 }\n");
    let findings = (task1::SUBTASK.judge)(&bundle(recording.clone()));
    assert!(findings[0].actual.contains("expected"), "{}", findings[0].actual);
    assert!(lost(recording).contains(&"child1-pid-namespace: fail".to_owned()));
}

#[test]
fn printing_the_lines_earns_nothing() {
    if !is_root() {
        return;
    }
    let text = transcript_of("getppid() ? getpid() : 0");
    assert_eq!(
        lost(record(&text)),
        [
            "child1-pid-namespace: fail",
            "child1-uts-namespace: fail",
            "child2-joins-pid-namespace: skip",
            "child2-joins-uts-namespace: skip",
            "parent-unchanged: skip",
            "transcript: skip",
            "exits-clean: skip",
        ]
    );
}

/// A program that prints the right text and does nothing.
fn transcript_of(pid: &str) -> String {
    let prints: String = as_shown::TASK_1
        .lines()
        .map(|line| match line {
            "Parent Process PID: [pid]" => format!("printf(\"Parent Process PID: %d\\n\", {pid});"),
            "Parent Hostname: [hostname]" => {
                "gethostname(name, 99); printf(\"Parent Hostname: %s\\n\", name);".to_owned()
            }
            line => format!("puts(\"{line}\");"),
        })
        .collect();
    format!(
        "#include <stdio.h>\n#include <unistd.h>\nint main(void) {{ char name[99]; {prints} return 0; }}\n"
    )
}

#[test]
fn a_rename_of_the_machine_that_is_undone_at_once_is_seen() {
    if !is_root() {
        return;
    }
    let source = edited(&[(
        "    pid_t child1 = clone(",
        "    char machine[99]; gethostname(machine, 99);\n    sethostname(\"x\", 1);\n    \
         sethostname(machine, strlen(machine));\n    pid_t child1 = clone(",
    )]);
    assert_eq!(lost(record(&source)), ["parent-unchanged: fail"]);
}

#[test]
fn a_second_child_that_the_first_one_forks_has_joined_nothing() {
    if !is_root() {
        return;
    }
    let source = edited(&[
        ("static void die(", "static int child2_main(void *arg);\nstatic void die("),
        (
            "    close(pipefd[1]);\n    if (read(donefd[0]",
            "    if (fork() == 0) _exit(child2_main(NULL));\n    wait(NULL);\n    close(pipefd[1]);\n    if (read(donefd[0]",
        ),
        (
            "    pid_t child2 = clone(child2_main, child2_stack + STACK_SIZE, SIGCHLD, NULL);",
            "    pid_t child2 = 0;",
        ),
        ("    if (waitpid(child2, NULL, 0) == -1)\n        die(\"waitpid\");\n", ""),
    ]);
    let lost = lost(record(&source));
    assert_eq!(lost[..2], ["child2-joins-pid-namespace: fail", "child2-joins-uts-namespace: fail"]);
}

#[test]
fn a_program_that_never_ends_is_stopped_with_all_that_it_started() {
    if !is_root() {
        return;
    }
    let source = edited(&[("    close(donefd[1]);\n    if (waitpid(child1", "    if (waitpid(child1")]);
    let recording = record(&source);
    let outcome: harness::evidence::program::Outcome = recording.first("outcome").unwrap();
    assert_eq!(outcome.stopped, Some(harness::evidence::program::Stopped::Time));
    assert_eq!(lost(recording), ["exits-clean: fail"]);
}

#[test]
fn a_child_that_outlives_the_program_is_seen_and_ended() {
    if !is_root() {
        return;
    }
    let source = edited(&[
        ("    prctl(PR_SET_PDEATHSIG, SIGKILL);\n", ""),
        (
            "    if (read(donefd[0], &byte, 1) == -1)\n        die(\"read\");\n",
            "    (void)byte;\n    for (;;)\n        pause();\n",
        ),
        ("    close(donefd[1]);\n    if (waitpid(child1, NULL, 0) == -1)\n        die(\"waitpid\");\n", ""),
    ]);
    let recording = record(&source);
    let outcome: harness::evidence::program::Outcome = recording.first("outcome").unwrap();
    assert_eq!(lost(recording), ["exits-clean: fail"]);
    // Whoever inherits the dead process may not have waited for it yet; a dead one has no program.
    let now = harness::guest::observe::processes::read(outcome.left[0].pid);
    assert!(now.is_none_or(|process| process.exe.is_empty()));
}

/// A case that makes a control group. Here it would be the host's, so only virtual machines and
/// `--here`, which have groups of their own, try it.
const MAKES_A_GROUP: &str = "mutants/task1-leaves-a-hidden-process";

/// The corpus's cases of task 1, without a virtual machine. Hostile ones need one.
#[test]
fn the_corpus_gets_the_verdicts_it_expects() {
    if !is_root() {
        return;
    }
    let folder = repository().join("fixtures/submissions");
    let mut wrong = Vec::new();
    for case in corpus::cases(&folder).unwrap() {
        let only_task1 = case.expect.subtasks == ["1"];
        if !only_task1 || case.name.starts_with("hostile/") || case.name == MAKES_A_GROUP {
            continue;
        }
        let place = tempfile::tempdir().unwrap();
        let root = corpus::assemble(&folder, &case, place.path()).unwrap();
        let bundle = bundle(record_submission(&root));
        let differences =
            corpus::compare(&case.expect, &judge::judge(&bundle, &Rubric::default())).differences;
        wrong.extend(differences.into_iter().map(|line| format!("{}: {line}", case.name)));
    }
    assert_eq!(wrong, Vec::<String>::new());
}
