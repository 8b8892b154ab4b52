//! Reading each form of a submission, entry by entry, into an [`Intake`].

use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use liblzma::read::XzDecoder;
use tar::EntryType;
use zip::ZipArchive;

use super::intake::Intake;
use super::root::{self, Root};
use super::{Error, Form, Limits, Refusal};

/// A submission's files in a folder of ours.
pub struct Taken {
    /// Its own folder.
    pub root: Root,
    /// That folder's name as it was handed in; `None` where it is the archive's top.
    pub folder: Option<String>,
    /// How many entries there were.
    pub entries: u64,
    /// What was not taken along.
    pub left_aside: Vec<String>,
}

/// Takes `source` in below `into`.
pub fn unpack(source: &Path, form: Form, into: &Path, limits: &Limits) -> Result<Taken, Error> {
    let file = File::open(source).map_err(Error::io("read", source))?;
    let archive_bytes = match form {
        Form::Directory => None,
        _ => Some(file.metadata().map_err(Error::io("read", source))?.len()),
    };
    let mut intake = Intake::new(source, archive_bytes, into, limits);
    let mut folder = None;
    let mut depth = 0;
    match form {
        Form::Directory => {
            let given = root::find(source)?;
            let real = given.path.canonicalize().map_err(Error::io("read", &given.path))?;
            folder = real.file_name().map(|name| name.to_string_lossy().into_owned());
            depth = given.depth;
            directory(&mut intake, &given.path, Path::new(""))?;
        }
        Form::Zip => zip(&mut intake, source, file)?,
        Form::Tar => tar(&mut intake, source, limits, file)?,
        Form::TarGz => tar(&mut intake, source, limits, MultiGzDecoder::new(BufReader::new(file)))?,
        Form::TarXz => tar(&mut intake, source, limits, XzDecoder::new_multi_decoder(file))?,
    }
    let root = match form {
        Form::Directory => Root { path: into.to_owned(), depth },
        _ => root::find(into).map_err(|error| about(error, source))?,
    };
    let inside = root.path.strip_prefix(into).unwrap_or(Path::new("")).to_owned();
    let (entries, left_aside) = intake.summary();
    intake.finish(&inside)?;
    let folder = folder.or_else(|| inside.file_name().map(|name| name.to_string_lossy().into_owned()));
    Ok(Taken { root, folder, entries, left_aside })
}

/// An error about our copy, as one about what was handed in.
fn about(error: Error, source: &Path) -> Error {
    match error {
        Error::NoSubmission { .. } => Error::NoSubmission { path: source.to_owned() },
        Error::Several { folders, .. } => Error::Several { path: source.to_owned(), folders },
        error => error,
    }
}

fn directory(intake: &mut Intake, from: &Path, to: &Path) -> Result<(), Error> {
    let mut names = fs::read_dir(from)
        .and_then(|entries| entries.map(|entry| Ok(entry?.file_name())).collect::<io::Result<Vec<_>>>())
        .map_err(Error::io("read", from))?;
    names.sort();
    for name in names {
        let Some(path) = intake.admit(to.join(&name).as_os_str().as_bytes())? else { continue };
        let original = from.join(&name);
        let facts = fs::symlink_metadata(&original).map_err(Error::io("read", &original))?;
        let (kind, mode) = (facts.file_type(), facts.permissions().mode());
        if kind.is_dir() {
            intake.folder(&path, mode)?;
            directory(intake, &original, &path)?;
        } else if kind.is_symlink() {
            intake.link(&path, &fs::read_link(&original).map_err(Error::io("read", &original))?)?;
        } else if kind.is_file() {
            let mut content = File::open(&original).map_err(Error::io("read", &original))?;
            intake.file(&path, mode, &mut content)?;
        } else {
            let what = match kind {
                kind if kind.is_fifo() => "pipe",
                kind if kind.is_socket() => "socket",
                _ => "device",
            };
            return Err(intake.refuse_path(&path, Refusal::Special(what)));
        }
    }
    Ok(())
}

fn tar(intake: &mut Intake, source: &Path, limits: &Limits, stream: impl Read) -> Result<(), Error> {
    let damaged = |error: io::Error| Error::Damaged { path: source.to_owned(), why: error.to_string() };
    // Headers and padding are not counted by the gate, and long names are read into memory: so the stream as a
    // whole has an end, too.
    let mut archive = tar::Archive::new(stream.take(limits.total + (limits.entries << 11)));
    for entry in archive.entries().map_err(damaged)? {
        let mut entry = entry.map_err(damaged)?;
        let name = entry.path_bytes().into_owned();
        let kind = entry.header().entry_type();
        if matches!(kind, EntryType::XGlobalHeader) {
            continue;
        }
        let Some(path) = intake.admit(&name)? else { continue };
        let mode = entry.header().mode().unwrap_or(0o644);
        let leads_to = entry.link_name_bytes().map(std::borrow::Cow::into_owned).unwrap_or_default();
        match kind {
            EntryType::Directory => intake.folder(&path, mode)?,
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                intake.file(&path, mode, &mut entry)?;
            }
            EntryType::Symlink => intake.link(&path, Path::new(std::ffi::OsStr::from_bytes(&leads_to)))?,
            EntryType::Link => intake.hard_link(&path, &leads_to)?,
            EntryType::Fifo => return Err(intake.refuse(&name, Refusal::Special("pipe"))),
            EntryType::Char | EntryType::Block => {
                return Err(intake.refuse(&name, Refusal::Special("device")));
            }
            _ => return Err(intake.refuse(&name, Refusal::Special("entry of an unknown kind"))),
        }
    }
    Ok(())
}

fn zip(intake: &mut Intake, source: &Path, file: File) -> Result<(), Error> {
    let damaged =
        |error: zip::result::ZipError| Error::Damaged { path: source.to_owned(), why: error.to_string() };
    let mut archive = ZipArchive::new(BufReader::new(file)).map_err(damaged)?;
    for index in 0..archive.len() {
        let raw = archive.by_index_raw(index).map_err(damaged)?;
        // Some Windows programs write backslashes, which the format does not allow.
        let name: Vec<u8> =
            raw.name_raw().iter().map(|byte| if *byte == b'\\' { b'/' } else { *byte }).collect();
        let (encrypted, folder, mode) = (raw.encrypted(), name.ends_with(b"/"), raw.unix_mode());
        drop(raw);
        let Some(path) = intake.admit(&name)? else { continue };
        if encrypted {
            return Err(intake.refuse(&name, Refusal::Encrypted));
        }
        let mode = mode.unwrap_or(0o644);
        match mode & 0o170_000 {
            _ if folder => intake.folder(&path, mode | 0o755)?,
            0o040_000 => intake.folder(&path, mode)?,
            0 | 0o100_000 => intake.file(&path, mode, &mut archive.by_index(index).map_err(damaged)?)?,
            0o120_000 => {
                let mut leads_to = Vec::new();
                let entry = archive.by_index(index).map_err(damaged)?;
                entry.take(4096).read_to_end(&mut leads_to).map_err(|error| damaged(error.into()))?;
                intake.link(&path, &PathBuf::from(std::ffi::OsString::from_vec(leads_to)))?;
            }
            0o010_000 => return Err(intake.refuse(&name, Refusal::Special("pipe"))),
            0o140_000 => return Err(intake.refuse(&name, Refusal::Special("socket"))),
            _ => return Err(intake.refuse(&name, Refusal::Special("device"))),
        }
    }
    Ok(())
}
