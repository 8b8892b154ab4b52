//! Puts other commands into a submission's conductor: a `conductor.sh` that hands these to a
//! program of ours and everything else to the submission's own, which lies beside it.
//!
//! What is put in are compiled programs: for `build` and `run` those of [`replaced`], and for task
//! 4, which asks for no conductor, the program of that name. Nothing that a submission can read in
//! its machine is a solution, and the machine is thrown away after the scenario.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::Graft;
use crate::fit::interface_in;
use crate::guest::fakes::debootstrap::ANY_TREE;
use crate::guest::fakes::replaced::{self, OWN};
use crate::submission::Beneath;

/// The conductor of task 4, and its name beside the submission's scripts.
const WHOLE: &str = "conductor";

/// The commands that are replaced, each with its program.
fn commands(graft: Graft) -> &'static [(&'static str, &'static str)] {
    match graft {
        Graft::Build => &[("build", replaced::BUILD)],
        Graft::Run => &[("run", replaced::RUN)],
        Graft::BuildAndRun => &[("build", replaced::BUILD), ("run", replaced::RUN)],
        Graft::Conductor => &[("*", WHOLE)],
    }
}

/// The programs that [`apply`] puts in.
pub fn programs(graft: Graft) -> impl Iterator<Item = &'static str> {
    commands(graft).iter().map(|(_, program)| *program)
}

/// Of the whole conductor: it reads the interface from here, and has defaults for all else.
const SETUP: &str =
    "# Settings of the conductor, which stands here for follow-through.\nDEFAULT_IFC=\"eth0\"\n";

/// The script that stands for it, whose base tree may be any that was made for the submission.
fn conductor() -> String {
    format!(
        "#!/bin/bash\nexport {ANY_TREE}=1\nexec \"$(dirname \"$(readlink -f \"$0\")\")/conductor\" \"$@\"\n"
    )
}

/// The name that what is put there gives to the machine's interface, where it names it at all.
pub fn interface(graft: Graft) -> Option<String> {
    (graft == Graft::Conductor).then(|| interface_in(SETUP))
}

/// Changes the submission's folder. `found` are the [`programs`], in their order.
///
/// # Errors
/// When it cannot be written to.
pub fn apply(graft: Graft, submission: &Path, found: &[PathBuf]) -> io::Result<()> {
    let copy = Beneath::open(submission)?;
    let folder = Path::new("task3");
    if !copy.has_folder(folder) {
        // A file may have the folder's name.
        copy.remove(folder)?;
        copy.make_folder(folder)?;
        copy.set_mode(folder, 0o755)?;
    }
    for (program, path) in programs(graft).zip(found) {
        copy.replace(&folder.join(program), &fs::read(path)?, 0o755)?;
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
        copy.replace(&folder.join("setup.sh"), SETUP.as_bytes(), 0o755)?;
        return copy.replace(&tool, conductor().as_bytes(), 0o755);
    }
    if copy.has_file(&tool) {
        copy.rename(&tool, &folder.join(OWN))?;
        copy.set_mode(&folder.join(OWN), 0o755)?;
    }
    let mut cases = String::new();
    for (command, name) in commands(graft) {
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
    use std::os::unix::fs::PermissionsExt;
    use std::process::Command;

    use super::*;

    /// A program that says what it was called for.
    fn program(home: &Path) -> [PathBuf; 1] {
        let program = home.join("program");
        let text = format!("#!/bin/bash\necho replaced ${{{ANY_TREE}+any }}\"$@\"\n");
        fs::write(&program, text).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        [program]
    }

    #[test]
    fn only_the_replaced_command_is_ours() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("task3");
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("conductor.sh"), "#!/bin/bash\necho own \"$@\"\n").unwrap();
        apply(Graft::Run, home.path(), &program(home.path())).unwrap();
        let says = |words: &[&str]| {
            let output = Command::new(folder.join("conductor.sh")).args(words).output().unwrap();
            String::from_utf8(output.stdout).unwrap()
        };
        assert_eq!(says(&["run", "an image", "name"]), "replaced an image name\n");
        assert_eq!(says(&["exec", "name", "a b"]), "own exec name a b\n");
        assert!(!folder.join(replaced::BUILD).exists());
    }

    #[test]
    fn for_task_4_another_conductor_stands_wherever_the_conductor_did() {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join("task4")).unwrap();
        fs::write(home.path().join("task4/conductor.sh"), "broken").unwrap();
        apply(Graft::Conductor, home.path(), &program(home.path())).unwrap();
        for place in ["task3/conductor.sh", "task4/conductor.sh"] {
            let output = Command::new(home.path().join(place)).arg("ps").output().unwrap();
            assert_eq!(String::from_utf8_lossy(&output.stdout), "replaced any ps\n", "{place}");
        }
        assert!(!home.path().join("task4/setup.sh").exists());
    }
}
