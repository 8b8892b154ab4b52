//! Reads a directory, tar or zip archive entry by entry into an [`Intake`].

use std::cell::Cell;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use flate2::read::MultiGzDecoder;
use liblzma::read::XzDecoder;
use liblzma::stream::{CONCATENATED, Stream};
use rustix::fs::FileType;
use tar::EntryType;
use zip::ZipArchive;

use super::beneath::Beneath;
use super::intake::{Intake, Taken};
use super::root::{self, Root};
use super::tree::Folder;
use super::{Error, Form, Limits, Refusal, layout};
use crate::reports::TOP as REPORTS;

/// The most bytes between two contents of a tar archive: names of files and links.
const MOST_OF_A_HEADER: u64 = 256 << 10;

/// The most memory for decoding xz, in bytes: twice what `xz -9` needs.
const MOST_FOR_XZ: u64 = 128 << 20;

/// The most bytes to read for the entry table of a zip archive.
const MOST_OF_A_TABLE: u64 = 8 << 20;

/// The same for a zip with the submissions of a whole class.
const MOST_OF_A_LARGE_TABLE: u64 = 256 << 20;

/// The content of a submission, in memory.
pub struct Unpacked {
    /// The submission's own folder.
    pub root: Folder,
    /// The path of that folder in the archive or directory.
    pub place: Root,
    /// The name of that folder; `None` if it is the archive's top.
    pub folder: Option<String>,
    /// All entries that were read.
    pub taken: Taken,
}

/// Reads `source`. The contents of its files go to a temporary file in `into`.
pub fn unpack(source: &Path, form: Form, into: &Path, limits: &Limits) -> Result<Unpacked, Error> {
    if form == Form::Directory {
        return from_directory(source, into, limits);
    }
    let file = File::open(source).map_err(Error::io("read", source))?;
    let archive_bytes = file.metadata().map_err(Error::io("read", source))?.len();
    let most = limits.archive();
    if archive_bytes > most {
        return Err(Error::TooLarge { path: source.to_owned(), most });
    }
    let mut intake = Intake::new(source, Some(archive_bytes), into, limits)?;
    match form {
        Form::Zip => zip(&mut intake, source, file)?,
        Form::TarGz => tar(&mut intake, source, limits, MultiGzDecoder::new(BufReader::new(file)))?,
        Form::TarXz => {
            let decoder = Stream::new_stream_decoder(MOST_FOR_XZ, CONCATENATED)
                .map_err(|error| Error::ours(source)(error.into()))?;
            tar(&mut intake, source, limits, XzDecoder::new_stream(file, decoder))?;
        }
        Form::Tar | Form::Directory => tar(&mut intake, source, limits, file)?,
    }
    let mut taken = intake.finish();
    let folders = |path: &Path| {
        let folder = taken.tree.folder(path);
        Ok(folder.into_iter().flat_map(Folder::folders).map(OsString::from).collect())
    };
    let place = root::find(source, None, &folders).map_err(|error| {
        match (error, layout::archives(&taken.tree).into_iter().next()) {
            (Error::NoSubmission { path }, Some(inner)) => Error::Packed { path, inner },
            (error, _) => error,
        }
    })?;
    let mut root = taken.tree.folder_mut(&place.path).map(std::mem::take).unwrap_or_default();
    if root.entries.remove(OsStr::new(REPORTS)).is_some() {
        taken.left_aside.push(REPORTS.to_owned());
    }
    let folder = place.path.file_name().map(|name| name.to_string_lossy().into_owned());
    Ok(Unpacked { root, place, folder, taken })
}

/// Reads a directory through file descriptors. A link that replaces an entry during the read is not
/// followed.
fn from_directory(source: &Path, into: &Path, limits: &Limits) -> Result<Unpacked, Error> {
    let top = Beneath::open(source).map_err(Error::io("read", source))?;
    let real = source.canonicalize().map_err(Error::io("read", source))?;
    let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
    let most = usize::try_from(limits.entries).unwrap_or(usize::MAX);
    let folders = |path: &Path| {
        let list = || {
            let folder = top.folder(path)?;
            let mut names = folder.names(most)?;
            names.retain(|name| folder.has_folder(Path::new(name)));
            Ok(names)
        };
        list().map_err(Error::io("read", &source.join(path)))
    };
    let place = root::find(source, name(&real).as_deref(), &folders)?;
    let folder = name(&place.path).or_else(|| name(&real));
    let given = source.join(&place.path);
    let mut intake = Intake::new(source, None, into, limits)?;
    let root = top.folder(&place.path).map_err(Error::io("read", &given))?;
    directory(&mut intake, &root, &given, Path::new(""), most)?;
    let mut taken = intake.finish();
    let root = std::mem::take(&mut taken.tree);
    Ok(Unpacked { root, place: Root { path: PathBuf::new(), ..place }, folder, taken })
}

fn directory(intake: &mut Intake, from: &Beneath, given: &Path, to: &Path, most: usize) -> Result<(), Error> {
    // List one entry more than the limit, so that the intake refuses it.
    for name in from.names(most + 1).map_err(Error::io("read", given))? {
        if to.as_os_str().is_empty() && name == REPORTS {
            intake.leave_aside(REPORTS.to_owned());
            continue;
        }
        let Some(path) = intake.admit(to.join(&name).as_os_str().as_bytes())? else { continue };
        let (original, name) = (given.join(&name), Path::new(&name));
        let facts = from.facts(name).map_err(Error::io("read", &original))?;
        let mode = facts.st_mode;
        let special = match FileType::from_raw_mode(mode) {
            FileType::Directory => {
                intake.folder(&path, mode)?;
                let inner = from.folder(name).map_err(Error::io("read", &original))?;
                directory(intake, &inner, &original, &path, most)?;
                continue;
            }
            FileType::Symlink => {
                let leads_to = from.read_link(name).map_err(Error::io("read", &original))?;
                intake.link(&path, &leads_to)?;
                continue;
            }
            FileType::RegularFile => {
                let mut content = from.file(name).map_err(Error::io("read", &original))?;
                intake.file(&path, mode, &mut content)?;
                continue;
            }
            FileType::Fifo => "pipe",
            FileType::Socket => "socket",
            _ => "device",
        };
        return Err(intake.refuse_path(&path, Refusal::Special(special)));
    }
    Ok(())
}

/// A stream that limits how many bytes a decoder reads into memory.
pub struct Metered<R> {
    inner: R,
    left: Allowance,
}

/// The bytes left to read. `None` while contents are read: [`Intake`] counts those.
type Allowance = Rc<Cell<Option<u64>>>;

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(left) = self.left.get() else { return self.inner.read(buffer) };
        if left == 0 && !buffer.is_empty() {
            return Err(io::Error::other("its names take too many bytes"));
        }
        let most = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let length = self.inner.read(&mut buffer[..most])?;
        self.left.set(Some(left - length as u64));
        Ok(length)
    }
}

impl<R: Seek> Seek for Metered<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.inner.seek(to)
    }
}

fn tar(intake: &mut Intake, source: &Path, limits: &Limits, stream: impl Read) -> Result<(), Error> {
    let damaged = |error: io::Error| Error::Damaged { path: source.to_owned(), why: error.to_string() };
    // The intake does not count headers and padding, and long names are read into memory. So the
    // whole stream has a limit too.
    let left = Allowance::default();
    let stream = Metered { inner: stream.take(limits.stream()), left: Rc::clone(&left) };
    let mut archive = tar::Archive::new(stream);
    let mut entries = archive.entries().map_err(damaged)?;
    loop {
        left.set(Some(MOST_OF_A_HEADER));
        let Some(entry) = entries.next() else { return Ok(()) };
        left.set(None);
        let mut entry = entry.map_err(damaged)?;
        let name = entry.path_bytes().into_owned();
        let kind = entry.header().entry_type();
        if matches!(kind, EntryType::XGlobalHeader) {
            continue;
        }
        let Some(path) = intake.admit(&name)? else {
            intake.skip(&name, &mut entry)?;
            continue;
        };
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
        // A folder or link may have content too. Skip it, so that it does not count as a header.
        intake.skip(&name, &mut entry)?;
    }
}

fn zip(intake: &mut Intake, source: &Path, file: File) -> Result<(), Error> {
    let damaged =
        |error: zip::result::ZipError| Error::Damaged { path: source.to_owned(), why: error.to_string() };
    let mut archive = open_zip(file, MOST_OF_A_TABLE).map_err(damaged)?;
    (0..archive.len()).try_for_each(|index| {
        let name = zip_name(&mut archive, index).map_err(damaged)?;
        zip_entry(intake, source, &mut archive, index, &name)
    })
}

/// A zip whose table of entries is read.
pub type Zip = ZipArchive<BufReader<Metered<File>>>;

/// The zip with a class's submissions.
pub fn open_class_zip(file: File) -> zip::result::ZipResult<Zip> {
    open_zip(file, MOST_OF_A_LARGE_TABLE)
}

fn open_zip(file: File, most_of_a_table: u64) -> zip::result::ZipResult<Zip> {
    let left = Rc::new(Cell::new(Some(most_of_a_table)));
    let archive = ZipArchive::new(BufReader::new(Metered { inner: file, left: Rc::clone(&left) }))?;
    left.set(None);
    Ok(archive)
}

/// An entry's name, with the separators that the format asks for: some Windows
/// programs write backslashes.
pub fn zip_name<R: Read + Seek>(
    archive: &mut ZipArchive<R>,
    index: usize,
) -> zip::result::ZipResult<Vec<u8>> {
    let raw = archive.by_index_raw(index)?;
    Ok(raw.name_raw().iter().map(|byte| if *byte == b'\\' { b'/' } else { *byte }).collect())
}

/// Takes one entry of a zip in, under `name`.
pub fn zip_entry<R: Read + Seek>(
    intake: &mut Intake,
    source: &Path,
    archive: &mut ZipArchive<R>,
    index: usize,
    name: &[u8],
) -> Result<(), Error> {
    let damaged =
        |error: zip::result::ZipError| Error::Damaged { path: source.to_owned(), why: error.to_string() };
    let raw = archive.by_index_raw(index).map_err(damaged)?;
    let (encrypted, folder, mode) = (raw.encrypted(), name.ends_with(b"/"), raw.unix_mode());
    drop(raw);
    let Some(path) = intake.admit(name)? else { return Ok(()) };
    if encrypted {
        return Err(intake.refuse(name, Refusal::Encrypted));
    }
    let mode = mode.unwrap_or(0o644);
    match mode & 0o170_000 {
        _ if folder => intake.folder(&path, mode | 0o755),
        0o040_000 => intake.folder(&path, mode),
        0 | 0o100_000 => intake.file(&path, mode, &mut archive.by_index(index).map_err(damaged)?),
        0o120_000 => {
            let mut leads_to = Vec::new();
            let entry = archive.by_index(index).map_err(damaged)?;
            entry.take(4096).read_to_end(&mut leads_to).map_err(|error| damaged(error.into()))?;
            intake.link(&path, &PathBuf::from(OsString::from_vec(leads_to)))
        }
        0o010_000 => Err(intake.refuse(name, Refusal::Special("pipe"))),
        0o140_000 => Err(intake.refuse(name, Refusal::Special("socket"))),
        _ => Err(intake.refuse(name, Refusal::Special("device"))),
    }
}
