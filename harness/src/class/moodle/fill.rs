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
        let mut remarks = vec![];
        let (mut untouched, mut feedback_left) = (vec![], 0);
        let mut missing: BTreeSet<&String> = marks.keys().collect();
        for (row, number) in self.participants() {
            missing.remove(&number);
            let Some(mark) = marks.get(&number) else {
                untouched.push(number);
                continue;
            };
            match self.grade(row, mark, scale) {
                Ok(Some(cell)) => cells.push(cell),
                Ok(None) => {}
                Err(why) => {
                    remarks.push(format!("participant {number}: Moodle would pass over this row: {why}"));
                }
            }
            match self.column(Column::Feedback) {
                Some(_) if mark.feedback.is_empty() => {}
                Some(column) => cells.push((row, column, mark.feedback.clone())),
                None => feedback_left += 1,
            }
        }
        if !untouched.is_empty() {
            remarks.push(format!(
                "the worksheet's rows without a mark stay as they are: {}",
                untouched.join(", ")
            ));
        }
        if !missing.is_empty() {
            let names: Vec<_> = missing.iter().map(|number| number.as_str()).collect();
            remarks.push(format!("the worksheet has no row for: {}", names.join(", ")));
        }
        if feedback_left > 0 {
            remarks.push(
                "the worksheet has no column for feedback comments: switch them on in Moodle's assignment, or name \
                 the column with --column feedback=HEADER"
                    .to_owned(),
            );
        }
        if !cells.is_empty() {
            remarks.push(
                "Moodle passes over a row whose grade was changed on the site after this worksheet was downloaded"
                    .to_owned(),
            );
        }
        Filled { text: self.cells.with(&cells), remarks }
    }

    /// The grade's cell; nothing where the grade is there already. An error says why
    /// Moodle would not take it.
    fn grade(&self, row: usize, mark: &Mark, scale: bool) -> Result<Option<(usize, usize, String)>, String> {
        let Some(column) = self.column(Column::Grade) else { return Ok(None) };
        let (score, of) = mark.grade;
        let stated = self.value(row, Column::Maximum).unwrap_or_default();
        let maximum = number(&stated);
        let grade = match maximum {
            Some(maximum) if scale && of > 0.0 => score / of * maximum,
            _ if scale => {
                return Err(format!("its maximum grade {stated:?} is no number, so nothing can be scaled"));
            }
            _ => score,
        };
        let grade = (grade * 100.0).round() / 100.0;
        if let Some(maximum) = maximum {
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
        Mark { grade, feedback: "<p>see, \"2b\"</p>".into() }
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
            .replace(",old", ",\"<p>see, \"\"2b\"\"</p>\"");
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
            ("Participant 7,J,S,,10.00,Yes,-,\n", (87.5, 100.0), "above its maximum 10"),
            ("Participant 7,J,S,,10.00,Yes,-,\n", (7.5, 100.0), "out of 100 points"),
            ("Participant 7,J,S,,100.00,No,-,\n", (87.5, 100.0), "locked"),
        ] {
            let filled = fill(row, &[("7", mark(grade))], false);
            assert!(filled.remarks.iter().any(|one| one.contains(said)), "{said}: {:?}", filled.remarks);
            assert!(filled.text.contains("J,S,,"), "{}", filled.text);
        }
        let filled = fill("", &[("9", mark((1.0, 100.0)))], false);
        assert!(filled.remarks.iter().any(|one| one.contains("no row for: 9")), "{:?}", filled.remarks);
    }

    #[test]
    fn a_grade_that_is_there_already_keeps_its_bytes() {
        let filled = fill("Participant 7,J,S,\"87,50\",100,Yes,-,\n", &[("7", mark((87.5, 100.0)))], false);
        assert!(filled.text.contains("\"87,50\""), "{}", filled.text);
    }

    #[test]
    fn a_grade_can_be_scaled_to_the_maximum() {
        let filled = fill("Participant 7,J,S,,10.00,Yes,-,\n", &[("7", mark((87.5, 100.0)))], true);
        assert!(filled.text.contains("J,S,8.75,10.00"), "{}", filled.text);
    }
}
