//! Finds changes outside the marked portions of tasks 1 and 2. The assignment says: "Don't make any
//! changes in the file outside of marked portions".

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;

use similar::TextDiff;

use super::beneath::Beneath;
use super::{Error, MarkedDiff, root};

/// The files with marked portions.
const MARKED: [&str; 2] = ["task1/namespace_prog.c", "task2/simple_container.sh"];

/// The largest file to compare: a hundred times the size of a typical solution.
const MOST_BYTES: u64 = 512 << 10;

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
        inside = if ends { false } else { inside || line.contains("WRITE CODE HERE") };
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
    fn a_line_after_a_marked_portion_is_a_change() {
        assert_ne!(outside(&HANDED_OUT.replace("int b;", "int c;")), outside(HANDED_OUT));
    }

    #[test]
    fn removing_the_end_of_a_portion_is_a_change() {
        assert_ne!(outside(&HANDED_OUT.replace("// ------------------\n", "")), outside(HANDED_OUT));
    }
}
