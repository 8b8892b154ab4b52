//! Puts the reference's commands into a submission's conductor: a `conductor.sh` that hands these to a script of ours
//! and everything else to the submission's own, which lies beside it.
//!
//! Only what is replaced goes into the machine, never the rest of the reference, but for task 4, which asks for no
//! conductor.

use std::fmt::Write as _;
use std::io;
use std::path::Path;

use super::Graft;
use crate::fit::interface_in;
use crate::submission::Beneath;

/// The submission's own script, beside the one that stands in its place.
const OWN: &str = "conductor-as-submitted.sh";
const BUILD: &str = include_str!("build.sh");
const RUN: &str = include_str!("run.sh");
const REFERENCE: &str = include_str!("../../../fixtures/submissions/reference-bash/task3/conductor.sh");
const REFERENCE_SETUP: &str = include_str!("../../../fixtures/submissions/reference-bash/task3/setup.sh");

/// The name that what is put there gives to the machine's interface, where it names it at all.
pub fn interface(graft: Graft) -> Option<String> {
    (graft == Graft::Conductor).then(|| interface_in(REFERENCE_SETUP))
}

/// Changes the submission's folder.
///
/// # Errors
/// When it cannot be written to.
pub fn apply(graft: Graft, submission: &Path) -> io::Result<()> {
    let copy = Beneath::open(submission)?;
    let folder = Path::new("task3");
    if !copy.has_folder(folder) {
        // A file may have the folder's name.
        copy.remove(folder)?;
        copy.make_folder(folder)?;
        copy.set_mode(folder, 0o755)?;
    }
    let tool = folder.join("conductor.sh");
    if graft == Graft::Conductor {
        // Copies that lie beside the orchestrator are the conductor, too.
        for name in ["conductor.sh", "setup.sh"] {
            let beside = Path::new("task4").join(name);
            if copy.kind(&beside).is_some() {
                copy.remove(&beside)?;
                copy.make_link(&beside, &Path::new("../task3").join(name))?;
            }
        }
        copy.replace(&folder.join("setup.sh"), REFERENCE_SETUP.as_bytes(), 0o755)?;
        return copy.replace(&tool, REFERENCE.as_bytes(), 0o755);
    }
    if copy.has_file(&tool) {
        copy.rename(&tool, &folder.join(OWN))?;
        copy.set_mode(&folder.join(OWN), 0o755)?;
    }
    let commands: &[(&str, &str)] = match graft {
        Graft::Build => &[("build", BUILD)],
        Graft::Run => &[("run", RUN)],
        Graft::BuildAndRun | Graft::Conductor => &[("build", BUILD), ("run", RUN)],
    };
    let mut cases = String::new();
    for (command, script) in commands {
        let name = format!("{command}-replaced.sh");
        copy.replace(&folder.join(&name), script.as_bytes(), 0o755)?;
        let _ = writeln!(cases, "    {command}) exec \"$here/{name}\" \"${{@:2}}\" ;;");
    }
    let mut wrapper = String::from(
        "#!/bin/bash\n# Follow-through: these commands are replaced, all others are the submission's own.\n",
    );
    wrapper += "here=$(dirname \"$(readlink -f \"$0\")\")\ncase ${1-} in\n";
    wrapper += &cases;
    let _ = writeln!(wrapper, "    *) exec \"$here/{OWN}\" \"$@\" ;;\nesac");
    copy.replace(&tool, wrapper.as_bytes(), 0o755)
}

#[cfg(test)]
mod tests {
    use std::fs;
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
