//! Changes outside the portions that students are to write in ("Don't make any changes in the file outside of
//! marked portions", tasks 1 and 2).

use std::fs;
use std::path::Path;

use similar::TextDiff;

use super::{Error, MarkedDiff};

/// The files with marked portions.
const MARKED: [&str; 2] = ["task1/namespace_prog.c", "task2/simple_container.sh"];

/// For each file with marked portions that both the starter and the submission have, what differs outside them.
pub fn changes(starter: &Path, root: &Path) -> Result<Vec<MarkedDiff>, Error> {
    let starter = super::root::find(starter)?.path;
    let mut changes = vec![];
    for path in MARKED {
        let (handed_out, handed_in) = (starter.join(path), root.join(path));
        if !handed_out.is_file() || !handed_in.is_file() {
            continue;
        }
        let read = |path: &Path| fs::read(path).map_err(Error::io("read", path));
        let before = outside(&String::from_utf8_lossy(&read(&handed_out)?));
        let after = outside(&String::from_utf8_lossy(&read(&handed_in)?));
        let diff = TextDiff::from_lines(before.as_str(), after.as_str());
        let diff = diff.unified_diff().context_radius(2).header("as handed out", "as handed in").to_string();
        changes.push(MarkedDiff { path: path.to_owned(), diff });
    }
    Ok(changes)
}

/// A file's text with the content of its marked portions left out, and without trailing spaces. A portion begins
/// with a line that says `WRITE CODE HERE` and ends with the next line of a comment sign and dashes.
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
    fn what_is_written_in_a_marked_portion_is_no_change() {
        let written = HANDED_OUT.replace("\n\n", "\nclone();\n// --\nsetns();\n");
        assert_eq!(outside(&written), outside(HANDED_OUT));
    }

    #[test]
    fn a_line_after_a_marked_portion_is_a_change() {
        assert_ne!(outside(&HANDED_OUT.replace("int b;", "int c;")), outside(HANDED_OUT));
    }

    #[test]
    fn a_removed_end_of_a_portion_is_a_change() {
        assert_ne!(outside(&HANDED_OUT.replace("// ------------------\n", "")), outside(HANDED_OUT));
    }
}
