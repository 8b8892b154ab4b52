//! Finds changes outside the marked portions of tasks 1 and 2. The assignment says: "Don't make any
//! changes in the file outside of marked portions".

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;

use similar::{ChangeTag, TextDiff};

use super::beneath::Beneath;
use super::{Error, MarkedDiff, root};

/// The files with marked portions.
const MARKED: [&str; 2] = ["task1/namespace_prog.c", "task2/simple_container.sh"];

/// The largest file to compare: a hundred times the size of a typical solution.
pub const MOST_BYTES: u64 = 512 << 10;

/// What the line says that begins a marked portion.
const MARK: &str = "WRITE CODE HERE";

/// Compares each file that has marked portions and exists in both the starter and the submission.
pub fn changes(starter: &Path, copy: &Beneath) -> Result<Vec<MarkedDiff>, Error> {
    let handed_out = starter_folder(starter)?;
    let mut changes = vec![];
    for path in MARKED {
        let original = handed_out.join(path);
        if !original.is_file() || !copy.has_file(Path::new(path)) {
            continue;
        }
        let before = bounded(&original).map_err(Error::io("read", &original))?;
        let diff = match copy.read(Path::new(path), MOST_BYTES) {
            Ok(after) => difference(&before, &after),
            Err(error) if error.kind() == io::ErrorKind::FileTooLarge => format!("not compared: {error}\n"),
            Err(error) => return Err(Error::ours(Path::new(path))(error)),
        };
        changes.push(MarkedDiff { path: path.to_owned(), diff });
    }
    Ok(changes)
}

fn difference(before: &[u8], after: &[u8]) -> String {
    let before = outside(&String::from_utf8_lossy(before));
    let after = outside(&String::from_utf8_lossy(after));
    let diff =
        TextDiff::configure().timeout(Duration::from_secs(2)).diff_lines(before.as_str(), after.as_str());
    diff.unified_diff().context_radius(2).header("as handed out", "as handed in").to_string()
}

/// Whether a folder contains starter files, before anything is done that needs them.
///
/// # Errors
/// If it cannot be read, or has no folder of a task.
pub fn check_starter(starter: &Path) -> Result<(), Error> {
    starter_folder(starter).map(drop)
}

/// The folder that contains the starter files. Links are followed, because staff chose this folder.
fn starter_folder(starter: &Path) -> Result<std::path::PathBuf, Error> {
    let top = starter.file_name().map(|name| name.to_string_lossy().into_owned());
    let folders = |path: &Path| {
        let place = starter.join(path);
        let list = || {
            let mut names = Beneath::open(&place)?.names(20_000)?;
            names.retain(|name| place.join(name).is_dir());
            Ok(names)
        };
        list().map_err(Error::io("read", &place))
    };
    Ok(starter.join(root::find(starter, top.as_deref(), &folders)?.path))
}

fn bounded(path: &Path) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    File::open(path)?.take(MOST_BYTES).read_to_end(&mut content)?;
    Ok(content)
}

/// What a student wrote in a file: the lines that the handed-out file does not have or, where that
/// is not known, the marked portions. A file without marks is the student's altogether.
pub fn own_work(handed_out: Option<&str>, text: &str) -> String {
    if let Some(before) = handed_out {
        let diff = TextDiff::configure().timeout(Duration::from_secs(2)).diff_lines(before, text);
        let added = diff.iter_all_changes().filter(|change| change.tag() == ChangeTag::Insert);
        return added.map(|change| change.value().to_owned()).collect();
    }
    if !text.contains(MARK) {
        return text.to_owned();
    }
    let mut inside = false;
    let mut own = String::new();
    for line in text.lines() {
        if is_rule(line) {
            inside = false;
        } else if line.contains(MARK) {
            inside = true;
        } else if inside {
            own.push_str(line);
            own.push('\n');
        }
    }
    own
}

/// A handed-out file's text, of at most [`MOST_BYTES`]; `None` where there is none.
pub fn handed_out(starter: &Path, path: &str) -> Result<Option<String>, Error> {
    let original = starter_folder(starter)?.join(path);
    if !original.is_file() {
        return Ok(None);
    }
    let content = bounded(&original).map_err(Error::io("read", &original))?;
    Ok(Some(String::from_utf8_lossy(&content).into_owned()))
}

/// A file's text without the content of its marked portions and without trailing spaces. A portion
/// begins with a line that contains `WRITE CODE HERE`. It ends with the next comment line that
/// consists of dashes.
fn outside(text: &str) -> String {
    let mut kept = String::new();
    let mut inside = false;
    for line in text.lines().map(str::trim_end) {
        let ends = is_rule(line);
        if !inside || ends {
            kept.push_str(line);
            kept.push('\n');
        }
        inside = if ends { false } else { inside || line.contains(MARK) };
    }
    kept
}

fn is_rule(line: &str) -> bool {
    let dashes = line.trim().trim_start_matches(['/', '#', '*', ' ']).trim_end_matches(['/', '*', ' ']);
    dashes.len() >= 10 && dashes.chars().all(|c| c == '-')
}

#[cfg(test)]
mod tests {
    use super::*;

    const HANDED_OUT: &str = "int a;\n// ------ WRITE CODE HERE ------\n\n// ------------------\nint b;\n";

    #[test]
    fn text_in_a_marked_portion_is_not_a_change() {
        let written = HANDED_OUT.replace("\n\n", "\nclone();\n// --\nsetns();\n");
        assert_eq!(outside(&written), outside(HANDED_OUT));
    }

    #[test]
    fn what_a_student_wrote_is_found_with_the_starter_and_without() {
        let written = HANDED_OUT.replace("\n\n", "\nclone();\n");
        assert_eq!(own_work(None, &written), "clone();\n");
        assert_eq!(own_work(Some(HANDED_OUT), &written.replace("int b;", "int c;")), "clone();\nint c;\n");
        assert_eq!(own_work(None, "all of it\n"), "all of it\n");
    }

    #[test]
    fn a_line_after_a_marked_portion_is_a_change() {
        assert_ne!(outside(&HANDED_OUT.replace("int b;", "int c;")), outside(HANDED_OUT));
    }

    #[test]
    fn removing_the_end_of_a_portion_is_a_change() {
        assert_ne!(outside(&HANDED_OUT.replace("// ------------------\n", "")), outside(HANDED_OUT));
    }
}
