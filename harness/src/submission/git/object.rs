//! Whether bytes are the commit that an object name stands for: the name is the digest of the
//! commit, so nobody can write one down without the other.

use std::fs::File;
use std::io::{self, Read};

use flate2::read::ZlibDecoder;
use sha1::Sha1;
use sha2::{Digest, Sha256};

/// The largest commit that is read, in bytes: its message and signatures.
pub const MOST_COMMIT: u64 = 8 << 20;

/// Whether a loose object is the commit with this name: `commit <length>\0<content>`.
pub fn is_loose_commit(file: File, name: &[u8]) -> io::Result<bool> {
    let mut object = Vec::new();
    ZlibDecoder::new(file).take(MOST_COMMIT).read_to_end(&mut object)?;
    let Some(end) = object.iter().position(|byte| *byte == 0) else { return Ok(false) };
    let content = &object[end + 1..];
    Ok(object[..end] == *header(content).as_bytes() && is_commit(content, name))
}

/// Whether this is the content of the commit with this name.
pub fn is_commit(content: &[u8], name: &[u8]) -> bool {
    let digest = if name.len() == 20 { digest::<Sha1>(content) } else { digest::<Sha256>(content) };
    digest == name && has_the_lines(content, name.len() * 2)
}

fn header(content: &[u8]) -> String {
    format!("commit {}", content.len())
}

fn digest<D: Digest>(content: &[u8]) -> Vec<u8> {
    D::new().chain_update(header(content)).chain_update(b"\0").chain_update(content).finalize().to_vec()
}

/// Whether a commit begins with the name of its tree, of `digits` digits, and says who made it.
fn has_the_lines(content: &[u8], digits: usize) -> bool {
    let mut lines = content.split(|byte| *byte == b'\n').take_while(|line| !line.is_empty());
    let tree = lines.next().and_then(|line| line.strip_prefix(b"tree "));
    tree.is_some_and(|tree| tree.len() == digits && tree.iter().all(u8::is_ascii_hexdigit))
        && lines.any(|line| line.starts_with(b"committer "))
}
