//! What a course system exported, read into entries: one for each participant, with an id of the
//! participant's and not of what is inside an archive, which its author chose.

mod form;
mod gradescope;
pub mod moodle;
mod table;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use vm::FileError;

use super::entry::{Class, Entry, Held, Kind, settle_ids};
use crate::submission::bulk::{Bulk, Packed};
use crate::submission::{self, Beneath, Form, id};

/// The most entries of a folder: more than any class has.
const MOST_CHILDREN: usize = 20_000;

/// The file of Gradescope's export that says who handed in what.
const METADATA: &str = "submission_metadata.yml";

/// The largest such file.
const MOST_OF_METADATA: u64 = 64 << 20;

/// Why a class cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be read at all.
    #[error(transparent)]
    File(#[from] FileError),
    /// It is a damaged zip.
    #[error(transparent)]
    Zip(#[from] submission::Error),
    /// It is none of the forms.
    #[error(
        "{} is not a class. Give a folder or zip of submissions, Moodle's \"Download all submissions\", or Gradescope's export. A CSV file needs the columns id and path or url",
        path.display()
    )]
    Unknown {
        /// The file.
        path: PathBuf,
    },
    /// A table or Gradescope's metadata has an unexpected form.
    #[error("{}: {why}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong, with the line.
        why: String,
    },
}

/// The entries at the top of a class's folder or zip, by name.
type Children = BTreeMap<String, Held>;

/// Reads a class.
///
/// # Errors
/// When it is none. What is wrong with single submissions stands in their entries.
pub fn read(path: &Path) -> Result<Class, Error> {
    let facts = fs::metadata(path).map_err(FileError::at("read", path))?;
    let (kind, (mut entries, left_aside)) = if facts.is_dir() {
        from_folder(path)?
    } else if matches!(Form::of(path), Ok(Form::Zip)) {
        from_zip(path)?
    } else if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("csv")) {
        (Kind::Table, (table::entries(path)?, vec![]))
    } else {
        return Err(Error::Unknown { path: path.to_owned() });
    };
    settle_ids(&mut entries);
    Ok(Class { kind, path: path.to_owned(), entries, left_aside })
}

type Read = (Kind, (Vec<Entry>, Vec<String>));

fn from_folder(path: &Path) -> Result<Read, Error> {
    let mut children = children_of(path)?;
    let mut top = path.to_owned();
    if let Some(inner) = only_export(&children) {
        top = path.join(inner);
        children = children_of(&top)?;
    }
    let metadata = |_: &Held| {
        let file = Beneath::open(&top).and_then(|top| top.read(Path::new(METADATA), MOST_OF_METADATA));
        Ok(file.map_err(FileError::at("read", top.join(METADATA)))?)
    };
    sort_out(path, children, metadata)
}

fn children_of(path: &Path) -> Result<Children, Error> {
    let list = || Beneath::open(path)?.names(MOST_CHILDREN);
    let names = list().map_err(FileError::at("read", path))?;
    let child =
        |name: std::ffi::OsString| (name.to_string_lossy().into_owned(), Held::Paths(vec![path.join(&name)]));
    Ok(names.into_iter().map(child).collect())
}

fn from_zip(path: &Path) -> Result<Read, Error> {
    let mut zip = Bulk::open(path)?;
    let mut files = zip.files()?;
    let mut children = grouped(files.clone());
    if let Some(inner) = only_export(&children) {
        let prefix = format!("{inner}/");
        for file in &mut files {
            if let Some(rest) = file.name.strip_prefix(&prefix) {
                file.name = rest.to_owned();
            }
        }
        children = grouped(files);
    }
    let metadata = |held: &Held| match held {
        Held::Packed(files) if !files.is_empty() => Ok(zip.read(&files[0], MOST_OF_METADATA)?),
        _ => Err(Error::Malformed { path: path.to_owned(), why: format!("{METADATA} is a folder") }),
    };
    sort_out(path, children, metadata)
}

/// Files by the first part of their names.
fn grouped(files: Vec<Packed>) -> Children {
    let mut children = BTreeMap::<String, Vec<Packed>>::new();
    for file in files {
        let first = file.name.split('/').next().unwrap_or_default().to_owned();
        children.entry(first).or_default().push(file);
    }
    children.into_iter().map(|(name, files)| (name, Held::Packed(files))).collect()
}

/// The name of the one folder at the top, where the export of Gradescope or Moodle lies in it.
fn only_export(children: &Children) -> Option<String> {
    let mut real = children.iter().filter(|(name, _)| !is_dropping(name));
    let (name, held) = real.next()?;
    // Moodle's own folder of a participant may hold anything, and stays whose it is.
    if real.next().is_some() || moodle::Place::of(name).is_some() {
        return None;
    }
    let inside = match held {
        Held::Paths(paths) => paths.iter().filter_map(|path| children_of(path).ok()).flatten().collect(),
        Held::Packed(files) => {
            let prefix = format!("{name}/");
            let inner = |file: &Packed| {
                let inner = file.name.strip_prefix(&prefix)?.to_owned();
                Some(Packed { index: file.index, name: inner })
            };
            grouped(files.iter().filter_map(inner).collect())
        }
        Held::Git(_) => Children::new(),
    };
    (form::of(&inside) != Kind::Folder).then(|| name.clone())
}

fn sort_out(
    path: &Path,
    mut children: Children,
    metadata: impl FnOnce(&Held) -> Result<Vec<u8>, Error>,
) -> Result<Read, Error> {
    children.retain(|name, _| !is_dropping(name));
    let kind = form::of(&children);
    let (mut entries, mut left_aside) = (vec![], vec![]);
    let rest = match kind {
        Kind::Gradescope => {
            let text = children.remove(METADATA).map(|held| metadata(&held)).transpose()?.unwrap_or_default();
            let rest;
            (entries, rest) = gradescope::entries(&path.join(METADATA), &text, children)?;
            rest
        }
        Kind::Moodle => {
            let (fitting, rest) =
                children.into_iter().partition(|(name, _)| moodle::Place::of(name).is_some());
            entries = moodle::entries(fitting);
            rest
        }
        Kind::Folder | Kind::Table => {
            for (name, held) in children {
                let problem = form::problem_in_a_folder(&name);
                let mut entry = plain((name, held));
                entry.problems.extend(problem);
                entries.push(entry);
            }
            Children::new()
        }
    };
    // A form that some entries do not have costs nobody a mark unsaid.
    for (name, held) in rest {
        let why = form::misfit(kind, &name);
        if form::may_be_a_submission(&name, &held) {
            let mut entry = plain((name, held));
            entry.problems.push(why);
            entries.push(entry);
        } else {
            left_aside.push(why);
        }
    }
    Ok((kind, (entries, left_aside)))
}

/// A submission in a folder of ours: staff named it, so its own name says whose it is.
fn plain((name, held): (String, Held)) -> Entry {
    let is_alone = matches!(&held, Held::Packed(files) if files.iter().any(|file| file.name == name));
    let mut held = held;
    if let (Held::Packed(files), false) = (&mut held, is_alone) {
        // The folder's name would otherwise be part of what was handed in.
        for file in files {
            file.name = file.name.split_once('/').map_or(file.name.clone(), |(_, rest)| rest.to_owned());
        }
    }
    Entry::new(id::choose(Path::new(&name), None), held)
}

/// What other programs leave behind. A participant's name may begin with a dot, too.
fn is_dropping(name: &str) -> bool {
    let is_left_behind = name.starts_with('.') || ["__MACOSX", "Thumbs.db", "desktop.ini"].contains(&name);
    is_left_behind && moodle::Place::of(name).is_none()
}
