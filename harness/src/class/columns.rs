//! CSV tables that staff write: columns by their names, and errors that name the line.

use std::path::Path;

use csv::StringRecord;

/// A table, and where each of its rows begins.
#[derive(Debug)]
pub struct Columns {
    headers: Vec<String>,
    /// The rows, each with the number of its line.
    pub rows: Vec<(usize, StringRecord)>,
}

impl Columns {
    /// Reads a table.
    ///
    /// # Errors
    /// A sentence that says why it cannot be read.
    pub fn read(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
        Self::of(&text)
    }

    fn of(text: &str) -> Result<Self, String> {
        let text = text.trim_start_matches('\u{feff}');
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.as_bytes());
        let headers = reader.headers().map_err(|error| error.to_string())?;
        let headers = headers.iter().map(str::to_owned).collect();
        let mut rows = vec![];
        for row in reader.records() {
            let row = row.map_err(|error| error.to_string())?;
            // The reader's own count of lines is one short where lines end with CR and LF.
            let begin = row.position().map_or(0, |place| usize::try_from(place.byte()).unwrap_or(0));
            let rest = text.get(begin..).unwrap_or_default();
            let begin = begin + rest.len() - rest.trim_start_matches(['\r', '\n']).len();
            let before = text.get(..begin).unwrap_or_default();
            rows.push((before.matches('\n').count() + 1, row));
        }
        Ok(Self { headers, rows })
    }

    /// The column with one of some names.
    pub fn find(&self, names: &[&str]) -> Option<usize> {
        self.headers.iter().position(|header| names.iter().any(|name| header.eq_ignore_ascii_case(name)))
    }

    /// Why a column is missing: where the heading is one cell with other separators in it, that.
    pub fn missing(&self, what: &str) -> String {
        let found = match self.headers.as_slice() {
            [one] => [(';', "semicolons"), ('\t', "tabs")].into_iter().find(|(mark, _)| one.contains(*mark)),
            _ => None,
        };
        match found {
            Some((_, separators)) => {
                format!("line 1: its cells are separated by {separators}; save it with commas")
            }
            None => format!("line 1: {what}; there is {}", self.headers.join(",")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_the_number_of_its_line_whatever_ends_the_lines() {
        for end in ["\n", "\r\n"] {
            let text = ["\u{feff}id,path", "a,\"x", "y\"", "", "b,z", ""].join(end);
            let table = Columns::of(&text).unwrap();
            let lines: Vec<_> = table.rows.iter().map(|(line, row)| (*line, row[0].to_owned())).collect();
            assert_eq!(lines, [(2, "a".to_owned()), (5, "b".to_owned())], "{text:?}");
            assert_eq!((table.find(&["ID"]), table.find(&["url"])), (Some(0), None));
        }
    }

    #[test]
    fn other_separators_are_named() {
        let table = Columns::of("id;path\na;b\n").unwrap();
        assert!(table.missing("there is no column \"id\"").contains("semicolons"));
        let table = Columns::of("key,path\na,b\n").unwrap();
        assert_eq!(
            table.missing("there is no column \"id\""),
            "line 1: there is no column \"id\"; there is key,path"
        );
    }
}
