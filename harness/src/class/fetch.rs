//! What one participant handed in, made ready to be graded: unpacked from the class's
//! zip, cloned, or where it lies. Of several files, the one archive is taken; where that
//! is not clear, nothing is.

use std::fs;
use std::path::{Path, PathBuf};

use super::entry::{Class, Entry, Held};
use super::git;
use crate::submission::bulk::Bulk;
use crate::submission::{self, ASKED, Beneath, Form, Limits, Submission};

/// How many files of one participant are looked at.
const MOST_FILES: usize = 1000;

/// The ends of names of files that are zips inside, and yet no archive that somebody packed.
const DOCUMENTS: [&str; 12] =
    ["docx", "docm", "xlsx", "xlsm", "pptx", "odt", "ods", "odp", "epub", "jar", "war", "apk"];

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

/// Makes an entry ready. What has to be unpacked or cloned replaces `into` once it is complete.
///
/// # Errors
/// When it cannot be read, or it is not clear what is to be graded.
pub fn fetch(class: &Class, entry: &Entry, into: &Path) -> Result<Fetched, Error> {
    match &entry.held {
        Held::Paths(paths) => match paths.as_slice() {
            [] => Err(Error::Theirs("no file was handed in".to_owned())),
            [one] if one.is_dir() => choose(one, into),
            several => archive_of(several.to_vec(), None, into),
        },
        Held::Packed(files) => {
            replace(into, |new| {
                fs::create_dir(new).map_err(|error| unwritable(new, &error))?;
                let unpacked = Bulk::open(&class.path)?.unpack(files, new, &Limits::default());
                unpacked.map_err(|error| match error {
                    // The copy is not in the cache, of which this error speaks.
                    submission::Error::Ours { source, .. } => unwritable(into, &source),
                    error => error.into(),
                })?;
                Ok(true)
            })?;
            choose(into, into)
        }
        Held::Git(url) => cloned(into, |new| git::clone(url, new, &Limits::default())),
    }
}

fn cloned(into: &Path, clone: impl FnOnce(&Path) -> Result<(), Error>) -> Result<Fetched, Error> {
    replace(into, |new| {
        clone(new)?;
        // Two clones of one commit differ in their times, and so would their digests.
        let commit = git::commit(new);
        Ok(commit.is_none() || commit != git::commit(into))
    })?;
    Ok(Fetched { source: into.to_owned(), notes: vec![] })
}

/// Has a folder made beside `into` and moves it there, if the maker wants it there. So what a full
/// disk or a kill cuts short is never in its place.
fn replace(into: &Path, make: impl FnOnce(&Path) -> Result<bool, Error>) -> Result<(), Error> {
    let name = into.file_name().unwrap_or_default().to_string_lossy().into_owned();
    // No id begins with a dot.
    let new = into.with_file_name(format!(".new-{name}"));
    let remove = |path: &Path| match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(unwritable(path, &error)),
        _ => Ok(()),
    };
    remove(&new)?;
    if let Some(above) = into.parent() {
        fs::create_dir_all(above).map_err(|error| unwritable(above, &error))?;
    }
    match make(&new) {
        Ok(true) => {
            remove(into)?;
            fs::rename(&new, into).map_err(|error| unwritable(into, &error))
        }
        Ok(false) => remove(&new),
        Err(error) => {
            let _ = fs::remove_dir_all(&new);
            Err(error)
        }
    }
}

fn unwritable(path: &Path, error: &std::io::Error) -> Error {
    let hint = if error.kind() == std::io::ErrorKind::StorageFull { "; free disk space there" } else { "" };
    Error::Ours(format!("cannot write {}: {error}{hint}", path.display()))
}

/// What to grade of a participant's folder: the one archive in it, or the folder.
fn choose(folder: &Path, into: &Path) -> Result<Fetched, Error> {
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
    archive_of(files.collect(), Some(folder), into)
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
/// of them is an archive. Of several, those count that have a submission inside, and then the
/// one that is named so. They are looked into beside `into`.
fn archive_of(files: Vec<PathBuf>, folder: Option<&Path>, into: &Path) -> Result<Fetched, Error> {
    let (mut archives, others): (Vec<_>, Vec<_>) = files.into_iter().partition(|file| is_archive(file));
    let mut notes = vec![];
    if archives.len() > 1 {
        let mut rest = vec![];
        let mut filled = vec![];
        for file in archives.drain(..) {
            if may_be_a_submission(&file, into)? { filled.push(file) } else { rest.push(file) }
        }
        let is_named = |file: &PathBuf| {
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            name.to_ascii_lowercase().contains("_assignment3")
        };
        if filled.iter().filter(|file| is_named(file)).count() == 1 {
            rest.extend(filled.extract_if(.., |file| !is_named(file)));
        }
        match filled.len() {
            0 => archives = rest,
            1 => {
                notes.push(format!("of several archives one was taken; not graded: {}", names(&rest)));
                archives = filled;
            }
            _ => archives = filled,
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

fn is_archive(file: &Path) -> bool {
    let is_document = |extension: &std::ffi::OsStr| {
        DOCUMENTS.iter().any(|document| extension.eq_ignore_ascii_case(document))
    };
    Form::of(file).is_ok() && !file.extension().is_some_and(is_document)
}

/// Whether an archive may hold a submission. A damaged one may.
fn may_be_a_submission(archive: &Path, into: &Path) -> Result<bool, Error> {
    let beside = into.parent().unwrap_or(Path::new("."));
    let copy = fs::create_dir_all(beside).and_then(|()| tempfile::tempdir_in(beside));
    let copy = copy.map_err(|error| unwritable(beside, &error))?;
    match submission::open(archive, copy.path(), &Limits::default(), None) {
        Err(submission::Error::NoSubmission { .. }) => Ok(false),
        Err(error) if error.is_ours() => Err(error.into()),
        _ => Ok(true),
    }
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

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_clone_is_replaced_by_another_commit_only() {
        let home = tempfile::tempdir().unwrap();
        let origin = home.path().join("origin");
        let into = home.path().join("submissions/a");
        fs::create_dir_all(origin.join("task1")).unwrap();
        let git = |words: &[&str]| {
            let mut git = Command::new("git");
            git.arg("-C").arg(&origin).args(["-c", "user.name=a", "-c", "user.email=a@b"]).args(words);
            let done = git.output().unwrap();
            if done.status.success() { Ok(()) } else { Err(Error::Theirs(format!("{done:?}"))) }
        };
        let commit = |text: &str| {
            fs::write(origin.join("task1/namespace_prog.c"), text).unwrap();
            git(&["add", "."]).unwrap();
            git(&["commit", "--quiet", "-m", "work"]).unwrap();
        };
        let clone = || cloned(&into, |new| git(&["clone", "--quiet", ".", new.to_str().unwrap()]));
        let digest = || look(&clone().unwrap().source, home.path()).unwrap().sha256;
        git(&["init", "--quiet"]).unwrap();
        commit("int own;\n");
        let first = digest();
        // A clone's own files have the time in them.
        std::thread::sleep(std::time::Duration::from_millis(1100));
        assert_eq!(digest(), first);
        commit("int other;\n");
        let second = digest();
        assert_ne!(second, first);
        // What cannot be cloned leaves the clone from before, and nothing else.
        let failed = cloned(&into, |new| {
            fs::create_dir(new).unwrap();
            fs::write(new.join("part"), "").unwrap();
            git(&["clone", "--quiet", "nowhere", "x"])
        });
        assert!(matches!(failed, Err(Error::Theirs(_))));
        assert!(into.join("task1/namespace_prog.c").is_file());
        assert_eq!(fs::read_dir(into.parent().unwrap()).unwrap().count(), 1);
    }
}
