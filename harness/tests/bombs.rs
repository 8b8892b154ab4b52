//! Tests small archives that would unpack without end, or need much memory while they are read.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use harness::submission::{Error, Limits, Refusal, Submission, open};
use liblzma::write::XzEncoder;
use tar::{Builder, EntryType, Header};
use tempfile::TempDir;

/// An archive, and a folder to open it into.
struct Place(TempDir);

impl Place {
    fn new(archive: &[u8]) -> Self {
        let place = Self(TempDir::new().unwrap());
        fs::create_dir(place.path("into")).unwrap();
        fs::write(place.path("s"), archive).unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn take(&self) -> Result<Submission, Error> {
        open(&self.path("s"), &self.path("into"), &Limits::default(), None)
    }
}

/// A submission with one more file for each name.
fn honest_and(names: &[String]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    let task = ["23m0001_assignment3/task1/namespace_prog.c".to_owned()];
    for name in task.iter().chain(names) {
        let mut header = Header::new_gnu();
        header.set_size(3);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, &b"int"[..]).unwrap();
    }
    builder.into_inner().unwrap()
}

/// A tar header of 512 bytes for a sparse file with this number of zeros.
fn sparse(name: &str, zeros: u64) -> Vec<u8> {
    let mut header = Header::new_gnu();
    header.set_path(name).unwrap();
    header.set_entry_type(EntryType::GNUSparse);
    header.set_mode(0o644);
    header.set_size(0);
    let gnu = header.as_gnu_mut().unwrap();
    for field in [&mut gnu.sparse[0].offset, &mut gnu.realsize] {
        field[0] = 0x80;
        field[4..].copy_from_slice(&zeros.to_be_bytes());
    }
    gnu.sparse[0].numbytes.copy_from_slice(b"00000000000\0");
    header.set_cksum();
    header.as_bytes().to_vec()
}

#[test]
fn an_ignored_file_of_endless_zeros_is_not_read() {
    let name = "23m0001_assignment3/._zeros";
    let take = |zeros| Place::new(&[sparse(name, zeros), honest_and(&[])].concat()).take();
    match take(1 << 40) {
        Err(Error::Refused { entry, why: Refusal::TotalTooLarge(_), .. }) => assert_eq!(entry, name),
        other => panic!("{other:?}"),
    }
    assert_eq!(take(1 << 20).unwrap().layout.left_aside, ["._*"]);
}

#[test]
fn an_archive_larger_than_all_that_may_be_in_one_is_not_read() {
    let place = Place::new(&honest_and(&[]));
    fs::File::options().write(true).open(place.path("s")).unwrap().set_len(1 << 40).unwrap();
    let error = place.take().unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }), "{error:?}");
    assert!(error.to_string().contains("MiB"), "{error}");
}

#[test]
fn only_the_first_ignored_entries_are_named() {
    let state = |number| format!("23m0001_assignment3/task{number}/.cache/x");
    let archive = honest_and(&(100..200).map(state).collect::<Vec<_>>());
    let left_aside = Place::new(&archive).take().unwrap().layout.left_aside;
    assert_eq!((left_aside.len(), left_aside[20].as_str()), (21, "and more"));
    assert_eq!(left_aside[0], "23m0001_assignment3/task100/.cache");
}

#[test]
fn an_xz_archive_that_asks_for_gigabytes_of_memory_is_refused() {
    let mut encoder = XzEncoder::new(Vec::new(), 1);
    encoder.write_all(&honest_and(&[])).unwrap();
    let mut archive = encoder.finish().unwrap();
    // The header of the first block: its length, flags, the filter and the size of its dictionary,
    // a checksum.
    let end = 12 + usize::from(archive[12]) * 4;
    assert_eq!(archive[14..16], [0x21, 1]);
    archive[16] = 38;
    let mut checksum = flate2::Crc::new();
    checksum.update(&archive[12..end]);
    archive[end..end + 4].copy_from_slice(&checksum.sum().to_le_bytes());
    let taken = Place::new(&archive).take();
    assert!(matches!(&taken, Err(Error::Damaged { why, .. }) if why.contains("memory")), "{taken:?}");
}
