//! Decides whether a submission's `.git` has a history: HEAD must lead to an existing commit.
//!
//! The code reads the files itself and never starts git, because a repository's configuration can
//! name programs to run. The formats are in gitrepository-layout(5) and gitformat-pack(5). All
//! sizes and counts are limited, and an unknown format counts as no commit.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use flate2::read::ZlibDecoder;

use super::beneath::Beneath;

/// The largest text file of a repository that is read, in bytes.
const MOST_TEXT: u64 = 8 << 20;

/// The most references to follow from HEAD to a commit.
const MOST_REFS: usize = 8;

/// The most deltas to follow in all packs together. Git writes chains of 50 and accepts 4095.
const MOST_DELTAS: usize = 4096;

/// The most entries of the pack folder to examine.
const MOST_PACKS: usize = 200;

// The types of packed objects.
const COMMIT: u8 = 1;
const OFFSET_DELTA: u8 = 6;
const NAME_DELTA: u8 = 7;

/// Whether the repository in the folder `git` has a commit at its HEAD.
pub fn has_commit(git: &Beneath) -> bool {
    head(git).is_some_and(|object| is_commit(git, &object))
}

/// The name of the object at HEAD, in hexadecimal.
fn head(git: &Beneath) -> Option<String> {
    let mut name = PathBuf::from("HEAD");
    for _ in 0..MOST_REFS {
        let text = match git.read(&name, MOST_TEXT) {
            Ok(text) => String::from_utf8(text).ok()?,
            Err(_) => return packed_ref(git, name.to_str()?),
        };
        match text.trim_end().strip_prefix("ref:") {
            None => return object_name(text.trim()),
            Some(next) => name = PathBuf::from(next.trim()),
        }
        if !name.starts_with("refs") {
            return None;
        }
    }
    None
}

/// Looks up a reference in `packed-refs`, whose lines are `<object> <ref>`.
fn packed_ref(git: &Beneath, name: &str) -> Option<String> {
    let text = git.read(Path::new("packed-refs"), MOST_TEXT).ok()?;
    let text = String::from_utf8_lossy(&text);
    let line = |line: &str| {
        line.split_once(' ').filter(|(_, found)| *found == name).and_then(|(id, _)| object_name(id))
    };
    text.lines().find_map(line)
}

/// Validates an object name: a SHA-1 or SHA-256 in hexadecimal.
fn object_name(text: &str) -> Option<String> {
    let is_name = matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_name.then(|| text.to_ascii_lowercase())
}

fn is_commit(git: &Beneath, object: &str) -> bool {
    let loose = Path::new("objects").join(&object[..2]).join(&object[2..]);
    match git.file(&loose) {
        Ok(file) => begins_as_commit(file),
        Err(_) => is_packed_commit(git, object).unwrap_or(false),
    }
}

/// Whether a loose object is a commit: `commit <length>\0<content>`, where the content begins with
/// `tree `.
fn begins_as_commit(file: File) -> bool {
    let mut start = Vec::new();
    if ZlibDecoder::new(file).take(256).read_to_end(&mut start).is_err() && start.len() < 64 {
        return false;
    }
    let Some(end) = start.iter().position(|byte| *byte == 0) else { return false };
    start.starts_with(b"commit ") && start[end + 1..].starts_with(b"tree ")
}

fn is_packed_commit(git: &Beneath, object: &str) -> io::Result<bool> {
    let folder = git.folder(Path::new("objects/pack"))?;
    let wanted: Vec<u8> = (0..object.len())
        .step_by(2)
        .filter_map(|at| u8::from_str_radix(object.get(at..at + 2)?, 16).ok())
        .collect();
    let mut deltas = MOST_DELTAS;
    for name in folder.names(MOST_PACKS)? {
        let path = Path::new(&name);
        if path.extension().is_some_and(|extension| extension == "idx")
            && let (Ok(index), Ok(pack)) = (folder.file(path), folder.file(&path.with_extension("pack")))
        {
            let pack = Pack { index, objects: pack, hash: wanted.len() as u64 };
            // If this pack is damaged, another one may still have the commit.
            if pack.has_commit(&wanted, &mut deltas).unwrap_or(false) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// A pack and its index (version 2).
struct Pack {
    index: File,
    objects: File,
    /// The bytes of an object name.
    hash: u64,
}

impl Pack {
    fn has_commit(&self, wanted: &[u8], deltas: &mut usize) -> io::Result<bool> {
        let magic: [u8; 8] = bytes(&self.index, 0)?;
        let pack: [u8; 4] = bytes(&self.objects, 0)?;
        if magic != [0xff, b't', b'O', b'c', 0, 0, 0, 2] || &pack != b"PACK" {
            return Ok(false);
        }
        let Some(mut offset) = self.offset(wanted)? else { return Ok(false) };
        while let Some(left) = deltas.checked_sub(1) {
            *deltas = left;
            let (kind, after) = self.header(offset)?;
            offset = match kind {
                COMMIT => return Ok(true),
                OFFSET_DELTA => match offset.checked_sub(self.distance(after)?) {
                    Some(base) if base < offset => base,
                    _ => return Ok(false),
                },
                NAME_DELTA => {
                    let mut base = vec![0; wanted.len()];
                    self.objects.read_exact_at(&mut base, after)?;
                    let Some(base) = self.offset(&base)? else { return Ok(false) };
                    base
                }
                _ => return Ok(false),
            };
        }
        Ok(false)
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

    /// Reads an object's header. Returns its type, which is in the first byte, and the offset after
    /// the header. Each header byte has seven bits of the length; the top bit says whether another
    /// byte follows.
    fn header(&self, offset: u64) -> io::Result<(u8, u64)> {
        let [first] = bytes(&self.objects, offset)?;
        let (mut byte, mut at) = (first, offset + 1);
        while byte & 0x80 != 0 && at < offset + 10 {
            [byte] = bytes(&self.objects, at)?;
            at += 1;
        }
        Ok((first >> 4 & 7, at))
    }

    /// The distance from a delta back to its base: a number in base 128, where each further digit
    /// adds one.
    fn distance(&self, mut at: u64) -> io::Result<u64> {
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
        Ok(distance)
    }
}

fn bytes<const N: usize>(file: &File, at: u64) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    file.read_exact_at(&mut bytes, at)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::process::Command;

    use super::*;

    /// A repository created by git itself.
    struct Repository(tempfile::TempDir);

    impl Repository {
        fn new(options: &[&str]) -> Self {
            let repository = Self(tempfile::tempdir().unwrap());
            repository.git(&[&["init", "-q", "-b", "main"], options].concat());
            repository
        }

        fn git(&self, words: &[&str]) {
            let mut git = Command::new("git");
            git.arg("-C").arg(self.0.path()).args(["-c", "user.name=a", "-c", "user.email=a@b"]);
            git.env("GIT_CONFIG_NOSYSTEM", "1").env("HOME", self.0.path()).args(words);
            let output = git.output().unwrap();
            assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        }

        fn commit(&self, number: usize) {
            fs::write(self.0.path().join("file"), format!("{number}")).unwrap();
            self.git(&["add", "file"]);
            self.git(&[
                "commit",
                "-q",
                "-m",
                &format!("commit {number} {}", "with a long message ".repeat(40)),
            ]);
        }

        fn has_commit(&self) -> bool {
            has_commit(&Beneath::open(&self.0.path().join(".git")).unwrap())
        }
    }

    #[test]
    fn a_branch_without_a_commit_is_no_history() {
        let repository = Repository::new(&[]);
        assert!(!repository.has_commit());
        let heads = repository.0.path().join(".git/refs/heads/main");
        for text in ["", "0123\n", &"0".repeat(40), "ref: refs/heads/main", "ref: ../../outside"] {
            fs::write(&heads, text).unwrap();
            assert!(!repository.has_commit(), "{text:?}");
        }
    }

    #[test]
    fn a_loose_commit_on_a_branch_or_a_detached_head_is_a_history() {
        let repository = Repository::new(&[]);
        repository.commit(0);
        assert!(repository.has_commit());
        repository.git(&["checkout", "-q", "--detach"]);
        assert!(repository.has_commit());
        repository.git(&["checkout", "-q", "--orphan", "new"]);
        assert!(!repository.has_commit());
    }

    #[test]
    fn a_branch_that_leads_to_a_tree_is_no_history() {
        let repository = Repository::new(&[]);
        repository.commit(0);
        let tree = Command::new("git")
            .arg("-C")
            .arg(repository.0.path())
            .args(["rev-parse", "HEAD^{tree}"])
            .output();
        fs::write(repository.0.path().join(".git/refs/heads/main"), tree.unwrap().stdout).unwrap();
        assert!(!repository.has_commit());
    }

    #[test]
    fn packed_commits_deltas_and_refs_are_found() {
        for options in [&[][..], &["--object-format=sha256"]] {
            let repository = Repository::new(options);
            for number in 0..12 {
                repository.commit(number);
            }
            // The pack now stores some commits as deltas of others.
            repository.git(&["-c", "pack.depth=50", "gc", "-q", "--aggressive", "--prune=now"]);
            assert!(!repository.0.path().join(".git/refs/heads/main").exists());
            for back in 0..12 {
                repository.git(&["update-ref", "--no-deref", "HEAD", &format!("main~{back}")]);
                assert!(repository.has_commit(), "{back} back");
                repository.git(&["symbolic-ref", "HEAD", "refs/heads/main"]);
            }
            fs::remove_dir_all(repository.0.path().join(".git/objects/pack")).unwrap();
            assert!(!repository.has_commit());
        }
    }

    #[test]
    fn deltas_by_object_name_are_followed() {
        let repository = Repository::new(&[]);
        for number in 0..12 {
            repository.commit(number);
        }
        repository.git(&["-c", "repack.useDeltaBaseOffset=false", "repack", "-q", "-adf", "--depth=50"]);
        for back in 0..12 {
            repository.git(&[
                "update-ref",
                "--no-deref",
                "HEAD",
                &format!("HEAD{}", if back == 0 { "" } else { "~1" }),
            ]);
            assert!(repository.has_commit(), "{back} back");
        }
    }

    /// A pack of two deltas that are each other's base, and its index. The index has thousands of
    /// names.
    fn circle(first: [u8; 20], second: [u8; 20]) -> (Vec<u8>, Vec<u8>) {
        let mut names: Vec<[u8; 20]> = (0..5000_u16).map(|number| name(&number.to_be_bytes())).collect();
        names.extend([first, second]);
        names.sort_unstable();
        let count = u32::try_from(names.len()).unwrap().to_be_bytes();
        let mut index = b"\xfftOc\0\0\0\x02".to_vec();
        (0..256).for_each(|slot| index.extend(if slot < 0xaa { [0; 4] } else { count }));
        index.extend(names.concat());
        index.resize(index.len() + names.len() * 4, 0);
        index.extend(names.iter().flat_map(|name| [0, 0, 0, if *name == first { 12 } else { 33 }]));
        let delta = [NAME_DELTA << 4];
        (index, [&b"PACK\0\0\0\x02\0\0\0\x02"[..], &delta, &second, &delta, &first].concat())
    }

    fn name(end: &[u8]) -> [u8; 20] {
        let mut name = [0xaa; 20];
        name[20 - end.len()..].copy_from_slice(end);
        name
    }

    #[test]
    fn circular_deltas_in_many_packs_end_quickly() {
        let repository = Repository::new(&[]);
        let git = repository.0.path().join(".git");
        fs::write(git.join("refs/heads/main"), "aa".repeat(20)).unwrap();
        let (index, pack) = circle(name(&[]), name(&[0xbb]));
        fs::create_dir_all(git.join("objects/pack")).unwrap();
        for number in 0..100 {
            fs::write(git.join(format!("objects/pack/{number}.idx")), &index).unwrap();
            fs::write(git.join(format!("objects/pack/{number}.pack")), &pack).unwrap();
        }
        let began = std::time::Instant::now();
        assert!(!repository.has_commit());
        assert!(began.elapsed().as_secs() < 2, "{:?}", began.elapsed());
    }
}
