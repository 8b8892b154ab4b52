//! Finds what a submission expects of the machine: the name of the network interface, and the base
//! trees that `FROM` names.
//!
//! The machine is adapted to the submission, because the content of a submission is never edited.
//! The scripts are read as text on the host and never executed.

mod bases;
mod settings;
mod stand_in;
mod text;

use std::io::{self, Write};
use std::path::Path;

use crate::guest::world::LAN;
use crate::packages::base::Order;
use crate::packages::proof::Wanted;
use crate::submission::Beneath;
use crate::task::task4;
use bases::Bases;
use settings::{Settings, Value};
use text::Folder;

/// The variable that names the machine's external network interface.
const INTERFACE: &str = "DEFAULT_IFC";
const CONDUCTOR: &str = "task3/conductor.sh";
const SETUP: &str = "task3/setup.sh";

/// What a submission expects of the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fit {
    task3: Interface,
    task4: Interface,
    stand_in: bool,
    bases: Bases,
}

/// The interface name in a conductor.sh and its settings files.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Interface {
    /// The scripts give this name.
    Named(String),
    /// The scripts give no name, or find it with a command.
    NotGiven,
    /// The variable is empty.
    Empty,
    /// The scripts give a name that no interface can have, or that another interface has.
    Impossible(String),
}

impl Fit {
    /// Reads the scripts of the submission in the folder `root`. If conductor.sh needs a setup.sh
    /// and there is none, writes one with the course's defaults.
    ///
    /// # Errors
    /// If that setup.sh cannot be written.
    pub fn make(root: &Path) -> io::Result<Self> {
        let fit = Self::of(root);
        if fit.stand_in {
            let conductor = Folder::new(root).read(CONDUCTOR).unwrap_or_default();
            let mut setup = Beneath::open(root)?.make_file(Path::new(SETUP))?;
            setup.write_all(stand_in::setup(&conductor).as_bytes())?;
        }
        Ok(fit)
    }

    /// Reads the scripts of the submission in the folder `root`.
    pub fn of(root: &Path) -> Self {
        let folder = Folder::new(root);
        let settings = |tool| Settings::of_tool(&folder, tool);
        let (task3, task4) = (settings("task3"), settings(settings::called_by_orchestrator(&folder)));
        let stand_in = needs_stand_in(&folder);
        Self {
            task3: Interface::of(&task3),
            task4: Interface::of(&task4),
            stand_in,
            bases: Bases::of(&folder),
        }
    }

    /// The name of the machine's interface in a scenario.
    pub fn interface(&self, scenario: &str) -> &str {
        match if scenario == task4::SCENARIO.id { &self.task4 } else { &self.task3 } {
            Interface::Named(name) => name,
            Interface::NotGiven | Interface::Empty | Interface::Impossible(_) => LAN,
        }
    }

    /// The base trees that these scenarios need.
    pub fn orders(&self, scenarios: &[&str]) -> Vec<Order> {
        self.bases.needed(scenarios)
    }

    /// The packages that these scenarios install in containers, for each suite.
    pub fn packages(&self, scenarios: &[&str]) -> Vec<Wanted> {
        self.bases.packages(scenarios)
    }

    /// Sentences for the top of the report.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.stand_in {
            notes.push(
                "task3/setup.sh was not handed in: the grader added one with the course's defaults"
                    .to_owned(),
            );
        }
        for (folder, interface) in [("task3", &self.task3), ("task4", &self.task4)] {
            let kept = format!("the machine's interface kept its own name, {LAN}");
            let note = match interface {
                Interface::Named(_) | Interface::NotGiven => continue,
                Interface::Empty => format!("{INTERFACE} is empty in {folder}: {kept}"),
                Interface::Impossible(name) => {
                    format!(
                        "{INTERFACE} is {name:?} in {folder}, but no new interface can have that name: {kept}"
                    )
                }
            };
            if !(folder == "task4" && self.task4 == self.task3) {
                notes.push(note);
            }
        }
        notes
    }
}

/// The interface name in a settings file; the machine's own name if the file gives none.
pub fn interface_in(settings: &str) -> String {
    match Interface::of(&Settings::of_text(settings)) {
        Interface::Named(name) => name,
        _ => LAN.to_owned(),
    }
}

impl Interface {
    fn of(settings: &Settings) -> Self {
        match settings.value(INTERFACE) {
            None | Some(Value::Unknown) => Self::NotGiven,
            Some(Value::Text(name)) if name.is_empty() => Self::Empty,
            Some(Value::Text(name)) if can_be_a_link(name) => Self::Named(name.clone()),
            Some(Value::Text(name)) => Self::Impossible(name.clone()),
        }
    }
}

/// Whether the machine's interface can have this name. The kernel must accept it (`dev_valid_name`)
/// and must not expand it as a pattern (`%d`). No other interface or sysctl folder may have it.
fn can_be_a_link(name: &str) -> bool {
    (1..=15).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_graphic() && !b"/:%".contains(&byte))
        && ![".", "..", "lo", "all", "default"].contains(&name)
}

/// Whether conductor.sh reads a setup.sh that the submission lacks.
fn needs_stand_in(folder: &Folder) -> bool {
    !folder.has(SETUP)
        && folder.read(CONDUCTOR).is_some_and(|text| {
            let named = settings::files_read(&text);
            named.contains(&"setup.sh") && !named.contains(&"config.sh")
        })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A submission with these files.
    fn fit(files: &[(&str, &str)]) -> Fit {
        let home = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = home.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            match text.strip_prefix("-> ") {
                Some(target) => std::os::unix::fs::symlink(target, path).unwrap(),
                None => fs::write(path, text).unwrap(),
            }
        }
        Fit::of(home.path())
    }

    const TOOL: &str = "#!/bin/bash\nset -o errexit -o nounset\nsource $(dirname $0)/setup.sh\n";
    const OLD_TOOL: &str = "#!/bin/bash\n. \"$(dirname \"$0\")/config.sh\"\n";

    #[test]
    fn the_interface_comes_from_the_setup_beside_the_called_conductor() {
        let both = fit(&[
            ("task3/conductor.sh", TOOL),
            ("task3/setup.sh", "DEFAULT_IFC=enp1s0 \nIP4_SUBNET=192.168\n"),
            ("task4/conductor.sh", TOOL),
            ("task4/setup.sh", "DEFAULT_IFC='ens3'"),
            ("task4/service-orchestrator.sh", "./conductor.sh build es esfile\n"),
        ]);
        assert_eq!((both.interface("3-network"), both.interface("4-matrix")), ("enp1s0", "ens3"));
        let linked = fit(&[
            ("task3/conductor.sh", TOOL),
            ("task3/setup.sh", "DEFAULT_IFC=enp0s3\n"),
            ("task4/conductor.sh", "-> ../task3/conductor.sh"),
            ("task4/setup.sh", "-> ../task3/setup.sh"),
        ]);
        assert_eq!(linked.interface("4-matrix"), "enp0s3");
        let elsewhere = fit(&[
            ("task3/conductor.sh", TOOL),
            ("task3/setup.sh", "DEFAULT_IFC=enp0s3\n"),
            ("task4/setup.sh", "DEFAULT_IFC=ens3\n"),
            ("task4/service-orchestrator.sh", "cd ../task3\n../task3/conductor.sh build es esfile\n"),
        ]);
        assert_eq!(elsewhere.interface("4-matrix"), "enp0s3");
    }

    #[test]
    fn settings_come_from_config_sh_in_older_editions_or_from_conductor_sh_itself() {
        let old =
            fit(&[("task3/conductor.sh", OLD_TOOL), ("task3/config.sh", "export DEFAULT_IFC=enp0s1\n")]);
        assert_eq!((old.interface("3-network"), old.notes()), ("enp0s1", vec![]));
        let own = fit(&[("task3/conductor.sh", "DEFAULT_IFC=\"ens3\"\nadd() { :; }\n")]);
        assert_eq!((own.interface("3-network"), own.notes()), ("ens3", vec![]));
        let later = fit(&[
            ("task3/conductor.sh", &format!("{TOOL}DEFAULT_IFC=eth7\n")),
            ("task3/setup.sh", "DEFAULT_IFC=enp1s0\n"),
        ]);
        assert_eq!(later.interface("3-network"), "eth7");
    }

    #[test]
    fn only_a_setup_that_conductor_reads_gets_a_stand_in() {
        let missed = fit(&[("task3/conductor.sh", TOOL)]);
        assert_eq!(missed.interface("3-network"), LAN);
        assert!(missed.notes()[0].contains("was not handed in"), "{:?}", missed.notes());
        for files in [
            &[("task3/conductor.sh", OLD_TOOL)][..],
            &[("task3/conductor.sh", "echo hello\n")],
            &[("task3/conductor.sh", TOOL), ("task3/setup.sh", "")],
            &[("task1/namespace_prog.c", "")],
        ] {
            assert_eq!(fit(files).notes(), Vec::<String>::new(), "{files:?}");
        }
    }

    #[test]
    fn an_impossible_interface_name_is_reported() {
        for name in ["lo", "an-interface-of-17", "a/b", "'my card'", "all", "eth%d", "enp1s0\r"] {
            let setup = format!("DEFAULT_IFC={name}\n");
            let fit = fit(&[("task3/conductor.sh", TOOL), ("task3/setup.sh", &setup)]);
            assert_eq!(fit.interface("3-network"), LAN, "{name}");
            assert_eq!(fit.notes().len(), 1, "{name}: {:?}", fit.notes());
            assert!(fit.notes()[0].contains("kept its own name"), "{name}");
        }
    }
}
