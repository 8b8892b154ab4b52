//! A submission's files as text: small ones, inside its folder, whatever links there are.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

use rustix::fs::FileType;

use crate::submission::Beneath;

/// No script or Conductorfile is as long as this.
const LONGEST: u64 = 1 << 20;
/// Most links on the way to a file.
const LINKS: usize = 16;
/// Most files of a folder that are looked at.
const FILES: usize = 1000;

/// The folder of a submission.
#[derive(Debug)]
pub struct Folder(Option<Beneath>);

impl Folder {
    /// The one at `root`.
    pub fn new(root: &Path) -> Self {
        Self(Beneath::open(root).ok())
    }

    /// Whether there is something by this name, be it a link to nothing.
    pub fn has(&self, path: &str) -> bool {
        self.0.as_ref().is_some_and(|root| root.kind(Path::new(path)).is_some())
    }

    /// The folder in which the file at `path` really lies.
    pub fn home_of(&self, path: &str) -> Option<String> {
        Some(self.real(path)?.parent()?.to_str()?.to_owned())
    }

    /// A file's text. Nothing where it is no file of the submission, long, or not text.
    pub fn read(&self, path: &str) -> Option<String> {
        let text = self.0.as_ref()?.read(&self.real(path)?, LONGEST).ok()?;
        String::from_utf8(text).ok()
    }

    /// The paths of the files in a folder, in the order of their names; those further down are not among them.
    pub fn files_in(&self, folder: &str) -> Vec<String> {
        let names = self.0.as_ref().and_then(|root| root.folder(Path::new(folder)).ok()?.names(FILES).ok());
        let path = |name: OsString| Some(format!("{folder}/{}", name.to_str()?));
        names.into_iter().flatten().filter_map(path).collect()
    }

    /// A path without links, worked out step by step: none is followed, and none leads out.
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

/// The lines of a script that are no comments, each with those that a backslash joins to it.
pub fn lines(text: &str) -> impl Iterator<Item = String> {
    // Not at the line ends of Windows: to a shell, their first half is part of the line.
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
