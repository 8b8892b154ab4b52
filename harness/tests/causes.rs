//! What went wrong first: one fault in a script, told once, with the checks that could not
//! be seen because of it.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use harness::evidence::{Bundle, Ending, Record, Recording};
use harness::judge::judge;
use harness::report::{markdown, terminal};
use harness::rubric::Rubric;
use harness::verdict::{Environment, Report, SubmissionInfo};
use serde_json::{Value, json};

/// Those whose judges need no names of the run.
const SUBTASKS: [&str; 3] = ["3a", "3b", "3d"];

/// A report on task 3 in which each command of the tool showed this and ended so.
fn report(screen: &str, end: &Value, stopped: &Value) -> Report {
    report_of(screen, end, stopped, false)
}

/// The same; `crlf` says whether the script has line ends of Windows.
fn report_of(screen: &str, end: &Value, stopped: &Value, crlf: bool) -> Report {
    let recording = |scenario: &str| {
        let mut records = vec![];
        let mut add = |kind: &str, data: Value| {
            records.push(Record { ms: records.len() as u64, host_ms: None, kind: kind.to_owned(), data });
        };
        add("begin", json!("/home/cs695/task"));
        add(
            "machine",
            json!({ "namespaces": {}, "root": {}, "mounts": [], "interfaces": [], "processes": [] }),
        );
        let build = std::iter::once(("build", vec!["build", "img", "Conductorfile"]));
        let runs = ["worker", "other", "both", "shell"].map(|step| (step, vec!["run", "img", step]));
        for (terminal, (step, words)) in build.chain(runs).enumerate() {
            let argv: Vec<&str> = std::iter::once("./conductor.sh").chain(words).collect();
            add("start", json!({ "terminal": terminal, "argv": argv }));
            add("output", json!({ "terminal": terminal, "text": screen }));
            add(
                "command",
                json!({ "step": step, "argv": argv, "end": end, "stopped": stopped, "seconds": 60.0, "screen": screen }),
            );
            add(
                "absent",
                json!({ "step": step, "argv": argv, "ended": stopped.is_null(), "screen": screen }),
            );
        }
        Recording {
            scenario: scenario.to_owned(),
            plan: Value::Null,
            ending: Ending::Finished,
            seconds: 1.0,
            records,
        }
    };
    let file = json!({ "path": "task3/conductor.sh", "found_as": null, "bytes": 1, "crlf": crlf, "lacks_run_bit": false });
    let layout = json!({
        "form": "directory", "folder": null, "depth": 0, "entries": 1, "left_aside": [], "files": [file],
        "git": "present", "unmarked": null,
    });
    let bundle = Bundle {
        submission: SubmissionInfo { id: "23m0001".into(), source: String::new(), sha256: String::new() },
        environment: Environment::default(),
        subtasks: SUBTASKS.map(str::to_owned).to_vec(),
        layout,
        recordings: ["3-run", "3-network"].map(|name| (name.to_owned(), recording(name))).into(),
    };
    judge(&bundle, &Rubric::default())
}

fn lines(report: &Report) -> usize {
    anstream::adapter::strip_str(&terminal::render(report, false)).to_string().lines().count()
}

#[test]
fn a_syntax_error_is_told_once_with_its_file_and_line() {
    let screen = "./conductor.sh: line 212: syntax error near unexpected token `fi'\r\n./conductor.sh: line 212: `fi'\r\n";
    let report = report(screen, &json!({ "status": 2 }), &Value::Null);
    let [cause] = report.causes.as_slice() else { panic!("{:?}", report.causes) };
    assert_eq!((cause.file.as_deref(), cause.line), (Some("task3/conductor.sh"), Some(212)));
    assert!(cause.what.contains("syntax error near unexpected token `fi'"), "{}", cause.what);
    assert!(cause.checks.len() > 20, "{:?}", cause.checks);
    assert!(lines(&report) < 30, "{}", terminal::render(&report, false));
    assert_eq!(markdown::render(&report).matches("syntax error").count(), 2, "the sentence and the quote");
}

#[test]
fn line_ends_of_windows_are_named() {
    let screen = "./conductor.sh: line 3: $'\\r': command not found\r\n";
    let report = report(screen, &json!({ "status": 127 }), &Value::Null);
    assert!(report.causes[0].what.contains("line ends of Windows"), "{}", report.causes[0].what);
}

#[test]
fn line_ends_of_windows_are_named_where_the_kernel_does_not_even_start_the_script() {
    let silent = |crlf| report_of("", &json!({ "status": 127 }), &Value::Null, crlf);
    let [cause] = &silent(true).causes[..] else { panic!("one cause") };
    assert!(cause.what.contains("task3/conductor.sh has line ends of Windows"), "{}", cause.what);
    assert!(!silent(false).causes[0].what.contains("Windows"));
}

#[test]
fn a_command_that_ends_at_once_is_told_once() {
    let report = report("CS695 Conductor\r\n", &json!({ "status": 0 }), &Value::Null);
    let [cause] = report.causes.as_slice() else { panic!("{}", terminal::render(&report, true)) };
    assert!(cause.what.contains("ended before it ran what it should run"), "{}", cause.what);
    assert!(cause.checks.len() > 15, "{}", terminal::render(&report, true));
}

#[test]
fn a_question_on_the_screen_is_waiting_for_input() {
    let report = report("Which interface? ", &json!({ "signal": 9 }), &json!("still"));
    let cause = &report.causes[0];
    assert!(cause.what.contains("waits for input"), "{}", cause.what);
    assert!(cause.quote.ends_with("Which interface?"), "{}", cause.quote);
}

#[test]
fn of_task_4_the_first_messages_are_quoted_and_not_the_last_ones() {
    let screen = "[status 0]# ./service-orchestrator.sh\r\ncsfile not found\r\nesfile not found\r\n\
                  Image cs-image not found\r\nContainer cs-cont not found\r\n\
                  [status 0]# Container es-cont not found\r\n";
    let page = json!({ "step": "settled", "from": "lan", "url": "", "status": null, "body": "", "error": "refused" });
    let settled = json!({ "step": "first", "why": "ended", "seconds": 20.0, "status": 0, "screen": screen, "page": page });
    let machine = json!({ "namespaces": {}, "root": {}, "mounts": [], "interfaces": [], "processes": [] });
    let records = [
        ("begin", json!("/home/cs695/task")),
        ("machine", machine),
        ("start", json!({ "terminal": 0, "argv": ["/bin/bash", "-i"] })),
        ("output", json!({ "terminal": 0, "text": screen })),
        ("settled", settled),
        ("images", json!({ "step": "first", "images": [] })),
        ("containers", json!({ "step": "first", "containers": [] })),
    ];
    let record = |(kind, data): (&str, Value)| Record { ms: 0, host_ms: None, kind: kind.to_owned(), data };
    let recording = Recording {
        scenario: "4-matrix".to_owned(),
        plan: Value::Null,
        ending: Ending::Finished,
        seconds: 1.0,
        records: records.map(record).into(),
    };
    let bundle = Bundle {
        submission: SubmissionInfo { id: "23m0001".into(), source: String::new(), sha256: String::new() },
        environment: Environment::default(),
        subtasks: vec!["4".to_owned()],
        layout: Value::Null,
        recordings: [("4-matrix".to_owned(), recording)].into(),
    };
    let report = judge(&bundle, &Rubric::default());
    let [cause] = report.causes.as_slice() else { panic!("{}", terminal::render(&report, true)) };
    assert!(cause.what.ends_with("The first error message on its terminal was \"csfile not found\"."));
    assert!(cause.quote.starts_with("csfile not found\nesfile not found\n"), "{}", cause.quote);
    assert!(cause.checks.len() > 3, "{:?}", cause.checks);
    assert!(!terminal::render(&report, true).contains("[status 0]"), "{}", terminal::render(&report, true));
}
