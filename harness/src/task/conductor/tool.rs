//! The submission's `conductor.sh`, called as a person calls it: `./conductor.sh` from its own folder.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::guest::obstructed::{self, Obstructed};
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
            let script = dir.join(script);
            if script.is_file() {
                fs::set_permissions(&script, fs::Permissions::from_mode(0o755))
                    .map_err(Obstructed::at("make executable", &script))?;
            }
        }
        if let Ok(settings) = fs::read_to_string(dir.join("setup.sh")) {
            let setup = dir.join("setup.sh");
            fs::write(&setup, with_default_interface(&settings, LAN))
                .map_err(Obstructed::at("write", &setup))?;
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

/// The settings with every plain assignment of `DEFAULT_IFC` naming `interface`. One that runs a command finds the
/// interface itself; where there is none of either, one is added.
fn with_default_interface(settings: &str, interface: &str) -> String {
    const NAME: &str = "DEFAULT_IFC=";
    let mut is_set = false;
    let mut changed: String = settings
        .split_inclusive('\n')
        .map(|line| {
            let bare = line.trim_start();
            let assigns = ["", "export ", "readonly ", "declare -r ", "declare -x "]
                .iter()
                .any(|word| bare.strip_prefix(word).is_some_and(|rest| rest.starts_with(NAME)));
            if !assigns {
                return line.to_owned();
            }
            is_set = true;
            let (before, value) = line.split_at(line.find(NAME).unwrap_or(0) + NAME.len());
            match plain_word(value) {
                Some(length) => format!("{before}\"{interface}\"{}", &value[length..]),
                None => line.to_owned(),
            }
        })
        .collect();
    if !is_set {
        let gap = if changed.is_empty() || changed.ends_with('\n') { "" } else { "\n" };
        changed.extend([gap, NAME, "\"", interface, "\"\n"]);
    }
    changed
}

/// The length of the shell's word at the beginning of a line, if it ends there and no command has to be run for it.
fn plain_word(line: &str) -> Option<usize> {
    let length = match line.chars().next() {
        Some(quote @ ('"' | '\'')) => line[1..].find(quote)? + 2,
        _ => line.find(|char: char| char.is_whitespace() || ";&|#".contains(char)).unwrap_or(line.len()),
    };
    let runs_command = ["$(", "`"].iter().any(|mark| line[..length].contains(mark));
    (!runs_command).then_some(length)
}

#[cfg(test)]
mod tests {
    use super::with_default_interface;

    #[test]
    fn only_the_assignment_of_the_interface_changes() {
        let before = "# DEFAULT_IFC=\nexport DEFAULT_IFC='enp1s0' # mine\nIP4_SUBNET=192.168\n";
        assert_eq!(
            with_default_interface(before, "lan0"),
            "# DEFAULT_IFC=\nexport DEFAULT_IFC=\"lan0\" # mine\nIP4_SUBNET=192.168\n"
        );
        let others = [
            ("DEFAULT_IFC=\"eth0\"; IP4_SUBNET=10.0\n", "DEFAULT_IFC=\"lan0\"; IP4_SUBNET=10.0\n"),
            ("DEFAULT_IFC=${IFC:-eth0}\n", "DEFAULT_IFC=\"lan0\"\n"),
            ("DEFAULT_IFC=", "DEFAULT_IFC=\"lan0\""),
        ];
        for (before, after) in others {
            assert_eq!(with_default_interface(before, "lan0"), after);
        }
    }

    #[test]
    fn one_that_finds_the_interface_itself_stays_and_none_is_made() {
        let found = "DEFAULT_IFC=$(ip route show default |\n  awk '{ print $5 }')\n";
        assert_eq!(with_default_interface(found, "lan0"), found);
        let quoted = "DEFAULT_IFC=\"$(ip route | awk '{print $5}')\"\n";
        assert_eq!(with_default_interface(quoted, "lan0"), quoted);
        assert_eq!(
            with_default_interface(": ${DEFAULT_IFC:=eth0}", "lan0"),
            ": ${DEFAULT_IFC:=eth0}\nDEFAULT_IFC=\"lan0\"\n"
        );
    }
}
