//! What each report makes of one run with everything in it: passes, lost marks, skips, a
//! failure of ours, and text that a student's program chose. The renderings are in
//! `snapshots/`, to be read as a diff.
#![allow(clippy::unwrap_used)]

use harness::report::{json, junit, markdown, terminal};
use harness::verdict::{Check, Environment, FollowThrough, Report, Status, SubmissionInfo, Subtask};

fn check(id: &str, status: Status, max: f64, actual: &str) -> Check {
    Check {
        id: id.to_owned(),
        title: "what is checked".to_owned(),
        status,
        score: if status == Status::Pass { max } else { 0.0 },
        max,
        requirement:
            "Within the new PID namespace, the PID of processes launched within the container should \
                      start with 1."
                .to_owned(),
        expected: "container_prog is PID 1 of a new PID namespace".to_owned(),
        actual: actual.to_owned(),
        hint:
            "a new PID namespace begins with the next child of the process that asked for it: which process \
               is that here?"
                .to_owned(),
        evidence: vec!["evidence/2/records.jsonl#17".to_owned()],
        see: vec![],
        follow_through: None,
    }
}

/// A check that passes once `run` is replaced, for half of its points.
fn followed_through(check: Check) -> Check {
    let follow_through = FollowThrough {
        replaced: "run".to_owned(),
        score: check.max / 2.0,
        actual: "all five namespaces are the container's".to_owned(),
        evidence: vec!["evidence/3-run+run/records.jsonl#23".to_owned()],
    };
    Check { follow_through: Some(follow_through), ..check }
}

fn subtask(id: &str, status: Status, checks: Vec<Check>) -> Subtask {
    let follow_through = checks.iter().filter_map(|check| Some(check.follow_through.as_ref()?.score)).sum();
    Subtask {
        id: id.to_owned(),
        title: "PID and UTS isolation".to_owned(),
        status,
        score: checks.iter().map(|check| check.score).sum::<f64>() + follow_through,
        follow_through,
        max: checks.iter().map(|check| check.max).sum(),
        seconds: 5.2,
        checks,
    }
}

fn report() -> Report {
    let hostile = "printed \x1b[2J\x1b]0;pwned\x07 and \u{202e}txt.exe\r\n+-- a line of a <b>diff</b> & `more` |\n\
                   ]]></failure></testsuite> [link](http://example.org) @everyone";
    let subtasks = vec![
        subtask(
            "1",
            Status::Pass,
            vec![check("1/child1-pid-namespace", Status::Pass, 3.0, "PID 1 in a new one")],
        ),
        subtask(
            "2b",
            Status::Partial,
            vec![
                check(
                    "2b/pid-namespace",
                    Status::Fail,
                    2.0,
                    "container_prog was PID 2203 of the machine's own PID namespace; only its child was PID 1 of a new one",
                ),
                check("2b/uts-namespace", Status::Pass, 2.0, "a new one"),
                check("2b/transcript", Status::Fail, 2.5, hostile),
                check("2b/root-isolated", Status::Skip, 1.0, "needs a container, and there was none"),
            ],
        ),
        subtask(
            "2c",
            Status::Error,
            vec![check(
                "2c/cpu-quota",
                Status::Error,
                4.0,
                "not the submission's doing: QEMU ended: signal 9",
            )],
        ),
        subtask(
            "3b",
            Status::Fail,
            vec![
                followed_through(check("3b/namespaces", Status::Skip, 3.0, "no container: `run` ended")),
                check("3b/root", Status::Skip, 1.0, "no container: `run` ended"),
            ],
        ),
        subtask(
            "layout",
            Status::Pass,
            vec![check("layout/unmarked-portions", Status::Fail, 0.0, "-int a;\n+int b;")],
        ),
    ];
    Report {
        schema: "harness-report/1".to_owned(),
        submission: SubmissionInfo {
            id: "23m0001".into(),
            source: "23m0001.tar.gz".into(),
            sha256: "00ff".into(),
        },
        environment: Environment {
            image: "Debian 12, from packages".into(),
            kernel: "6.1.0-cloud-amd64".into(),
            accelerator: "TCG: no usable KVM here".into(),
            harness: "0.1.0".into(),
            started: "2026-01-02T03:04:05Z".into(),
            seconds: 12.5,
            calibration: 3.4,
            notes: vec![],
            unguarded: None,
        },
        score: subtasks.iter().map(|subtask| subtask.score).sum(),
        follow_through: subtasks.iter().map(|subtask| subtask.follow_through).sum(),
        max: subtasks.iter().map(|subtask| subtask.max).sum(),
        causes: vec![],
        subtasks,
        ..Report::default()
    }
}

/// Snapshots are beside each other at the top of the repository, without what depends
/// on where a test lies.
fn assert_snapshot(name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("../../snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, text));
}

#[test]
fn on_a_terminal() {
    assert_snapshot(
        "report-terminal",
        &anstream::adapter::strip_str(&terminal::render(&report(), false)).to_string(),
    );
}

#[test]
fn on_a_terminal_with_a_line_for_each_check() {
    let text = terminal::render(&report(), true);
    assert_snapshot("report-terminal-verbose", &anstream::adapter::strip_str(&text).to_string());
}

#[test]
fn on_a_terminal_of_60_columns() {
    let text = anstream::adapter::strip_str(&terminal::render_within(60, &report(), true)).to_string();
    let is_prose = |line: &&str| !line.trim_start().starts_with(['+', '-']);
    let wide: Vec<&str> = text.lines().filter(is_prose).filter(|line| line.chars().count() > 60).collect();
    assert_eq!(wide, [""; 0], "{text}");
}

#[test]
fn as_markdown() {
    assert_snapshot("report-markdown", &markdown::render(&report()));
}

#[test]
fn as_junit() {
    assert_snapshot("report-junit", &junit::render(&report()));
}

#[test]
fn as_json_that_reads_back_to_the_same() {
    let text = json::render(&report());
    assert_eq!(serde_json::from_str::<Report>(&text).unwrap(), report());
    assert_snapshot("report-json", &text);
}

#[test]
fn no_report_passes_on_what_acts_on_its_reader() {
    let report = report();
    for text in [terminal::render(&report, true), markdown::render(&report), junit::render(&report)] {
        for bad in ["\x1b[2J", "\x07", "\u{202e}", "\r"] {
            assert!(!text.contains(bad), "{bad:?}");
        }
    }
}

#[test]
fn junit_is_well_formed_and_counts_what_it_holds() {
    let xml = junit::render(&report());
    let document = roxmltree::Document::parse(&xml).unwrap();
    let root = document.root_element();
    assert_eq!(root.tag_name().name(), "testsuites");
    let count =
        |node: roxmltree::Node, tag| node.descendants().filter(|inner| inner.has_tag_name(tag)).count();
    for node in document.descendants().filter(|node| node.has_tag_name("testsuite") || *node == root) {
        for (attribute, tag) in
            [("tests", "testcase"), ("failures", "failure"), ("errors", "error"), ("skipped", "skipped")]
        {
            assert_eq!(node.attribute(attribute), Some(count(node, tag).to_string().as_str()), "{attribute}");
        }
    }
    let mut names: Vec<_> = document
        .descendants()
        .filter(|node| node.has_tag_name("testcase"))
        .map(|case| (case.attribute("classname").unwrap(), case.attribute("name").unwrap()))
        .collect();
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all, "two cases share class and name");
    for node in
        document.descendants().filter(|node| node.has_tag_name("failure") || node.has_tag_name("error"))
    {
        assert!(
            node.text().unwrap().contains(node.attribute("message").unwrap()),
            "the body repeats the message"
        );
    }
}
