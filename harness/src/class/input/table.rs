//! A CSV table of submissions: the columns `id` and `path` or `url`, and where staff have them
//! `name`, `email` and `submitted`.

use std::path::Path;

use super::Error;
use crate::class::date;
use crate::class::entry::{Entry, Held, Person};
use crate::submission::id;

/// The entries of the table. Paths are relative to its folder.
pub fn entries(path: &Path) -> Result<Vec<Entry>, Error> {
    let malformed = |why: String| Error::Malformed { path: path.to_owned(), why };
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .from_path(path)
        .map_err(|error| malformed(error.to_string()))?;
    let headers = reader.headers().map_err(|error| malformed(error.to_string()))?.clone();
    let column = |names: &[&str]| {
        headers.iter().position(|header| {
            let header = header.trim_start_matches('\u{feff}');
            names.iter().any(|name| header.eq_ignore_ascii_case(name))
        })
    };
    let (Some(id), Some(source)) = (column(&["id"]), column(&["path", "url", "git", "source"])) else {
        return Err(malformed("line 1: expected the columns id and path or url".to_owned()));
    };
    let (name, email, submitted) = (column(&["name"]), column(&["email"]), column(&["submitted"]));
    let mut entries = vec![];
    for row in reader.records() {
        let row = row.map_err(|error| malformed(error.to_string()))?;
        let line = row.position().map_or(0, csv::Position::line);
        let cell = |column: Option<usize>| column.and_then(|column| row.get(column)).unwrap_or_default();
        let Some(own_id) = id::given(cell(Some(id))) else {
            return Err(malformed(format!(
                "line {line}: {:?} is not an id: use at most 64 letters, digits, '-', '_' and '.' inside",
                cell(Some(id))
            )));
        };
        let mut entry = Entry::new(own_id, held(path, cell(Some(source))));
        if cell(Some(source)).is_empty() {
            entry.problems.push("nothing was handed in: its path is empty".to_owned());
        }
        let person = Person { name: cell(name).into(), number: String::new(), email: cell(email).into() };
        entry.people = vec![person];
        match cell(submitted) {
            "" => {}
            text => match date::parse(text) {
                Some(at) => entry.submitted = Some(at.assume_utc_unless_stated()),
                None => entry.notes.push(format!("line {line}: the time {text:?} cannot be read")),
            },
        }
        entries.push(entry);
    }
    Ok(entries)
}

/// A git URL, or a path relative to the table's folder.
fn held(table: &Path, source: &str) -> Held {
    let is_url = ["https://", "http://", "ssh://", "file://", "git@"].iter().any(|s| source.starts_with(s));
    if is_url {
        return Held::Git(source.to_owned());
    }
    let folder = table.parent().unwrap_or(Path::new(""));
    Held::Paths(if source.is_empty() { vec![] } else { vec![folder.join(source)] })
}
