//! Layout: whether the submission has the form that the assignment asks for. The host judges it
//! while it takes the submission in; no machine is needed.

use std::path::Path;

use serde::Deserialize;

use super::Subtask;
use super::check::{self, CheckSpec, Row, specs};
use super::finding::Question;
use crate::evidence::Bundle;
use crate::submission::{ASKED, Form, GitFact, Layout, id};
use crate::verdict::{Finding, Status};

/// How a check of the layout is judged.
type Judge = fn(&Bundle, &Layout, Question) -> Finding;

/// One row for each check.
static ROWS: [Row<Judge>; 5] = [
    Row {
        check: CheckSpec {
            id: "layout/archive",
            title: "one folder, named by the roll number",
            requirement: "The submission tar should have following format: <rollnumber>_assignment3/",
            hint: "Unpack it in an empty folder: what is at the top, and what is it called?",
            see: &["tar -tvf ARCHIVE | head"],
            informational: false,
            needs: &[],
            considers: &[],
            how: "The grader lists the archive without unpacking it. The archive must have one folder at its top, and the name of this folder must end in _assignment3. A directory may have any name.",
            causes: &[
                "the task folders lie at the top of the archive, without a folder around them",
                "the folder has the name of the course's template",
            ],
            man: &["tar(1)"],
        },
        judge: archive,
    },
    Row {
        check: CheckSpec {
            id: "layout/files",
            title: "the files asked for, under their names",
            requirement: "task1/namespace_prog.c, task2/simple_container.sh, task3/{conductor.sh,setup.sh}, \
                          task4/{csfile,esfile,service-orchestrator.sh}",
            hint: "Compare the listing of your archive with the tree in the assignment, letter by letter.",
            see: &["tar -tf ARCHIVE | sort"],
            informational: false,
            needs: &[],
            considers: &[],
            how: "The grader compares the file names with the seven names in the assignment. In this check, a name in the wrong case counts as missing. All other checks use the file.",
            causes: &[
                "a file has another name or lies in another folder",
                "the archive was made before the last file was written",
            ],
            man: &["tar(1)"],
        },
        judge: files,
    },
    Row {
        check: CheckSpec {
            id: "layout/git",
            title: "a git history",
            requirement: ".git/ └── ... /* all git-related files */",
            hint: "Does `git log` work in the unpacked folder?",
            see: &["git -C FOLDER log --oneline"],
            informational: false,
            needs: &[],
            considers: &[],
            how: "The grader looks for .git and for the commit that HEAD names.",
            causes: &["the archive was made without hidden files", "`git init` without a commit"],
            man: &["git-archive(1)", "git-log(1)"],
        },
        judge: git,
    },
    Row {
        check: CheckSpec {
            id: "layout/scripts",
            title: "scripts that their shell can read",
            requirement: "There are two script files for this task setup.sh and conductor.sh",
            hint: "`bash -n FILE` shows syntax errors. `head -1 FILE | cat -A` shows the first line with its invisible characters.",
            see: &["for f in task*/*.sh; do bash -n \"$f\"; head -n 1 \"$f\" | cat -A; done"],
            informational: true,
            needs: &[],
            considers: &[],
            how: "`harness check` reads each script's first line, and has bash parse it without running it. A grade runs the scripts instead.",
            causes: &["a quotation or an `if` is not closed", "an editor wrote Windows line ends"],
            man: &["bash(1)", "execve(2)"],
        },
        judge: scripts,
    },
    Row {
        check: CheckSpec {
            id: "layout/unmarked-portions",
            title: "no changes outside the marked portions",
            requirement: "Don't make any changes in the file outside of marked portions.",
            hint: "Compare with the files as they were handed out.",
            see: &["diff -r STARTER FOLDER"],
            informational: true,
            needs: &[],
            considers: &[],
            how: "With --starter, the grader compares the text outside the marked portions with the starter.",
            causes: &[
                "an editor changed blanks or line ends",
                "helper functions were written above the marked portion",
            ],
            man: &["diff(1)"],
        },
        judge: unmarked,
    },
];

static CHECKS: [&CheckSpec; 5] = specs(&ROWS);

/// Layout.
pub static SUBTASK: Subtask =
    Subtask { id: "layout", title: "form of the submission", checks: &CHECKS, scenarios: &[], judge };

fn judge(bundle: &Bundle) -> Vec<Finding> {
    match Layout::deserialize(&bundle.layout) {
        Ok(layout) => check::judge(&ROWS, |judge, question, _| judge(bundle, &layout, question)),
        Err(error) => check::all(&ROWS, |question| {
            question.error(format!("the bundle's layout cannot be read: {error}"))
        }),
    }
}

fn archive(bundle: &Bundle, layout: &Layout, question: Question) -> Finding {
    let folder = layout.folder.as_deref().unwrap_or_default();
    // A directory is what one works in, and may be called anything.
    let named = folder.to_ascii_lowercase().strip_suffix("_assignment3").is_some_and(|roll| !roll.is_empty());
    let status = if layout.form == Form::Directory || named { Status::Pass } else { Status::Fail };
    let mut actual = match layout.folder {
        Some(_) => format!("{}, folder {folder:?}", layout.form),
        None => format!("{}, with the task folders at its top", layout.form),
    };
    if layout.depth > 1 {
        actual += ", inside another folder";
    }
    if let Some(mismatch) = id::mismatch(Path::new(&bundle.submission.source), layout.folder.as_deref()) {
        actual += "; ";
        actual += &mismatch;
    }
    if !layout.left_aside.is_empty() {
        actual += "; left aside: ";
        actual += &layout.left_aside.join(", ");
    }
    question.expects("an archive with one folder <rollnumber>_assignment3").end(status, actual)
}

fn files(_: &Bundle, layout: &Layout, question: Question) -> Finding {
    let missing: Vec<_> =
        ASKED.into_iter().filter(|asked| layout.files.iter().all(|file| file.path != *asked)).collect();
    let mut remarks = vec![];
    if !missing.is_empty() {
        remarks.push(format!("missing: {}", missing.join(", ")));
    }
    let mut status = if missing.is_empty() { Status::Pass } else { Status::Fail };
    for file in &layout.files {
        if let Some(found) = &file.found_as {
            status = Status::Fail;
            remarks.push(format!("{found} is used for {}", file.path));
        }
        if file.crlf {
            remarks.push(format!("{} has Windows line ends (CR LF)", file.path));
        }
        if file.lacks_run_bit {
            remarks.push(format!("{} was not executable; the grader made its copy executable", file.path));
        }
    }
    remarks.extend(layout.replaced.iter().cloned());
    if !layout.archives.is_empty() {
        remarks.push(format!(
            "archives in the submission, which the harness does not unpack: {}",
            layout.archives.join(", ")
        ));
    }
    let there = match layout.files.len() {
        number if number == ASKED.len() => format!("all {number} files"),
        number => format!("{number} of {} files", ASKED.len()),
    };
    let actual = std::iter::once(there).chain(remarks).collect::<Vec<_>>().join("; ");
    question.expects(ASKED.join(", ")).end(status, actual)
}

fn git(_: &Bundle, layout: &Layout, question: Question) -> Finding {
    let (status, actual) = match layout.git {
        GitFact::Present => (Status::Pass, ".git with commits"),
        GitFact::Enclosing => (Status::Pass, "the directory lies in a git working tree"),
        GitFact::Empty => (Status::Fail, ".git, but HEAD names no commit that exists"),
        GitFact::Missing => (Status::Fail, "no .git"),
    };
    question.expects(".git with the history in it").end(status, actual)
}

/// What conductor.sh reads line by line.
const CONDUCTORFILES: [&str; 2] = ["task4/csfile", "task4/esfile"];

fn scripts(_: &Bundle, layout: &Layout, question: Question) -> Finding {
    let question = question.expects("an interpreter line, Unix line ends, and no syntax error");
    if layout.scripts.is_empty() {
        return question.skip("not checked here: `harness check` reads the scripts, and a grade runs them");
    }
    let mut faults = Vec::new();
    for script in &layout.scripts {
        faults.extend(script.interpreter.iter().map(|fault| format!("{}: {fault}", script.path)));
        let file = layout.files.iter().find(|file| file.path == script.path);
        if file.is_some_and(|file| file.crlf) {
            faults.push(format!("{} has Windows line ends (CR LF)", script.path));
        }
        faults.extend(script.syntax.clone());
    }
    let is_conductorfile = |path: &str| CONDUCTORFILES.contains(&path);
    let of_windows = layout.files.iter().filter(|file| file.crlf && is_conductorfile(&file.path));
    faults.extend(of_windows.map(|file| format!("{} has Windows line ends (CR LF)", file.path)));
    if faults.is_empty() {
        return question.pass(format!("{} scripts have no syntax error", layout.scripts.len()));
    }
    question.fail(faults.join("\n"))
}

fn unmarked(_: &Bundle, layout: &Layout, question: Question) -> Finding {
    let question = question.expects("the starter's text outside the marked portions");
    let Some(diffs) = &layout.unmarked else {
        let actual = "no starter files were given to compare with (--starter)";
        return question.end(Status::Skip, actual);
    };
    let changed: Vec<_> = diffs.iter().filter(|file| !file.diff.is_empty()).collect();
    if changed.is_empty() {
        let same = diffs.iter().map(|file| file.path.as_str()).collect::<Vec<_>>().join(", ");
        let actual = if same.is_empty() {
            "no marked file to compare".into()
        } else {
            format!("as handed out: {same}")
        };
        return question.end(Status::Pass, actual);
    }
    let actual =
        changed.iter().map(|file| format!("{}:\n{}", file.path, file.diff)).collect::<Vec<_>>().join("\n");
    question.end(Status::Fail, actual)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use serde_json::{Value, json};

    use super::*;
    use crate::verdict::{Environment, SubmissionInfo};

    /// The status and the answer of one check, for a layout with these fields.
    fn told(check: &str, fields: &Value) -> (Status, String) {
        let files: Vec<Value> = ASKED.into_iter().map(file).collect();
        let mut layout = json!({ "form": "directory", "folder": "23m0001_assignment3", "depth": 1,
            "entries": 12, "left_aside": [], "files": files, "git": "present", "unmarked": null });
        layout.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let source = "23m0001_assignment3.tar.gz".to_owned();
        let bundle = Bundle {
            submission: SubmissionInfo { id: String::new(), source, sha256: String::new() },
            environment: Environment::default(),
            subtasks: vec![],
            layout,
            recordings: std::collections::BTreeMap::new(),
        };
        let finding = judge(&bundle).into_iter().find(|finding| finding.check == check).unwrap();
        (finding.status, finding.actual)
    }

    fn file(path: &str) -> Value {
        json!({ "path": path, "found_as": null, "bytes": 1, "crlf": false, "lacks_run_bit": false })
    }

    fn status(check: &str, fields: &Value) -> Status {
        told(check, fields).0
    }

    #[test]
    fn an_archive_needs_a_folder_with_the_roll_number_and_a_directory_does_not() {
        let form = |form: &str, folder: &str| {
            status("layout/archive", &json!({ "form": form, "folder": folder, "depth": 1 }))
        };
        assert_eq!(form("directory", "anything"), Status::Pass);
        assert_eq!(form("tar.gz", "23M0001_Assignment3"), Status::Pass);
        assert_eq!(form("tar.gz", "_assignment3"), Status::Fail);
        assert_eq!(form("tar.gz", "submission"), Status::Fail);
        let no_folder = json!({ "form": "tar.gz", "folder": null, "depth": 0 });
        let (found, answer) = told("layout/archive", &no_folder);
        assert_eq!((found, answer.ends_with("task folders at its top")), (Status::Fail, true));
    }

    #[test]
    fn what_is_odd_about_the_archive_is_told() {
        let answer = |fields: Value| told("layout/archive", &fields).1;
        assert!(!answer(json!({})).contains(';') && !answer(json!({})).contains("inside"));
        assert!(answer(json!({ "depth": 2 })).ends_with("inside another folder"));
        assert!(answer(json!({ "left_aside": ["._x", "y"] })).ends_with("; left aside: ._x, y"));
        assert!(answer(json!({ "folder": "23m0002_assignment3" })).contains("23m0002"));
    }

    #[test]
    fn all_files_must_be_there_under_their_names() {
        let with = |change: fn(&mut Vec<Value>)| {
            let mut files: Vec<Value> = ASKED.into_iter().map(file).collect();
            change(&mut files);
            told("layout/files", &json!({ "files": files }))
        };
        assert_eq!(with(|_| ()), (Status::Pass, format!("all {} files", ASKED.len())));
        let (missing, answer) = with(|files| drop(files.pop()));
        assert_eq!(missing, Status::Fail);
        assert!(answer.starts_with(&format!("{} of {} files", ASKED.len() - 1, ASKED.len())), "{answer}");
        assert_eq!(with(|files| files[0]["found_as"] = "x.c".into()).0, Status::Fail);
        let (crlf, answer) = with(|files| files[0]["crlf"] = true.into());
        assert_eq!((crlf, answer.contains("Windows")), (Status::Pass, true));
        let (bit, answer) = with(|files| files[0]["lacks_run_bit"] = true.into());
        assert_eq!((bit, answer.contains("executable")), (Status::Pass, true));
        let (archives, answer) = told("layout/files", &json!({ "archives": ["task1/x.zip"] }));
        assert_eq!((archives, answer.contains("task1/x.zip")), (Status::Pass, true));
    }

    #[test]
    fn the_history_must_lead_to_a_commit() {
        let git = |fact: &str| status("layout/git", &json!({ "git": fact }));
        let statuses = ["present", "enclosing", "empty", "missing"].map(git);
        assert_eq!(statuses, [Status::Pass, Status::Pass, Status::Fail, Status::Fail]);
    }

    #[test]
    fn scripts_that_were_read_must_have_no_fault() {
        let script = |interpreter: Option<&str>, syntax: Option<&str>| {
            let script = json!({ "path": ASKED[1], "interpreter": interpreter, "syntax": syntax });
            told("layout/scripts", &json!({ "scripts": [script] }))
        };
        assert_eq!(status("layout/scripts", &json!({})), Status::Skip);
        assert_eq!(script(None, None).0, Status::Pass);
        assert_eq!(script(Some("no interpreter line"), None).0, Status::Fail);
        assert_eq!(
            script(None, Some("line 3: syntax error")),
            (Status::Fail, "line 3: syntax error".to_owned())
        );
        let mut crlf = file(ASKED[1]);
        crlf["crlf"] = true.into();
        let read = json!({ "path": ASKED[1], "interpreter": null, "syntax": null });
        let fields = json!({ "files": [crlf, file(ASKED[0])], "scripts": [read] });
        assert_eq!(status("layout/scripts", &fields), Status::Fail);
        // A compiler takes them, and conductor.sh does not.
        for (path, wanted) in [(ASKED[0], Status::Pass), (ASKED[4], Status::Fail)] {
            let mut crlf = file(path);
            crlf["crlf"] = true.into();
            let read = json!({ "path": ASKED[1], "interpreter": null, "syntax": null });
            let fields = json!({ "files": [crlf], "scripts": [read] });
            assert_eq!(status("layout/scripts", &fields), wanted, "{path}");
        }
    }

    #[test]
    fn text_outside_the_marked_portions_must_be_the_starters() {
        let unmarked = |diffs: Value| told("layout/unmarked-portions", &json!({ "unmarked": diffs }));
        assert_eq!(unmarked(Value::Null).0, Status::Skip);
        assert_eq!(unmarked(json!([])), (Status::Pass, "no marked file to compare".to_owned()));
        assert_eq!(
            unmarked(json!([{ "path": "a", "diff": "" }])),
            (Status::Pass, "as handed out: a".to_owned())
        );
        let changed = json!([{ "path": "a", "diff": "" }, { "path": "b", "diff": "-x\n" }]);
        assert_eq!(unmarked(changed), (Status::Fail, "b:\n-x\n".to_owned()));
    }
}
