//! Who is in a class and what each of them handed in, before any of it is opened.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::date::Stated;
use crate::submission::bulk::Packed;

/// Where a class comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A folder or zip with an archive or folder for each submission.
    Folder,
    /// What Moodle's "Download all submissions" makes, as a zip or unpacked.
    Moodle,
    /// Gradescope's export, as a zip or unpacked.
    Gradescope,
    /// A table with an id and a path or git URL in each row.
    Table,
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Folder => "a folder of submissions",
            Self::Moodle => "Moodle",
            Self::Gradescope => "Gradescope",
            Self::Table => "a table",
        })
    }
}

/// All entries of a class, in the order of their ids.
#[derive(Clone, Debug)]
pub struct Class {
    /// Where it comes from.
    pub kind: Kind,
    /// The folder, zip or table.
    pub path: PathBuf,
    /// Who handed in what.
    pub entries: Vec<Entry>,
    /// What was there and belongs to nobody, one sentence each.
    pub left_aside: Vec<String>,
}

/// What one participant, or one group, handed in.
#[derive(Clone, Debug)]
pub struct Entry {
    /// By which reports and marks are found. Safe as a file name.
    pub id: String,
    /// Who gets the mark.
    pub people: Vec<Person>,
    /// What they handed in.
    pub held: Held,
    /// When, where the export says so; with a zone only if it says that too.
    pub submitted: Option<Stated>,
    /// The first part of the path in Moodle's zip, which its feedback zip repeats.
    pub folder: Option<String>,
    /// Why it cannot be graded as it is.
    pub problems: Vec<String>,
    /// What a reader should know apart from problems.
    pub notes: Vec<String>,
}

impl Entry {
    /// One without a word about it.
    pub fn new(id: String, held: Held) -> Self {
        Self { id, people: vec![], held, submitted: None, folder: None, problems: vec![], notes: vec![] }
    }

    /// The names of its people.
    pub fn names(&self) -> String {
        self.people.iter().map(|person| person.name.as_str()).collect::<Vec<_>>().join(", ")
    }
}

/// Somebody who gets a mark.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// The full name, as the course system has it.
    pub name: String,
    /// The number by which the course system knows them.
    #[serde(default)]
    pub number: String,
    /// The mail address.
    #[serde(default)]
    pub email: String,
}

/// Where the files are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Held {
    /// Files or folders on disk.
    Paths(Vec<PathBuf>),
    /// Files of the class's zip, under the names that they have for the participant.
    Packed(Vec<Packed>),
    /// A git repository.
    Git(String),
}

/// Sorts the entries and names the ids that occur twice: no clash is resolved silently, so
/// none of them is graded.
pub fn settle_ids(entries: &mut [Entry]) {
    entries.sort_by(|a, b| a.id.cmp(&b.id));
    let mut times = BTreeMap::<String, Vec<String>>::new();
    for entry in entries.iter() {
        times.entry(entry.id.to_ascii_lowercase()).or_default().push(origin(entry));
    }
    for entry in entries {
        let all = &times[&entry.id.to_ascii_lowercase()];
        if all.len() > 1 {
            let id = &entry.id;
            entry.problems.push(format!("the id {id} is not unique: {}", all.join(", ")));
        }
    }
}

/// What an entry comes from, for a sentence.
fn origin(entry: &Entry) -> String {
    match &entry.held {
        Held::Paths(paths) => {
            paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(" and ")
        }
        Held::Packed(files) => files.first().map(|file| file.name.clone()).unwrap_or_default(),
        Held::Git(url) => super::git::shown(url),
    }
}
