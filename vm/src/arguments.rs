//! QEMU's arguments as they are written, and the open files that go with them: what
//! lies behind the devices.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;

use serde_json::Value;

use crate::confine::lend;

/// Where the guest's memory is.
#[derive(Debug)]
pub(crate) enum Memory {
    /// In a file that keeps what is written: the template's.
    Shared(File),
    /// On such a file, what is written being this guest's own.
    Private(File),
    /// In QEMU.
    Own,
}

/// A disk of the guest: open files, so that QEMU needs no right to open them by name.
#[derive(Debug)]
pub(crate) enum Disk {
    /// A qcow2 file that is written to, over others that are only read, the uppermost first.
    Layers(File, Vec<File>),
    /// A raw file that is only read.
    ReadOnly(File),
    /// A raw file that is written to.
    Raw(File),
    /// A folder as a FAT file system labelled CIDATA, which is what cloud-init looks for.
    Seed(File),
}

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

    pub(crate) fn socket(&mut self, id: &str, socket: UnixStream) {
        self.pair("-chardev", format!("socket,id={id},fd={}", socket.as_raw_fd()));
        self.keep.push(socket.into());
    }

    pub(crate) fn memory(&mut self, memory: &Memory, mib: u64) -> io::Result<()> {
        let size = format!("id=ram0,size={mib}M");
        // QEMU opens both for writing.
        let backend = match memory {
            Memory::Shared(file) => {
                format!("memory-backend-file,{size},share=on,mem-path={}", self.name(file, true)?)
            }
            Memory::Private(file) => {
                format!("memory-backend-file,{size},share=off,mem-path={}", self.name(file, true)?)
            }
            Memory::Own => format!("memory-backend-ram,{size}"),
        };
        self.pair("-object", backend);
        Ok(())
    }

    pub(crate) fn disk(&mut self, slot: &str, disk: &Disk) -> io::Result<()> {
        let json = match disk {
            Disk::Layers(top, below) => {
                let mut json = serde_json::json!({
                    "driver": "qcow2", "node-name": slot, "discard": "unmap", "file": self.set(top, true)?,
                });
                json["backing"] = self.backing(slot, below)?;
                json
            }
            Disk::Raw(file) => serde_json::json!({
                "driver": "raw", "node-name": slot, "discard": "unmap", "file": self.set(file, true)?,
            }),
            Disk::ReadOnly(file) => serde_json::json!({
                "driver": "raw", "node-name": slot, "read-only": true, "file": self.set(file, false)?,
            }),
            Disk::Seed(folder) => serde_json::json!({
                "driver": "vvfat", "node-name": slot, "read-only": true, "label": "CIDATA",
                "dir": self.name(folder, false)?,
            }),
        };
        self.pair("-blockdev", json.to_string());
        Ok(())
    }

    /// What lies under a layer, without regard to the names in the files themselves.
    fn backing(&mut self, slot: &str, layers: &[File]) -> io::Result<Value> {
        let Some((top, below)) = layers.split_first() else { return Ok(Value::Null) };
        Ok(serde_json::json!({
            "driver": "qcow2", "node-name": format!("{slot}-{}", layers.len()), "read-only": true,
            "file": self.set(top, false)?, "backing": self.backing(slot, below)?,
        }))
    }

    /// An open file as QEMU's block layer takes it. The guest's flushes are not passed on: a disk
    /// that is written to does not outlive a crash of the host anyway.
    fn set(&mut self, file: &File, written: bool) -> io::Result<Value> {
        self.sets += 1;
        let set = self.sets;
        let copy = file.try_clone()?;
        self.pair("-add-fd", format!("fd={},set={set}", copy.as_raw_fd()));
        self.keep.push(copy.into());
        Ok(serde_json::json!({
            "driver": "file", "filename": format!("/dev/fdset/{set}"), "read-only": !written,
            "cache": { "no-flush": written },
        }))
    }

    /// A name under which QEMU can open a file again where it takes no descriptor.
    pub(crate) fn name(&mut self, file: &File, written: bool) -> io::Result<String> {
        lend(file, written)?;
        let copy = file.try_clone()?;
        let name = format!("/proc/self/fd/{}", copy.as_raw_fd());
        self.keep.push(copy.into());
        Ok(name)
    }
}
