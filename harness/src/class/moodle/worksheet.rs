//! Moodle's offline grading worksheet. Its columns vary by site and are in the site's language;
//! what the import needs is found by English names, or by names that staff give.

use std::fs;
use std::path::{Path, PathBuf};

use time::{OffsetDateTime, UtcOffset};
use vm::FileError;

use super::cells::Cells;
use crate::class::date;

/// The largest worksheet: a feedback comment may be long.
const MOST_BYTES: u64 = 256 << 20;

/// What a column is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    /// `Participant 123`.
    Identifier,
    /// The grade to be filled in.
    Grade,
    /// The largest grade that Moodle takes.
    Maximum,
    /// Whether Moodle takes one at all.
    CanChange,
    /// When the work was handed in.
    Submitted,
    /// The feedback to be filled in.
    Feedback,
    /// When the site's grade was changed.
    Graded,
}

/// Each column with the name by which `--column` calls it, and Moodle's English
/// header in lower case.
const COLUMNS: [(Column, &str, &str); 7] = [
    (Column::Identifier, "identifier", "identifier"),
    (Column::Grade, "grade", "grade"),
    (Column::Maximum, "maximum", "maximum grade"),
    (Column::CanChange, "can-change", "grade can be changed"),
    (Column::Submitted, "submitted", "last modified (submission)"),
    (Column::Feedback, "feedback", "feedback comments"),
    (Column::Graded, "graded", "last modified (grade)"),
];

/// Why a worksheet is not used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// It is no worksheet.
    #[error("{} is no worksheet of Moodle's: {why}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is missing.
        why: String,
    },
}

/// A worksheet.
#[derive(Debug)]
pub struct Worksheet {
    pub(super) cells: Cells,
    columns: Vec<(Column, usize)>,
}

impl Worksheet {
    /// Reads a worksheet. `named` gives the headers of columns on sites in other languages,
    /// as `grade=Bewertung`.
    ///
    /// # Errors
    /// When it cannot be read, or lacks a column that Moodle's import needs.
    pub fn read(path: &Path, named: &[String]) -> Result<Self, Error> {
        let failed = || FileError::at("read the worksheet", path);
        let malformed = |why: String| Error::Malformed { path: path.to_owned(), why };
        if fs::metadata(path).map_err(failed())?.len() > MOST_BYTES {
            return Err(malformed(format!("it is larger than {} MiB", MOST_BYTES >> 20)));
        }
        let bytes = fs::read(path).map_err(failed())?;
        let text = String::from_utf8(bytes).map_err(|_| malformed("it is not UTF-8".to_owned()))?;
        Self::of(text, named).map_err(malformed)
    }

    /// The same of a text.
    ///
    /// # Errors
    /// A sentence, where a column is missing.
    pub fn of(text: String, named: &[String]) -> Result<Self, String> {
        let cells = Cells::of(text);
        let headers: Vec<String> =
            (0..cells.width(0)).map(|column| cells.value(0, column).trim().to_lowercase()).collect();
        let mut columns = vec![];
        for (column, short, english) in COLUMNS {
            let mut given = named.iter().filter_map(|named| named.split_once('='));
            let given = given.rfind(|(name, _)| *name == short).map(|(_, header)| header.to_lowercase());
            let header = given.as_deref().unwrap_or(english);
            if let Some(at) = headers.iter().position(|other| other == header) {
                columns.push((column, at));
            } else if given.is_some() {
                return Err(format!("it has no column {header:?}; it has {}", headers.join(", ")));
            }
        }
        for named in named {
            let name = named.split_once('=').map_or(named.as_str(), |(name, _)| name);
            if !named.contains('=') || COLUMNS.iter().all(|(_, short, _)| *short != name) {
                let all: Vec<_> = COLUMNS.iter().map(|(_, short, _)| *short).collect();
                return Err(format!(
                    "--column {named:?} is not NAME=HEADER with a name of {}",
                    all.join(", ")
                ));
            }
        }
        let sheet = Self { cells, columns };
        for (column, short, english) in COLUMNS {
            let is_needed = matches!(column, Column::Identifier | Column::Grade | Column::Graded);
            if is_needed && sheet.column(column).is_none() {
                return Err(format!(
                    "it has no column {english:?}, which Moodle's import needs; where the site has another language, \
                     name it with --column {short}=HEADER; it has {}",
                    headers.join(", ")
                ));
            }
        }
        Ok(sheet)
    }

    /// Where a column is.
    pub(super) fn column(&self, column: Column) -> Option<usize> {
        self.columns.iter().find(|(other, _)| *other == column).map(|(_, at)| *at)
    }

    /// A cell's value.
    pub(super) fn value(&self, row: usize, column: Column) -> Option<String> {
        self.column(column).map(|column| self.cells.value(row, column))
    }

    /// The rows with their participants' numbers, in the sheet's order. The number ends the
    /// cell in every language.
    pub fn participants(&self) -> impl Iterator<Item = (usize, String)> {
        (1..self.cells.len()).filter_map(|row| {
            let cell = self.value(row, Column::Identifier)?;
            let name = cell.trim_end_matches(|c: char| c.is_ascii_digit());
            let number = &cell[name.len()..];
            (!number.is_empty()).then(|| (row, number.to_owned()))
        })
    }

    /// When a participant handed in: a time, nothing, or the text that is none. Times without
    /// a zone are of `zone`.
    pub fn submitted(&self, row: usize, zone: UtcOffset) -> Option<Result<OffsetDateTime, String>> {
        let text = self.value(row, Column::Submitted)?;
        let text = text.trim();
        if text.is_empty() || text == "-" {
            return None;
        }
        Some(date::parse(text).map(|at| at.in_zone(zone)).ok_or_else(|| text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENGLISH: &str = "Identifier,\"Full name\",Status,Grade,\"Maximum Grade\",\"Grade can be changed\",\
        \"Last modified (submission)\",\"Last modified (grade)\",\"Feedback comments\"\n\
        \"Participant 7\",\"Jane Doe\",Submitted,,100.00,Yes,\"Wednesday, 23 September 2020, 9:00 PM\",-,\n\
        \"Participant 8\",\"王小明\",\"No submission\",,100.00,Yes,-,-,\n";

    #[test]
    fn participants_and_their_times_are_found() {
        let sheet = Worksheet::of(ENGLISH.to_owned(), &[]).unwrap();
        let all: Vec<_> = sheet.participants().collect();
        assert_eq!(all, [(1, "7".to_owned()), (2, "8".to_owned())]);
        let at = sheet.submitted(1, UtcOffset::from_hms(5, 30, 0).unwrap()).unwrap().unwrap();
        assert_eq!(at.to_string(), "2020-09-23 21:00:00.0 +05:30:00");
        assert_eq!(sheet.submitted(2, UtcOffset::UTC), None);
    }

    #[test]
    fn a_site_in_another_language_names_its_columns() {
        let text = "ID;Bewertung;Zuletzt geändert (Bewertung)\nTeilnehmer/in12;;-\n".to_owned();
        let error = Worksheet::of(text.clone(), &[]).unwrap_err();
        assert!(error.contains("--column identifier=HEADER") && error.contains("bewertung"), "{error}");
        let named = ["identifier=ID", "grade=Bewertung", "graded=Zuletzt geändert (Bewertung)"];
        let sheet = Worksheet::of(text.clone(), &named.map(str::to_owned)).unwrap();
        assert_eq!(sheet.participants().next(), Some((1, "12".to_owned())));
        assert!(Worksheet::of(text.clone(), &["grade=Note".to_owned()]).unwrap_err().contains("note"));
        assert!(Worksheet::of(text, &["mark=Note".to_owned()]).unwrap_err().contains("mark"));
    }
}
