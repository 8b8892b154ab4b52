//! The folder with the results of a class. Several processes may write it at once, also over
//! NFS: every file appears by a rename, and who grades a submission has claimed it by a file
//! that only one can create.
//!
//! ```text
//! class.json          who handed in what
//! submissions/<id>/   what was unpacked or cloned
//! runs/<id>/          outcome.json, log.txt with what the grade printed, and report/ while it runs
//! reports/<id>/       report.json, evidence/ and the rest
//! ```
//!
//! A report stays until the next one of its submission is complete, and then gives way by a rename.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use vm::FileError;

use super::entry::Kind;
pub use super::outcome::{Attempt, Outcome, State};
use super::roster::SCHEMA;
pub use super::roster::{Member, Roster};
use crate::bundle::write_atomically;
use crate::submission::Beneath;
use crate::verdict::Report;

/// The schema of reports.
const REPORT: &str = "harness-report/1";

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
    /// Nothing was graded yet.
    #[error("no class was graded into {path}: run `harness class grade IN --into {path}` first", path = path.display())]
    NoClass {
        /// The folder.
        path: PathBuf,
    },
    /// The folder has another kind of class.
    #[error(
        "{} has a class from {there}, and {source_path} is from {here}: name another folder with --into",
        path.display()
    )]
    OtherKind {
        /// The folder.
        path: PathBuf,
        /// What is there.
        there: Kind,
        /// What was to be added.
        source_path: String,
        /// Its kind.
        here: Kind,
    },
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

    /// Where the next report of a submission is made.
    pub fn next_report(&self, id: &str) -> PathBuf {
        self.run(id).join("report")
    }

    /// Puts the next report in the place of the one that is there.
    ///
    /// # Errors
    /// When it cannot be moved.
    pub fn replace_report(&self, id: &str) -> Result<(), Error> {
        let (report, before) = (self.report(id), self.earlier_report(id));
        let failed = || FileError::at("replace the report", &report);
        remove_folder(&before)?;
        fs::create_dir_all(self.0.join("reports")).map_err(failed())?;
        match fs::rename(&report, &before) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed()(error).into()),
            _ => {}
        }
        if let Err(error) = fs::rename(self.next_report(id), &report) {
            let _ = fs::rename(&before, &report);
            return Err(failed()(error).into());
        }
        remove_folder(&before)
    }

    /// Puts back a report that a killed process had moved away to replace it.
    ///
    /// # Errors
    /// When it cannot be moved.
    pub fn restore_report(&self, id: &str) -> Result<(), Error> {
        let (report, before) = (self.report(id), self.earlier_report(id));
        if before.is_dir() && !report.exists() {
            fs::rename(&before, &report).map_err(FileError::at("put back the report", &report))?;
        }
        Ok(())
    }

    fn earlier_report(&self, id: &str) -> PathBuf {
        self.run(id).join("earlier-report")
    }

    /// Writes `class.json`, and returns the ids of those who are in it from an earlier export only.
    /// Every process that grades a part of the class writes the same.
    ///
    /// # Errors
    /// When it cannot be written, or the folder has another kind of class.
    pub fn write_roster(&self, mut roster: Roster) -> Result<Vec<String>, Error> {
        let mut kept = vec![];
        match self.roster() {
            Ok(there) if there.kind != roster.kind => {
                return Err(Error::OtherKind {
                    path: self.0.clone(),
                    there: there.kind,
                    source_path: roster.source,
                    here: roster.kind,
                });
            }
            Ok(there) => kept = roster.keep(there),
            Err(Error::NoClass { .. }) => {}
            Err(error) => return Err(error),
        }
        write_json(&self.0.join("class.json"), &roster)?;
        Ok(kept)
    }

    /// Reads `class.json`.
    ///
    /// # Errors
    /// When there is none, or it is not ours.
    pub fn roster(&self) -> Result<Roster, Error> {
        let path = self.0.join("class.json");
        let none = || Error::NoClass { path: self.0.clone() };
        let roster: Roster = self.read("class.json")?.ok_or_else(none)?;
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
        read_report(&self.report(id))
    }

    /// The report that a grade has just made; `None` where there is none.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn read_next_report(&self, id: &str) -> Result<Option<Report>, Error> {
        read_report(&self.next_report(id))
    }

    fn read<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, Error> {
        read_json(&self.0, name)
    }
}

/// Reads the `report.json` of a folder; `None` where there is none. Another schema is an error.
///
/// # Errors
/// When it cannot be read, or is something else.
pub fn read_report(folder: &Path) -> Result<Option<Report>, Error> {
    let report: Option<Report> = read_json(folder, "report.json")?;
    match report {
        Some(report) if report.schema != REPORT => Err(Error::Malformed {
            path: folder.join("report.json"),
            why: format!("its schema is {:?}, not {REPORT:?}", report.schema),
        }),
        report => Ok(report),
    }
}

/// Removes a folder, if there is one.
fn remove_folder(path: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(FileError::at("remove", path)(error).into())
        }
        _ => Ok(()),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_gives_way_only_to_one_that_is_complete_and_comes_back_after_a_kill() {
        let home = tempfile::tempdir().unwrap();
        let results = Results::at(home.path());
        let put = |folder: PathBuf, text: &str| {
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("x"), text).unwrap();
        };
        let there = || fs::read_to_string(results.report("1").join("x")).unwrap();
        put(results.report("1"), "old");
        fs::create_dir_all(results.run("1")).unwrap();
        assert!(results.replace_report("1").is_err());
        assert_eq!(there(), "old");
        fs::rename(results.report("1"), results.earlier_report("1")).unwrap();
        results.restore_report("1").unwrap();
        assert_eq!(there(), "old");
        put(results.next_report("1"), "new");
        results.replace_report("1").unwrap();
        assert_eq!(there(), "new");
        assert_eq!(fs::read_dir(results.run("1")).unwrap().count(), 0);
    }

    #[test]
    fn a_report_of_another_schema_is_none_of_ours() {
        let home = tempfile::tempdir().unwrap();
        let report = Report { schema: "harness-report/0".to_owned(), ..Report::default() };
        fs::write(home.path().join("report.json"), serde_json::to_vec(&report).unwrap()).unwrap();
        let error = read_report(home.path()).unwrap_err().to_string();
        assert!(error.contains("harness-report/0"), "{error}");
    }
}
