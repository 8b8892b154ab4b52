//! QEMU's arguments as they are written, and the open files that go with them.

use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use serde_json::Value;

use crate::machine::Disk;

#[derive(Default)]
pub(crate) struct Arguments {
    pub(crate) words: Vec<String>,
    /// Descriptors that QEMU inherits.
    pub(crate) keep: Vec<OwnedFd>,
    sets: usize,
}

impl Arguments {
    pub(crate) fn word(&mut self, word: impl Into<String>) -> &mut Self {
        self.words.push(word.into());
        self
    }

    pub(crate) fn pair(&mut self, option: &str, value: impl Into<String>) -> &mut Self {
        self.word(option).word(value)
    }

    pub(crate) fn disk(&mut self, slot: &str, disk: &Disk) {
        let json = match disk {
            Disk::Layer(path) => serde_json::json!({
                "driver": "qcow2", "node-name": slot, "discard": "unmap",
                "file": file(path, false, true),
            }),
            Disk::Raw(path) => serde_json::json!({
                "driver": "raw", "node-name": slot, "discard": "unmap",
                "file": file(path, false, true),
            }),
            Disk::Over { top, base } => serde_json::json!({
                "driver": "qcow2", "node-name": slot, "discard": "unmap",
                "file": { "driver": "file", "filename": self.set(top), "cache": { "no-flush": true } },
                "backing": {
                    "driver": "qcow2", "node-name": format!("{slot}-base"), "read-only": true,
                    "file": file(base, true, false),
                },
            }),
            Disk::ReadOnly(open) => serde_json::json!({
                "driver": "raw", "node-name": slot, "read-only": true,
                "file": { "driver": "file", "filename": self.set(open), "read-only": true },
            }),
            Disk::Seed(dir) => serde_json::json!({
                "driver": "vvfat", "node-name": slot, "read-only": true, "label": "CIDATA",
                "dir": dir.display().to_string(),
            }),
        };
        self.pair("-blockdev", json.to_string());
    }

    /// A name under which QEMU can open a file that may have no name any more.
    fn set(&mut self, file: &File) -> String {
        self.sets += 1;
        let set = self.sets;
        if let Ok(copy) = file.try_clone() {
            self.pair("-add-fd", format!("fd={},set={set}", copy.as_raw_fd()));
            self.keep.push(copy.into());
        }
        format!("/dev/fdset/{set}")
    }
}

fn file(path: &Path, read_only: bool, no_flush: bool) -> Value {
    serde_json::json!({
        "driver": "file", "filename": path.display().to_string(), "read-only": read_only,
        "cache": { "no-flush": no_flush },
    })
}

/// QEMU's option lists separate by commas; a comma in a value is doubled.
pub(crate) fn escaped(path: &Path) -> String {
    path.display().to_string().replace(',', ",,")
}
