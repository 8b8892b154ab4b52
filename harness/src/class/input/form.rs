//! Which form a class has. Most entries decide it, and not one participant's file name.

use super::{Children, METADATA, moodle};
use crate::class::entry::{Held, Kind};

/// The form that most entries have; a folder of submissions where none is in the majority.
pub fn of(children: &Children) -> Kind {
    let (mut gradescope, mut moodle, mut others) = (0, 0, 0);
    for (name, held) in children {
        if moodle::Place::of(name).is_some() {
            moodle += 1;
        } else if is_gradescopes(name) {
            gradescope += 1;
        } else if name != METADATA && may_be_a_submission(name, held) {
            others += 1;
        }
    }
    if children.contains_key(METADATA) && gradescope >= moodle + others {
        Kind::Gradescope
    } else if moodle > gradescope + others {
        Kind::Moodle
    } else {
        Kind::Folder
    }
}

/// Whether this is a folder of Gradescope's export, `submission_N`.
fn is_gradescopes(name: &str) -> bool {
    let number = name.strip_prefix("submission_").unwrap_or_default();
    !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether somebody may have handed this in: a folder or an archive, and no notes of the staff's.
pub fn may_be_a_submission(name: &str, held: &Held) -> bool {
    const ENDS: [&str; 11] =
        [".zip", ".tar", ".gz", ".tgz", ".xz", ".txz", ".bz2", ".zst", ".7z", ".rar", ".tbz2"];
    let lower = name.to_ascii_lowercase();
    let is_folder = match held {
        Held::Paths(paths) => paths.iter().any(|path| path.is_dir()),
        Held::Packed(files) => files.iter().any(|file| file.name != name),
        Held::Git(_) => true,
    };
    is_folder || ENDS.iter().any(|end| lower.ends_with(end))
}

/// Why an entry of a plain folder is not graded: it has a name that an export gives.
pub fn problem_in_a_folder(name: &str) -> Option<String> {
    let export = if name == METADATA {
        "Gradescope's"
    } else if moodle::Place::of(name).is_some() {
        "Moodle's"
    } else {
        return None;
    };
    Some(format!(
        "{name} has a name of {export} export, but most entries are not of one: rename it, or grade the \
         export by itself"
    ))
}

/// Why an entry of an export is not graded: it does not belong to the export.
pub fn misfit(kind: Kind, name: &str) -> String {
    match kind {
        Kind::Gradescope => format!("{name} belongs to no student: {METADATA} does not name it"),
        _ => format!("{name} belongs to no participant of Moodle's export: its name has no number"),
    }
}
