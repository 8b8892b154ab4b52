//! What one participant handed in, made ready to be graded: unpacked from the class's
//! zip, cloned, or where it lies. Of several files, the one archive is taken; where that
//! is not clear, nothing is.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use super::entry::{Class, Entry, Held};
use crate::submission::bulk::Bulk;
use crate::submission::{self, ASKED, Beneath, Form, Limits, Submission};

/// How long a clone may take.
const CLONE_TIME: Duration = Duration::from_secs(300);

/// How many files of one participant are looked at.
const MOST_FILES: usize = 1000;

/// Why a submission cannot be graded.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is the submission's own doing.
    #[error("{0}")]
    Theirs(String),
    /// It is ours: a full disk, for one.
    #[error("{0}")]
    Ours(String),
}

impl From<submission::Error> for Error {
    fn from(error: submission::Error) -> Self {
        if error.is_ours() { Self::Ours(vm::chain(&error)) } else { Self::Theirs(vm::chain(&error)) }
    }
}

/// What is to be graded.
#[derive(Debug)]
pub struct Fetched {
    /// An archive or directory, as `harness grade` takes it.
    pub source: PathBuf,
    /// What a reader should know of the choice.
    pub notes: Vec<String>,
}

/// Makes an entry ready. What has to be unpacked or cloned goes into `into`,
/// which is emptied first.
///
/// # Errors
/// When it cannot be read, or it is not clear what is to be graded.
pub fn fetch(class: &Class, entry: &Entry, into: &Path) -> Result<Fetched, Error> {
    let ours = |error: std::io::Error| Error::Ours(format!("cannot write {}: {error}", into.display()));
    let fresh = || {
        match fs::remove_dir_all(into) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(ours(error)),
            _ => {}
        }
        fs::create_dir_all(into).map_err(ours)
    };
    match &entry.held {
        Held::Paths(paths) => match paths.as_slice() {
            [] => Err(Error::Theirs("no file was handed in".to_owned())),
            [one] if one.is_dir() => choose(one),
            several => archive_of(several.to_vec(), None),
        },
        Held::Packed(files) => {
            fresh()?;
            Bulk::open(&class.path)?.unpack(files, into, &Limits::default())?;
            choose(into)
        }
        Held::Git(url) => {
            fresh()?;
            clone(url, into)?;
            Ok(Fetched { source: into.to_owned(), notes: vec![] })
        }
    }
}

/// What to grade of a participant's folder: the one archive in it, or the folder.
fn choose(folder: &Path) -> Result<Fetched, Error> {
    let theirs = |error: std::io::Error| Error::Theirs(format!("cannot read {}: {error}", folder.display()));
    let top = Beneath::open(folder).map_err(theirs)?;
    let names = top.names(MOST_FILES).map_err(theirs)?;
    let visible =
        |name: &&std::ffi::OsString| !name.as_encoded_bytes().starts_with(b".") && **name != "__MACOSX";
    let names: Vec<_> = names.iter().filter(visible).collect();
    // An archive beside the tasks is one more file of a submission that is unpacked already.
    if has_tasks(&top) {
        return Ok(Fetched { source: folder.to_owned(), notes: vec![] });
    }
    let files = names.iter().filter(|name| top.has_file(Path::new(name))).map(|name| folder.join(name));
    archive_of(files.collect(), Some(folder))
}

/// Whether a folder has `task1` and so on in it, or one folder further down.
fn has_tasks(top: &Beneath) -> bool {
    let folders = |of: &Beneath| {
        let mut names = of.names(MOST_FILES).unwrap_or_default();
        names.retain(|name| of.has_folder(Path::new(name)));
        names
    };
    let is_task = |name: &std::ffi::OsString| name.to_string_lossy().to_ascii_lowercase().starts_with("task");
    let inside = |name: &std::ffi::OsString| {
        top.folder(Path::new(name)).is_ok_and(|inner| folders(&inner).iter().any(is_task))
    };
    let names = folders(top);
    names.iter().any(is_task) || names.iter().any(inside)
}

/// The one archive among some files; the folder that holds nothing but them, where none
/// of them is an archive.
fn archive_of(files: Vec<PathBuf>, folder: Option<&Path>) -> Result<Fetched, Error> {
    let (mut archives, others): (Vec<_>, Vec<_>) = files.into_iter().partition(|file| Form::of(file).is_ok());
    let mut notes = vec![];
    if archives.len() > 1 {
        let is_named = |file: &PathBuf| file.to_string_lossy().to_ascii_lowercase().contains("_assignment3");
        if archives.iter().filter(|file| is_named(file)).count() == 1 {
            let rest: Vec<_> = archives.iter().filter(|file| !is_named(file)).cloned().collect();
            archives.retain(is_named);
            notes.push(format!(
                "of several archives the one named so was taken; not graded: {}",
                names(&rest)
            ));
        }
    }
    match archives.as_slice() {
        [one] => {
            if !others.is_empty() {
                notes.push(format!("not graded: {}", names(&others)));
            }
            Ok(Fetched { source: one.clone(), notes })
        }
        [] => match (others.as_slice(), folder) {
            // It says itself what is wrong with it.
            ([one], _) => Ok(Fetched { source: one.clone(), notes }),
            (_, Some(folder)) => Ok(Fetched { source: folder.to_owned(), notes }),
            ([], None) => Err(Error::Theirs("no file was handed in".to_owned())),
            (several, None) => {
                Err(Error::Theirs(format!("none of its files is an archive: {}", names(several))))
            }
        },
        several => Err(Error::Theirs(format!(
            "several archives were handed in, and none is preferred: {}",
            names(several)
        ))),
    }
}

fn names(files: &[PathBuf]) -> String {
    let name = |file: &PathBuf| file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut all: Vec<_> = files.iter().take(5).map(name).collect();
    if files.len() > 5 {
        all.push(format!("and {} more", files.len() - 5));
    }
    all.join(", ")
}

/// Clones a repository. Nothing of it is run: no hook, no filter, no submodule, no
/// program as a transport.
fn clone(url: &str, into: &Path) -> Result<(), Error> {
    let mut git = Command::new("git");
    git.args(["-c", "core.hooksPath=/dev/null", "-c", "protocol.ext.allow=never", "clone", "--quiet"])
        .args(["--template=", "--no-recurse-submodules", "--", url])
        .arg(into)
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_LFS_SKIP_SMUDGE", "1")
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::piped());
    let mut child =
        git.spawn().map_err(|error| Error::Ours(format!("cannot start git: {error}; install git")))?;
    let began = Instant::now();
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if began.elapsed() < CLONE_TIME => std::thread::sleep(Duration::from_millis(50)),
            _ => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(Error::Theirs(format!(
                    "cloning {url} took more than {} minutes",
                    CLONE_TIME.as_secs() / 60
                )));
            }
        }
    };
    if status.success() {
        return Ok(());
    }
    let mut said = String::new();
    if let Some(stderr) = child.stderr.take() {
        use std::io::Read;
        let _ = stderr.take(4096).read_to_string(&mut said);
    }
    let said = said.trim().lines().last().unwrap_or("git said nothing").to_owned();
    Err(Error::Theirs(format!("cannot clone {url}: {said}")))
}

/// What is in a submission, as a first look sees it.
#[derive(Debug)]
pub struct Look {
    /// In which form it came.
    pub form: Form,
    /// Its digest.
    pub sha256: String,
    /// What a reader should know.
    pub remarks: Vec<String>,
}

/// Opens what was fetched, as a grade would, and says what is in it.
///
/// # Errors
/// When it is no submission.
pub fn look(source: &Path, scratch: &Path) -> Result<Look, Error> {
    let ours = |error: std::io::Error| Error::Ours(format!("cannot write {}: {error}", scratch.display()));
    let into = tempfile::tempdir_in(scratch).map_err(ours)?;
    let Submission { info, layout, .. } = submission::open(source, into.path(), &Limits::default(), None)?;
    let mut remarks = vec![];
    let missing: Vec<_> =
        ASKED.iter().copied().filter(|asked| layout.files.iter().all(|file| file.path != *asked)).collect();
    if !missing.is_empty() {
        remarks.push(format!("missing: {}", missing.join(", ")));
    }
    remarks.extend(submission::id::mismatch(source, layout.folder.as_deref()));
    Ok(Look { form: layout.form, sha256: info.sha256, remarks })
}
