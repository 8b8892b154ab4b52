//! Moodle's offline grading worksheet. Its columns vary by site and are in the site's language;
//! what the import needs is found by English names, or by names that staff give.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use vm::FileError;

use super::cells::Cells;
use crate::class::date::names::folded;
use crate::class::date::{self, Stated};
use crate::class::entry::Kind;

/// The largest worksheet: a feedback comment may be long.
const MOST_BYTES: u64 = 256 << 20;

/// What a column is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    /// `Participant 123`.
    Identifier,
    /// The participant's name.
    Name,
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
const COLUMNS: [(Column, &str, &str); 8] = [
    (Column::Identifier, "identifier", "identifier"),
    (Column::Name, "name", "full name"),
    (Column::Grade, "grade", "grade"),
    (Column::Maximum, "maximum", "maximum grade"),
    (Column::CanChange, "can-change", "grade can be changed"),
    (Column::Submitted, "submitted", "last modified (submission)"),
    (Column::Feedback, "feedback", "feedback comments"),
    (Column::Graded, "graded", "last modified (grade)"),
];

/// The column in place of the maximum, where Moodle grades with a scale of words.
const SCALE: &str = "scale";

/// What Moodle writes before a participant's number without a blank, folded.
const GLUED: [&str; 3] = ["teilnehmer/in", "teilnehmer", "participant"];

/// Why a worksheet is not used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// It is no worksheet.
    #[error("{} is not a Moodle worksheet: {why}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is missing.
        why: String,
    },
    /// Its participants are not those of the class.
    #[error(
        "the class was not read from Moodle's export, so no member has a row in Moodle's worksheet. Leave out --worksheet and --scale, and take marks from class.csv"
    )]
    NotMoodle,
}

/// Whether a worksheet has rows for the participants of a class.
///
/// # Errors
/// Where the class did not come from Moodle.
pub fn check(kind: Kind) -> Result<(), Error> {
    if kind == Kind::Moodle { Ok(()) } else { Err(Error::NotMoodle) }
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
            let place = |header: &str| headers.iter().position(|other| other == header);
            let scale = || place(SCALE).filter(|_| column == Column::Maximum && given.is_none());
            if let Some(at) = place(header).or_else(scale) {
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
        let blank =
            |row: &usize| (0..sheet.cells.width(*row)).all(|at| sheet.cells.value(*row, at).is_empty());
        if sheet.numbers().next().is_none() && !(1..sheet.cells.len()).all(|row| blank(&row)) {
            let cell = sheet.value(1, Column::Identifier).unwrap_or_default();
            return Err(format!(
                "{cell:?} is not a participant, as in \"Participant 1001\"; name the right column with --column \
                 identifier=HEADER"
            ));
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

    /// The rows with their participants' numbers, in the sheet's order. A number that several rows
    /// have says of none of them whose it is.
    pub fn participants(&self) -> impl Iterator<Item = (usize, String)> {
        let doubled = self.doubled();
        self.numbers().filter(move |(_, number)| !doubled.contains_key(number))
    }

    /// The rows with their numbers, also those that several rows have.
    pub(super) fn numbers(&self) -> impl Iterator<Item = (usize, String)> {
        (1..self.cells.len())
            .filter_map(|row| Some((row, participant(&self.value(row, Column::Identifier)?)?)))
    }

    /// The numbers that several rows have, with those rows.
    fn doubled(&self) -> BTreeMap<String, Vec<usize>> {
        let mut rows = BTreeMap::<String, Vec<usize>>::new();
        for (row, number) in self.numbers() {
            rows.entry(number).or_default().push(row);
        }
        rows.retain(|_, rows| rows.len() > 1);
        rows
    }

    /// A sentence for each number that several rows have. Rows count as spreadsheets count them:
    /// the heading is row 1.
    pub fn said_of_doubled(&self) -> Vec<String> {
        let name = |row: &usize| match self.value(*row, Column::Name) {
            Some(name) => format!("row {} ({name})", row + 1),
            None => format!("row {}", row + 1),
        };
        let said = |(number, rows): (&String, &Vec<usize>)| {
            let rows: Vec<_> = rows.iter().map(name).collect();
            format!(
                "participant {number}: several rows of the worksheet have this number: {}. None of them is used or filled \
                 in: remove the wrong ones",
                rows.join(" and ")
            )
        };
        self.doubled().iter().map(said).collect()
    }

    /// The name in a row. Empty where the sheet has none.
    pub fn name(&self, row: usize) -> String {
        self.value(row, Column::Name).unwrap_or_default()
    }

    /// What stands for a participant in rows where it is none.
    pub(super) fn strangers(&self) -> impl Iterator<Item = String> {
        let cells = (1..self.cells.len()).filter_map(|row| self.value(row, Column::Identifier));
        cells.filter(|cell| !cell.trim().is_empty() && participant(cell).is_none())
    }

    /// The name in a row, where it differs from the one that the export has. Both must be known.
    pub fn other_name(&self, row: usize, export: &str) -> Option<String> {
        let name = self.value(row, Column::Name)?;
        (!is_same_name(&name, export)).then_some(name)
    }

    /// When a participant handed in: a time, nothing, or the text that is none.
    pub fn submitted(&self, row: usize) -> Option<Result<Stated, String>> {
        let text = self.value(row, Column::Submitted)?;
        let text = text.trim();
        if text.is_empty() || text == "-" {
            return None;
        }
        Some(date::parse(text).ok_or_else(|| text.to_owned()))
    }
}

/// The number of `1002`, `Participant 1002` or `Teilnehmer/in1002`. A roll number such as
/// `23m1002` is none.
fn participant(cell: &str) -> Option<String> {
    let cell = cell.trim();
    let before = cell.trim_end_matches(|c: char| c.is_ascii_digit());
    let number = &cell[before.len()..];
    let is_apart = before.is_empty() || before.ends_with(char::is_whitespace);
    // Roll numbers have letters and digits of ASCII only.
    let is_glued = GLUED.contains(&folded(before).as_str()) || !before.contains(|c: char| c.is_ascii());
    let is_number = !number.is_empty() && !before.contains(|c: char| c.is_ascii_digit());
    (is_number && (is_apart || is_glued)).then(|| number.to_owned())
}

/// Whether two names are one person's. Moodle's folders lack some marks that names have, and have
/// the group's name before it. A name that is not known differs from none.
fn is_same_name(sheet: &str, export: &str) -> bool {
    let words = |name: &str| -> Vec<String> {
        let mut words: Vec<String> =
            folded(name).split(|c: char| !c.is_alphanumeric()).map(str::to_owned).collect();
        words.retain(|word| !word.is_empty());
        words
    };
    let (mut sheet, mut export) = (words(sheet), words(export));
    let (one, other) = (sheet.concat(), export.concat());
    // With blind marking, everybody has this name.
    let is_known = |name: &str| !name.is_empty() && name.trim_end_matches(char::is_numeric) != "participant";
    if !is_known(&one) || !is_known(&other) || other.ends_with(&one) {
        return true;
    }
    sheet.sort();
    export.sort();
    sheet == export
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
        assert_eq!(sheet.submitted(1).unwrap().unwrap().to_string(), "2020-09-23T21:00:00");
        assert_eq!(sheet.submitted(2), None);
    }

    #[test]
    fn a_number_of_several_rows_belongs_to_none_of_them() {
        let text = format!("{ENGLISH}\"Participant 7\",\"John Roe\",Submitted,,100.00,Yes,-,-,\n");
        let sheet = Worksheet::of(text, &[]).unwrap();
        assert_eq!(sheet.participants().collect::<Vec<_>>(), [(2, "8".to_owned())]);
        let said = sheet.said_of_doubled();
        assert!(said.len() == 1 && said[0].contains("row 2 (Jane Doe) and row 4 (John Roe)"), "{said:?}");
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

    #[test]
    fn a_number_inside_another_word_is_no_participant() {
        for (cell, number) in [
            ("Participant 1002", Some("1002")),
            ("Participant 1002 ", Some("1002")),
            ("1002", Some("1002")),
            ("Teilnehmer/in1002", Some("1002")),
            ("参与者1002", Some("1002")),
            ("23m1002", None),
            ("cs1002", None),
            ("Group 7 1002", None),
            ("Hidden", None),
            ("", None),
        ] {
            assert_eq!(participant(cell).as_deref(), number, "{cell}");
        }
        let text = "ID number,Grade,Last modified (grade)\n23m1002,,-\n".to_owned();
        let error = Worksheet::of(text, &["identifier=ID number".to_owned()]).unwrap_err();
        assert!(error.contains("23m1002") && error.contains("--column identifier="), "{error}");
    }

    #[test]
    fn names_are_compared_as_moodle_writes_them() {
        for (sheet, export) in [
            ("Seán O'Brien-Łoś", "Seán OBrien-Łoś"),
            ("Seán O'Brien", "G 1-Sea\u{301}n O'Brien"),
            ("Jane Doe", "Doe Jane"),
            ("王小明", "王小明"),
            ("", "Jane Doe"),
            ("Jane Doe", "Participant"),
        ] {
            assert!(is_same_name(sheet, export), "{sheet} {export}");
        }
        assert!(!is_same_name("Jane Doe", "John Doe") && !is_same_name("王小明", "李四"));
    }
}
