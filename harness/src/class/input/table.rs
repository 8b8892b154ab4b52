//! A CSV table of submissions: the columns `id` and `path` or `url`, and where staff have them
//! `name`, `email` and `submitted`.

use std::path::Path;

use super::Error;
use crate::class::columns::Columns;
use crate::class::date;
use crate::class::entry::{Entry, Held, Person};
use crate::class::git;
use crate::submission::id;

/// The columns that say where a submission is.
const SOURCES: [&str; 4] = ["path", "url", "git", "source"];

/// The entries of the table. Paths are relative to its folder.
pub fn entries(path: &Path) -> Result<Vec<Entry>, Error> {
    let malformed = |why: String| Error::Malformed { path: path.to_owned(), why };
    let table = Columns::read(path).map_err(malformed)?;
    let sources: Vec<usize> = SOURCES.iter().filter_map(|name| table.find(&[name])).collect();
    let (Some(id), false) = (table.find(&["id"]), sources.is_empty()) else {
        return Err(malformed(table.missing("expected the columns id and path or url")));
    };
    let (name, email, submitted) =
        (table.find(&["name"]), table.find(&["email"]), table.find(&["submitted"]));
    let mut entries = vec![];
    for (line, row) in &table.rows {
        let cell = |column: Option<usize>| column.and_then(|column| row.get(column)).unwrap_or_default();
        let Some(own_id) = id::given(cell(Some(id))) else {
            return Err(malformed(format!(
                "line {line}: {:?} is not an id: use at most 64 letters, digits, '-', '_' and '.' inside",
                cell(Some(id))
            )));
        };
        let mut filled = sources.iter().map(|column| cell(Some(*column))).filter(|source| !source.is_empty());
        let source = filled.next().unwrap_or_default();
        if let Some(other) = filled.next() {
            return Err(malformed(format!(
                "line {line}: there are both {source:?} and {other:?}: leave one"
            )));
        }
        let mut entry = Entry::new(own_id, held(path, source));
        if source.is_empty() {
            entry.problems.push("nothing was handed in: the table has no path and no url".to_owned());
        }
        if git::is_url(source) {
            entry.problems.extend(git::check(source).err());
        }
        let person = Person { name: cell(name).into(), number: String::new(), email: cell(email).into() };
        entry.people = vec![person];
        let text = cell(submitted);
        entry.submitted = date::parse(text);
        if entry.submitted.is_none() && !text.is_empty() {
            entry.notes.push(format!(
                "line {line}: the time {text:?} cannot be read: write it as 2026-02-01T23:50:00+05:30"
            ));
        }
        entries.push(entry);
    }
    Ok(entries)
}

/// A git URL, or a path relative to the table's folder.
fn held(table: &Path, source: &str) -> Held {
    if git::is_url(source) {
        return Held::Git(source.to_owned());
    }
    let folder = table.parent().unwrap_or(Path::new(""));
    Held::Paths(if source.is_empty() { vec![] } else { vec![folder.join(source)] })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Entry>, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        entries(file.path()).map_err(|error| error.to_string())
    }

    #[test]
    fn of_path_and_url_the_one_that_is_filled_is_taken() {
        let all = read("id,path,url\na,x.zip,\nb,,https://h.example/b.git\nc,,\n").unwrap();
        assert!(matches!(&all[0].held, Held::Paths(paths) if paths.len() == 1));
        assert_eq!(all[1].held, Held::Git("https://h.example/b.git".into()));
        assert!(all[1].problems.is_empty() && all[2].problems.len() == 1);
        let error = read("id,path,url\r\na,x.zip,\r\nb,y,https://h.example/b.git\r\n").unwrap_err();
        assert!(error.contains("line 3"), "{error}");
    }

    #[test]
    fn a_time_keeps_its_zone_and_gets_none_where_none_is_stated() {
        let all = read(
            "id,path,submitted\na,x,2026-02-01 23:50\nb,x,2026-02-01 23:50 +05:30\nc,x,2026-02-01 23:50 IST\n",
        );
        let all = all.unwrap();
        let text = |entry: &Entry| entry.submitted.map(|at| at.to_string());
        assert_eq!(text(&all[0]).as_deref(), Some("2026-02-01T23:50:00"));
        assert_eq!(text(&all[1]).as_deref(), Some("2026-02-01T23:50:00+05:30"));
        assert_eq!(text(&all[2]), None);
        assert!(all[2].notes[0].contains("line 4"), "{:?}", all[2].notes);
    }
}
