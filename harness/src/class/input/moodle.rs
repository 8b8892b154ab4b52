//! Moodle's "Download all submissions": a folder for each participant, or files whose names begin
//! with the participant's. The name is for people; the number behind it is the participant's id.

use std::collections::BTreeMap;
use std::path::Path;

use super::Children;
use crate::class::entry::{Entry, Held, Person};
use crate::submission::bulk::Packed;

/// A path of the zip, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The participant's name, with the group's before it where there is one.
    pub name: String,
    /// The participant's number, as in the worksheet's `Participant 123`.
    pub number: String,
    /// Whether it is text that was typed online, and no file.
    pub online: bool,
    /// The path up to where the participant's own file names begin.
    pub prefix: String,
    /// The participant's own file name. Empty for the folder itself.
    pub file: String,
}

impl Place {
    /// Takes a path apart: `NAME_NUMBER_assignsubmission_file`, then `/FILE` (Moodle 4.1 and
    /// later), `_/FILE` (3.1 to 4.0) or `_FILE` (without folders). The first `_` ends the name:
    /// Moodle makes blanks of those in names.
    pub fn of(path: &str) -> Option<Self> {
        let (name, rest) = path.split_once('_')?;
        let (number, rest) = rest.split_once("_assignsubmission_")?;
        let is_number = (1..=18).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit());
        let online = rest.starts_with("onlinetext");
        let rest = rest.strip_prefix("file").or_else(|| rest.strip_prefix("onlinetext"))?;
        if name.contains('/') || !is_number || !(rest.is_empty() || rest.starts_with(['_', '/'])) {
            return None;
        }
        let file = rest.strip_prefix('_').unwrap_or(rest);
        let file = file.strip_prefix('/').unwrap_or(file);
        Some(Self {
            name: name.to_owned(),
            number: number.to_owned(),
            online,
            prefix: path[..path.len() - file.len()].to_owned(),
            file: file.to_owned(),
        })
    }
}

/// The entries of the participants.
pub fn entries(children: Children) -> Vec<Entry> {
    let mut by_number = BTreeMap::<String, Entry>::new();
    for (name, held) in children {
        if let Some(place) = Place::of(&name) {
            let entry = by_number.entry(place.number.clone()).or_insert_with(|| new(&place, &held));
            add(entry, &place, held);
        }
    }
    let mut entries: Vec<_> = by_number.into_values().collect();
    for entry in &mut entries {
        let is_empty = match &entry.held {
            Held::Paths(paths) => paths.is_empty(),
            Held::Packed(files) => files.is_empty(),
            Held::Git(_) => false,
        };
        if is_empty {
            entry.problems.push("no file was handed in".to_owned());
        }
    }
    entries
}

fn new(place: &Place, held: &Held) -> Entry {
    let empty = match held {
        Held::Packed(_) => Held::Packed(vec![]),
        Held::Paths(_) | Held::Git(_) => Held::Paths(vec![]),
    };
    let mut entry = Entry::new(place.number.clone(), empty);
    entry.people =
        vec![Person { name: place.name.clone(), number: place.number.clone(), email: String::new() }];
    entry
}

fn add(entry: &mut Entry, place: &Place, held: Held) {
    if entry.people.iter().all(|person| person.name != place.name) {
        entry.problems.push(format!(
            "participant {} has two names, {} and {}",
            entry.id,
            entry.names(),
            place.name
        ));
    }
    if place.online {
        entry.notes.push("text was typed online, which is not graded".to_owned());
        return;
    }
    // Only a folder has no file's name behind it, and so that its own slash is missing.
    let prefix = if place.file.is_empty() { format!("{}/", place.prefix) } else { place.prefix.clone() };
    entry.folder.get_or_insert(prefix);
    match (&mut entry.held, held) {
        (Held::Packed(files), Held::Packed(more)) => {
            files.extend(more.into_iter().filter_map(|file| own(&file)));
        }
        (Held::Paths(paths), Held::Paths(more)) => paths.extend(more),
        _ => {}
    }
}

/// A file of the zip under the participant's own name for it.
fn own(file: &Packed) -> Option<Packed> {
    let place = Place::of(&file.name)?;
    let is_file = !place.file.is_empty() && Path::new(&place.file).file_name().is_some();
    is_file.then_some(Packed { index: file.index, name: place.file })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_path_that_moodle_had_is_taken_apart() {
        for (path, name, number, online, prefix, file) in [
            (
                "Jane Doe_7_assignsubmission_file/a/b.c",
                "Jane Doe",
                "7",
                false,
                "Jane Doe_7_assignsubmission_file/",
                "a/b.c",
            ),
            (
                "Jane Doe_7_assignsubmission_file_/b.zip",
                "Jane Doe",
                "7",
                false,
                "Jane Doe_7_assignsubmission_file_/",
                "b.zip",
            ),
            (
                "Jane Doe_7_assignsubmission_file_b_1.zip",
                "Jane Doe",
                "7",
                false,
                "Jane Doe_7_assignsubmission_file_",
                "b_1.zip",
            ),
            (
                "Jane Doe_7_assignsubmission_file",
                "Jane Doe",
                "7",
                false,
                "Jane Doe_7_assignsubmission_file",
                "",
            ),
            (
                "G 1-Zoë O'Neil-Łoś_42_assignsubmission_onlinetext/onlinetext.html",
                "G 1-Zoë O'Neil-Łoś",
                "42",
                true,
                "G 1-Zoë O'Neil-Łoś_42_assignsubmission_onlinetext/",
                "onlinetext.html",
            ),
            (
                "王小明_9_assignsubmission_onlinetext_onlinetext.html",
                "王小明",
                "9",
                true,
                "王小明_9_assignsubmission_onlinetext_",
                "onlinetext.html",
            ),
        ] {
            let (name, number, prefix, file) =
                (name.to_owned(), number.to_owned(), prefix.to_owned(), file.to_owned());
            assert_eq!(Place::of(path), Some(Place { name, number, online, prefix, file }), "{path}");
        }
    }

    #[test]
    fn what_has_no_number_or_another_plugin_is_no_participants() {
        for path in [
            "notes.txt",
            "Jane_x_assignsubmission_file",
            "a/b_1_assignsubmission_file",
            "J_1_assignsubmission_files",
        ] {
            assert_eq!(Place::of(path), None, "{path}");
        }
    }
}
