//! Evidence that was recorded once and is judged by fast tests: trimmed to what judges
//! read, and stored as text.
//!
//! A recording is `tests/evidence/<case>/<scenario>.xz.base64`: JSON, compressed
//! with xz. `conductor.rs` writes these files; `judges.rs` reads them.
#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(dead_code, reason = "each test program uses its half")]

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use harness::evidence::Recording;
use serde_json::Value;

/// The end of a stored recording's file name.
const SUFFIX: &str = ".xz.base64";
/// Records that no judge of tasks 3 and 4 reads.
const UNREAD: [&str; 5] = ["output", "start", "world-frames", "working", "extended"];
/// Mounts that judges look for in a container.
const MOUNTS: [&str; 4] = ["/", "/proc", "/sys", "/dev"];
/// How much of the end of a terminal's text is kept, in characters.
const SCREEN: usize = 4000;
/// Base64 lines are this long.
const LINE: usize = 100;

/// The folder of a case, such as `mutants/task3a-no-proc`.
pub fn folder(case: &str) -> PathBuf {
    let name = case.rsplit('/').next().unwrap();
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/evidence").join(name)
}

/// Trims a recording and stores it.
pub fn store(case: &str, recording: &Recording) {
    let text = serde_json::to_string(&trimmed(recording)).unwrap();
    let mut packed = Vec::new();
    liblzma::read::XzEncoder::new(text.as_bytes(), 9).read_to_end(&mut packed).unwrap();
    let base64 = STANDARD.encode(packed);
    let lines: Vec<&str> =
        base64.as_bytes().chunks(LINE).map(|line| std::str::from_utf8(line).unwrap()).collect();
    let folder = folder(case);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(format!("{}{SUFFIX}", recording.scenario)), lines.join("\n") + "\n").unwrap();
}

/// The stored recordings in a folder of `tests/evidence`.
pub fn recordings(folder: &Path) -> Vec<Recording> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.retain(|file| file.to_string_lossy().ends_with(SUFFIX));
    files.iter().map(|file| read(file)).collect()
}

fn read(file: &Path) -> Recording {
    let packed = STANDARD.decode(fs::read_to_string(file).unwrap().replace('\n', "")).unwrap();
    let mut text = String::new();
    liblzma::read::XzDecoder::new(packed.as_slice()).read_to_string(&mut text).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn trimmed(recording: &Recording) -> Recording {
    let mut recording = recording.clone();
    if recording.scenario.starts_with(['3', '4']) {
        recording.records.retain(|record| !UNREAD.contains(&record.kind.as_str()));
    }
    for record in &mut recording.records {
        record.host_ms = None;
        match record.kind.as_str() {
            "machine" => {
                for list in ["processes", "mounts", "interfaces"] {
                    record.data[list] = Value::Array(Vec::new());
                }
            }
            "container" => {
                record.data["proc"]["pids"] = Value::Array(Vec::new());
                if let Some(mounts) = record.data["mounts"].as_array_mut() {
                    mounts
                        .retain(|mount| mount["mount_point"].as_str().is_some_and(|at| MOUNTS.contains(&at)));
                }
            }
            _ => {}
        }
        shorten(&mut record.data);
    }
    recording
}

/// Keeps the end of each long text.
fn shorten(value: &mut Value) {
    match value {
        Value::String(text) => {
            if let Some((at, _)) = text.char_indices().rev().nth(SCREEN) {
                text.drain(..at);
            }
        }
        Value::Array(values) => values.iter_mut().for_each(shorten),
        Value::Object(fields) => fields.values_mut().for_each(shorten),
        _ => {}
    }
}
