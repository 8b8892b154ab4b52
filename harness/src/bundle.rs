//! The evidence bundle on disk. A run writes each recording as soon as its scenario ends, so a
//! killed run keeps its evidence. `harness judge` reads the bundle. `docs/evidence.md`
//! documents the files.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use vm::FileError;

use crate::cast;
use crate::evidence::{Bundle, Ending, Record, Recording};
use crate::guest::world::{FRAMES, Frames, pcap_header};
use crate::report;
use crate::submission::Beneath;
use crate::verdict::{Environment, SubmissionInfo};
use crate::weight::{self, Budget};

const SCHEMA: &str = "harness-evidence/1";

/// The largest file that the harness reads, and the longest line of records, in bytes.
const MAX_FILE: u64 = 128 << 20;
const MAX_LINE: u64 = 8 << 20;
/// The most memory that a bundle may take ([`weight::of`]): a little more than a run can record.
const MAX_WEIGHT: u64 = 192 << 20;

/// `manifest.json`.
#[derive(Serialize, Deserialize)]
struct Manifest {
    schema: String,
    submission: SubmissionInfo,
    environment: Environment,
    subtasks: Vec<String>,
    layout: Value,
    scenarios: Vec<String>,
}

/// `evidence/<scenario>/recording.json`.
#[derive(Serialize, Deserialize)]
struct Head {
    scenario: String,
    plan: Value,
    ending: Ending,
    seconds: f64,
}

/// Why a bundle cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file does not follow `docs/evidence.md`.
    #[error("{} is not evidence of this harness: {why}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
}

impl Error {
    fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let error = FileError::at(what, path);
        move |source| error(source).into()
    }
}

/// Prepares a report directory: removes evidence and reports of an earlier run, and nothing else.
/// So no old verdict stands beside new evidence.
pub fn start(directory: &Path) -> Result<(), Error> {
    let remove = |path: &Path| match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::io("remove", path)(error)),
        _ => Ok(()),
    };
    for name in report::FILES {
        remove(&directory.join(name))?;
    }
    let (manifest, evidence) = (directory.join("manifest.json"), directory.join("evidence"));
    match fs::symlink_metadata(&evidence) {
        // A link would put the new evidence elsewhere.
        Ok(there) if there.is_symlink() => remove(&evidence)?,
        Ok(there) if manifest.exists() && there.is_dir() => {
            fs::remove_dir_all(&evidence).map_err(Error::io("remove", &evidence))?;
        }
        Ok(_) if manifest.exists() => remove(&evidence)?,
        _ => {}
    }
    remove(&manifest)?;
    fs::create_dir_all(directory).map_err(Error::io("create", directory))
}

/// Writes the manifest of a bundle. The recordings may be written before or after it.
pub fn write_manifest(directory: &Path, bundle: &Bundle) -> Result<(), Error> {
    let manifest = Manifest {
        schema: SCHEMA.to_owned(),
        submission: bundle.submission.clone(),
        environment: bundle.environment.clone(),
        subtasks: bundle.subtasks.clone(),
        layout: bundle.layout.clone(),
        scenarios: bundle.recordings.keys().cloned().collect(),
    };
    write_json(&directory.join("manifest.json"), &manifest)
}

/// Writes the recording of one scenario.
pub fn write_recording(directory: &Path, recording: &Recording) -> Result<(), Error> {
    fs::create_dir_all(directory).map_err(Error::io("create", directory))?;
    let evidence = directory.join("evidence");
    let folder = evidence.join(&recording.scenario);
    for folder in [&evidence, &folder] {
        make_real(folder).map_err(Error::io("create", folder))?;
    }
    write_atomically(&folder.join("records.jsonl"), |out| {
        recording.records.iter().try_for_each(|record| {
            serde_json::to_writer(&mut *out, record)?;
            out.write_all(b"\n")
        })
    })?;
    write_cast(&folder, recording)?;
    write_pcap(&folder, recording)?;
    let head = Head {
        scenario: recording.scenario.clone(),
        plan: recording.plan.clone(),
        ending: recording.ending.clone(),
        seconds: recording.seconds,
    };
    write_json(&folder.join("recording.json"), &head)
}

/// Makes a folder if there is none. A link is an error, because evidence would land elsewhere.
fn make_real(folder: &Path) -> io::Result<()> {
    match fs::create_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            if fs::symlink_metadata(folder)?.is_dir() { Ok(()) } else { Err(error) }
        }
        done => done,
    }
}

/// Writes the recording of the terminals, if they showed anything.
fn write_cast(folder: &Path, recording: &Recording) -> Result<(), Error> {
    if cast::is_empty(recording) {
        return Ok(());
    }
    write_atomically(&folder.join("terminal.cast"), |out| cast::write(recording, out))
}

/// Writes the frames between the machine and its world, for programs such as tcpdump.
/// No judge reads them.
fn write_pcap(folder: &Path, recording: &Recording) -> Result<(), Error> {
    let frames: Vec<Vec<u8>> = recording.all::<Frames>(FRAMES).map(|(_, frames)| frames.bytes()).collect();
    if frames.is_empty() {
        return Ok(());
    }
    write_atomically(&folder.join("world.pcap"), |out| {
        out.write_all(&pcap_header())?;
        frames.iter().try_for_each(|frames| out.write_all(frames))
    })
}

/// Reads a bundle.
pub fn read(directory: &Path) -> Result<Bundle, Error> {
    let path = directory.join("manifest.json");
    let home = Beneath::open(directory).map_err(Error::io("read", directory))?;
    let files = Files { home, directory, budget: Budget::new(MAX_WEIGHT) };
    let manifest: Manifest = files.json(Path::new("manifest.json"))?;
    if manifest.schema != SCHEMA {
        return Err(Error::Malformed {
            path,
            why: format!("its schema is {:?}, not {SCHEMA:?}", manifest.schema),
        });
    }
    let mut recordings = BTreeMap::new();
    for scenario in manifest.scenarios {
        // Reports are handed around: no name in one leads out of it.
        if Path::new(&scenario).components().count() != 1
            || scenario.contains(['/', '\0'])
            || scenario == ".."
        {
            return Err(Error::Malformed {
                path,
                why: format!("the name of the scenario {scenario:?} is not valid"),
            });
        }
        let folder = Path::new("evidence").join(&scenario);
        let head: Head = files.json(&folder.join("recording.json"))?;
        if head.scenario != scenario {
            return Err(Error::Malformed {
                path: directory.join(folder).join("recording.json"),
                why: format!("it names the scenario {:?}, but its folder is {scenario:?}", head.scenario),
            });
        }
        let records = files.records(&folder.join("records.jsonl"))?;
        let Head { scenario, plan, ending, seconds } = head;
        recordings.insert(scenario.clone(), Recording { scenario, plan, ending, seconds, records });
    }
    Ok(Bundle {
        submission: manifest.submission,
        environment: manifest.environment,
        subtasks: manifest.subtasks,
        layout: manifest.layout,
        recordings,
    })
}

/// The files of a bundle that a stranger may have made. Reads regular files only
/// and follows no link.
struct Files<'a> {
    home: Beneath,
    directory: &'a Path,
    budget: Budget,
}

impl Files<'_> {
    fn records(&self, name: &Path) -> Result<Vec<Record>, Error> {
        let path = self.directory.join(name);
        let mut lines = BufReader::new(self.open(name)?);
        let mut records = vec![];
        let mut line = Vec::new();
        loop {
            line.clear();
            let length =
                (&mut lines).take(MAX_LINE).read_until(b'\n', &mut line).map_err(Error::io("read", &path))?;
            if length == 0 {
                return Ok(records);
            }
            let record = weighed(&line, &self.budget).map_err(|why| Error::Malformed {
                path: path.clone(),
                why: format!("line {}: {why}", records.len() + 1),
            })?;
            records.push(record);
        }
    }

    fn json<T: DeserializeOwned>(&self, name: &Path) -> Result<T, Error> {
        let path = self.directory.join(name);
        let mut text = Vec::new();
        self.open(name)?.take(MAX_LINE).read_to_end(&mut text).map_err(Error::io("read", &path))?;
        weighed(&text, &self.budget).map_err(|why| Error::Malformed { path, why })
    }

    fn open(&self, name: &Path) -> Result<impl Read, Error> {
        let file = self.home.file(name).map_err(Error::io("read", &self.directory.join(name)))?;
        Ok(file.take(MAX_FILE))
    }
}

/// Parses JSON, if the result fits into the rest of the memory budget.
fn weighed<T: DeserializeOwned>(text: &[u8], budget: &Budget) -> Result<T, String> {
    if !budget.take(weight::of(text)) {
        return Err(format!(
            "the bundle would take more than {} MiB of memory with this content",
            MAX_WEIGHT >> 20
        ));
    }
    serde_json::from_slice(text).map_err(|error| error.to_string())
}

fn write_json(path: &Path, value: &impl Serialize) -> Result<(), Error> {
    write_atomically(path, |out| {
        serde_json::to_writer_pretty(&mut *out, value)?;
        out.write_all(b"\n")
    })
}

/// Writes a temporary file and renames it, so a reader finds the whole file or none.
pub fn write_atomically(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), Error> {
    let directory = path.parent().unwrap_or(Path::new("."));
    let attempt = || {
        fs::create_dir_all(directory)?;
        let mut out = BufWriter::new(tempfile::Builder::new().prefix(".new-").tempfile_in(directory)?);
        write(&mut out)?;
        let file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
        set_readable(file.as_file())?;
        file.persist(path)?;
        Ok(())
    };
    attempt().map_err(Error::io("write", path))
}

/// Lets others read a file. Temporary files are readable by their owner only.
fn set_readable(file: &File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(fs::Permissions::from_mode(0o644))
}
