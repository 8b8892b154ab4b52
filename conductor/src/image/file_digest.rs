//! The digest of a file: its attributes, its size, and every chunk of it that is not all zeros.
//!
//! Chunks of zeros do not count, so a hole in a sparse file has the same digest as zeros on the
//! disk, and does not have to be read.
//!
//! The hash is BLAKE3: without instructions for SHA-256 in the processor, it is several times as
//! fast. It hashes eight pieces of 1 KiB at once, but only if no odd number of bytes came before
//! them. So the contents have a hash of their own.

use std::os::fd::BorrowedFd;

use rustix::fs::SeekFrom;
use rustix::io::Errno;

use super::source_tree::FileDigest;
use crate::state::attributes;

/// The length of a chunk, and how many bytes are read at once.
pub const CHUNK: usize = 128 << 10;

/// The digest of a file of `size` bytes. `buffer` has the length [`CHUNK`]. If the file has grown,
/// the rest is ignored; the copy then reports the change.
pub fn of(open: BorrowedFd<'_>, size: u64, sparse: bool, buffer: &mut [u8]) -> Result<FileDigest, Errno> {
    let (mut hash, mut contents) = (blake3::Hasher::new(), blake3::Hasher::new());
    let attributes = attributes::encode(&attributes::of_file(open)?);
    hash.update(&(attributes.len() as u64).to_le_bytes());
    hash.update(&attributes);
    hash.update(&size.to_le_bytes());
    let mut offset = 0;
    while offset < size {
        if sparse {
            offset = match next_data(open, offset)? {
                Some(data) => data - data % CHUNK as u64,
                None => break,
            };
        }
        let wanted = buffer.len().min((size - offset) as usize);
        let length = read_chunk(open, offset, &mut buffer[..wanted])?;
        if length == 0 {
            break;
        }
        let chunk = &buffer[..length];
        if chunk.iter().any(|byte| *byte != 0) {
            hash.update(&offset.to_le_bytes());
            contents.update(chunk);
        }
        offset += CHUNK as u64;
    }
    hash.update(contents.finalize().as_bytes());
    Ok(hash.finalize().into())
}

/// The first byte at or after `offset` that is not in a hole. `None` if only a hole follows.
pub fn next_data(open: BorrowedFd<'_>, offset: u64) -> Result<Option<u64>, Errno> {
    match rustix::fs::seek(open, SeekFrom::Data(offset)) {
        Ok(data) => Ok(Some(data)),
        Err(Errno::NXIO) => Ok(None),
        // A file system without holes.
        Err(Errno::INVAL | Errno::OPNOTSUPP) => Ok(Some(offset)),
        Err(error) => Err(error),
    }
}

/// Fills `buffer` from the file at `offset`. Returns how many bytes the file has there.
fn read_chunk(open: BorrowedFd<'_>, offset: u64, buffer: &mut [u8]) -> Result<usize, Errno> {
    let mut filled = 0;
    while filled < buffer.len() {
        match rustix::io::pread(open, &mut buffer[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(length) => filled += length,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::AsFd;
    use std::os::unix::fs::FileExt;

    use super::*;

    fn digest(file: &File, sparse: bool) -> FileDigest {
        of(file.as_fd(), file.metadata().unwrap().len(), sparse, &mut vec![0; CHUNK]).unwrap()
    }

    #[test]
    fn a_hole_has_the_digest_of_zeros_and_other_places_of_data_another() {
        let file = |offset: u64, length: u64| {
            let file = tempfile::tempfile().unwrap();
            file.set_len(length).unwrap();
            file.write_all_at(b"data", offset).unwrap();
            file
        };
        let length = 3 * CHUNK as u64 + 5;
        let holes = file(CHUNK as u64 + 7, length);
        let zeros = tempfile::tempfile().unwrap();
        zeros.write_all_at(&vec![0; length as usize], 0).unwrap();
        zeros.write_all_at(b"data", CHUNK as u64 + 7).unwrap();
        assert_eq!(digest(&holes, true), digest(&zeros, false));
        assert_ne!(digest(&holes, true), digest(&file(CHUNK as u64 + 8, length), true));
        assert_ne!(digest(&holes, true), digest(&file(2 * CHUNK as u64 + 7, length), true));
        assert_ne!(digest(&holes, true), digest(&file(CHUNK as u64 + 7, length + 1), true));
    }

    #[test]
    fn a_large_hole_is_not_read() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(1 << 42).unwrap();
        file.write_all_at(b"end", (1 << 42) - 3).unwrap();
        assert_ne!(digest(&file, true), FileDigest::default());
    }
}
