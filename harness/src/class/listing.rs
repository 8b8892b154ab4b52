//! The line of each entry: its id, form, how late it was, and what is wrong with it.

use std::collections::BTreeMap;
use std::path::Path;

use super::absent;
use super::entry::{Class, Entry, Held};
use super::fetch::{self, fetch, look};
use super::late::Policy;
use super::moodle::worksheet::Worksheet;

/// What a list says of one entry.
#[derive(Debug)]
pub struct Line {
    /// The entry's id.
    pub id: String,
    /// `zip`, `directory`, `git`, or `-`.
    pub form: String,
    /// How late, where that is known: empty in time, `?` where the time is not known.
    pub late: String,
    /// Whose it is.
    pub names: String,
    /// Why it cannot be graded.
    pub problems: Vec<String>,
    /// What a reader should know.
    pub notes: Vec<String>,
}

/// Opens every submission, as a grade would, and says what is in it. Copies go to
/// `scratch`, and are removed.
pub fn lines(class: &Class, policy: Option<&Policy>, scratch: &Path) -> Vec<Line> {
    class.entries.iter().map(|entry| line(class, entry, policy, scratch)).collect()
}

fn line(class: &Class, entry: &Entry, policy: Option<&Policy>, scratch: &Path) -> Line {
    let mut line = Line {
        id: entry.id.clone(),
        form: "-".to_owned(),
        late: late(entry, policy),
        names: entry.names(),
        problems: entry.problems.clone(),
        notes: entry.notes.clone(),
    };
    if !line.problems.is_empty() {
        return line;
    }
    if let Held::Git(_) = entry.held {
        "git".clone_into(&mut line.form);
        line.notes.push("the repository is cloned and checked when it is graded".to_owned());
        return line;
    }
    let copy = scratch.join("entry");
    let looked = fetch(class, entry, &copy).and_then(|fetched| {
        line.notes.extend(fetched.notes);
        look(&fetched.source, scratch)
    });
    match looked {
        Ok(look) => {
            line.form = look.form.to_string();
            line.notes.extend(look.remarks);
        }
        Err(fetch::Error::Theirs(why) | fetch::Error::Ours(why)) => {
            // Where our copy lies says nothing to a reader.
            line.problems.push(why.replace(&format!("{}/", copy.display()), ""));
        }
    }
    line
}

fn late(entry: &Entry, policy: Option<&Policy>) -> String {
    match (policy, entry.submitted) {
        (None, _) => String::new(),
        (Some(_), None) => "?".to_owned(),
        (Some(policy), Some(at)) => {
            policy.late(&entry.id, at.in_zone(policy.zone())).map(|late| late.by()).unwrap_or_default()
        }
    }
}

/// Takes the times of submission from Moodle's worksheet. A row with another name than the export
/// has is somebody else's. Returns what a reader should know of other rows, one sentence each.
pub fn take_times(class: &mut Class, sheet: &Worksheet) -> Vec<String> {
    let rows: BTreeMap<String, usize> = sheet.participants().map(|(row, number)| (number, row)).collect();
    for entry in &mut class.entries {
        let Some(row) = rows.get(&entry.id).copied() else { continue };
        if let Some(other) = sheet.other_name(row, &entry.names()) {
            entry.notes.push(format!("the worksheet has the name {other:?}, so nothing of its row is used"));
            continue;
        }
        match sheet.submitted(row) {
            Some(Ok(at)) => entry.submitted = Some(at),
            Some(Err(text)) => {
                entry.notes.push(format!(
                    "the time of submission {text:?} in the worksheet cannot be read: write it as \
                     2026-02-01T23:50:00+05:30"
                ));
            }
            None => {}
        }
    }
    let handed_in: Vec<&str> = class.entries.iter().map(|entry| entry.id.as_str()).collect();
    let mut remarks = sheet.said_of_doubled();
    remarks.extend(absent::said(&absent::people(&handed_in, sheet, None)));
    remarks
}
