//! The folder with the results of a class. Several processes may write it at once, also over
//! NFS: every file appears by a rename, and who grades a submission has claimed it by a file
//! that only one can create.
//!
//! ```text
//! class.json          who handed in what
//! submissions/<id>/   what was unpacked or cloned
//! runs/<id>/          outcome.json, and log.txt with what the grade printed
//! reports/<id>/       report.json, evidence/ and the rest
//! ```

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use vm::FileError;

use super::entry::{Class, Kind, Person};
use crate::bundle::write_atomically;
use crate::submission::Beneath;
use crate::verdict::Report;

const SCHEMA: &str = "harness-class/1";

/// The largest file of ours that is read back.
const MOST_BYTES: u64 = 64 << 20;

/// Why the folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file is not ours.
    #[error("{} was not written by `harness class grade`: {why}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// A file cannot be written.
    #[error(transparent)]
    Write(#[from] crate::bundle::Error),
}

/// `class.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Roster {
    schema: String,
    /// Where the class came from.
    pub kind: Kind,
    /// The folder, zip or table.
    pub source: String,
    /// Everybody, in the order of ids.
    pub entries: Vec<Member>,
}

/// An entry as the results folder keeps it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Member {
    /// Its id.
    pub id: String,
    /// Who gets the mark.
    pub people: Vec<Person>,
    /// When it was handed in, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub submitted: Option<String>,
    /// The first part of its path in Moodle's zip.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder: Option<String>,
    /// Why it could not be graded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
}

/// How the grade of one submission ended: `outcome.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// What came of it.
    pub state: State,
    /// The submission's digest.
    pub sha256: String,
    /// The digest of everything that the report depends on: submission, machine,
    /// harness and options.
    pub key: String,
    /// The digest of the rubric that it was marked with.
    pub rubric: String,
    /// How often it was tried.
    pub tries: u8,
    /// How long all tries took together.
    pub seconds: f64,
    /// What was wrong, where something was.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// What came of a grade.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// There is a report, with a verdict on every check.
    Graded,
    /// The submission cannot be read.
    Unreadable,
    /// Our side failed, twice.
    Failed,
}

/// The folder.
#[derive(Clone, Debug)]
pub struct Results(PathBuf);

impl Results {
    /// The folder at a path. Nothing is made or read yet.
    pub fn at(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Where a submission is unpacked to.
    pub fn submission(&self, id: &str) -> PathBuf {
        self.0.join("submissions").join(id)
    }

    /// Where it is noted how a submission's grade went.
    pub fn run(&self, id: &str) -> PathBuf {
        self.0.join("runs").join(id)
    }

    /// Where a submission's report is.
    pub fn report(&self, id: &str) -> PathBuf {
        self.0.join("reports").join(id)
    }

    /// Writes `class.json`. Every process that grades a part of the class writes the same.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_roster(&self, class: &Class) -> Result<(), Error> {
        let text = |at: OffsetDateTime| at.format(&Rfc3339).ok();
        let member = |entry: &super::Entry| Member {
            id: entry.id.clone(),
            people: entry.people.clone(),
            submitted: entry.submitted.and_then(text),
            folder: entry.folder.clone(),
            problems: entry.problems.clone(),
        };
        let roster = Roster {
            schema: SCHEMA.to_owned(),
            kind: class.kind,
            source: class.path.display().to_string(),
            entries: class.entries.iter().map(member).collect(),
        };
        write_json(&self.0.join("class.json"), &roster)
    }

    /// Reads `class.json`.
    ///
    /// # Errors
    /// When there is none, or it is not ours.
    pub fn roster(&self) -> Result<Roster, Error> {
        let path = self.0.join("class.json");
        let roster: Roster = self
            .read("class.json")?
            .ok_or_else(|| FileError::at("read", &path)(io::ErrorKind::NotFound.into()))?;
        let is_known = roster.schema == SCHEMA
            && roster.entries.iter().all(|member| crate::submission::id::given(&member.id).is_some());
        if is_known {
            Ok(roster)
        } else {
            Err(Error::Malformed { path, why: format!("its schema is not {SCHEMA}, or an id in it is none") })
        }
    }

    /// How a submission's grade ended; `None` where it did not yet.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn outcome(&self, id: &str) -> Result<Option<Outcome>, Error> {
        self.read(&format!("runs/{id}/outcome.json"))
    }

    /// Writes down how a submission's grade ended.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_outcome(&self, id: &str, outcome: &Outcome) -> Result<(), Error> {
        write_json(&self.run(id).join("outcome.json"), outcome)
    }

    /// Forgets how a submission's grade ended, for one that begins.
    ///
    /// # Errors
    /// When the file cannot be removed.
    pub fn forget_outcome(&self, id: &str) -> Result<(), Error> {
        let path = self.run(id).join("outcome.json");
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(FileError::at("remove", path)(error).into())
            }
            _ => Ok(()),
        }
    }

    /// A submission's report; `None` where there is none.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn read_report(&self, id: &str) -> Result<Option<Report>, Error> {
        self.read(&format!("reports/{id}/report.json"))
    }

    fn read<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, Error> {
        read_json(&self.0, name)
    }
}

/// Reads a JSON file of a folder; `None` where there is none. Links and pipes in
/// its place are errors.
///
/// # Errors
/// When it cannot be read, or is something else.
pub fn read_json<T: DeserializeOwned>(folder: &Path, name: &str) -> Result<Option<T>, Error> {
    let path = folder.join(name);
    let text = match Beneath::open(folder).and_then(|top| top.read(Path::new(name), MOST_BYTES)) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(FileError::at("read", path)(error).into()),
    };
    serde_json::from_slice(&text).map(Some).map_err(|error| Error::Malformed { path, why: error.to_string() })
}

fn write_json(path: &Path, value: &impl Serialize) -> Result<(), Error> {
    write_atomically(path, |out| {
        serde_json::to_writer_pretty(&mut *out, value)?;
        out.write_all(b"\n")
    })?;
    Ok(())
}
