//! The points of each check. `docs/rubric.md` documents the file.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use toml::{Spanned, Value};
use vm::FileError;

use crate::class::late::Policy;

/// The default rubric. It names every check.
pub const DEFAULT: &str = include_str!("rubric.toml");

/// The table for late submissions. It names no check.
const LATE: &str = "late";

/// The only entry that names no check.
const FOLLOW_THROUGH: &str = "follow-through/share";

/// Points per check.
#[derive(Clone, Debug, PartialEq)]
pub struct Rubric {
    points: BTreeMap<String, f64>,
    late: Option<Policy>,
    sha256: String,
}

/// Why a rubric cannot be used. The message names the line.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The file is not a table of tables of numbers.
    #[error("{} is not a rubric: {why}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What the parser said, with the line.
        why: String,
    },
    /// The file names a check that does not exist.
    #[error("{}:{line}: there is no check {check:?}; `harness checks` lists them", path.display())]
    UnknownCheck {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The name.
        check: String,
    },
    /// A table for late submissions that cannot be applied.
    #[error("{}:{line}: [late] cannot be used: {why}", path.display())]
    BadLate {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        why: String,
    },
    /// Points that are not a number of at least 0, or a share of more than 1.
    #[error("{}:{line}: {check} cannot have {points} points", path.display())]
    BadPoints {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The check.
        check: String,
        /// The points in the file.
        points: f64,
    },
}

impl Rubric {
    /// Loads the default rubric and applies the file at `path`, if there is one.
    pub fn load(path: Option<&Path>) -> Result<Self, Error> {
        let mut rubric = Self::default();
        if let Some(path) = path {
            let text = fs::read_to_string(path).map_err(FileError::at("read the rubric", path))?;
            let Parsed { points, late } = parse(path, &text, |check| rubric.points.contains_key(check))?;
            rubric.points.extend(points);
            rubric.late = late;
            rubric.sha256 = digest(&text);
        }
        Ok(rubric)
    }

    /// The rules for late submissions, if the rubric has some.
    pub fn late(&self) -> Option<&Policy> {
        self.late.as_ref()
    }

    /// The SHA-256 of the rubric's text, which names it in reports.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// The points of a check; 0 if no rubric names the check.
    pub fn points(&self, check: &str) -> f64 {
        self.points.get(check).copied().unwrap_or(0.0)
    }

    /// The share of its points that a check gives if it passes with a broken command replaced.
    pub fn follow_through(&self) -> f64 {
        self.points(FOLLOW_THROUGH)
    }
}

impl Default for Rubric {
    fn default() -> Self {
        // A test reads it in full: it is part of the program.
        let points = parse(Path::new("rubric.toml"), DEFAULT, |_| true).map(|parsed| parsed.points);
        let points = points.unwrap_or_default().into_iter().collect();
        Self { points, late: None, sha256: digest(DEFAULT) }
    }
}

fn digest(text: &str) -> String {
    Sha256::digest(text).iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

/// The content of a rubric's file.
struct Parsed {
    points: Vec<(String, f64)>,
    late: Option<Policy>,
}

fn parse(path: &Path, text: &str, is_known: impl Fn(&str) -> bool) -> Result<Parsed, Error> {
    type Table = BTreeMap<Spanned<String>, BTreeMap<Spanned<String>, Spanned<Value>>>;
    let malformed = |why: &str| Error::Malformed { path: path.to_owned(), why: why.trim().to_owned() };
    let mut table: Table = toml::from_str(text).map_err(|error| malformed(&error.to_string()))?;
    let line = |offset: usize| text[..offset].matches('\n').count() + 1;
    let mut late = None;
    if let Some((name, entries)) = table.remove_entry(LATE) {
        let entries = entries.into_iter().map(|(name, value)| (name.into_inner(), value.into_inner()));
        let policy = Policy::of(entries.collect());
        let line = line(name.span().start);
        late = Some(policy.map_err(|why| Error::BadLate { path: path.to_owned(), line, why })?);
    }
    let mut points = vec![];
    for (subtask, checks) in table {
        for (name, value) in checks {
            let check = format!("{}/{}", subtask.get_ref(), name.get_ref());
            if !is_known(&check) {
                return Err(Error::UnknownCheck {
                    path: path.to_owned(),
                    line: line(name.span().start),
                    check,
                });
            }
            let line = line(value.span().start);
            let Some(number) = number(value.get_ref()) else {
                return Err(malformed(&format!("line {line}: {check} is not a number")));
            };
            if !number.is_finite() || number < 0.0 || check == FOLLOW_THROUGH && number > 1.0 {
                return Err(Error::BadPoints { path: path.to_owned(), line, check, points: number });
            }
            points.push((check, number));
        }
    }
    Ok(Parsed { points, late })
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Float(number) => Some(*number),
        Value::Integer(number) => Some(*number as f64),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task;

    fn load(text: &str) -> Result<Rubric, Error> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        Rubric::load(Some(file.path()))
    }

    #[test]
    fn the_default_rubric_sums_to_100() {
        let rubric = Rubric::default();
        let points = rubric.points.iter().filter(|(check, _)| *check != FOLLOW_THROUGH);
        let sum: f64 = points.map(|(_, points)| points).sum();
        assert!((sum - 100.0).abs() < 1e-9, "{sum}");
    }

    #[test]
    fn every_check_is_in_the_default_rubric_and_only_informational_ones_are_worth_nothing() {
        let rubric = Rubric::default();
        for check in task::subtasks().iter().flat_map(|subtask| subtask.checks) {
            let points = rubric.points.get(check.id).unwrap_or_else(|| panic!("{} has no points", check.id));
            assert_eq!(*points == 0.0, check.informational, "{}", check.id);
        }
    }

    #[test]
    fn a_file_changes_the_checks_that_it_names_and_no_other() {
        let rubric = load("[1]\ntranscript = 7\n[layout]\nunmarked-portions = 1.5\n").unwrap();
        let mut expected = Rubric { sha256: rubric.sha256().to_owned(), ..Rubric::default() };
        expected.points.insert("1/transcript".into(), 7.0);
        expected.points.insert("layout/unmarked-portions".into(), 1.5);
        assert_eq!(rubric, expected);
    }

    #[test]
    fn an_unknown_check_is_an_error_that_names_its_line() {
        let error = load("# ours\n[1]\ntranscript = 7\n\ntranscirpt = 1\n").unwrap_err();
        assert!(
            matches!(&error, Error::UnknownCheck { line: 5, check, .. } if check == "1/transcirpt"),
            "{error}"
        );
    }

    #[test]
    fn follow_through_gives_a_share_of_the_points() {
        assert!((Rubric::default().follow_through() - 0.5).abs() < 1e-9);
        assert!(load("[follow-through]\nshare = 0\n").unwrap().follow_through().abs() < 1e-9);
        assert!(matches!(load("[follow-through]\nshare = 2\n"), Err(Error::BadPoints { line: 2, .. })));
    }

    #[test]
    fn late_days_have_a_table_of_their_own() {
        assert_eq!(Rubric::default().late(), None);
        let table = "[1]\ntranscript = 7\n[late]\ndeadline = 2026-02-01T23:59:00+05:30\nper_day = 10\n";
        assert!(load(table).unwrap().late().is_some());
        let extended =
            load(&format!("{table}[late.extensions]\n1004 = 2026-02-04T23:59:00+05:30\n")).unwrap();
        assert_eq!(extended.late().unwrap().extended().collect::<Vec<_>>(), ["1004"]);
        let error = load(&table.replace("+05:30", "")).unwrap_err();
        assert!(matches!(&error, Error::BadLate { line: 3, .. }), "{error}");
    }

    #[test]
    fn points_below_zero_and_words_are_errors_that_name_their_line() {
        assert!(matches!(load("[1]\n\ntranscript = -1\n"), Err(Error::BadPoints { line: 3, .. })));
        assert!(load("[1]\ntranscript = \"all\"\n").unwrap_err().to_string().contains("line 2"));
    }
}
