//! Decides whether a submission's `.git` has a history: HEAD must lead to an existing commit.
//!
//! The code reads the files itself and never starts git, because a repository's configuration can
//! name programs to run. The formats are in gitrepository-layout(5) and gitformat-pack(5). All
//! sizes and counts are limited, and an unknown format counts as no commit.

mod object;
mod pack;

use std::io;
use std::path::{Path, PathBuf};

use self::object::is_loose_commit;
use self::pack::{Effort, Pack};
use super::beneath::Beneath;

/// The largest text file of a repository that is read, in bytes.
const MOST_TEXT: u64 = 8 << 20;

/// The most references to follow from HEAD to a commit.
const MOST_REFS: usize = 8;

/// The most entries of the pack folder to examine.
const MOST_PACKS: usize = 200;

/// Whether the folder `git` is a repository that has a commit at its HEAD.
pub fn has_commit(git: &Beneath) -> bool {
    let digits = if is_sha256(git) { 64 } else { 40 };
    is_repository(git) && head(git).is_some_and(|object| object.len() == digits && is_commit(git, &object))
}

/// What git asks of a repository. Archives without empty folders may lack `refs`, if all references
/// are packed.
fn is_repository(git: &Beneath) -> bool {
    let has_refs = git.has_folder(Path::new("refs")) || git.has_file(Path::new("packed-refs"));
    git.has_file(Path::new("HEAD")) && git.has_folder(Path::new("objects")) && has_refs
}

/// Whether the repository's configuration says that objects are named by SHA-256.
fn is_sha256(git: &Beneath) -> bool {
    let text = git.read(Path::new("config"), MOST_TEXT).unwrap_or_default();
    let text = String::from_utf8_lossy(&text).to_ascii_lowercase();
    text.lines().any(|line| {
        let line: String = line.chars().filter(|char| !char.is_whitespace() && *char != '"').collect();
        line.contains("objectformat=sha256") && !line.starts_with(['#', ';'])
    })
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
    let digits = |at| u8::from_str_radix(object.get(at..at + 2)?, 16).ok();
    let name: Vec<u8> = (0..object.len()).step_by(2).filter_map(digits).collect();
    let loose = Path::new("objects").join(&object[..2]).join(&object[2..]);
    git.file(&loose).and_then(|file| is_loose_commit(file, &name)).unwrap_or(false)
        || is_packed_commit(git, &name).unwrap_or(false)
}

fn is_packed_commit(git: &Beneath, name: &[u8]) -> io::Result<bool> {
    let folder = git.folder(Path::new("objects/pack"))?;
    let mut effort = Effort::default();
    for file in folder.names(MOST_PACKS)? {
        let path = Path::new(&file);
        if path.extension().is_some_and(|extension| extension == "idx")
            && let (Ok(index), Ok(pack)) = (folder.file(path), folder.file(&path.with_extension("pack")))
        {
            let pack = Pack { index, objects: pack, hash: name.len() as u64 };
            // If this pack is damaged, another one may still have the commit.
            if pack.has_commit(name, &mut effort).unwrap_or(false) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;
    use std::process::Command;

    use sha1::{Digest, Sha1};

    use super::pack::NAME_DELTA;
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

    #[test]
    fn shallow_clones_and_archives_without_empty_folders_keep_their_history() {
        for options in [&[][..], &["--object-format=sha256"]] {
            let origin = Repository::new(options);
            (0..3).for_each(|number| origin.commit(number));
            let clone = Repository(tempfile::tempdir().unwrap());
            let url = format!("file://{}", origin.0.path().display());
            clone.git(&["clone", "-q", "--depth=1", &url, "."]);
            assert!(clone.0.path().join(".git/shallow").exists() && clone.has_commit());
            clone.git(&["pack-refs", "--all"]);
            fs::remove_dir_all(clone.0.path().join(".git/refs")).unwrap();
            assert!(clone.has_commit());
        }
    }

    /// Writes an object under a name that its author chose.
    fn forge(repository: &Repository, name: &str, object: &[u8]) {
        let git = repository.0.path().join(".git");
        let folder = git.join("objects").join(&name[..2]);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(&name[2..]), packed(object)).unwrap();
        fs::write(git.join("HEAD"), name).unwrap();
    }

    fn packed(bytes: &[u8]) -> Vec<u8> {
        let mut packed = flate2::write::ZlibEncoder::new(vec![], flate2::Compression::fast());
        packed.write_all(bytes).unwrap();
        packed.finish().unwrap()
    }

    fn named(object: &[u8]) -> String {
        crate::hex::hex(&Sha1::digest(object))
    }

    const TREE: &str = "tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\n";
    const COMMITTER: &str = "committer a <a@b> 1 +0000\n\nm\n";

    #[test]
    fn an_object_that_only_begins_as_a_commit_is_no_history() {
        let repository = Repository::new(&[]);
        let text = format!("{TREE}author a <a@b> 1 +0000\n{COMMITTER}");
        let real = format!("commit {}\0{text}", text.len());
        forge(&repository, &named(real.as_bytes()), real.as_bytes());
        assert!(repository.has_commit());
        forge(&repository, &format!("aa{}", "0".repeat(38)), real.as_bytes());
        assert!(!repository.has_commit(), "the digest");
        for text in
            ["tree ", TREE, &format!("tree 4b825d\n{COMMITTER}"), &format!("{TREE}\n{COMMITTER}"), COMMITTER]
        {
            let object = format!("commit {}\0{text}", text.len());
            forge(&repository, &named(object.as_bytes()), object.as_bytes());
            assert!(!repository.has_commit(), "{text:?}");
        }
        for length in [0, text.len() + 1] {
            let object = format!("commit {length}\0{text}");
            forge(&repository, &named(object.as_bytes()), object.as_bytes());
            assert!(!repository.has_commit(), "{length}");
        }
    }

    #[test]
    fn a_folder_that_git_would_not_open_is_no_repository() {
        for missing in ["HEAD", "objects", "refs"] {
            let repository = Repository::new(&[]);
            repository.commit(0);
            repository.git(&["checkout", "-q", "--detach"]);
            assert!(repository.has_commit());
            let path = repository.0.path().join(".git").join(missing);
            fs::rename(&path, repository.0.path().join("moved")).unwrap();
            assert!(!repository.has_commit(), "{missing}");
        }
        let repository = Repository::new(&["--object-format=sha256"]);
        repository.commit(0);
        fs::write(repository.0.path().join(".git/config"), "[core]\n\tbare = false\n").unwrap();
        assert!(!repository.has_commit(), "SHA-256 that the configuration does not name");
    }

    #[test]
    fn a_packed_object_under_the_name_of_another_is_no_history() {
        let repository = Repository::new(&[]);
        let git = repository.0.path().join(".git");
        let text = format!("{TREE}{COMMITTER}");
        let object = format!("commit {}\0{text}", text.len());
        let length = u8::try_from(text.len()).unwrap();
        // The type and four bits of the length, then the rest of the length.
        let header = [0x80 | 1 << 4 | length & 0x0f, length >> 4];
        let pack = [&b"PACK\0\0\0\x02\0\0\0\x01"[..], &header, &packed(text.as_bytes())].concat();
        fs::create_dir_all(git.join("objects/pack")).unwrap();
        fs::write(git.join("objects/pack/1.pack"), pack).unwrap();
        for (name, is_history) in [(Sha1::digest(&object).to_vec(), true), (vec![0xaa; 20], false)] {
            let mut index = b"\xfftOc\0\0\0\x02".to_vec();
            (0..256).for_each(|slot| index.extend([0, 0, 0, u8::from(slot >= usize::from(name[0]))]));
            index.extend([&name[..], &[0; 4], &[0, 0, 0, 12]].concat());
            fs::write(git.join("objects/pack/1.idx"), index).unwrap();
            fs::write(git.join("HEAD"), crate::hex::hex(&name)).unwrap();
            assert_eq!(repository.has_commit(), is_history);
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
