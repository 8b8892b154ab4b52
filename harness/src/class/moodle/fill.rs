//! Grades and feedback, filled into a worksheet. Moodle's import passes rows over without a word;
//! whatever it would pass over is said here.

use std::collections::{BTreeMap, BTreeSet};

use super::worksheet::{Column, Worksheet};
use crate::report::text::points;

/// What one participant gets.
#[derive(Clone, Debug, PartialEq)]
pub struct Mark {
    /// Points given, and those there were.
    pub grade: (f64, f64),
    /// The name that the export has. Empty where it is not known.
    pub name: String,
    /// Feedback, as HTML.
    pub feedback: String,
}

/// The worksheet's new text, and what a person should know.
#[derive(Debug)]
pub struct Filled {
    /// The text. Every byte outside the cells that were filled is as before.
    pub text: String,
    /// One sentence each.
    pub remarks: Vec<String>,
}

impl Worksheet {
    /// Fills in marks by the participants' numbers. With `scale`, grades are scaled to the
    /// maximum of their row.
    pub fn fill(&self, marks: &BTreeMap<String, Mark>, scale: bool) -> Filled {
        let mut cells = vec![];
        let mut remarks = self.missing_columns();
        remarks.extend(self.said_of_doubled());
        let (mut untouched, mut kept) = (vec![], vec![]);
        let mut passed_over = BTreeMap::<String, Vec<String>>::new();
        let there: BTreeSet<String> = self.numbers().map(|(_, number)| number).collect();
        let missing: Vec<&str> =
            marks.keys().filter(|number| !there.contains(*number)).map(String::as_str).collect();
        for (row, number) in self.participants() {
            let Some(mark) = marks.get(&number) else {
                untouched.push(number);
                continue;
            };
            if let Some(other) = self.other_name(row, &mark.name) {
                remarks.push(format!(
                    "participant {number}: the worksheet has the name {other:?} and the export {:?}, so this row gets \
                     no mark: see whether --column identifier names the right column",
                    mark.name
                ));
                continue;
            }
            match self.grade(row, mark, scale) {
                Ok(Some(cell)) => cells.push(cell),
                Ok(None) => {}
                Err(why) => passed_over.entry(why).or_default().push(number.clone()),
            }
            if let (Some(column), false) = (self.column(Column::Feedback), mark.feedback.is_empty()) {
                let before = self.cells.value(row, column);
                let (after, is_kept) = with_ours(&before, &mark.feedback);
                if is_kept {
                    kept.push(number);
                }
                if after != before {
                    cells.push((row, column, after));
                }
            }
        }
        for (why, numbers) in passed_over {
            let numbers = numbers.join(", ");
            remarks.push(format!(
                "participant {numbers}: no grade is written, Moodle would pass over it: {why}"
            ));
        }
        let strangers: Vec<_> = self.strangers().map(|cell| format!("{cell:?}")).collect();
        let lists = [
            ("rows with a comment of your own keep it, and the feedback follows", kept.join(", ")),
            ("the worksheet's rows without a mark stay as they are", untouched.join(", ")),
            ("the worksheet's rows without a participant's number stay as they are", strangers.join(", ")),
            ("the worksheet has no row for", missing.join(", ")),
        ];
        let lists = lists.into_iter().filter(|(_, list)| !list.is_empty());
        remarks.extend(lists.map(|(what, list)| format!("{what}: {list}")));
        if !cells.is_empty() {
            remarks.push(
                "Moodle passes over a row whose grade was changed on the site after this worksheet was downloaded"
                    .to_owned(),
            );
        }
        Filled { text: self.cells.with(&cells), remarks }
    }

    /// What cannot be done, or not be foreseen, for want of a column.
    fn missing_columns(&self) -> Vec<String> {
        let said = [
            (
                Column::Maximum,
                "no grade is written, because the worksheet's maximum is not known: name its column with --column \
                 maximum=HEADER",
            ),
            (
                Column::CanChange,
                "which grades are locked is not known, and Moodle passes over those: name the column with --column \
                 can-change=HEADER",
            ),
            (
                Column::Feedback,
                "the worksheet has no column for feedback comments: switch them on in Moodle's assignment, or name \
                 the column with --column feedback=HEADER",
            ),
        ];
        let missing = said.into_iter().filter(|(column, _)| self.column(*column).is_none());
        missing.map(|(_, said)| said.to_owned()).collect()
    }

    /// The grade's cell; nothing where the grade is there already. An error says why
    /// Moodle would not take it.
    fn grade(&self, row: usize, mark: &Mark, scale: bool) -> Result<Option<(usize, usize, String)>, String> {
        let (Some(column), Some(stated)) = (self.column(Column::Grade), self.value(row, Column::Maximum))
        else {
            return Ok(None);
        };
        let (score, of) = mark.grade;
        let Some(maximum) = number(&stated) else {
            return Err(format!(
                "its maximum {stated:?} is not a number; where Moodle grades with a scale of words, change the \
                 assignment's grade to points"
            ));
        };
        let grade = if scale && of > 0.0 { score / of * maximum } else { score };
        let grade = (grade * 100.0).round() / 100.0;
        if grade > maximum {
            return Err(format!(
                "the grade {} is above its maximum {}; use --scale, or change the maximum in Moodle",
                points(grade),
                points(maximum)
            ));
        }
        if !scale && (maximum - of).abs() > 0.005 {
            return Err(format!(
                "the reports are out of {} points, and its maximum is {}; use --scale, or change the maximum",
                points(of),
                points(maximum)
            ));
        }
        if self.value(row, Column::CanChange).is_some_and(|text| is_no(&text)) {
            return Err("its grade is locked".to_owned());
        }
        let before = self.value(row, Column::Grade).and_then(|text| number(&text));
        if before.is_some_and(|before| (before - grade).abs() < 0.005) {
            // As it was: the cell keeps its bytes, and Moodle its grade.
            return Ok(None);
        }
        Ok(Some((row, column, format!("{grade:.2}"))))
    }
}

/// What encloses our feedback, so that filling in again replaces it and nothing else.
const OURS: (&str, &str) = ("<div class=\"harness\">", "</div>");

/// A feedback cell with ours in it, and whether there is more in it, which staff wrote.
fn with_ours(before: &str, ours: &str) -> (String, bool) {
    let (begin, end) = OURS;
    let (head, tail) = match before.split_once(begin) {
        Some((head, rest)) => (head, rest.split_once(end).map_or("", |(_, tail)| tail)),
        None => (before, ""),
    };
    (format!("{head}{begin}{ours}{end}{tail}"), !(head.trim().is_empty() && tail.trim().is_empty()))
}

/// A number with a point or a comma before its fraction.
fn number(text: &str) -> Option<f64> {
    let text = text.trim().replace(',', ".");
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

fn is_no(text: &str) -> bool {
    ["no", "nein", "non", "nee", "nej", "não"].contains(&text.trim().to_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "Identifier,Full name,Status,Grade,Maximum Grade,Grade can be changed,\
                        Last modified (grade),Feedback comments";

    fn mark(grade: (f64, f64)) -> Mark {
        Mark { grade, name: "Zoë Z".into(), feedback: "<p>see, \"2b\"</p>".into() }
    }

    fn fill(rows: &str, marks: &[(&str, Mark)], scale: bool) -> Filled {
        let sheet = Worksheet::of(format!("\u{feff}{HEAD}\r\n{rows}"), &[]).unwrap();
        sheet.fill(&marks.iter().map(|(id, mark)| ((*id).to_owned(), mark.clone())).collect(), scale)
    }

    #[test]
    fn only_grades_and_feedback_change() {
        let rows = "\"Participant 7\",\"Zoë \"\"Z\"\"\",Submitted,,100.00,Yes,-,old\r\n\
                    Participant 8,Nobody,No submission,,100.00,Yes,-,\r\n";
        let filled = fill(rows, &[("7", mark((87.5, 100.0)))], false);
        let expected = format!("\u{feff}{HEAD}\r\n{rows}")
            .replace("Submitted,,", "Submitted,87.50,")
            .replace(",old", ",\"old<div class=\"\"harness\"\"><p>see, \"\"2b\"\"</p></div>\"");
        assert_eq!(filled.text, expected);
        assert!(
            filled.remarks.iter().any(|said| said.contains("stay as they are: 8")),
            "{:?}",
            filled.remarks
        );
    }

    #[test]
    fn whatever_moodle_would_pass_over_is_said_and_not_written() {
        for (row, grade, said) in [
            ("Participant 7,,S,,10.00,Yes,-,\n", (87.5, 100.0), "above its maximum 10"),
            ("Participant 7,,S,,10.00,Yes,-,\n", (7.5, 100.0), "out of 100 points"),
            ("Participant 7,,S,,100.00,No,-,\n", (87.5, 100.0), "locked"),
            ("Participant 7,,S,,\"Poor, Fair\",Yes,-,\n", (1.0, 100.0), "scale of words"),
        ] {
            let filled = fill(row, &[("7", mark(grade))], false);
            assert!(filled.remarks.iter().any(|one| one.contains(said)), "{said}: {:?}", filled.remarks);
            assert!(filled.text.contains(",S,,"), "{}", filled.text);
        }
        let filled = fill("", &[("9", mark((1.0, 100.0)))], false);
        assert!(filled.remarks.iter().any(|one| one.contains("no row for: 9")), "{:?}", filled.remarks);
    }

    #[test]
    fn a_grade_that_is_there_already_keeps_its_bytes() {
        let filled = fill("Participant 7,,S,\"87,50\",100,Yes,-,\n", &[("7", mark((87.5, 100.0)))], false);
        assert!(filled.text.contains("\"87,50\""), "{}", filled.text);
    }

    #[test]
    fn a_grade_can_be_scaled_to_the_maximum() {
        let filled = fill("Participant 7,,S,,10.00,Yes,-,\n", &[("7", mark((87.5, 100.0)))], true);
        assert!(filled.text.contains(",S,8.75,10.00"), "{}", filled.text);
    }

    #[test]
    fn a_comment_of_staff_stays_and_filling_in_again_changes_nothing() {
        let row = "Participant 7,Zoë Z,S,,100,Yes,-,\"Seen by hand:\nsee 2b\"\n";
        let once = fill(row, &[("7", mark((87.5, 100.0)))], false);
        assert!(once.text.contains("\"Seen by hand:\nsee 2b<div class="), "{}", once.text);
        assert!(once.remarks.iter().any(|said| said.contains("comment of your own keep it")));
        let sheet = Worksheet::of(once.text.clone(), &[]).unwrap();
        let again = sheet.fill(&[("7".to_owned(), mark((87.5, 100.0)))].into(), false);
        assert_eq!(again.text, once.text);
        let new = Mark { feedback: "<p>new</p>".into(), ..mark((87.5, 100.0)) };
        let newer = sheet.fill(&[("7".to_owned(), new)].into(), false).text;
        assert!(newer.contains("see 2b<div class=\"\"harness\"\"><p>new</p></div>\""), "{newer}");
    }

    #[test]
    fn a_row_with_another_name_gets_nothing_and_is_named() {
        let row = "Participant 7,John Smith,S,,100,Yes,-,old\n";
        let filled = fill(row, &[("7", mark((87.5, 100.0)))], false);
        assert!(filled.text.ends_with(row), "{}", filled.text);
        assert!(
            filled.remarks.iter().any(|said| said.contains("\"John Smith\"") && said.contains("\"Zoë Z\""))
        );
    }

    #[test]
    fn of_two_rows_with_one_number_neither_is_filled_in_and_both_are_named() {
        let two = "Participant 7,Zoë Z,S,,100.00,Yes,-,\nParticipant 7,Zoë Z,S,,100.00,Yes,-,\n";
        let rows = format!("{two}Participant 8,Zoë Z,S,,100.00,Yes,-,\n");
        let marks = [("7", mark((87.5, 100.0))), ("8", mark((50.0, 100.0)))];
        let filled = fill(&rows, &marks, false);
        assert!(filled.text.contains(two) && filled.text.contains("8,Zoë Z,S,50.00"), "{}", filled.text);
        let said = filled.remarks.iter().any(|one| one.contains("row 2 (Zoë Z) and row 3 (Zoë Z)"));
        assert!(said && !filled.remarks.iter().any(|one| one.contains("no row for")), "{:?}", filled.remarks);
    }

    #[test]
    fn without_a_maximum_no_grade_is_written_and_the_columns_to_name_are_said() {
        for scale in [false, true] {
            let text = "Identifier,Grade,Last modified (grade)\nParticipant 7,,-\nHidden,,-\n".to_owned();
            let sheet = Worksheet::of(text.clone(), &[]).unwrap();
            let filled = sheet.fill(&[("7".to_owned(), mark((87.5, 100.0)))].into(), scale);
            assert_eq!(filled.text, text);
            for said in ["--column maximum=", "--column can-change=", "--column feedback=", "\"Hidden\""] {
                assert!(filled.remarks.iter().any(|one| one.contains(said)), "{said}: {:?}", filled.remarks);
            }
        }
        let text = "Identifier,Grade,Scale,Last modified (grade)\n7,,\"Poor, Fair\",-\n".to_owned();
        let filled = Worksheet::of(text.clone(), &[])
            .unwrap()
            .fill(&[("7".to_owned(), mark((1.0, 2.0)))].into(), true);
        assert_eq!(filled.text, text);
        assert!(filled.remarks.iter().any(|one| one.contains("scale of words")), "{:?}", filled.remarks);
    }
}
