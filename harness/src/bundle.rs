//! The evidence bundle on disk: written while a run goes on, so that one that dies keeps what it had, and read
//! back by `harness judge`. `docs/evidence.md` documents the files.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::evidence::{Bundle, Ending, Record, Recording};
use crate::guest::session::Output;
use crate::guest::world::{FRAMES, Frames, pcap_header};
use crate::report;
use crate::verdict::{Environment, SubmissionInfo};
use crate::weight::{self, Budget};

const SCHEMA: &str = "harness-evidence/1";

/// The largest file that is read back, and the longest line of records.
const MAX_FILE: u64 = 128 << 20;
const MAX_LINE: u64 = 8 << 20;
/// What a whole bundle may weigh in memory ([`weight::of`]): somewhat more than a run can record.
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
    #[error("cannot {what} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A file of it is not what `docs/evidence.md` says.
    #[error("{} is no evidence of this harness: {why}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
}

impl Error {
    fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { what, path, source }
    }
}

/// Makes a report directory ready: evidence and reports of an earlier run in it go, nothing else does. So no old
/// verdict stands beside new evidence.
pub fn start(directory: &Path) -> Result<(), Error> {
    let remove = |path: &Path| match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::io("remove", path)(error)),
        _ => Ok(()),
    };
    for name in report::FILES {
        remove(&directory.join(name))?;
    }
    let manifest = directory.join("manifest.json");
    if manifest.exists() {
        let evidence = directory.join("evidence");
        match fs::symlink_metadata(&evidence) {
            Ok(there) if there.is_dir() => {
                fs::remove_dir_all(&evidence).map_err(Error::io("remove", &evidence))?;
            }
            Ok(_) => remove(&evidence)?,
            Err(_) => {}
        }
        remove(&manifest)?;
    }
    fs::create_dir_all(directory).map_err(Error::io("create", directory))
}

/// Writes the head of a bundle. The recordings may come later, or may have come already.
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

/// Writes what one scenario recorded.
pub fn write_recording(directory: &Path, recording: &Recording) -> Result<(), Error> {
    let folder = directory.join("evidence").join(&recording.scenario);
    fs::create_dir_all(&folder).map_err(Error::io("create", &folder))?;
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

/// What a terminal showed, as a recording that `asciinema play` shows again (asciicast, version 2). For people:
/// no judge reads it.
fn write_cast(folder: &Path, recording: &Recording) -> Result<(), Error> {
    let shown: Vec<(f64, String)> = recording
        .all::<Output>("output")
        .map(|(record, output)| (record.ms as f64 / 1000.0, output.text))
        .collect();
    if shown.is_empty() {
        return Ok(());
    }
    write_atomically(&folder.join("terminal.cast"), |out| {
        writeln!(out, "{}", json!({ "version": 2, "width": 80, "height": 24, "title": recording.scenario }))?;
        shown.iter().try_for_each(|(seconds, text)| writeln!(out, "{}", json!([seconds, "o", text])))
    })
}

/// What passed on the cable between the machine and its world, for tcpdump and its like. For people: no judge
/// reads it.
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

/// Reads a bundle back.
pub fn read(directory: &Path) -> Result<Bundle, Error> {
    let path = directory.join("manifest.json");
    let budget = Budget::new(MAX_WEIGHT);
    let manifest: Manifest = read_json(&path, &budget)?;
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
        let folder = directory.join("evidence").join(&scenario);
        let head: Head = read_json(&folder.join("recording.json"), &budget)?;
        let records = read_records(&folder.join("records.jsonl"), &budget)?;
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

fn read_records(path: &Path, budget: &Budget) -> Result<Vec<Record>, Error> {
    let mut lines = BufReader::new(open(path)?);
    let mut records = vec![];
    let mut line = Vec::new();
    loop {
        line.clear();
        let length =
            (&mut lines).take(MAX_LINE).read_until(b'\n', &mut line).map_err(Error::io("read", path))?;
        if length == 0 {
            return Ok(records);
        }
        let record = weighed(&line, budget).map_err(|why| Error::Malformed {
            path: path.to_owned(),
            why: format!("line {}: {why}", records.len() + 1),
        })?;
        records.push(record);
    }
}

fn read_json<T: DeserializeOwned>(path: &Path, budget: &Budget) -> Result<T, Error> {
    let mut text = Vec::new();
    open(path)?.take(MAX_LINE).read_to_end(&mut text).map_err(Error::io("read", path))?;
    weighed(&text, budget).map_err(|why| Error::Malformed { path: path.to_owned(), why })
}

/// A file of a bundle, which may come from anywhere: only a regular one, and not by way of a link.
fn open(path: &Path) -> Result<impl Read, Error> {
    let flags = (OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits();
    let file = File::options().read(true).custom_flags(flags).open(path).map_err(Error::io("read", path))?;
    if !file.metadata().map_err(Error::io("read", path))?.is_file() {
        return Err(Error::Malformed {
            path: path.to_owned(),
            why: "the file is not a regular file".to_owned(),
        });
    }
    Ok(file.take(MAX_FILE))
}

/// Parses a text that does not become too large by it.
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

/// Writes a file beside its place and renames it there: who reads it finds all of it or nothing.
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

/// Temporary files are made for their owner alone; a report is for others to read.
fn set_readable(file: &File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(fs::Permissions::from_mode(0o644))
}
