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
