//! Remembers the digest of each source file, so that a cached rebuild reads no file again.
//!
//! An entry is valid while device, inode, size, modification time and change time stay the same,
//! like in git's index. A file that changed so recently that another change might keep the same
//! times is not remembered. The index only saves time: if it is missing or damaged, all files are
//! read.

use std::collections::HashMap;
use std::fs;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::image::cache_key::{CacheKey, Fields};
use crate::image::file_digest;
use crate::image::source_tree::{Error, FileDigest, Node, NodeKind, Source, Stamp};
use crate::state::lock::{Lock, Share};
use crate::state::paths;
use crate::state::store;
use crate::state::{self, at};

const MAGIC: &[u8] = b"conductor stat index 4\n";

/// Below this number of bytes, starting threads takes longer than reading.
const WORTH_A_THREAD: u64 = 1 << 20;

/// The known digests of one Conductorfile's sources.
#[derive(Debug)]
pub struct StatIndex {
    path: PathBuf,
    entries: Entries,
    changed: bool,
}

/// Stamp and digest of each file, by the bytes of its path: a `Path` takes longer to hash and to
/// compare.
type Entries = HashMap<Vec<u8>, (Stamp, FileDigest)>;

/// A file without a known digest.
struct Unknown<'a> {
    path: PathBuf,
    stamp: Stamp,
    sparse: bool,
    digest: &'a mut FileDigest,
}

impl StatIndex {
    /// Loads the index for the sources that `conductorfile` copies from `context`. The index is a
    /// file in `folder`.
    pub fn load(folder: &Path, conductorfile: &Path, context: &Path) -> Self {
        let mut fields = Fields::new("stat index");
        fields.add(conductorfile.as_os_str().as_bytes());
        fields.add(context.as_os_str().as_bytes());
        let path = folder.join(fields.finish().as_str());
        let entries = fs::read(&path).ok().and_then(|bytes| decode(&bytes)).unwrap_or_default();
        Self { path, entries, changed: false }
    }

    /// Whether `name` has the form of an index's file, complete or not.
    pub fn is_name(name: &str) -> bool {
        CacheKey::is_key(name.strip_suffix(".new").unwrap_or(name))
    }

    /// Sets the digest of every file of `source`. Files without a known digest are read.
    pub fn fill(&mut self, source: &mut Source) -> Result<(), Error> {
        let Source { path: base, open, node, .. } = source;
        let mut unknown = Vec::new();
        self.look_up(base, node, &mut unknown);
        if unknown.is_empty() {
            return Ok(());
        }
        let total: u64 = unknown.iter().map(|file| file.stamp.size).sum();
        let processors = || thread::available_parallelism().map_or(1, usize::from).min(4);
        let threads = if total < WORTH_A_THREAD { 1 } else { processors() };
        let (base, open) = (&*base, &*open);
        thread::scope(|scope| {
            let share = unknown.len().div_ceil(threads);
            let mut shares = unknown.chunks_mut(share);
            let own = shares.next().unwrap_or_default();
            let others: Vec<_> = shares.map(|files| scope.spawn(|| read_all(base, open, files))).collect();
            let result = read_all(base, open, own);
            others.into_iter().fold(result, |result, other| {
                // The panic has been printed. A missing digest must not pass for a real one.
                result.and(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            })
        })?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        for file in unknown.into_iter().filter(|file| is_settled(&file.stamp, now)) {
            self.entries.insert(file.path.into_os_string().into_vec(), (file.stamp, *file.digest));
            self.changed = true;
        }
        Ok(())
    }

    fn look_up<'a>(&self, path: &Path, node: &'a mut Node, unknown: &mut Vec<Unknown<'a>>) {
        match &mut node.kind {
            NodeKind::File { stamp, digest, sparse, .. } => match self
                .entries
                .get(path.as_os_str().as_bytes())
            {
                Some((remembered, known)) if remembered == stamp => *digest = *known,
                _ => unknown.push(Unknown { path: path.to_owned(), stamp: *stamp, sparse: *sparse, digest }),
            },
            NodeKind::Directory { children, .. } => {
                let mut path = path.to_owned();
                for (name, child) in children {
                    path.push(name);
                    self.look_up(&path, child, unknown);
                    path.pop();
                }
            }
            NodeKind::Link { .. } => {}
        }
    }

    /// Writes the index if it has new entries.
    pub fn save(&self) -> Result<(), state::Error> {
        if !self.changed {
            return Ok(());
        }
        let folder = self.path.parent().unwrap_or(Path::new("/"));
        store::make_folder(folder)?;
        let _lock = Lock::wait(folder, Share::Exclusive)?;
        let new = self.path.with_extension("new");
        at(fs::write(&new, encode(&self.entries)), "write", &new)?;
        at(fs::rename(&new, &self.path), "replace", &self.path)
    }
}

/// Whether every later change will change the times too. The clock for file times advances in steps
/// of up to 10 ms, or 2 s on file systems without nanoseconds.
fn is_settled(stamp: &Stamp, now: Duration) -> bool {
    let (seconds, nanoseconds) = stamp.changed;
    let changed = Duration::new(seconds.max(0) as u64, nanoseconds as u32);
    let step = if nanoseconds == 0 { Duration::from_secs(2) } else { Duration::from_millis(20) };
    changed + step < now
}

fn read_all(base: &Path, open: &OwnedFd, files: &mut [Unknown<'_>]) -> Result<(), Error> {
    let mut buffer = vec![0; file_digest::CHUNK];
    for file in files {
        let fail = |error: Errno| Error::read(&file.path, error);
        let below = file.path.strip_prefix(base).unwrap_or(&file.path);
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let opened = if below.as_os_str().is_empty() {
            // The source itself. A new description, because threads must not share a file position.
            rustix::fs::open(format!("/proc/self/fd/{}", open.as_raw_fd()), OFlags::RDONLY, Mode::empty())
        } else {
            paths::at(open.as_fd(), below, |parent, path| {
                rustix::fs::openat2(parent, path, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS)
            })
        };
        let opened = opened.map_err(fail)?;
        *file.digest =
            file_digest::of(opened.as_fd(), file.stamp.size, file.sparse, &mut buffer).map_err(fail)?;
    }
    Ok(())
}

/// The length of an entry without its path.
const ENTRY: usize = 4 + 7 * 8 + 32;

fn encode(entries: &Entries) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    for (path, (stamp, digest)) in entries {
        bytes.extend_from_slice(&(path.len() as u32).to_le_bytes());
        bytes.extend_from_slice(path);
        for number in numbers(stamp) {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(digest);
    }
    bytes
}

fn numbers(stamp: &Stamp) -> [u64; 7] {
    let Stamp { inode, size, modified, changed } = stamp;
    [inode.0, inode.1, *size, modified.0 as u64, modified.1 as u64, changed.0 as u64, changed.1 as u64]
}

/// The entries in `bytes`. `None` if [`encode`] did not write them.
fn decode(bytes: &[u8]) -> Option<Entries> {
    let mut rest = bytes.strip_prefix(MAGIC)?;
    let mut entries = HashMap::with_capacity(rest.len() / ENTRY);
    let mut take = |len: usize| {
        let (taken, left) = rest.split_at_checked(len)?;
        rest = left;
        Some(taken)
    };
    while let Some(len) = take(4) {
        let path = take(u32::from_le_bytes(len.try_into().ok()?) as usize)?;
        let mut numbers = [0; 7];
        for number in &mut numbers {
            *number = u64::from_le_bytes(take(8)?.try_into().ok()?);
        }
        let [device, inode, size, modified, modified_ns, changed, changed_ns] = numbers;
        let stamp = Stamp {
            inode: (device, inode),
            size,
            modified: (modified as i64, modified_ns as i64),
            changed: (changed as i64, changed_ns as i64),
        };
        entries.insert(path.to_vec(), (stamp, take(32)?.try_into().ok()?));
    }
    Some(entries)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;
    use crate::image::ignore::Ignore;
    use crate::image::source_tree::Exclude;

    fn digest_of(index: &mut StatIndex, context: &Path) -> FileDigest {
        let exclude = Exclude { folders: &[], ignore: &Ignore::default() };
        let mut source = Source::find(context, "file", &exclude).unwrap();
        index.fill(&mut source).unwrap();
        let NodeKind::File { digest, .. } = source.node.kind else { panic!("not a file") };
        digest
    }

    fn wait_until_settled(path: &Path) {
        loop {
            let meta = fs::metadata(path).unwrap();
            let stamp = Stamp { changed: (meta.ctime(), meta.ctime_nsec()), ..Stamp::default() };
            if is_settled(&stamp, SystemTime::now().duration_since(UNIX_EPOCH).unwrap()) {
                return;
            }
            thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn a_remembered_file_is_not_read_again_and_a_changed_one_is() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "one").unwrap();
        wait_until_settled(&file);
        let load = || StatIndex::load(&folder.path().join("index"), Path::new("/C"), folder.path());
        let mut index = load();
        let one = digest_of(&mut index, folder.path());
        index.save().unwrap();

        let mut remembered = load();
        assert_eq!(remembered.entries.len(), 1);
        // A wrong digest in the index shows that the file itself was not read.
        remembered.entries.get_mut(&b"file"[..]).unwrap().1 = [7; 32];
        assert_eq!(digest_of(&mut remembered, folder.path()), [7; 32]);

        fs::write(&file, "two").unwrap();
        assert_ne!(digest_of(&mut remembered, folder.path()), [7; 32]);
        fs::write(&file, "one").unwrap();
        assert_eq!(digest_of(&mut remembered, folder.path()), one);
    }

    #[test]
    fn a_file_changed_just_now_is_not_remembered() {
        let now = Duration::new(1000, 500_000_000);
        let stamp = |changed| Stamp { changed, ..Stamp::default() };
        assert!(!is_settled(&stamp((1000, 499_000_000)), now));
        assert!(!is_settled(&stamp((2000, 1)), now));
        assert!(!is_settled(&stamp((999, 0)), now));
        assert!(is_settled(&stamp((1000, 400_000_000)), now));
        assert!(is_settled(&stamp((998, 0)), now));
    }

    #[test]
    fn a_damaged_index_is_an_empty_one() {
        let entries = HashMap::from([(b"a/b".to_vec(), (Stamp::default(), [3; 32]))]);
        let bytes = encode(&entries);
        assert_eq!(decode(&bytes), Some(entries));
        for len in MAGIC.len() + 4..bytes.len() {
            assert_eq!(decode(&bytes[..len]), None, "cut at {len}");
        }
        assert_eq!(decode(b"something else"), None);
    }
}
