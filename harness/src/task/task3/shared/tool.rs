//! The submission's `conductor.sh`, called as a person calls it: `./conductor.sh`
//! from its own folder.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::guest::run::obstructed::{self, Obstructed};
use crate::guest::run::terminal::Program;
use crate::task::Site;

/// The tool in its folder.
#[derive(Clone, Debug)]
pub struct Tool {
    /// `task3` of the submission, or another folder that holds the tool.
    pub dir: PathBuf,
    slowdown: f64,
}

impl Tool {
    /// Makes the scripts executable. What is in them stays as it is.
    ///
    /// # Errors
    /// When the guest cannot write there.
    pub fn prepare(site: &Site) -> io::Result<Self> {
        Self::prepare_in(site, "task3")
    }

    /// As [`prepare`](Self::prepare), for a tool that lies in another folder of the submission.
    ///
    /// # Errors
    /// When the guest cannot write there.
    pub fn prepare_in(site: &Site, folder: &str) -> io::Result<Self> {
        let dir = site.submission.join(folder);
        for script in ["conductor.sh", "setup.sh"] {
            let script = dir.join(script);
            if script.is_file() {
                fs::set_permissions(&script, fs::Permissions::from_mode(0o755))
                    .map_err(Obstructed::at("make executable", &script))?;
            }
        }
        Ok(Self { dir, slowdown: site.slowdown })
    }

    /// One call of it.
    pub fn call(&self, words: &[&str]) -> Program {
        Program::new(&self.dir, std::iter::once("./conductor.sh").chain(words.iter().copied()))
    }

    /// Seconds for what sleeps, and seconds of the reference machine's work.
    pub fn limit(&self, fixed: f64, scaled: f64) -> Duration {
        Duration::from_secs_f64(fixed + scaled * self.slowdown)
    }

    /// Writes a file into its folder, such as a Conductorfile.
    ///
    /// # Errors
    /// [`Obstructed`] when the guest cannot write there.
    pub fn write(&self, name: &str, content: &str) -> io::Result<()> {
        let path = self.dir.join(name);
        let folder = path.parent().unwrap_or(Path::new("/"));
        fs::create_dir_all(folder).map_err(Obstructed::at("make the folder", folder))?;
        obstructed::write(&path, content)
    }
}
