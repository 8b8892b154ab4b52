//! Reads small text files of a submission. Links are followed only inside the submission's folder.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

use rustix::fs::FileType;

use crate::submission::Beneath;

/// The largest file to read, in bytes: longer than any script or Conductorfile.
const LONGEST: u64 = 1 << 20;
/// The most links that one path may pass.
const LINKS: usize = 16;
/// The most files of a folder to list.
const FILES: usize = 1000;

/// The folder of a submission.
#[derive(Debug)]
pub struct Folder(Option<Beneath>);

impl Folder {
    /// Opens the folder at `root`. If that fails, the folder behaves as an empty one.
    pub fn new(root: &Path) -> Self {
        Self(Beneath::open(root).ok())
    }

    /// Whether an entry with this path exists, even if it is a broken link.
    pub fn has(&self, path: &str) -> bool {
        self.0.as_ref().is_some_and(|root| root.kind(Path::new(path)).is_some())
    }

    /// The folder that contains the file at `path`, with links resolved.
    pub fn home_of(&self, path: &str) -> Option<String> {
        Some(self.real(path)?.parent()?.to_str()?.to_owned())
    }

    /// The text of a file. `None` if the path leads out of the submission, or the file is missing,
    /// too long or not UTF-8.
    pub fn read(&self, path: &str) -> Option<String> {
        let text = self.0.as_ref()?.read(&self.real(path)?, LONGEST).ok()?;
        String::from_utf8(text).ok()
    }

    /// The paths of the entries of a folder, sorted by name. Subfolders are not searched.
    pub fn files_in(&self, folder: &str) -> Vec<String> {
        let names = self.0.as_ref().and_then(|root| root.folder(Path::new(folder)).ok()?.names(FILES).ok());
        let path = |name: OsString| Some(format!("{folder}/{}", name.to_str()?));
        names.into_iter().flatten().filter_map(path).collect()
    }

    /// Resolves the links in a path step by step. `None` if a step leads out of the submission.
    fn real(&self, path: &str) -> Option<PathBuf> {
        let root = self.0.as_ref()?;
        let parts = |path: &Path| path.components().map(|part| part.as_os_str().to_owned()).collect();
        let mut rest: VecDeque<OsString> = parts(Path::new(path));
        let (mut real, mut links) = (PathBuf::new(), 0);
        while let Some(part) = rest.pop_front() {
            match Path::new(&part).components().next()? {
                Component::CurDir => continue,
                Component::ParentDir if real.pop() => continue,
                Component::Normal(name) => real.push(name),
                _ => return None,
            }
            if root.kind(&real) == Some(FileType::Symlink) {
                links += 1;
                let to = root.read_link(&real).ok().filter(|_| links <= LINKS)?;
                real.pop();
                let mut through: VecDeque<OsString> = parts(&to);
                through.append(&mut rest);
                rest = through;
            }
        }
        Some(real)
    }
}

/// The lines of a script without comment lines. A backslash at the end of a line joins the next
/// line to it.
pub fn lines(text: &str) -> impl Iterator<Item = String> {
    // Split at LF only: to a shell, the CR of a Windows line end is part of the line.
    let mut lines = text.split('\n');
    std::iter::from_fn(move || {
        let mut line = lines.find(|line| !line.trim_start().starts_with('#'))?.to_owned();
        while line.ends_with('\\') {
            line.pop();
            line.push_str(lines.next().unwrap_or_default());
        }
        Some(line)
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_are_followed_inside_the_submission_only() {
        let home = tempfile::tempdir().unwrap();
        let root = home.path().join("submission");
        fs::create_dir_all(root.join("task3")).unwrap();
        fs::create_dir(root.join("task4")).unwrap();
        fs::write(root.join("task3/setup.sh"), "own").unwrap();
        fs::write(home.path().join("outside"), "not theirs").unwrap();
        symlink("../task3/setup.sh", root.join("task4/setup.sh")).unwrap();
        symlink("../../outside", root.join("task4/up")).unwrap();
        symlink(home.path().join("outside"), root.join("task4/absolute")).unwrap();
        symlink("loop", root.join("task4/loop")).unwrap();
        let folder = Folder::new(&root);
        assert_eq!(folder.read("task4/setup.sh").as_deref(), Some("own"));
        assert_eq!(folder.home_of("task4/setup.sh").as_deref(), Some("task3"));
        for path in ["task4/up", "task4/absolute", "task4/loop", "task4", "../outside", "task4/nothing"] {
            assert_eq!(folder.read(path), None, "{path}");
        }
    }
}
