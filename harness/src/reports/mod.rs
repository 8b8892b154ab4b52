//! Where a run's report goes, and whose it is: `reports/<id>/<n>`, or the folder that `--report` names.
//!
//! Each run has a numbered folder of its own, and `latest` links to the newest with a report. A folder that was named
//! keeps another submission's report, unless that is to be replaced by force.

mod claim;

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::submission::Beneath;
use crate::verdict::SubmissionInfo;
use crate::{bundle, report};

pub use claim::{Claim, Run};

/// Where reports go without `--report`.
const TOP: &str = "reports";

/// The link to the newest.
const LATEST: &str = "latest";

/// Why a report has no place.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A report of another submission is there.
    #[error(
        "{} holds the report of another submission, {id} from {source_path:?}: name another folder, or replace the report with --force",
        directory.display()
    )]
    Another {
        /// The folder.
        directory: PathBuf,
        /// Whose it is.
        id: String,
        /// From where.
        source_path: String,
    },
    /// Another run writes there.
    #[error(transparent)]
    Claim(#[from] claim::Error),
    /// What is there cannot be removed.
    #[error(transparent)]
    Bundle(#[from] bundle::Error),
    /// It cannot be made.
    #[error("cannot make the folder {} for the report: {source}", path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

impl Error {
    /// Whether the arguments are to blame, rather than the machine.
    pub fn is_of_the_arguments(&self) -> bool {
        matches!(self, Self::Another { .. })
    }
}

/// A folder that is this run's, and no other's while it goes on.
#[derive(Debug)]
pub struct Place {
    directory: PathBuf,
    /// The folder with the numbered ones, where it is one of these.
    series: Option<PathBuf>,
    _claim: Claim,
}

impl Place {
    /// Claims the folder `report` for a submission's report, or a new one in the submission's series.
    ///
    /// # Errors
    /// When another submission's report is there and `force` is not given, when another run writes there, or when it
    /// cannot be made.
    pub fn claim(report: Option<&Path>, submission: &SubmissionInfo, force: bool) -> Result<Self, Error> {
        match report {
            Some(directory) => Self::named(directory, submission, force),
            None => Self::numbered(&Path::new(TOP).join(&submission.id)),
        }
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
        let mut number = numbers(series).map_err(failed(series))?.last().map_or(1, |last| last + 1);
        loop {
            let directory = series.join(number.to_string());
            match fs::create_dir(&directory) {
                Ok(()) => {
                    let claim = Claim::new(&directory)?;
                    return Ok(Self { directory, series: Some(series.to_owned()), _claim: claim });
                }
                // Another run was quicker.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
                Err(error) => return Err(failed(&directory)(error)),
            }
        }
    }

    /// The folder.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Links to the newest report of the series, once this one is written.
    ///
    /// # Errors
    /// When the link cannot be made.
    pub fn publish(&self) -> Result<(), Error> {
        let Some(series) = &self.series else { return Ok(()) };
        let link = series.join(LATEST);
        let has_report = |number: &u64| series.join(number.to_string()).join("report.json").is_file();
        let newest = numbers(series).map_err(failed(series))?.into_iter().rfind(has_report);
        // What somebody else put there under that name is not replaced.
        let is_ours = fs::symlink_metadata(&link).map_or(true, |there| there.is_symlink());
        if let (Some(newest), true) = (newest, is_ours) {
            let new = series.join(format!(".{LATEST}-{}", std::process::id()));
            let _ = fs::remove_file(&new);
            std::os::unix::fs::symlink(newest.to_string(), &new)
                .and_then(|()| fs::rename(&new, &link))
                .map_err(failed(&link))?;
        }
        Ok(())
    }

    /// Leaves nothing behind, for a run that came to no report and wrote nothing.
    pub fn abandon(self) {
        let Self { directory, series, _claim: claim } = self;
        drop(claim);
        if let Some(series) = series {
            // Only empty folders can be removed so.
            let _ = fs::remove_dir(directory)
                .and_then(|()| fs::remove_dir(series))
                .and_then(|()| fs::remove_dir(TOP));
        }
    }
}

/// The numbered folders of a series, in order.
fn numbers(series: &Path) -> io::Result<Vec<u64>> {
    let mut numbers = vec![];
    for entry in fs::read_dir(series)? {
        numbers.extend(entry?.file_name().to_str().and_then(|name| name.parse::<u64>().ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// Whose report or evidence is in a folder; `None` where there is none.
fn owner(directory: &Path) -> Option<SubmissionInfo> {
    #[derive(Deserialize)]
    struct Head {
        submission: SubmissionInfo,
    }
    let mut unknown = None;
    for name in ["report.json", "manifest.json"] {
        let path = directory.join(name);
        // Others may write there, too: a pipe or a link that has taken the file's place is not opened.
        let file = match Beneath::open(directory).and_then(|folder| folder.file(Path::new(name))) {
            Ok(file) => Some(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(_) => None,
        };
        let mut text = Vec::new();
        let is_read = file.is_some_and(|file| file.take(64 << 20).read_to_end(&mut text).is_ok());
        match serde_json::from_slice::<Head>(&text) {
            Ok(head) if is_read => return Some(head.submission),
            // Something that cannot be read may be anybody's.
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

/// Whether two are versions of one submission: the same id, from the same place.
fn is_same(there: &SubmissionInfo, new: &SubmissionInfo) -> bool {
    let real = |source: &str| Path::new(source).canonicalize().ok();
    there.id == new.id
        && (there.source == new.source
            || real(&there.source).is_some_and(|there| Some(there) == real(&new.source)))
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Io { path, source }
}

/// Writes the reports of a judged run to its place.
///
/// # Errors
/// When they cannot be written.
pub fn write(place: &Place, judged: &crate::verdict::Report) -> Result<(), Error> {
    report::write(&place.directory, judged)?;
    place.publish()
}
