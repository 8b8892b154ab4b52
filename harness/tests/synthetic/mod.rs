//! A class that nobody took: a zip and a worksheet as Moodle makes them, with everything
//! that goes wrong in one.
#![allow(dead_code, reason = "each test uses a part")]

pub mod course;

use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use zip::ZipWriter;
use zip::write::SimpleFileOptions;

/// The deadline that the times of submission are about.
pub const LATE: &str =
    "[late]\ndeadline = 2026-02-01T23:59:00+05:30\ngrace_minutes = 15\nper_day = 10\ncap = 50\n";

/// How a participant hands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A compressed tar.
    TarGz,
    /// A zip.
    Zip,
    /// Files and folders, not packed.
    Loose,
    /// A zip with its end missing.
    Broken,
    /// A tar with a name that leads out of it.
    Hostile,
    /// Two archives.
    Double,
    /// Text typed online, and no file.
    Online,
    /// Nothing: only the worksheet has a row.
    Missing,
}

impl Form {
    /// Whether a report comes of it.
    pub fn is_graded(self) -> bool {
        matches!(self, Self::TarGz | Self::Zip | Self::Loose)
    }
}

/// Somebody in the class.
#[derive(Clone, Debug)]
pub struct Participant {
    /// Moodle's number.
    pub number: u32,
    /// The full name.
    pub name: String,
    /// How they hand in.
    pub form: Form,
    /// Begun days after the deadline.
    pub late: u32,
    /// The folder with their work.
    pub work: PathBuf,
}

impl Participant {
    fn folder(&self) -> String {
        format!("{}_{}_assignsubmission_file", self.name, self.number)
    }

    fn time(&self) -> String {
        let weekdays = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
        let weekday = weekdays[self.late as usize % weekdays.len()];
        format!("{weekday}, {} February 2026, 11:00 PM", 1 + self.late)
    }
}

/// Names of many scripts, with what breaks naive programs.
const NAMES: [&str; 8] = [
    "Jane Doe",
    "Zoë O'Neil-Łoś",
    "王小明",
    "Группа 1-Иван Петров",
    "=SUM(A1)",
    "Ana María",
    "J. \"Jim\" Roe",
    "नेहा शर्मा",
];

/// The participant at a place of the class. All have the same folder name inside their archives.
pub fn participant(place: usize, form: Form, work: &Path) -> Participant {
    let name = NAMES[place % NAMES.len()].replace('"', "'");
    let late = if place % 5 == 3 { 2 } else { 0 };
    Participant { number: 1001 + place as u32, name, form, late, work: work.to_owned() }
}

/// Writes `submissions.zip` and `worksheet.csv` into a folder.
pub fn write(home: &Path, class: &[Participant]) -> (PathBuf, PathBuf) {
    let path = home.join("submissions.zip");
    let mut zip = ZipWriter::new(File::create(&path).unwrap());
    for participant in class {
        add(&mut zip, participant);
    }
    zip.finish().unwrap();
    let sheet = home.join("worksheet.csv");
    std::fs::write(&sheet, worksheet(class)).unwrap();
    (path, sheet)
}

fn worksheet(class: &[Participant]) -> String {
    let mut text = "\u{feff}Identifier,\"Full name\",\"Email address\",Status,Grade,\"Maximum Grade\",\"Grade can be \
                    changed\",\"Last modified (submission)\",\"Last modified (grade)\",\"Feedback comments\"\n"
        .to_owned();
    for one in class {
        let (status, time) = match one.form {
            Form::Missing => ("No submission", "-".to_owned()),
            _ => ("Submitted for grading", one.time()),
        };
        let (number, name) = (one.number, &one.name);
        let _ = writeln!(
            text,
            "\"Participant {number}\",\"{name}\",p{number}@example.org,\"{status}\",,100.00,Yes,\"{time}\",-,"
        );
    }
    text
}

fn add(zip: &mut ZipWriter<File>, participant: &Participant) {
    let folder = participant.folder();
    let mut put = |name: &str, bytes: &[u8]| {
        zip.start_file(format!("{folder}/{name}"), SimpleFileOptions::default()).unwrap();
        zip.write_all(bytes).unwrap();
    };
    match participant.form {
        Form::TarGz => {
            put("23m0001_assignment3.tar.gz", &tar_gz(&participant.work));
            put("readme.txt", b"see the archive");
        }
        Form::Zip => put("work.zip", &zipped(&participant.work)),
        Form::Loose => {
            for (name, bytes) in files(&participant.work) {
                put(&format!("23m0001_assignment3/{name}"), &bytes);
            }
        }
        Form::Broken => {
            let whole = zipped(&participant.work);
            put("work.zip", &whole[..whole.len() / 2]);
        }
        Form::Hostile => put("evil.tar", &traversal()),
        Form::Double => {
            put("first.tar.gz", &tar_gz(&participant.work));
            put("second.zip", &zipped(&participant.work));
        }
        Form::Online => {
            let name = format!(
                "{}_{}_assignsubmission_onlinetext/onlinetext.html",
                participant.name, participant.number
            );
            zip.start_file(name, SimpleFileOptions::default()).unwrap();
            zip.write_all(b"<p>I have no file</p>").unwrap();
        }
        Form::Missing => {}
    }
}

/// All regular files below a folder, with their paths in it.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut all: Vec<_> = walkdir::WalkDir::new(folder)
        .sort_by_file_name()
        .into_iter()
        .map(Result::unwrap)
        .filter(|entry| entry.file_type().is_file())
        .map(|entry| {
            let name = entry.path().strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
            (name, std::fs::read(entry.path()).unwrap())
        })
        .collect();
    all.sort();
    all
}

fn tar_gz(work: &Path) -> Vec<u8> {
    let gz = flate2::write::GzEncoder::new(vec![], flate2::Compression::fast());
    let mut builder = tar::Builder::new(gz);
    builder.follow_symlinks(false);
    builder.append_dir_all("23m0001_assignment3", work).unwrap();
    builder.into_inner().unwrap().finish().unwrap()
}

fn zipped(work: &Path) -> Vec<u8> {
    let mut zip = ZipWriter::new(std::io::Cursor::new(vec![]));
    for (name, bytes) in files(work) {
        zip.start_file(format!("23m0001_assignment3/{name}"), SimpleFileOptions::default()).unwrap();
        zip.write_all(&bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn traversal() -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.set_size(3);
    header.set_mode(0o644);
    // The builder refuses such a name, so it is written past it.
    let name = b"../../task1/evil";
    header.as_old_mut().name[..name.len()].copy_from_slice(name);
    header.set_cksum();
    let mut builder = tar::Builder::new(vec![]);
    builder.append(&header, &b"int"[..]).unwrap();
    builder.into_inner().unwrap()
}
