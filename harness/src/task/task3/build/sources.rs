//! The files that COPY takes, in the folder of the submission's tool. They are written again before
//! each build, so a COPY that moves or damages them affects only its own build.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::plan::{BuildPlan, LINK};
use crate::guest::run::obstructed::{self, Obstructed};

/// What is at one path.
#[derive(Clone, Debug)]
enum Kind {
    Folder,
    File(String),
    /// A link to another file beside it.
    Link(&'static str),
}

/// A file, a folder or a link.
#[derive(Clone, Debug)]
struct Source {
    /// Below the tool's folder.
    path: String,
    mode: u32,
    kind: Kind,
}

/// All files and folders that COPY takes.
#[derive(Clone, Debug)]
pub struct Sources {
    dir: PathBuf,
    /// Folders before what is in them.
    all: Vec<Source>,
    /// The name of the folder whose files change.
    folder: String,
}

impl Sources {
    /// Those of a plan, in the tool's folder.
    pub fn new(dir: &Path, plan: &BuildPlan) -> Self {
        let mut all: Vec<Source> = plan
            .files
            .values()
            .map(|file| Source {
                path: file.name.clone(),
                mode: 0o644,
                kind: Kind::File(format!("{}\n", file.text)),
            })
            .collect();
        for folder in &plan.folders {
            all.push(Source { path: folder.clone(), mode: 0o755, kind: Kind::Folder });
            all.extend(plan.folder_content().into_iter().map(|(path, mode, text)| Source {
                path: format!("{folder}/{path}"),
                mode,
                kind: text.map_or(Kind::Folder, |text| Kind::File(text.to_owned())),
            }));
            all.push(Source { path: format!("{folder}/{}", LINK.0), mode: 0o777, kind: Kind::Link(LINK.1) });
        }
        // The two folders differ in more than their names.
        let [folder, other] = &plan.folders;
        all.push(Source { path: format!("{other}/only-here"), mode: 0o644, kind: Kind::File(other.clone()) });
        Self { dir: dir.to_owned(), all, folder: folder.clone() }
    }

    /// Gives a file in the folder another mode from now on.
    pub fn change_mode(&mut self, name: &str, mode: u32) {
        self.of_folder(name).for_each(|source| source.mode = mode);
    }

    /// Gives a file in the folder another text from now on.
    pub fn change_text(&mut self, name: &str, text: &str) {
        self.of_folder(name).for_each(|source| source.kind = Kind::File(text.to_owned()));
    }

    fn of_folder(&mut self, name: &str) -> impl Iterator<Item = &mut Source> {
        let path = format!("{}/{name}", self.folder);
        self.all.iter_mut().filter(move |source| source.path == path)
    }

    /// Makes what is not there and rights what is not as it should be. What is right stays
    /// untouched, times included.
    ///
    /// # Errors
    /// [`Obstructed`] where the submission has locked or replaced something.
    pub fn lay_out(&self) -> io::Result<()> {
        self.all.iter().try_for_each(|source| {
            let path = self.dir.join(&source.path);
            source.lay_out(&path)
        })
    }

    /// The topmost of these that are not there.
    pub fn gone(&self) -> Vec<String> {
        let tops = self.all.iter().map(|source| &source.path).filter(|path| !path.contains('/'));
        tops.filter(|path| fs::symlink_metadata(self.dir.join(path)).is_err()).cloned().collect()
    }
}

impl Source {
    fn lay_out(&self, path: &Path) -> io::Result<()> {
        let there = fs::symlink_metadata(path).ok();
        match &self.kind {
            Kind::Folder if there.as_ref().is_some_and(fs::Metadata::is_dir) => {}
            Kind::Folder => fs::create_dir_all(path).map_err(Obstructed::at("make the folder", path))?,
            Kind::Link(_) if there.as_ref().is_some_and(fs::Metadata::is_symlink) => return Ok(()),
            Kind::Link(target) => {
                return std::os::unix::fs::symlink(target, path)
                    .map_err(Obstructed::at("make the link", path));
            }
            Kind::File(text) => {
                let is_right = there.is_some_and(|there| there.is_file() && there.len() == text.len() as u64)
                    && fs::read(path).is_ok_and(|there| there == text.as_bytes());
                if !is_right {
                    obstructed::write(path, text)?;
                }
            }
        }
        let obstructed = Obstructed::at("set the mode of", path);
        match fs::metadata(path) {
            Ok(meta) if meta.permissions().mode() & 0o7777 == self.mode => Ok(()),
            Ok(_) => fs::set_permissions(path, fs::Permissions::from_mode(self.mode)).map_err(obstructed),
            Err(error) => Err(obstructed(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    fn sources(dir: &Path) -> Sources {
        let plan = super::super::plan::plan(&mut rand::SeedableRng::seed_from_u64(1));
        Sources::new(dir, &serde_json::from_value(plan).unwrap())
    }

    #[test]
    fn what_a_copy_moved_away_is_there_again_and_the_rest_stays_untouched() {
        let dir = tempfile::tempdir().unwrap();
        let mut sources = sources(dir.path());
        sources.lay_out().unwrap();
        assert_eq!(sources.gone(), Vec::<String>::new());
        let file = dir.path().join(&sources.all[0].path);
        let before = fs::metadata(&file).unwrap();

        sources.change_text("run.sh", "other");
        sources.change_mode("secret", 0o600);
        let folder = dir.path().join(&sources.folder);
        fs::rename(&folder, dir.path().join("moved")).unwrap();
        assert_eq!(sources.gone(), [sources.folder.clone()]);
        sources.lay_out().unwrap();
        assert_eq!(sources.gone(), Vec::<String>::new());
        assert_eq!(fs::read_to_string(folder.join("run.sh")).unwrap(), "other");
        assert_eq!(fs::metadata(folder.join("secret")).unwrap().mode() & 0o7777, 0o600);
        let after = fs::metadata(&file).unwrap();
        assert_eq!((before.ino(), before.ctime_nsec()), (after.ino(), after.ctime_nsec()));
    }

    #[test]
    fn a_folder_that_became_a_file_is_an_obstruction() {
        let dir = tempfile::tempdir().unwrap();
        let sources = sources(dir.path());
        fs::write(dir.path().join(&sources.folder), "").unwrap();
        let error = sources.lay_out().unwrap_err();
        assert!(crate::guest::run::obstructed::is_cause_of(&error));
    }
}
