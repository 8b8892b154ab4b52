//! Copies of the machine's own programs, made before a submission runs: later the machine's may
//! be the submission's.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Programs and the libraries that they load, in a directory of their own. It goes
/// when they are dropped.
#[derive(Debug)]
pub struct Programs {
    /// The programs lie here, their libraries in `lib` below it.
    pub dir: PathBuf,
    /// Where the libraries were found.
    pub sources: BTreeSet<PathBuf>,
    loader: PathBuf,
}

impl Programs {
    /// Copies those of `paths` that there are, under their own names.
    ///
    /// # Errors
    /// When none of them is there, or the directory cannot be written.
    pub fn copy_into(dir: &Path, paths: &[&str]) -> io::Result<Self> {
        fs::create_dir_all(dir.join("lib"))?;
        let mut loader = None;
        let mut sources = BTreeSet::new();
        for path in paths.iter().map(Path::new) {
            let (Ok(file), Some(name)) = (fs::canonicalize(path), path.file_name()) else { continue };
            fs::copy(&file, dir.join(name))?;
            for library in libraries(&file)? {
                let Some(name) = library.file_name() else { continue };
                let copy = dir.join("lib").join(name);
                if !copy.exists() {
                    fs::copy(&library, &copy)?;
                }
                sources.extend(library.parent().map(Path::to_owned));
                if name.as_encoded_bytes().starts_with(b"ld-") {
                    loader = Some(copy);
                }
            }
        }
        let loader =
            loader.ok_or_else(|| io::Error::other(format!("none of {paths:?} is in this machine")))?;
        Ok(Self { dir: dir.to_owned(), sources, loader })
    }

    /// Whether a program was there to be copied.
    pub fn has(&self, name: &str) -> bool {
        self.dir.join(name).exists()
    }

    /// The words by which a copy is called, as its loader takes them (ld.so(8)).
    pub fn call(&self, name: &str) -> [String; 6] {
        let text = |path: PathBuf| path.to_string_lossy().into_owned();
        [
            text(self.loader.clone()),
            "--library-path".to_owned(),
            text(self.dir.join("lib")),
            "--argv0".to_owned(),
            name.to_owned(),
            text(self.dir.join(name)),
        ]
    }
}

impl Drop for Programs {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// The libraries that a program loads, its loader among them.
fn libraries(program: &Path) -> io::Result<Vec<PathBuf>> {
    let output = Command::new("/usr/bin/ldd").arg(program).current_dir("/").output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let words = text.lines().filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')));
    Ok(words.map(PathBuf::from).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_runs_and_goes_with_its_owner() {
        let home = tempfile::tempdir().unwrap();
        let programs = Programs::copy_into(&home.path().join("own"), &["/usr/bin/env", "/nowhere"]).unwrap();
        assert!(programs.has("env") && !programs.has("nowhere"));
        let words = programs.call("env");
        let output = Command::new(&words[0]).args(&words[1..]).arg("ONE=1").env_clear().output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "ONE=1\n");
        let dir = programs.dir.clone();
        drop(programs);
        assert!(!dir.exists());
    }

    #[test]
    fn nothing_to_copy_is_an_error() {
        let home = tempfile::tempdir().unwrap();
        assert!(Programs::copy_into(home.path(), &["/nowhere"]).is_err());
    }
}
