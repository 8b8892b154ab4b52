//! Tests `ci/setup`: it asks before apt removes or downgrades a package, and a failure names its
//! log.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A checkout in which one program is missing, and a fake apt.
struct Machine(tempfile::TempDir);

impl Machine {
    /// A simulated run of apt prints `plan`; a real run executes `install`.
    fn new(plan: &str, install: &str) -> Machine {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let machine = Machine(tempfile::tempdir().unwrap());
        for folder in ["ci/packages", "bin"] {
            fs::create_dir_all(machine.path(folder)).unwrap();
        }
        for file in ["Cargo.toml", "ci/setup", "ci/step"] {
            fs::copy(root.join(file), machine.path(file)).unwrap();
        }
        fs::write(machine.path("ci/packages/build"), "").unwrap();
        fs::write(machine.path("ci/packages/grade"), "# Comment\nsome-package some-program is tested\n")
            .unwrap();
        let apt = format!(
            "case \" $* \" in\n*' -s '*) echo '{plan}' ;;\n*' install '*) echo chatter; {install} ;;\nesac"
        );
        for (program, does) in [("apt-get", apt.as_str()), ("sudo", "exec \"$@\"")] {
            let path = machine.path("bin").join(program);
            fs::write(&path, format!("#!/bin/sh\n{does}\n")).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        machine
    }

    fn path(&self, file: &str) -> PathBuf {
        self.0.path().join(file)
    }

    fn set_up(&self, yes: Option<&str>) -> (Option<i32>, String) {
        let path = format!("{}:{}", self.path("bin").display(), std::env::var("PATH").unwrap());
        let mut setup = Command::new("bash");
        setup.arg(self.path("ci/setup")).env("PATH", path).env_remove("SETUP_YES").stdin(Stdio::null());
        if let Some(yes) = yes {
            setup.env("SETUP_YES", yes);
        }
        let Output { status, stdout, stderr } = setup.output().unwrap();
        assert!(stdout.is_empty());
        (status.code(), String::from_utf8_lossy(&stderr).into_owned())
    }
}

/// Installs the missing program in a folder of `$PATH`.
const INSTALL: &str = r#"printf '#!/bin/sh\n' >"${0%/*}/some-program" && chmod 755 "${0%/*}/some-program""#;

#[test]
fn a_new_package_is_installed_without_a_question_and_quietly() {
    let machine = Machine::new("Inst some-package (1.2 Debian:12 [amd64])", INSTALL);
    let (status, said) = machine.set_up(None);
    assert_eq!(status, Some(0), "{said}");
    assert!(!said.contains("chatter"), "{said}");
    assert!(fs::read_to_string(machine.path("target/logs/packages")).unwrap().contains("chatter"));
    assert_eq!(machine.set_up(None), (Some(0), String::new()), "nothing is missing any more");
}

#[test]
fn a_removal_or_a_downgrade_is_named_and_needs_a_yes() {
    for (plan, loss) in [
        ("Remv their-package [3.1]", "remove their-package 3.1"),
        ("Inst qemu-utils [1:9.2] (1:7.2 Debian:12 [amd64])", "downgrade qemu-utils from 1:9.2 to 1:7.2"),
    ] {
        let machine = Machine::new(plan, INSTALL);
        let (status, said) = machine.set_up(None);
        assert_eq!(status, Some(3), "{said}");
        assert!(said.contains(loss) && said.contains("SETUP_YES=1"), "{said}");
        assert!(!machine.path("bin/some-program").exists(), "nothing was changed");
        let (status, said) = machine.set_up(Some("1"));
        assert_eq!(status, Some(0), "{said}");
    }
    let upgrade = Machine::new("Inst other [1.0] (1.1 Debian:12 [amd64])", INSTALL);
    assert_eq!(upgrade.set_up(None).0, Some(0), "an upgrade loses nothing");
}

#[test]
fn a_failure_names_its_log_and_shows_the_end() {
    let machine = Machine::new("Inst some-package (1.2 Debian:12 [amd64])", "echo no room; exit 100");
    let (status, said) = machine.set_up(None);
    assert_eq!(status, Some(3), "{said}");
    assert!(said.contains("no room") && said.contains("target/logs/packages"), "{said}");
    assert!(said.contains("some-package"), "{said}");
}
