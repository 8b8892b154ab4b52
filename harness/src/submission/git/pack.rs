//! Finds a commit in a pack, as a whole object or as a delta of others: gitformat-pack(5).

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;

use flate2::read::ZlibDecoder;

use super::object::{MOST_COMMIT, is_commit};

// The types of packed objects.
const COMMIT: u8 = 1;
const OFFSET_DELTA: u8 = 6;
pub const NAME_DELTA: u8 = 7;

/// What all packs together may cost.
pub struct Effort {
    /// The deltas to follow. Git writes chains of 50 and accepts 4095.
    deltas: usize,
    /// The bytes to unpack.
    bytes: u64,
}

impl Default for Effort {
    fn default() -> Self {
        Self { deltas: 4096, bytes: 64 << 20 }
    }
}

impl Effort {
    fn spend(&mut self, bytes: u64) -> io::Result<()> {
        let left = self.bytes.checked_sub(bytes).filter(|_| bytes <= MOST_COMMIT);
        self.bytes = left.ok_or_else(|| damaged("it is too large"))?;
        Ok(())
    }
}

fn damaged(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

/// A pack and its index (version 2).
pub struct Pack {
    /// The index.
    pub index: File,
    /// The pack.
    pub objects: File,
    /// The bytes of an object name.
    pub hash: u64,
}

impl Pack {
    /// Whether the pack has the commit with this name.
    pub fn has_commit(&self, wanted: &[u8], effort: &mut Effort) -> io::Result<bool> {
        let magic: [u8; 8] = bytes(&self.index, 0)?;
        let pack: [u8; 4] = bytes(&self.objects, 0)?;
        if magic != [0xff, b't', b'O', b'c', 0, 0, 0, 2] || &pack != b"PACK" {
            return Ok(false);
        }
        let Some(mut offset) = self.offset(wanted)? else { return Ok(false) };
        let mut chain = Vec::new();
        let mut content = loop {
            effort.deltas = effort.deltas.checked_sub(1).ok_or_else(|| damaged("too many deltas"))?;
            let (kind, size, after) = self.header(offset)?;
            let (base, after) = match kind {
                COMMIT => break self.inflate(after, size, effort)?,
                OFFSET_DELTA => {
                    let (distance, after) = self.distance(after)?;
                    (offset.checked_sub(distance).filter(|base| *base < offset), after)
                }
                NAME_DELTA => {
                    let mut base = vec![0; wanted.len()];
                    self.objects.read_exact_at(&mut base, after)?;
                    (self.offset(&base)?, after + self.hash)
                }
                _ => return Ok(false),
            };
            let Some(base) = base else { return Ok(false) };
            chain.push((after, size));
            offset = base;
        };
        for (at, size) in chain.into_iter().rev() {
            let delta = self.inflate(at, size, effort)?;
            content = applied(&content, &delta, effort).ok_or_else(|| damaged("a delta is damaged"))?;
        }
        Ok(is_commit(&content, wanted))
    }

    /// Unpacks `size` bytes.
    fn inflate(&self, at: u64, size: u64, effort: &mut Effort) -> io::Result<Vec<u8>> {
        effort.spend(size)?;
        let mut content = Vec::new();
        let packed = From { file: &self.objects, at };
        ZlibDecoder::new(packed).take(size + 1).read_to_end(&mut content)?;
        if content.len() as u64 == size { Ok(content) } else { Err(damaged("its length is wrong")) }
    }

    /// Finds an object's offset in the pack by binary search within the bounds of the fan-out
    /// table.
    fn offset(&self, wanted: &[u8]) -> io::Result<Option<u64>> {
        const NAMES: u64 = 8 + 256 * 4;
        let fan = |slot: u64| {
            bytes::<4>(&self.index, 8 + slot * 4).map(|count| u64::from(u32::from_be_bytes(count)))
        };
        let Some(first) = wanted.first().copied().map(u64::from) else { return Ok(None) };
        let total = fan(255)?;
        let (mut low, mut high) = (if first == 0 { 0 } else { fan(first - 1)? }, fan(first)?.min(total));
        while low < high {
            let middle = low.midpoint(high);
            let mut name = vec![0; wanted.len()];
            self.index.read_exact_at(&mut name, NAMES + middle * self.hash)?;
            match name.as_slice().cmp(wanted) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => {
                    // The names are followed by checksums of four bytes, then by the offsets.
                    let offsets = NAMES + total * (self.hash + 4);
                    let offset = u32::from_be_bytes(bytes(&self.index, offsets + middle * 4)?);
                    if offset >> 31 == 0 {
                        return Ok(Some(u64::from(offset)));
                    }
                    let large = offsets + total * 4 + u64::from(offset & 0x7fff_ffff) * 8;
                    return Ok(Some(u64::from_be_bytes(bytes(&self.index, large)?)));
                }
            }
        }
        Ok(None)
    }

    /// Reads an object's header. Returns its type, its length and the offset after the header. The
    /// first byte has the type and four bits of the length, each further one has seven bits; the
    /// top bit says whether another byte follows.
    fn header(&self, offset: u64) -> io::Result<(u8, u64, u64)> {
        let [first] = bytes(&self.objects, offset)?;
        let (mut byte, mut at, mut size, mut shift) = (first, offset + 1, u64::from(first & 0x0f), 4);
        while byte & 0x80 != 0 && shift < 56 {
            [byte] = bytes(&self.objects, at)?;
            at += 1;
            size |= u64::from(byte & 0x7f) << shift;
            shift += 7;
        }
        Ok((first >> 4 & 7, size, at))
    }

    /// The distance from a delta back to its base, and the offset after it: a number in base 128,
    /// where each further digit adds one.
    fn distance(&self, mut at: u64) -> io::Result<(u64, u64)> {
        let [mut byte] = bytes(&self.objects, at)?;
        let mut distance = u64::from(byte & 0x7f);
        for _ in 0..8 {
            if byte & 0x80 == 0 {
                break;
            }
            at += 1;
            [byte] = bytes(&self.objects, at)?;
            distance = (distance + 1) << 7 | u64::from(byte & 0x7f);
        }
        Ok((distance, at + 1))
    }
}

fn bytes<const N: usize>(file: &File, at: u64) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    file.read_exact_at(&mut bytes, at)?;
    Ok(bytes)
}

/// A file from an offset on.
struct From<'a> {
    file: &'a File,
    at: u64,
}

impl Read for From<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.file.read_at(buffer, self.at)?;
        self.at += length as u64;
        Ok(length)
    }
}

/// Makes an object of its base and a delta: two lengths, then parts to copy from the base and parts
/// to insert.
fn applied(base: &[u8], mut delta: &[u8], effort: &mut Effort) -> Option<Vec<u8>> {
    if number(&mut delta)? != base.len() as u64 {
        return None;
    }
    let length = number(&mut delta)?;
    effort.spend(length).ok()?;
    let mut object = Vec::new();
    while let Some((command, rest)) = delta.split_first() {
        delta = rest;
        let part = if command & 0x80 == 0 {
            let (part, rest) = delta.split_at_checked(usize::from(*command))?;
            delta = rest;
            part
        } else {
            // Bits 0 to 3 say which bytes of the offset follow, bits 4 to 6 which of the size.
            let mut fields = [0; 7];
            for (bit, field) in fields.iter_mut().enumerate() {
                if command >> bit & 1 == 1 {
                    (*field, delta) = delta.split_first().map(|(byte, rest)| (*byte, rest))?;
                }
            }
            let number = |bytes: &[u8]| bytes.iter().rev().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
            let (offset, size) = (number(&fields[..4]), number(&fields[4..]));
            base.get(offset..)?.get(..if size == 0 { 1 << 16 } else { size })?
        };
        object.extend_from_slice(part);
        if object.len() as u64 > length {
            return None;
        }
    }
    (object.len() as u64 == length).then_some(object)
}

/// Takes a number from a delta: seven bits in each byte, the lowest first.
fn number(delta: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..56).step_by(7) {
        let (byte, rest) = delta.split_first()?;
        *delta = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}
