//! `class.json`: everybody who handed in, and what. A later export adds people and replaces what it
//! names; nobody who was graded before vanishes.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::entry::{Class, Kind, Person};

/// The schema of the file.
pub const SCHEMA: &str = "harness-class/1";

/// `class.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Roster {
    pub(super) schema: String,
    /// Where the class came from.
    pub kind: Kind,
    /// The folder, zip or table.
    pub source: String,
    /// The subtasks that the last `class grade` was asked for. Empty in a file of an older harness.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subtasks: Vec<String>,
    /// What was there and belongs to nobody, one sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_aside: Vec<String>,
    /// Everybody, in the order of ids.
    pub entries: Vec<Member>,
}

/// An entry as the results folder keeps it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Member {
    /// Its id.
    pub id: String,
    /// Who gets the mark.
    pub people: Vec<Person>,
    /// When it was handed in, RFC 3339; without a zone where the export states none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub submitted: Option<String>,
    /// The first part of its path in Moodle's zip.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder: Option<String>,
    /// The digest of what was handed in. Absent in a file of an older harness.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handed_in: Option<String>,
    /// Why it could not be graded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
}

impl Member {
    /// The names of its people.
    pub fn names(&self) -> String {
        self.people.iter().map(|person| person.name.as_str()).collect::<Vec<_>>().join(", ")
    }
}

impl Roster {
    /// The roster of a class. `handed_in` has the digest of each entry's files, in their order.
    pub fn of(class: &Class, subtasks: &[&str], handed_in: &[String]) -> Self {
        let member = |(entry, handed_in): (&super::Entry, &String)| Member {
            id: entry.id.clone(),
            people: entry.people.clone(),
            submitted: entry.submitted.map(|at| at.to_string()),
            folder: entry.folder.clone(),
            handed_in: Some(handed_in.clone()),
            problems: entry.problems.clone(),
        };
        Self {
            schema: SCHEMA.to_owned(),
            kind: class.kind,
            source: class.path.display().to_string(),
            subtasks: subtasks.iter().map(|id| (*id).to_owned()).collect(),
            left_aside: class.left_aside.clone(),
            entries: class.entries.iter().zip(handed_in).map(member).collect(),
        }
    }

    /// Adds the people of an earlier roster that this one does not name, and returns their ids.
    pub fn keep(&mut self, earlier: Self) -> Vec<String> {
        let here: BTreeSet<&str> = self.entries.iter().map(|member| member.id.as_str()).collect();
        let kept: Vec<Member> =
            earlier.entries.into_iter().filter(|member| !here.contains(member.id.as_str())).collect();
        let ids = kept.iter().map(|member| member.id.clone()).collect();
        self.entries.extend(kept);
        self.entries.sort_by(|a, b| a.id.cmp(&b.id));
        ids
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roster(entries: &[(&str, &str)]) -> Roster {
        let member = |(id, handed_in): &(&str, &str)| Member {
            id: (*id).to_owned(),
            people: vec![],
            submitted: None,
            folder: None,
            handed_in: Some((*handed_in).to_owned()),
            problems: vec![],
        };
        Roster {
            schema: SCHEMA.to_owned(),
            kind: Kind::Moodle,
            source: "x.zip".to_owned(),
            subtasks: vec![],
            left_aside: vec![],
            entries: entries.iter().map(member).collect(),
        }
    }

    #[test]
    fn a_later_export_adds_people_and_replaces_what_it_names() {
        let mut late = roster(&[("2", "new"), ("3", "new")]);
        assert_eq!(late.keep(roster(&[("1", "old"), ("2", "old")])), ["1"]);
        let all: Vec<_> =
            late.entries.iter().map(|one| (one.id.as_str(), one.handed_in.as_deref().unwrap())).collect();
        assert_eq!(all, [("1", "old"), ("2", "new"), ("3", "new")]);
    }
}
