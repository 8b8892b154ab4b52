//! A class in a folder of its own, and the commands that staff give. Only the layout is graded, so
//! no machine is needed.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use tempfile::TempDir;

use super::{Form, Participant};

/// How each ten of the class hand in.
pub const FORMS: [Form; 10] = [
    Form::TarGz,
    Form::Zip,
    Form::Loose,
    Form::TarGz,
    Form::Broken,
    Form::Hostile,
    Form::Double,
    Form::Online,
    Form::Missing,
    Form::Zip,
];

/// A class from Moodle, and the folder for its results.
pub struct Course {
    /// The folder that every command starts in.
    pub home: TempDir,
    /// Moodle's zip.
    pub zip: PathBuf,
    /// Moodle's worksheet.
    pub sheet: PathBuf,
    /// Everybody.
    pub class: Vec<Participant>,
}

impl Course {
    /// A class of some participants.
    pub fn new(number: usize) -> Self {
        let home = TempDir::new().unwrap();
        let work = home.path().join("work");
        for file in ["task1/namespace_prog.c", "task2/simple_container.sh"] {
            let path = work.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "int own;\n").unwrap();
        }
        let class: Vec<_> =
            (0..number).map(|place| super::participant(place, FORMS[place % FORMS.len()], &work)).collect();
        let (zip, sheet) = super::write(home.path(), &class);
        fs::write(home.path().join("late.toml"), super::LATE).unwrap();
        Self { home, zip, sheet, class }
    }

    /// A command of the harness.
    pub fn harness(&self, words: &[&str]) -> Command {
        let mut command = Command::cargo_bin("harness").unwrap();
        command
            .env("HARNESS_CACHE", self.home.path().join("cache"))
            .current_dir(self.home.path())
            .args(words);
        command
    }

    /// Grades the layout.
    pub fn grade(&self, more: &[&str]) -> assert_cmd::assert::Assert {
        let zip = self.zip.to_str().unwrap();
        let mut command = self.harness(&["class", "grade", zip, "--into", "results", "--only", "layout"]);
        command.args(more).assert()
    }

    /// Collects the results.
    pub fn collect(&self, more: &[&str]) -> assert_cmd::assert::Assert {
        self.harness(&["class", "collect", "results"]).args(more).assert()
    }

    /// A path in the class's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// The ids of those whose work can be graded.
    pub fn graded(&self) -> Vec<String> {
        self.class.iter().filter(|one| one.form.is_graded()).map(|one| one.number.to_string()).collect()
    }

    /// The rows of `class.csv`, by id.
    pub fn table(&self) -> BTreeMap<String, BTreeMap<String, String>> {
        let mut reader = csv::Reader::from_path(self.path("results/collected/class.csv")).unwrap();
        let rows = reader.deserialize::<BTreeMap<String, String>>().map(Result::unwrap);
        rows.map(|row| (row["id"].clone(), row)).collect()
    }
}

/// The text of a file.
pub fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
