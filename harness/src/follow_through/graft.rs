//! Puts the reference's commands into a submission's conductor: a `conductor.sh` that hands these to a script of ours
//! and everything else to the submission's own, which lies beside it.
//!
//! Only what is replaced goes into the machine, never the rest of the reference, but for task 4, which asks for no
//! conductor.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::Graft;

/// The submission's own script, beside the one that stands in its place.
const OWN: &str = "conductor-as-submitted.sh";
const BUILD: &str = include_str!("build.sh");
const RUN: &str = include_str!("run.sh");
const REFERENCE: &str = include_str!("../../../fixtures/submissions/reference-bash/task3/conductor.sh");
const REFERENCE_SETUP: &str = include_str!("../../../fixtures/submissions/reference-bash/task3/setup.sh");

/// Changes the submission's folder.
///
/// # Errors
/// When it cannot be written to.
pub fn apply(graft: Graft, submission: &Path) -> io::Result<()> {
    let folder = submission.join("task3");
    fs::create_dir_all(&folder)?;
    let tool = folder.join("conductor.sh");
    if graft == Graft::Conductor {
        // Copies that lie beside the orchestrator are the conductor, too.
        for copy in ["conductor.sh", "setup.sh"] {
            let beside = submission.join("task4").join(copy);
            if fs::symlink_metadata(&beside).is_ok() {
                fs::remove_file(&beside)?;
                std::os::unix::fs::symlink(Path::new("../task3").join(copy), &beside)?;
            }
        }
        replace(&folder.join("setup.sh"), REFERENCE_SETUP)?;
        return replace(&tool, REFERENCE);
    }
    if fs::symlink_metadata(&tool).is_ok() {
        fs::rename(&tool, folder.join(OWN))?;
        fs::set_permissions(folder.join(OWN), fs::Permissions::from_mode(0o755))?;
    }
    let commands: &[(&str, &str)] = match graft {
        Graft::Build => &[("build", BUILD)],
        Graft::Run => &[("run", RUN)],
        Graft::BuildAndRun | Graft::Conductor => &[("build", BUILD), ("run", RUN)],
    };
    let mut cases = String::new();
    for (command, script) in commands {
        let name = format!("{command}-replaced.sh");
        replace(&folder.join(&name), script)?;
        let _ = writeln!(cases, "    {command}) exec \"$here/{name}\" \"${{@:2}}\" ;;");
    }
    let mut wrapper = String::from(
        "#!/bin/bash\n# Follow-through: these commands are replaced, all others are the submission's own.\n",
    );
    wrapper += "here=$(dirname \"$(readlink -f \"$0\")\")\ncase ${1-} in\n";
    wrapper += &cases;
    let _ = writeln!(wrapper, "    *) exec \"$here/{OWN}\" \"$@\" ;;\nesac");
    replace(&tool, &wrapper)
}

/// Writes an executable script in the place of whatever is there.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    if fs::symlink_metadata(path).is_ok() {
        fs::remove_file(path)?;
    }
    fs::write(path, text)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn only_the_replaced_command_is_ours() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("task3");
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("conductor.sh"), "#!/bin/bash\necho own \"$@\"\n").unwrap();
        apply(Graft::Run, home.path()).unwrap();
        fs::write(folder.join("run-replaced.sh"), "#!/bin/bash\necho replaced \"$@\"\n").unwrap();
        let says = |words: &[&str]| {
            let output = Command::new(folder.join("conductor.sh")).args(words).output().unwrap();
            String::from_utf8(output.stdout).unwrap()
        };
        assert_eq!(says(&["run", "an image", "name"]), "replaced an image name\n");
        assert_eq!(says(&["exec", "name", "a b"]), "own exec name a b\n");
        assert!(!folder.join("build-replaced.sh").exists());
    }

    #[test]
    fn for_task_4_the_reference_stands_wherever_the_conductor_did() {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join("task4")).unwrap();
        fs::write(home.path().join("task4/conductor.sh"), "broken").unwrap();
        apply(Graft::Conductor, home.path()).unwrap();
        for place in ["task3/conductor.sh", "task4/conductor.sh"] {
            assert_eq!(fs::read_to_string(home.path().join(place)).unwrap(), REFERENCE);
        }
        assert!(!home.path().join("task4/setup.sh").exists());
    }
}
