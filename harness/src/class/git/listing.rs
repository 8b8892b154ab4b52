//! Looks at a commit's files before any of them is written: a few kilobytes of a repository can
//! stand for gigabytes of files.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};

use super::{Failed, bounded};
use crate::submission::{Limits, Refusal, checked, refused};

/// The bytes of a line beside the path.
const MOST_FACTS: u64 = 128;

/// Checks names, number and sizes of the files at HEAD. The repository's own files count, too.
pub fn check(clone: &Path, limits: &Limits, shown: &str) -> Result<(), Failed> {
    let failed = |why: String| Failed::Other(format!("cannot list the files of {shown}: {why}"));
    let mut git = Command::new("git")
        .arg("-C")
        .arg(clone)
        .args(["ls-tree", "-r", "-t", "-l", "-z", "--full-tree", "HEAD"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| failed(error.to_string()))?;
    let listed = git.stdout.take().map(|listing| files(listing, bounded::size(clone), limits));
    if !matches!(listed, Some(Ok(()))) {
        let _ = git.kill();
    }
    let status = git.wait().map_err(|error| failed(error.to_string()))?;
    match listed {
        Some(Err((name, why))) => Err(Failed::Refused(refused(Path::new(shown), &name, why).to_string())),
        Some(Ok(())) if status.success() => Ok(()),
        _ => Err(failed(format!("git ended with {status}"))),
    }
}

/// Reads the lines `<mode> <type> <object> <size>\t<path>`, each ended by NUL. A listing can be
/// endless, so reading stops at the first entry that is refused.
fn files(listing: impl Read, own: u64, limits: &Limits) -> Result<(), (Vec<u8>, Refusal)> {
    let most = (limits.path as u64 + MOST_FACTS).saturating_mul(limits.entries + 2);
    let (mut entries, mut total) = (0, own);
    for line in BufReader::new(listing.take(most)).split(0).map_while(Result::ok) {
        let (facts, name) = split_once(&line, b'\t');
        entries += 1;
        if entries > limits.entries {
            return Err((name.to_owned(), Refusal::TooMany(entries)));
        }
        checked(name, limits).map_err(|why| (name.to_owned(), why))?;
        let facts = String::from_utf8_lossy(facts);
        // A folder and a submodule have no size.
        let size = facts.split_whitespace().last().and_then(|size| size.parse().ok()).unwrap_or(0);
        total = u64::saturating_add(total, size);
        if size > limits.file {
            return Err((name.to_owned(), Refusal::FileTooLarge(limits.file)));
        }
        if total > limits.total {
            return Err((name.to_owned(), Refusal::TotalTooLarge(limits.total)));
        }
    }
    Ok(())
}

fn split_once(line: &[u8], at: u8) -> (&[u8], &[u8]) {
    let end = line.iter().position(|byte| *byte == at).unwrap_or(line.len());
    (&line[..end], line.get(end + 1..).unwrap_or_default())
}
