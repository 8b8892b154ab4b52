//! Copies the contents of a file and keeps its holes.

use std::os::fd::BorrowedFd;

use rustix::fs::SeekFrom;
use rustix::io::Errno;

use crate::image::file_digest::next_data;

/// Copies `size` bytes, or fewer if the file ends before. `sparse` means that the file may have
/// holes.
pub(super) fn copy(from: BorrowedFd<'_>, to: BorrowedFd<'_>, size: u64, sparse: bool) -> Result<(), Errno> {
    if !sparse {
        return copy_range(from, to, 0, size);
    }
    let mut offset = 0;
    while let Some(data) = next_data(from, offset)?.filter(|data| *data < size) {
        let hole = match rustix::fs::seek(from, SeekFrom::Hole(data)) {
            Ok(hole) => hole.min(size),
            Err(Errno::INVAL | Errno::OPNOTSUPP) => size,
            Err(error) => return Err(error),
        };
        copy_range(from, to, data, hole)?;
        offset = hole;
    }
    // A hole at the end is no data, but part of the size.
    rustix::fs::ftruncate(to, size)
}

fn copy_range(from: BorrowedFd<'_>, to: BorrowedFd<'_>, start: u64, end: u64) -> Result<(), Errno> {
    let (mut read, mut written) = (start, start);
    while read < end {
        let left = (end - read) as usize;
        match rustix::fs::copy_file_range(from, Some(&mut read), to, Some(&mut written), left) {
            Ok(0) => return Ok(()),
            Ok(_) | Err(Errno::INTR) => {}
            // Different file systems, or one without this call: copy through memory.
            Err(Errno::XDEV | Errno::INVAL | Errno::OPNOTSUPP | Errno::NOSYS) => {
                return copy_through_memory(from, to, read, end);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn copy_through_memory(
    from: BorrowedFd<'_>,
    to: BorrowedFd<'_>,
    mut offset: u64,
    end: u64,
) -> Result<(), Errno> {
    let mut buffer = vec![0; 128 << 10];
    while offset < end {
        let wanted = buffer.len().min((end - offset) as usize);
        let length = match rustix::io::pread(from, &mut buffer[..wanted], offset) {
            Ok(0) => return Ok(()),
            Err(Errno::INTR) => continue,
            read => read?,
        };
        let mut rest = &buffer[..length];
        while !rest.is_empty() {
            match rustix::io::pwrite(to, rest, offset) {
                Err(Errno::INTR) => {}
                count => {
                    let count = count?;
                    rest = &rest[count..];
                    offset += count as u64;
                }
            }
        }
    }
    Ok(())
}
