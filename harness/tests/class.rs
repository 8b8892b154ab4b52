//! A class from Moodle's zip to its worksheet. Only the layout is graded, without a machine.
#![allow(clippy::unwrap_used)]

mod synthetic;

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use predicates::prelude::*;
use predicates::str::contains;
use serde_json::Value;
use synthetic::course::{Course, FORMS, read};
use synthetic::participant;

#[test]
fn a_list_has_a_line_for_everybody_and_says_what_is_wrong_and_how_late() {
    let course = Course::new(10);
    let (zip, sheet) = (course.zip.to_str().unwrap(), course.sheet.to_str().unwrap());
    let listed = course
        .harness(&["class", "list", zip, "--rubric", "late.toml", "--worksheet", sheet])
        .assert()
        .code(1)
        .stderr(contains("9 submissions, 4 of them cannot be graded"));
    let text = String::from_utf8(listed.get_output().stdout.clone()).unwrap();
    let line =
        |id: &str| text.lines().find(|line| line.starts_with(id)).unwrap_or_else(|| panic!("{id}: {text}"));
    assert!(line("1001").contains("tar.gz") && line("1001").contains("readme.txt"), "{text}");
    assert!(line("1002").contains("zip") && line("1002").contains("Łoś"), "{text}");
    assert!(line("1003").contains("directory"), "{text}");
    assert!(line("1004").contains("1 d 23 h"), "{text}");
    assert!(line("1005").contains("PROBLEM") && line("1005").contains("damaged"), "{text}");
    assert!(line("1006").contains("lead out"), "{text}");
    assert!(line("1007").contains("several archives") && line("1007").contains("second.zip"), "{text}");
    assert!(
        line("1008").contains("no file was handed in") && line("1008").contains("typed online"),
        "{text}"
    );
    assert_eq!(text.lines().count(), 9, "{text}");
}

#[test]
fn each_submission_has_its_own_report_though_all_have_the_same_folder_inside() {
    let course = Course::new(10);
    course
        .grade(&[])
        .code(1)
        .stdout(contains("9 submissions: 5 graded, 0 had their report").and(contains("1007")));
    for id in course.graded() {
        let report: Value =
            serde_json::from_str(&read(&course.path(&format!("results/reports/{id}/report.json")))).unwrap();
        assert_eq!(report["submission"]["id"], id);
        assert_eq!(report["marked"]["rubric"].as_str().unwrap().len(), 64);
    }
    // The second time costs nothing; another option grades again; another rubric only marks again.
    let started = |id: &str| {
        fs::metadata(course.path(&format!("results/runs/{id}/log.txt"))).unwrap().modified().unwrap()
    };
    let before = started("1001");
    course.grade(&[]).code(1).stdout(contains("0 graded, 5 had their report"));
    fs::write(course.path("more.toml"), "[layout]\nfiles = 7\n").unwrap();
    course
        .grade(&["--rubric", "more.toml"])
        .code(1)
        .stdout(contains("0 graded, 0 had their report, 5 marked again"));
    assert_eq!(before, started("1001"));
    course.grade(&["--seed", "7"]).code(1).stdout(contains("5 graded"));
    assert!(started("1001") > before);
}

#[test]
fn parts_of_a_class_are_graded_by_processes_of_their_own_and_nothing_is_lost_or_done_twice() {
    let course = Course::new(30);
    let counts = std::thread::scope(|scope| {
        let parts = ["1/3", "2/3", "3/3", "2/3"];
        let runs =
            parts.map(|part| scope.spawn(|| course.grade(&["--take", part, "--jobs", "2", "--quiet"])));
        runs.map(|run| {
            let text = String::from_utf8(run.join().unwrap().get_output().stdout.clone()).unwrap();
            let (_, rest) = text.split_once(": ").unwrap();
            rest.split_once(" graded").unwrap().0.parse::<usize>().unwrap()
        })
    });
    assert_eq!(counts.iter().sum::<usize>(), course.graded().len(), "{counts:?}");
    course.grade(&[]).code(1).stdout(contains("0 graded, 15 had their report"));
}

/// When each outcome that says `graded` was written: one that is written twice was graded twice.
fn graded_at(results: &Path) -> BTreeMap<PathBuf, std::time::SystemTime> {
    let Ok(runs) = fs::read_dir(results.join("runs")) else { return BTreeMap::new() };
    let outcomes = runs.map(|run| run.unwrap().path().join("outcome.json"));
    outcomes
        .filter(|path| fs::read_to_string(path).is_ok_and(|text| text.contains("\"state\": \"graded\"")))
        .map(|path| (path.clone(), fs::metadata(&path).unwrap().modified().unwrap()))
        .collect()
}

#[test]
fn two_processes_on_one_folder_that_are_killed_lose_nothing_and_grade_nothing_twice() {
    let course = Course::new(40);
    let start = |part: &str| {
        std::process::Command::new(assert_cmd::cargo::cargo_bin!("harness"))
            .args(["class", "grade", "submissions.zip", "--into", "results", "--only", "layout", "--quiet"])
            .args(["--take", part])
            .env("HARNESS_CACHE", course.path("cache"))
            .current_dir(course.home.path())
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap()
    };
    let results = course.path("results");
    let mut before: BTreeMap<PathBuf, _> = BTreeMap::new();
    for milliseconds in [30, 410, 120, 250, 60, 330, 90, 510, 170, 200] {
        let mut children = ["1/2", "2/2"].map(start);
        std::thread::sleep(std::time::Duration::from_millis(milliseconds));
        for child in &mut children {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        let now = graded_at(&results);
        for (path, at) in &before {
            assert_eq!(now.get(path), Some(at), "{}", path.display());
        }
        before = now;
    }
    for part in ["1/2", "2/2"] {
        course
            .grade(&["--take", part])
            .code(1)
            .stdout(contains("0 failed by the infrastructure").and(contains("0 graded elsewhere")));
    }
    course.grade(&[]).code(1).stdout(contains("0 graded, 20 had their report"));
    course.collect(&[]).code(1);
    assert_eq!(course.table().values().filter(|row| !row["score"].is_empty()).count(), 20);
}

#[test]
fn the_worksheet_and_the_feedback_zip_go_back_to_moodle() {
    let course = Course::new(10);
    course.grade(&[]).code(1);
    let sheet = course.sheet.to_str().unwrap();
    course.collect(&["--worksheet", sheet]).code(1).stderr(contains("use --scale"));
    course.collect(&["--worksheet", sheet, "--scale", "--rubric", "late.toml"]).code(1).stderr(
        contains("stay as they are: 1005, 1006, 1007, 1008, 1009").and(contains("1007: cannot be graded")),
    );

    let (before, after) = (read(&course.sheet), read(&course.path("results/collected/worksheet.csv")));
    let (before, after): (Vec<_>, Vec<_>) = (before.lines().collect(), after.lines().collect());
    assert_eq!(before.len(), after.len());
    for (place, one) in course.class.iter().enumerate() {
        let (old, new) = (before[place + 1], after[place + 1]);
        if one.form.is_graded() {
            let (start, end) = old.split_once(",,100.00,").unwrap();
            assert!(new.starts_with(start), "{new}");
            assert!(new.contains(&format!(",100.00,{end}\"<div class=\"\"harness\"\"><p>")), "{new}");
        } else {
            assert_eq!(old, new);
        }
    }
    let table = course.table();
    assert_eq!(table["1004"]["late_days"], "2");
    assert_eq!(table["1001"]["late_days"], "");
    assert!(table["1005"]["score"].is_empty() && table["1005"]["problem"].contains("damaged"));
    assert!(!table["1005"]["problem"].contains("results/"), "{}", table["1005"]["problem"]);
    assert_eq!(table["1001"]["name"], "Jane Doe");

    assert!(course.path("results/collected/reports/1001/results.json").is_file());

    let feedback = fs::File::open(course.path("results/collected/feedback.zip"));
    let mut zip = zip::ZipArchive::new(feedback.unwrap()).unwrap();
    let names: Vec<_> = zip.file_names().map(|name| name.unwrap().into_owned()).collect();
    assert_eq!(names.len(), 5, "{names:?}");
    assert!(names.contains(&"王小明_1003_assignsubmission_file/feedback.html".to_owned()), "{names:?}");
    let mut page = String::new();
    zip.by_name(&names[0]).unwrap().read_to_string(&mut page).unwrap();
    for other in ["1002", "Zoë", "reports/"] {
        assert!(!page.contains(other), "{other}: {page}");
    }
}

#[test]
fn what_has_no_final_mark_or_no_row_in_the_worksheet_gets_none_and_is_named() {
    let course = Course::new(10);
    course.grade(&[]).code(1);
    let outcome = course.path("results/runs/1001/outcome.json");
    fs::write(&outcome, read(&outcome).replace("\"graded\"", "\"failed\"")).unwrap();
    course.collect(&[]).code(1);
    assert_eq!((&*course.table()["1001"]["score"], &*course.table()["1001"]["max"]), ("", "2"));
    assert!(read(&course.path("results/collected/class.html")).contains("not final"));
    let report = |id: &str, name: &str| course.path("results/collected/reports").join(id).join(name);
    assert!(report("1001", "report.json").is_file() && !report("1001", "results.json").exists());
    assert!(report("1002", "results.json").is_file());

    let sheet = course.sheet.to_str().unwrap();
    fs::create_dir(course.path("plain")).unwrap();
    let listed = course.harness(&["class", "list", "plain", "--worksheet", sheet]).assert();
    listed.code(2).stderr(contains("not read from Moodle's export"));
    let roster = course.path("results/class.json");
    fs::write(&roster, read(&roster).replace("\"moodle\"", "\"folder\"")).unwrap();
    course.collect(&["--worksheet", sheet]).code(2).stderr(contains("not read from Moodle's export"));
}

#[test]
fn what_is_collected_is_the_same_each_time_and_other_files_are_left_alone() {
    let course = Course::new(10);
    course.grade(&[]).code(1);
    let bytes = || -> Vec<Vec<u8>> {
        ["class.csv", "class.html", "feedback.zip", "reports/1001/report.json"]
            .map(|name| fs::read(course.path("results/collected").join(name)).unwrap())
            .to_vec()
    };
    course.collect(&[]).code(1).stderr(contains("4 of 9 submissions have no final mark"));
    let first = bytes();
    course.collect(&[]).code(1);
    assert!(first == bytes());
    assert!(!course.path("results/collected/.unfinished").exists());
    fs::create_dir(course.path("mine")).unwrap();
    fs::write(course.path("mine/thesis.tex"), "all of it").unwrap();
    course.collect(&["--into", "mine"]).code(2).stderr(contains("has other files in it"));
    assert_eq!(fs::read_dir(course.path("mine")).unwrap().count(), 1);
}

#[test]
fn an_appeal_survives_marking_again_and_a_difference_says_why() {
    let course = Course::new(2);
    course.grade(&[]).success();
    course.collect(&["--into", "old"]).success();
    fs::write(
        course.path("adjust.csv"),
        "id,check,delta,reason,who,when\n1002,layout/git,-5,\"copied, as shown\",Ann,2026-02-03\n",
    )
    .unwrap();
    fs::write(course.path("new.toml"), "[layout]\nfiles = 3\ngit = 1\n").unwrap();
    course.collect(&["--into", "new", "--rubric", "new.toml", "--adjust", "adjust.csv"]).success();
    let report: Value = serde_json::from_str(&read(&course.path("new/reports/1002/report.json"))).unwrap();
    assert_eq!(report["adjustments"][0]["reason"], "copied, as shown");
    course.harness(&["class", "diff", "old", "new"]).assert().code(1).stdout(
        contains("2 of 2 submissions differ")
            .and(contains("the maximum: 2 → 4.5"))
            .and(contains("layout/files"))
            .and(contains("copied, as shown (Ann, 2026-02-03)")),
    );
    course.harness(&["class", "diff", "old", "old"]).assert().success().stdout(contains("0 of 2"));
}

#[test]
fn nothing_that_leaves_without_names_says_whose_it_is() {
    let course = Course::new(10);
    course.grade(&[]).code(1);
    fs::write(course.path("key"), [7; 32]).unwrap();
    let appeal =
        "id,check,delta,reason,who,when\n1001,layout,500,seen,Ann,2026-02-03\n1005,1,5,seen,Ann,2026-02-03\n";
    fs::write(course.path("adjust.csv"), appeal).unwrap();
    let sheet = course.sheet.to_str().unwrap();
    let words = ["--anonymous", "key", "--into", "anonymous", "--rubric", "late.toml", "--worksheet", sheet];
    let remarks = contains("of the adjustment of layout by 500").and(contains("is not applied"));
    let remarks = remarks.and(contains("1001").not()).and(contains("1005").not());
    course.collect(&[&words[..], &["--adjust", "adjust.csv"]].concat()).code(1).stderr(remarks);
    let late = read(&course.path("anonymous/class.csv"));
    let days = late.lines().next().unwrap().split(',').position(|header| header == "late_days").unwrap();
    assert!(late.lines().any(|line| line.split(',').nth(days) == Some("2")), "{late}");
    assert!(!course.path("anonymous/worksheet.csv").exists());
    let mut files = 0;
    for entry in walkdir::WalkDir::new(course.path("anonymous")) {
        let entry = entry.unwrap();
        let path = entry.path().to_str().unwrap().to_owned();
        let text = if entry.file_type().is_file() { read(entry.path()) } else { String::new() };
        for word in ["1001", "1005", "23m0001", "Jane", "Łoś", "submissions.zip"] {
            assert!(
                !text.contains(word) && !path.rsplit('/').next().unwrap().contains(word),
                "{word} in {path}"
            );
        }
        files += 1;
    }
    assert!(files > 20);
}

#[test]
fn what_students_see_can_be_less_than_everything() {
    let course = Course::new(2);
    course.grade(&[]).success();
    for (detail, seen) in [("full", true), ("seen", true), ("verdict", false)] {
        course.collect(&["--detail", detail]).success();
        let report: Value =
            serde_json::from_str(&read(&course.path("results/collected/reports/1001/report.json"))).unwrap();
        let check = &report["subtasks"][0]["checks"][1];
        assert_eq!(check["actual"] != "", seen, "{detail}: {check}");
        assert!(check["status"].is_string());
    }
}

#[test]
fn a_wrong_option_is_said_before_anything_is_touched() {
    let course = Course::new(2);
    course.grade(&[]).success();
    course.grade(&["--starter", "nowhere"]).code(2).stderr(contains("--starter: ").and(contains("nowhere")));
    // The same subtasks in other words are the same options.
    let zip = course.zip.to_str().unwrap();
    let words = ["class", "grade", zip, "--into", "results", "--only", "layout, layout"];
    course.harness(&words).assert().success().stdout(contains("0 graded, 2 had their report"));

    let similar =
        |more: &[&str]| course.harness(&["class", "similarity", zip, "--into", "own"]).args(more).assert();
    similar(&[]).success();
    similar(&["--starter", "nowhere"]).code(2);
    assert!(course.path("own/1001/namespace_prog.c").is_file());
    course.harness(&["class", "collect", "nowhere"]).assert().code(2).stderr(
        contains("no class was graded into nowhere").and(contains("harness class grade IN --into nowhere")),
    );
}

#[test]
fn a_grade_that_fails_leaves_the_report_and_a_damaged_report_is_made_again() {
    let course = Course::new(2);
    course.grade(&[]).success();
    // Nothing can be started for 1001: its log cannot be written.
    let log = course.path("results/runs/1001/log.txt");
    fs::remove_file(&log).unwrap();
    fs::create_dir(&log).unwrap();
    course
        .grade(&["--seed", "7"])
        .code(3)
        .stdout(contains("1 graded").and(contains("1001: the infrastructure failed: cannot start")));
    course.collect(&[]).success().stderr(contains("1001: the mark is from the earlier report"));
    assert!(!course.table()["1001"]["score"].is_empty());
    fs::remove_dir(&log).unwrap();
    course.grade(&[]).success().stdout(contains("1 graded, 1 had their report"));

    fs::write(course.path("results/reports/1002/report.json"), "{").unwrap();
    course.collect(&[]).code(1).stderr(contains("1002: ").and(contains("run `harness class grade` again")));
    course.grade(&[]).success().stdout(contains("1 graded, 1 had their report"));
    course.collect(&[]).success();
}

#[test]
fn no_mark_of_an_earlier_submission_passes_for_one_of_a_later() {
    let mut course = Course::new(10);
    course.grade(&[]).code(1);
    fs::create_dir_all(course.path("better/task1")).unwrap();
    fs::write(course.path("better/task1/namespace_prog.c"), "int better;\n").unwrap();
    let again = |place: usize| participant(place, FORMS[place], &course.path("better"));
    // A later export names three of them: one as before, two with other files.
    let later = vec![course.class[0].clone(), again(1), again(2)];
    synthetic::write(course.home.path(), &later);
    course.class = later;
    course.grade(&["--take", "2/3"]).success().stdout(contains("1 graded")).stderr(contains(
        "6 submissions of earlier exports stay in results: 1004, 1005, 1006, 1007, 1008, …",
    ));
    course
        .collect(&[])
        .code(1)
        .stderr(contains("1003: the report is of an earlier submission: not graded yet"));
    let table = course.table();
    assert_eq!(table.len(), 9);
    let marked: Vec<_> =
        table.values().filter(|row| !row["score"].is_empty()).map(|row| &row["id"]).collect();
    assert_eq!(marked, ["1001", "1002", "1004", "1010"], "{table:?}");
    course.grade(&[]).success().stdout(contains("1 graded, 2 had their report"));
}

#[test]
fn what_belongs_to_nobody_is_said_by_every_command() {
    let course = Course::new(1);
    let folder = course.path("in/Bo_12_assignsubmission_file/task1");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("namespace_prog.c"), "int own;\n").unwrap();
    fs::write(course.path("in/notes.txt"), "mine").unwrap();
    for words in [
        &["class", "grade", "in", "--into", "results", "--only", "layout"][..],
        &["class", "collect", "results"],
        &["class", "similarity", "in", "--into", "own"],
    ] {
        course.harness(words).assert().success().stderr(contains("left aside: notes.txt"));
    }
}

#[test]
fn ctrl_c_says_how_to_go_on() {
    use nix::sys::signal::{Signal, kill};
    let course = Course::new(40);
    let child = std::process::Command::new(assert_cmd::cargo::cargo_bin!("harness"))
        .args(["class", "grade", "submissions.zip", "--into", "results", "--only", "layout"])
        .env("HARNESS_CACHE", course.path("cache"))
        .current_dir(course.home.path())
        .stderr(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    // The handler is there before the first file is written.
    while !course.path("results/class.json").is_file() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    kill(nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGINT).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("start the same command again to continue"), "{said}");
}
