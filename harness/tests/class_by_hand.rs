//! Those of a class who have no report: what is said of them, and the marks that staff give them.
#![allow(clippy::unwrap_used)]

mod synthetic;

use std::fs;

use predicates::prelude::*;
use predicates::str::contains;
use synthetic::Form;
use synthetic::course::{Course, read};

const HEADER: &str = "id,check,delta,reason,who,when\n";

fn adjust(course: &Course, rows: &[&str]) {
    let rows: Vec<_> = rows.iter().map(|row| format!("{row},\"seen, by hand\",Ann,2026-02-03\n")).collect();
    fs::write(course.path("adjust.csv"), format!("{HEADER}{}", rows.concat())).unwrap();
}

/// The worksheet with the maximum that the layout has.
fn sheet_of_layout(course: &Course) -> String {
    let text = read(&course.sheet).replace(",,100.00,", ",,2.00,");
    fs::write(&course.sheet, &text).unwrap();
    text
}

fn line<'a>(text: &'a str, number: &str) -> &'a str {
    text.lines().find(|line| line.starts_with(&format!("\"Participant {number}\""))).unwrap()
}

#[test]
fn whoever_handed_in_nothing_is_named_everywhere_and_has_no_mark_and_no_zero() {
    let course = Course::new(10);
    sheet_of_layout(&course);
    let sheet = course.sheet.to_str().unwrap();
    let zip = course.zip.to_str().unwrap();
    let said = contains("nothing was handed in: 1009 Jane Doe");
    course.harness(&["class", "list", zip, "--worksheet", sheet]).assert().code(1).stderr(said);
    course.grade(&[]).code(1);
    let said = contains("neither a mark nor 0 is given: 1009").and(contains("4 of 9 submissions"));
    course.collect(&["--worksheet", sheet]).code(1).stderr(said);
    let row = &course.table()["1009"];
    assert_eq!((&*row["score"], &*row["problem"]), ("", "nothing was handed in"));
    assert!(
        read(&course.path("results/collected/class.html")).contains("1 of the worksheet handed in nothing")
    );
    let sheet = read(&course.path("results/collected/worksheet.csv"));
    assert_eq!(line(&sheet, "1009"), line(&read(&course.sheet), "1009"));
}

#[test]
fn a_class_in_which_only_somebody_handed_in_nothing_is_complete() {
    let course = Course::new(9);
    let text = read(&course.sheet);
    let only = |place: usize| text.lines().nth(place).unwrap();
    let missing = only(9).replace("1009", "1010");
    fs::write(&course.sheet, [only(0), only(1), &missing, ""].join("\n")).unwrap();
    let one = vec![course.class[0].clone()];
    synthetic::write(&course.path("."), &one);
    fs::write(&course.sheet, [only(0), only(1), &missing, ""].join("\n")).unwrap();
    course.grade(&[]).success();
    let sheet = course.sheet.to_str().unwrap();
    course.collect(&["--worksheet", sheet, "--scale"]).success().stderr(contains("given: 1010"));
}

#[test]
fn a_time_of_submission_without_a_file_is_no_absence() {
    let course = Course::new(2);
    let text = read(&course.sheet);
    let later = text.lines().nth(2).unwrap().replace("1002", "1003");
    fs::write(&course.sheet, format!("{text}{later}\n")).unwrap();
    course.grade(&[]).success();
    let sheet = course.sheet.to_str().unwrap();
    let said = contains("1003: the worksheet has a time of submission, but the export has no file");
    course.collect(&["--worksheet", sheet, "--scale"]).code(1).stderr(said);
    adjust(&course, &["1003,layout,1"]);
    let said = contains("1003: the adjustment of layout by 1 is not applied");
    course.collect(&["--worksheet", sheet, "--scale", "--adjust", "adjust.csv"]).code(1).stderr(said);
}

#[test]
fn points_of_staff_are_a_mark_where_there_is_no_report_and_go_back_to_moodle() {
    let course = Course::new(10);
    sheet_of_layout(&course);
    course.grade(&[]).code(1);
    adjust(&course, &["1005,layout,1.5", "1005,layout/git,0", "1008,by-hand,40", "1009,by-hand,0.5"]);
    let sheet = course.sheet.to_str().unwrap();
    let said = contains("1005: there is no report (cannot be graded: the archive work.zip is damaged")
        .and(contains("adjust.csv alone gives the mark, 1.5 of 2 points"))
        .and(contains("1008: of 40 points by hand, 2 could be given"))
        .and(contains("2 of 9 submissions have no final mark"));
    course.collect(&["--adjust", "adjust.csv", "--worksheet", sheet]).code(1).stderr(said);
    let table = course.table();
    for (id, score, layout) in [("1005", "1.5", "1.5"), ("1008", "2", ""), ("1009", "0.5", "")] {
        let row = &table[id];
        assert_eq!((&*row["score"], &*row["layout"], &*row["problem"]), (score, layout, ""), "{id}");
    }
    let filled = read(&course.path("results/collected/worksheet.csv"));
    for (id, grade) in [("1005", ",1.50,2.00,"), ("1008", ",2.00,2.00,"), ("1009", ",0.50,2.00,")] {
        let line = line(&filled, id);
        assert!(line.contains(grade) && line.contains("seen, by hand (Ann, 2026-02-03)"), "{line}");
    }
    assert!(read(&course.path("results/collected/class.html")).contains("5 with a report, 3 marked by hand"));
    assert!(course.path("results/collected/reports/1009/results.json").is_file());
    let zip = fs::File::open(course.path("results/collected/feedback.zip")).unwrap();
    let zip = zip::ZipArchive::new(zip).unwrap();
    let names: Vec<_> = zip.file_names().map(|name| name.unwrap().into_owned()).collect();
    for name in ["Jane Doe_1009", "नेहा शर्मा_1008"] {
        assert!(names.contains(&format!("{name}_assignsubmission_file/feedback.html")), "{names:?}");
    }
}

#[test]
fn a_change_of_points_never_stands_for_a_report_that_is_to_come() {
    let course = Course::new(2);
    course.grade(&[]).success();
    fs::remove_dir_all(course.path("results/reports/1001")).unwrap();
    adjust(&course, &["1001,layout,1"]);
    let said = contains("the adjustment of layout by 1 is not applied").and(contains("the check by-hand"));
    course.collect(&["--adjust", "adjust.csv"]).code(1).stderr(said);
    assert_eq!(course.table()["1001"]["score"], "");
    // Staff may say that it does.
    adjust(&course, &["1001,layout,0.5", "1001,by-hand,1"]);
    course.collect(&["--adjust", "adjust.csv"]).success();
    assert_eq!(course.table()["1001"]["score"], "1.5");
    course.collect(&["--into", "old", "--adjust", "adjust.csv"]).success();

    // Of two marks, none is taken.
    course.grade(&[]).success().stdout(contains("1 graded"));
    let said = contains("1001: adjust.csv gives points by-hand, and there is a report");
    course.collect(&["--adjust", "adjust.csv"]).code(1).stderr(said);
    assert_eq!(course.table()["1001"]["score"], "");
    course.collect(&["--into", "new"]).success();
    course.harness(&["class", "diff", "old", "new"]).assert().code(1).stdout(
        contains("1001  1.5 → ")
            .and(contains("the mark was given by hand before"))
            .and(contains("another version").not()),
    );
}

#[test]
fn an_earlier_report_makes_points_wait() {
    for form in [Form::Broken, Form::Online] {
        let mut course = Course::new(2);
        course.grade(&[]).success();
        course.class[0].form = form;
        synthetic::write(course.home.path(), &course.class);
        course.grade(&[]).code(1);
        adjust(&course, &["1001,layout,1"]);
        course.collect(&["--adjust", "adjust.csv"]).code(1).stderr(contains("is not applied"));
        assert_eq!(course.table()["1001"]["score"], "");
    }
}

#[test]
fn an_id_that_nobody_has_is_named_with_what_to_do() {
    let course = Course::new(10);
    course.grade(&[]).code(1);
    adjust(&course, &["1009,by-hand,2"]);
    let said = contains("the adjustments name 1009").and(contains("give --worksheet"));
    course.collect(&["--adjust", "adjust.csv"]).code(1).stderr(said);
    adjust(&course, &["1099,by-hand,2"]);
    let sheet = course.sheet.to_str().unwrap();
    let said = contains("the adjustments name 1099").and(contains("no row of the worksheet"));
    course.collect(&["--adjust", "adjust.csv", "--worksheet", sheet]).code(1).stderr(said);
}

#[test]
fn of_two_rows_with_one_number_none_is_used_and_the_others_are_filled_in() {
    let course = Course::new(2);
    let text = sheet_of_layout(&course);
    let again =
        text.lines().nth(1).unwrap().replace("Jane Doe", "John Roe").replace("1 February", "9 February");
    fs::write(&course.sheet, format!("{text}{again}\n")).unwrap();
    let (zip, sheet) = (course.zip.to_str().unwrap(), course.sheet.to_str().unwrap());
    let said = "participant 1001: several rows of the worksheet have this number: row 2 (Jane Doe) and row 4 (John Roe).";
    let words = ["class", "list", zip, "--worksheet", sheet, "--rubric", "late.toml"];
    course.harness(&words).assert().stderr(contains(said)).stdout(contains("2 d").not());
    course.grade(&[]).success();
    let unknown = contains("the time of submission is not known, so these do not count as late: 1001.");
    course
        .collect(&["--worksheet", sheet, "--rubric", "late.toml"])
        .success()
        .stderr(contains(said).and(unknown).and(contains("no row for").not()));
    let filled = read(&course.path("results/collected/worksheet.csv"));
    assert_eq!(line(&filled, "1001"), line(&text, "1001"));
    assert!(
        filled.ends_with(&format!("{again}\n")) && !line(&filled, "1002").contains(",,2.00,"),
        "{filled}"
    );
}

#[test]
fn an_option_that_was_left_out_is_said() {
    let course = Course::new(4);
    course.grade(&[]).success();
    adjust(&course, &["1001,layout,-1"]);
    let sheet = course.sheet.to_str().unwrap();
    let late = ["--worksheet", sheet, "--scale", "--rubric", "late.toml"];
    course.collect(&[&late[..], &["--adjust", "adjust.csv"]].concat()).success();
    course
        .collect(&["--into", "new", "--rubric", "late.toml", "--worksheet", sheet])
        .success()
        .stderr(contains("give --adjust again").and(contains("[late]").not()));
    let both = contains("give --adjust again").and(contains("give --rubric with its [late] again"));
    course.collect(&[]).success().stderr(both);
    course.collect(&[]).success().stderr(contains("give --").not());
}
