//! Layout: the submission has the form that the assignment asks for. Judged from what the host saw while taking
//! it in; nothing is driven.

use std::path::Path;

use serde::Deserialize;

use super::{CheckSpec, Subtask};
use crate::evidence::Bundle;
use crate::submission::{ASKED, Form, GitFact, Layout, id};
use crate::verdict::{Finding, Status};

/// Layout.
pub static SUBTASK: Subtask = Subtask {
    id: "layout",
    title: "form of the submission",
    checks: &[
        CheckSpec {
            id: "layout/archive",
            title: "one folder, named by the roll number",
            requirement: "The submission tar should have following format: <rollnumber>_assignment3/",
            hint: "Unpack it in an empty folder: what is at the top, and what is it called?",
            informational: false,
        },
        CheckSpec {
            id: "layout/files",
            title: "the files asked for, under their names",
            requirement: "task1/namespace_prog.c, task2/simple_container.sh, task3/{conductor.sh,setup.sh}, \
                          task4/{csfile,esfile,service-orchestrator.sh}",
            hint: "Compare the listing of your archive with the tree in the assignment, letter by letter.",
            informational: false,
        },
        CheckSpec {
            id: "layout/git",
            title: "a git history",
            requirement: ".git/ └── ... /* all git-related files */",
            hint: "Does `git log` work in the unpacked folder?",
            informational: false,
        },
        CheckSpec {
            id: "layout/unmarked-portions",
            title: "no changes outside the marked portions",
            requirement: "Don't make any changes in the file outside of marked portions.",
            hint: "Compare with the files as they were handed out.",
            informational: true,
        },
    ],
    scenarios: &[],
    judge,
};

fn judge(bundle: &Bundle) -> Vec<Finding> {
    match Layout::deserialize(&bundle.layout) {
        Ok(layout) => vec![archive(bundle, &layout), files(&layout), git(&layout), unmarked(&layout)],
        Err(error) => {
            let actual = format!("the bundle's layout cannot be read: {error}");
            let error = |check: &CheckSpec| Finding::new(check.id, Status::Error, "", actual.clone());
            SUBTASK.checks.iter().map(error).collect()
        }
    }
}

fn archive(bundle: &Bundle, layout: &Layout) -> Finding {
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
    Finding::new("layout/archive", status, "an archive with one folder <rollnumber>_assignment3", actual)
}

fn files(layout: &Layout) -> Finding {
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
            remarks.push(format!("{found} stands for {}", file.path));
        }
        if file.crlf {
            remarks.push(format!("{} has line ends of Windows (CR LF)", file.path));
        }
        if file.lacks_run_bit {
            remarks.push(format!("{} is not executable; it was made so for grading", file.path));
        }
    }
    remarks.extend(layout.replaced.iter().cloned());
    let there = match layout.files.len() {
        number if number == ASKED.len() => format!("all {number} files"),
        number => format!("{number} of {} files", ASKED.len()),
    };
    let actual = std::iter::once(there).chain(remarks).collect::<Vec<_>>().join("; ");
    Finding::new("layout/files", status, ASKED.join(", "), actual)
}

fn git(layout: &Layout) -> Finding {
    let (status, actual) = match layout.git {
        GitFact::Present => (Status::Pass, ".git with commits"),
        GitFact::Enclosing => (Status::Pass, "the directory lies in a git working tree"),
        GitFact::Empty => (Status::Fail, ".git, but HEAD leads to no commit that is there"),
        GitFact::Missing => (Status::Fail, "no .git"),
    };
    Finding::new("layout/git", status, ".git with the history in it", actual)
}

fn unmarked(layout: &Layout) -> Finding {
    let expected = "the starter's text outside the marked portions";
    let Some(diffs) = &layout.unmarked else {
        let actual = "no starter files were given to compare with (--starter)";
        return Finding::new("layout/unmarked-portions", Status::Skip, expected, actual);
    };
    let changed: Vec<_> = diffs.iter().filter(|file| !file.diff.is_empty()).collect();
    if changed.is_empty() {
        let same = diffs.iter().map(|file| file.path.as_str()).collect::<Vec<_>>().join(", ");
        let actual = if same.is_empty() {
            "no marked file to compare".into()
        } else {
            format!("as handed out: {same}")
        };
        return Finding::new("layout/unmarked-portions", Status::Pass, expected, actual);
    }
    let actual =
        changed.iter().map(|file| format!("{}:\n{}", file.path, file.diff)).collect::<Vec<_>>().join("\n");
    Finding::new("layout/unmarked-portions", Status::Fail, expected, actual)
}
