//! The submission's `conductor.sh`, called as a person calls it: `./conductor.sh` from its own folder.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::guest::terminal::Program;
use crate::guest::world::LAN;
use crate::task::Site;

/// The tool in its folder.
#[derive(Clone, Debug)]
pub struct Tool {
    /// `task3` of the submission, or another folder that holds the tool.
    pub dir: PathBuf,
    slowdown: f64,
}

impl Tool {
    /// Makes the script executable and names the machine's interface in `setup.sh`, as course staff do.
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
            if dir.join(script).is_file() {
                fs::set_permissions(dir.join(script), fs::Permissions::from_mode(0o755))?;
            }
        }
        if let Ok(settings) = fs::read_to_string(dir.join("setup.sh")) {
            fs::write(dir.join("setup.sh"), with_default_interface(&settings, LAN))?;
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
    /// When the guest cannot write there.
    pub fn write(&self, name: &str, content: &str) -> io::Result<()> {
        let path = self.dir.join(name);
        fs::create_dir_all(path.parent().unwrap_or(Path::new("/")))?;
        fs::write(path, content)
    }
}

/// The settings with every assignment of `DEFAULT_IFC` naming `interface`.
fn with_default_interface(settings: &str, interface: &str) -> String {
    settings
        .split_inclusive('\n')
        .map(|line| {
            let bare = line.trim_start();
            let assigns = ["", "export ", "readonly ", "declare -r "]
                .iter()
                .any(|word| bare.strip_prefix(word).is_some_and(|rest| rest.starts_with("DEFAULT_IFC=")));
            if assigns {
                let prefix = &line[..line.find("DEFAULT_IFC=").unwrap_or(0)];
                format!("{prefix}DEFAULT_IFC=\"{interface}\"\n")
            } else {
                line.to_owned()
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::with_default_interface;

    #[test]
    fn only_the_assignment_of_the_interface_changes() {
        let before = "# DEFAULT_IFC=\nexport DEFAULT_IFC='enp1s0' # mine\nIP4_SUBNET=192.168\n";
        assert_eq!(
            with_default_interface(before, "lan0"),
            "# DEFAULT_IFC=\nexport DEFAULT_IFC=\"lan0\"\nIP4_SUBNET=192.168\n"
        );
    }
}
