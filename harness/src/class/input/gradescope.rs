//! Gradescope's export: a folder `submission_N` for each submission, and a YAML file that says
//! whose it is. A submission of a group has several submitters and one grade.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use super::{Children, Error, METADATA};
use crate::class::date;
use crate::class::entry::{Entry, Held, Person};
use crate::submission::id;

/// What the file says of one submission. Its keys are symbols of Ruby.
#[derive(Debug, Default, Deserialize)]
struct Metadata {
    #[serde(rename = ":submitters", default)]
    submitters: Vec<Submitter>,
    #[serde(rename = ":created_at", default)]
    created_at: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Submitter {
    #[serde(rename = ":name", default)]
    name: Option<String>,
    #[serde(rename = ":sid", default)]
    number: Option<String>,
    #[serde(rename = ":email", default)]
    email: Option<String>,
}

/// The entries, and what the file does not name.
pub fn entries(path: &Path, text: &[u8], mut children: Children) -> Result<(Vec<Entry>, Children), Error> {
    let malformed = |why: String| Error::Malformed { path: path.to_owned(), why };
    let text = std::str::from_utf8(text).map_err(|error| malformed(error.to_string()))?;
    let all: BTreeMap<String, Metadata> =
        serde_saphyr::from_str(text).map_err(|error| malformed(error.to_string()))?;
    let mut entries = vec![];
    for (name, metadata) in all {
        let held = children.remove(&name);
        let mut entry = Entry::new(
            id::choose(Path::new(&name), None),
            stripped(held.clone().unwrap_or(Held::Paths(vec![]))),
        );
        if held.is_none() {
            entry.problems.push(format!("there is no folder {name}"));
        }
        entry.people = metadata.submitters.into_iter().map(person).collect();
        if let Some(text) = &metadata.created_at {
            entry.submitted = date::parse(text);
            if entry.submitted.is_none() {
                entry.notes.push(format!("the time of submission {text:?} in {METADATA} cannot be read"));
            }
        }
        entries.push(entry);
    }
    Ok((entries, children))
}

/// The files without the folder's own name.
fn stripped(held: Held) -> Held {
    match held {
        Held::Packed(mut files) => {
            for file in &mut files {
                file.name = file.name.split_once('/').map_or(file.name.clone(), |(_, rest)| rest.to_owned());
            }
            Held::Packed(files)
        }
        held => held,
    }
}

fn person(submitter: Submitter) -> Person {
    Person {
        name: submitter.name.unwrap_or_default(),
        number: submitter.number.unwrap_or_default(),
        email: submitter.email.unwrap_or_default(),
    }
}
