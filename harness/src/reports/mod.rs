//! Chooses the folder of a run's report: `reports/<id>/<n>`, or the folder that `--report` names.
//!
//! Without `--report`, each run gets a new numbered folder, and `latest` links to the newest one
//! with a report. With `--report`, a report of another submission in that folder is replaced only
//! with `--force`.

mod claim;
pub mod unfinished;

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use vm::FileError;

use self::unfinished::Asked;
use crate::submission::Beneath;
use crate::verdict::SubmissionInfo;
use crate::{bundle, report};

pub use claim::{Claim, Run, wait_until_free};

/// The parent of all report folders without `--report`.
pub const TOP: &str = "reports";

/// The link to the newest report.
const LATEST: &str = "latest";

/// Why a report cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The folder contains a report of another submission.
    #[error(
        "{} contains the report of another submission, {id} from {source_path:?}; \
         choose another folder, or replace that report with --force",
        directory.display()
    )]
    Another {
        /// The folder.
        directory: PathBuf,
        /// The other submission's id.
        id: String,
        /// The other submission's path.
        source_path: String,
    },
    /// The folder cannot be claimed.
    #[error(transparent)]
    Claim(#[from] claim::Error),
    /// The old report cannot be removed, or the new one cannot be written.
    #[error(transparent)]
    Bundle(#[from] bundle::Error),
    /// The folder or the link `latest` cannot be created.
    #[error(transparent)]
    File(#[from] FileError),
}

impl Error {
    /// Whether the command-line arguments are at fault, and not the machine.
    pub fn is_of_the_arguments(&self) -> bool {
        matches!(self, Self::Another { .. })
    }
}

/// The report folder of this run. No other run can write to it until this value is dropped.
#[derive(Debug)]
pub struct Place {
    directory: PathBuf,
    /// The parent of a numbered folder; `None` for a folder that `--report` names.
    series: Option<PathBuf>,
    _claim: Claim,
}

impl Place {
    /// Claims the folder `report`, or creates and claims a new numbered folder for the submission.
    ///
    /// # Errors
    /// - The folder contains the report of another submission, and `force` is false.
    /// - Another run has the folder.
    /// - The folder cannot be created.
    pub fn claim(report: Option<&Path>, submission: &SubmissionInfo, force: bool) -> Result<Self, Error> {
        match report {
            Some(directory) => Self::named(directory, submission, force),
            None => Self::numbered(&Path::new(TOP).join(&submission.id)),
        }
    }

    /// Claims the newest folder with an unfinished run that `fits`; `None` where there is none.
    /// Folders that another run has are passed over.
    ///
    /// # Errors
    /// If the folders cannot be listed.
    pub fn resume(
        report: Option<&Path>,
        submission: &SubmissionInfo,
        fits: impl Fn(&Asked) -> bool,
    ) -> Result<Option<(Self, Asked)>, Error> {
        let series = Path::new(TOP).join(&submission.id);
        let folders: Vec<PathBuf> = match report {
            Some(directory) => vec![directory.to_owned()],
            None if !series.is_dir() => Vec::new(),
            None => {
                let numbers = numbers(&series).map_err(FileError::at("read", &series))?;
                numbers.iter().rev().map(|number| series.join(number.to_string())).collect()
            }
        };
        for directory in folders {
            let Some(asked) = unfinished::read(&directory).filter(&fits) else { continue };
            let Ok(claim) = Claim::new(&directory) else { continue };
            let series = report.is_none().then(|| series.clone());
            return Ok(Some((Self { directory, series, _claim: claim }, asked)));
        }
        Ok(None)
    }

    fn named(directory: &Path, submission: &SubmissionInfo, force: bool) -> Result<Self, Error> {
        fs::create_dir_all(directory).map_err(failed(directory))?;
        let claim = Claim::new(directory)?;
        if let Some(there) = owner(directory).filter(|there| !is_same(there, submission)) {
            if !force {
                return Err(Error::Another {
                    directory: directory.to_owned(),
                    id: there.id,
                    source_path: there.source,
                });
            }
            bundle::start(directory)?;
        }
        Ok(Self { directory: directory.to_owned(), series: None, _claim: claim })
    }

    fn numbered(series: &Path) -> Result<Self, Error> {
        fs::create_dir_all(series).map_err(failed(series))?;
        let mut number =
            numbers(series).map_err(FileError::at("read", series))?.last().map_or(1, |last| last + 1);
        loop {
            let directory = series.join(number.to_string());
            match fs::create_dir(&directory) {
                Ok(()) => {
                    let claim = Claim::new(&directory)?;
                    return Ok(Self { directory, series: Some(series.to_owned()), _claim: claim });
                }
                // Another run has created this folder in the meantime.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
                Err(error) => return Err(failed(&directory)(error).into()),
            }
        }
    }

    /// The path of the folder.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Points `latest` to the newest numbered folder with a report. Call this after the report is
    /// written.
    ///
    /// # Errors
    /// If the link cannot be created.
    pub fn publish(&self) -> Result<(), Error> {
        let Some(series) = &self.series else { return Ok(()) };
        let link = series.join(LATEST);
        let has_report = |number: &u64| series.join(number.to_string()).join("report.json").is_file();
        let newest = numbers(series).map_err(FileError::at("read", series))?.into_iter().rfind(has_report);
        // Do not replace a file or folder named `latest` that the harness did not create.
        let is_ours = fs::symlink_metadata(&link).map_or(true, |there| there.is_symlink());
        if let (Some(newest), true) = (newest, is_ours) {
            let new = series.join(format!(".{LATEST}-{}", std::process::id()));
            let _ = fs::remove_file(&new);
            std::os::unix::fs::symlink(newest.to_string(), &new)
                .and_then(|()| fs::rename(&new, &link))
                .map_err(FileError::at("create the link", &link))?;
        }
        Ok(())
    }

    /// Removes the numbered folder if it is empty: for a run that failed before it wrote anything.
    pub fn abandon(self) {
        let Self { directory, series, _claim: claim } = self;
        drop(claim);
        if let Some(series) = series {
            // `remove_dir` fails on a folder that is not empty.
            let _ = fs::remove_dir(directory)
                .and_then(|()| fs::remove_dir(series))
                .and_then(|()| fs::remove_dir(TOP));
        }
    }
}

/// The numbers of the folders in a series, sorted.
fn numbers(series: &Path) -> io::Result<Vec<u64>> {
    let mut numbers = vec![];
    for entry in fs::read_dir(series)? {
        numbers.extend(entry?.file_name().to_str().and_then(|name| name.parse::<u64>().ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// Which submission the report or evidence in a folder belongs to; `None` if there is neither.
fn owner(directory: &Path) -> Option<SubmissionInfo> {
    #[derive(Deserialize)]
    struct Head {
        submission: SubmissionInfo,
    }
    let mut unknown = None;
    for name in ["report.json", "manifest.json"] {
        let path = directory.join(name);
        // Other users may write to this folder. A pipe or a link in place of the file is not
        // opened.
        let file = match Beneath::open(directory).and_then(|folder| folder.file(Path::new(name))) {
            Ok(file) => Some(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(_) => None,
        };
        let mut text = Vec::new();
        let is_read = file.is_some_and(|file| file.take(64 << 20).read_to_end(&mut text).is_ok());
        match serde_json::from_slice::<Head>(&text) {
            Ok(head) if is_read => return Some(head.submission),
            // An unreadable report may belong to any submission.
            _ => {
                unknown = Some(SubmissionInfo {
                    id: "unknown".to_owned(),
                    source: path.display().to_string(),
                    sha256: String::new(),
                });
            }
        }
    }
    unknown
}

/// Whether two submissions are versions of one: they have the same id and the same path.
fn is_same(there: &SubmissionInfo, new: &SubmissionInfo) -> bool {
    let real = |source: &str| Path::new(source).canonicalize().ok();
    there.id == new.id
        && (there.source == new.source
            || real(&there.source).is_some_and(|there| Some(there) == real(&new.source)))
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> FileError {
    FileError::at("create the report folder", path)
}

/// Writes the report files of a judged run to its folder, and updates `latest`.
///
/// # Errors
/// If a file cannot be written.
pub fn write(
    place: &Place,
    judged: &crate::verdict::Report,
    bundle: &crate::evidence::Bundle,
) -> Result<(), Error> {
    report::write(&place.directory, judged, bundle)?;
    place.publish()
}
