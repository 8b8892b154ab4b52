//! Text from a terminal: cleaned of control characters, and compared with what the assignment
//! shows.

use similar::TextDiff;

use crate::evidence::Record;
use crate::evidence::program::Output;

/// Longest difference shown in a report, in lines.
const DIFF_LINES: usize = 40;

/// The text of all `output` records among `records`.
pub fn text(records: &[Record]) -> String {
    records
        .iter()
        .filter(|record| record.kind == "output")
        .filter_map(|record| serde_json::from_value::<Output>(record.data.clone()).ok())
        .map(|output| output.text)
        .collect()
}

/// Lines without what a terminal does to them: CR, NUL, escape sequences, blanks at the
/// end, and blank lines.
pub fn lines(text: &str) -> Vec<String> {
    let plain = without_escapes(text).replace(['\r', '\0', '\u{7}'], "");
    plain.lines().map(|line| line.trim_end().to_owned()).filter(|line| !line.is_empty()).collect()
}

/// Lines that are wanted (`-`) and lines that were seen instead (`+`), with the lines around
/// them; empty when equal.
pub fn difference(wanted: &[String], seen: &[String]) -> String {
    if wanted == seen {
        return String::new();
    }
    let (wanted, seen) = (wanted.join("\n") + "\n", seen.join("\n") + "\n");
    let diff = TextDiff::from_lines(&wanted, &seen);
    let all = diff.unified_diff().context_radius(2).to_string();
    let mut lines: Vec<&str> =
        all.lines().filter(|line| !line.starts_with("@@") && !line.starts_with("\\ ")).collect();
    let more = lines.len().saturating_sub(DIFF_LINES);
    lines.truncate(DIFF_LINES);
    let rest = format!("({more} more lines)");
    if more > 0 {
        lines.push(&rest);
    }
    lines.join("\n")
}

/// Whether all lines that are wanted were seen, in their order. Lines in addition are no loss.
pub fn is_complete(wanted: &[String], seen: &[String]) -> bool {
    let mut seen = seen.iter();
    wanted.iter().all(|line| seen.any(|other| other == line))
}

/// Takes out escape sequences: CSI (`ESC [ … letter`), OSC (`ESC ] … BEL`), and
/// the two-character ones.
pub fn without_escapes(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(char) = rest.next() {
        if char != '\u{1b}' {
            plain.push(char);
            continue;
        }
        match rest.next() {
            Some('[') => {
                rest.by_ref().find(|char| ('@'..='~').contains(char));
            }
            Some(']') => {
                rest.by_ref().find(|char| *char == '\u{7}');
            }
            _ => {}
        }
    }
    plain
}

/// The lines under a heading, without those under later headings. Headings that nobody printed
/// separate nothing.
pub fn under_heading<'a>(lines: &'a [String], headings: &[&str], number: usize) -> &'a [String] {
    let place = |heading: &&str| lines.iter().position(|line| line.contains(*heading));
    let start = place(&headings[number]).map_or(0, |at| at + 1);
    let end = headings[number + 1..].iter().filter_map(place).find(|end| *end >= start);
    &lines[start..end.unwrap_or(lines.len())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_adds_is_taken_out() {
        assert_eq!(lines("\u{1b}[1;32mone\u{1b}[0m \r\n\r\n\0two\r\n"), ["one", "two"]);
    }

    #[test]
    fn lines_in_addition_are_no_loss_and_missing_ones_and_another_order_are() {
        let text = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
        let complete = |seen: &[&str]| is_complete(&text(&["a", "b", "a"]), &text(seen));
        assert!(complete(&["a", "b", "a"]) && complete(&["x", "a", "b", "y", "a", "z"]));
        assert!(!complete(&["a", "b"]) && !complete(&["b", "a", "a"]) && !complete(&[]));
    }

    #[test]
    fn a_difference_shows_both_sides() {
        let wanted = ["a".to_owned(), "b".to_owned()];
        let seen = ["a".to_owned(), "c".to_owned()];
        assert_eq!(difference(&wanted, &seen), " a\n-b\n+c");
        assert_eq!(difference(&wanted, &wanted), "");
    }

    #[test]
    fn a_heading_has_the_lines_up_to_the_next_one() {
        let headings = ["Part a", "Part b", "Part c"];
        let under = |text: &str, number| under_heading(&lines(text), &headings, number).join("|");
        let all = "Part a\none\n* Part b *\ntwo\nPart c\nthree";
        assert_eq!([0, 1, 2].map(|number| under(all, number)), ["one", "two", "three"]);
        assert_eq!(under("zero\nPart c\nthree", 1), "zero");
        assert_eq!(under("one\ntwo", 2), "one|two");
        assert_eq!(under("Part b\ntwo\nPart a\none", 0), "one");
    }
}
