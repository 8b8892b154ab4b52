//! A CSV text with the place of every cell in it, so that single cells can be replaced
//! and every other byte stays. Readers of CSV give values away from their places; here
//! only places are wanted.

use std::collections::BTreeMap;
use std::ops::Range;

/// The text of a table, and where its cells are.
#[derive(Debug)]
pub struct Cells {
    text: String,
    /// What stands between two cells of a row.
    pub separator: char,
    rows: Vec<Vec<Range<usize>>>,
}

impl Cells {
    /// Takes a text apart. The separator is the comma, semicolon or tab that the
    /// first row has most of.
    pub fn of(text: String) -> Self {
        let body = text.strip_prefix('\u{feff}').map_or(0, |_| '\u{feff}'.len_utf8());
        let first = text[body..].lines().next().unwrap_or_default();
        let often = |separator: &char| first.matches(*separator).count();
        // Of equals the last is taken: that is the comma.
        let separator = ['\t', ';', ','].into_iter().max_by_key(often).unwrap_or(',');
        let rows = rows(&text, body, separator);
        Self { text, separator, rows }
    }

    /// How many rows there are, with the header.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// The value of a cell: without its quotes. Empty where there is none.
    pub fn value(&self, row: usize, column: usize) -> String {
        let Some(place) = self.rows.get(row).and_then(|row| row.get(column)) else { return String::new() };
        let raw = &self.text[place.clone()];
        match raw.strip_prefix('"') {
            Some(inner) => inner.strip_suffix('"').unwrap_or(inner).replace("\"\"", "\""),
            None => raw.to_owned(),
        }
    }

    /// How many cells a row has.
    pub fn width(&self, row: usize) -> usize {
        self.rows.get(row).map_or(0, Vec::len)
    }

    /// The text with some cells replaced. Where a row is shorter than the heading, cells are
    /// added; a row that is not there is left out.
    pub fn with(&self, replaced: &[(usize, usize, String)]) -> String {
        let mut replaced: Vec<_> = replaced.iter().filter(|(row, ..)| *row < self.rows.len()).collect();
        replaced.sort_by_key(|(row, column, _)| (*row, *column));
        let (mut out, mut at) = (String::with_capacity(self.text.len()), 0);
        let mut widths: BTreeMap<usize, usize> = BTreeMap::new();
        for (row, column, value) in replaced {
            let (cells, value) = (&self.rows[*row], self.quoted(value));
            let end = cells.last().map_or(self.text.len(), |last| last.end);
            let width = widths.entry(*row).or_insert(cells.len());
            let missing = (column + 1).saturating_sub(*width);
            *width += missing;
            let place = cells.get(*column).cloned().unwrap_or(end..end);
            out.push_str(&self.text[at..place.start]);
            out.extend(std::iter::repeat_n(self.separator, missing));
            out.push_str(&value);
            at = place.end;
        }
        out.push_str(&self.text[at..]);
        out
    }

    fn quoted(&self, value: &str) -> String {
        if value.contains([self.separator, '"', '\n', '\r', ' ']) {
            format!("\"{}\"", value.replace('"', "\"\""))
        } else {
            value.to_owned()
        }
    }
}

fn rows(text: &str, from: usize, separator: char) -> Vec<Vec<Range<usize>>> {
    let bytes = text.as_bytes();
    let separator = separator as u8;
    let (mut rows, mut row, mut begin, mut quoted) = (vec![], vec![], from, false);
    let mut at = from;
    while at < bytes.len() {
        match bytes[at] {
            // A quote inside a quoted cell is doubled.
            b'"' if quoted && bytes.get(at + 1) == Some(&b'"') => at += 1,
            b'"' if quoted || at == begin => quoted = !quoted,
            byte if !quoted && byte == separator => {
                row.push(begin..at);
                begin = at + 1;
            }
            b'\n' if !quoted => {
                let end = if at > begin && bytes[at - 1] == b'\r' { at - 1 } else { at };
                row.push(begin..end);
                rows.push(std::mem::take(&mut row));
                begin = at + 1;
            }
            _ => {}
        }
        at += 1;
    }
    if begin < bytes.len() || !row.is_empty() {
        row.push(begin..bytes.len());
        rows.push(row);
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\u{feff}id;\"name; \"\"full\"\"\";grade\r\n1;\"a\nb\";\r\n2;c,d;7";

    #[test]
    fn values_are_read_with_quotes_line_ends_and_separators_in_them() {
        let cells = Cells::of(TEXT.to_owned());
        assert_eq!((cells.separator, cells.len(), cells.width(0)), (';', 3, 3));
        assert_eq!(cells.value(0, 0), "id");
        assert_eq!(cells.value(0, 1), "name; \"full\"");
        assert_eq!(cells.value(1, 1), "a\nb");
        assert_eq!(cells.value(1, 2), "");
        assert_eq!((cells.value(2, 1).as_str(), cells.value(2, 2).as_str()), ("c,d", "7"));
        assert_eq!(cells.value(9, 9), "");
    }

    #[test]
    fn only_the_cells_that_are_replaced_change() {
        let cells = Cells::of(TEXT.to_owned());
        assert_eq!(cells.with(&[]), TEXT);
        let filled = cells.with(&[(2, 2, "8;\"5\"".into()), (1, 2, "6".into()), (7, 7, "x".into())]);
        let expected = TEXT.replace(";\r\n2;", ";6\r\n2;").replace(";7", ";\"8;\"\"5\"\"\"");
        assert_eq!(filled, expected);
        assert_eq!(Cells::of(filled).value(2, 2), "8;\"5\"");
    }

    #[test]
    fn a_row_that_is_shorter_than_the_heading_gets_the_cells_it_lacks() {
        let cells = Cells::of("id,a,b,c\r\n1\r\n2,x\r\n3,,\r\n4".to_owned());
        let edits =
            [(1, 3, "C"), (1, 1, "A"), (2, 1, "A"), (2, 2, "B"), (3, 2, "B"), (3, 3, "C"), (4, 2, "B")];
        let filled = cells.with(&edits.map(|(row, column, value)| (row, column, value.to_owned())));
        assert_eq!(filled, "id,a,b,c\r\n1,A,,C\r\n2,A,B\r\n3,,B,C\r\n4,,B");
    }

    #[test]
    fn a_text_of_any_bytes_is_taken_apart_and_put_together_again() {
        for text in ["", "\n", "\"", "a,\"b", "a\r\n\r\nb,c,\"\"\"\"\n", "\u{feff}", ";;;\n;"] {
            assert_eq!(Cells::of(text.to_owned()).with(&[]), text);
        }
    }
}
