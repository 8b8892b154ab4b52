//! Processes that came with the program and stay, though no tracer saw them (`CLONE_UNTRACED` in
//! clone(2)).
//!
//! All programs of a submission begin in one control group. A process may move to another one,
//! where services of the machine run too.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::evidence::process::Process;
use crate::guest::observe::cgroups::{self, Hierarchy};
use crate::guest::observe::processes;
use crate::guest::run::session;

/// A process by PID and start time.
type Identity = (i32, u64);

/// What was there before the program ran.
pub struct Others {
    programs: BTreeSet<Identity>,
    all: BTreeSet<Identity>,
    groups: BTreeSet<String>,
    pid_namespace: u64,
}

impl Others {
    pub fn now() -> Self {
        let groups = Hierarchy::open().map(|hierarchy| hierarchy.all()).unwrap_or_default();
        Self {
            programs: cgroups::programs(),
            all: all(),
            groups: groups.into_iter().collect(),
            pid_namespace: processes::own().namespaces.pid,
        }
    }

    /// The processes that stay of what came since. They get a while to end by themselves.
    pub fn untraced(&self, program: &Path) -> Vec<Process> {
        let deadline = Instant::now() + session::GRACE;
        loop {
            let left = self.left(program);
            if left.is_empty() || Instant::now() > deadline {
                return left;
            }
            sleep(Duration::from_millis(16));
        }
    }

    fn left(&self, program: &Path) -> Vec<Process> {
        let programs = cgroups::programs();
        let inside = programs.difference(&self.programs).filter_map(|(pid, _)| processes::read(*pid));
        let new = all().into_iter().filter(|one| !self.all.contains(one) && !programs.contains(one));
        let new = new.filter_map(|(pid, _)| processes::read(pid));
        let outside = new.filter(|process| self.is_of_program(process, program));
        inside.chain(outside).take(20).collect()
    }

    /// Whether a new process in another group cannot be a service of the machine: it has the
    /// program's executable, a PID namespace of its own, or a group that nothing but the program
    /// can have made.
    fn is_of_program(&self, process: &Process, program: &Path) -> bool {
        let has_program = Path::new(process.exe.trim_end_matches(" (deleted)")) == program;
        let has_namespace = ![0, self.pid_namespace].contains(&process.namespaces.pid);
        let has_group = !self.groups.contains(&process.cgroup) && !is_systemds(&process.cgroup);
        let is_user_space = !process.exe.is_empty() && !process.cgroup.is_empty();
        is_user_space && (has_program || has_namespace || has_group)
    }
}

/// Whether systemd may make such a group at any time. The root, which is not among all groups, has
/// the kernel's threads and helpers.
fn is_systemds(group: &str) -> bool {
    group == "/"
        || ["/system.slice", "/user.slice", "/init.scope", "/machine.slice"]
            .iter()
            .any(|known| PathBuf::from(group).starts_with(known))
}

/// Every living process.
fn all() -> BTreeSet<Identity> {
    let is_alive = |pid: &i32| !matches!(processes::state(*pid), None | Some('Z' | 'X'));
    let pids = processes::parents().into_keys().filter(is_alive);
    pids.filter_map(|pid| Some((pid, processes::start_time(pid)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::process::Namespaces;

    fn is_left(exe: &str, cgroup: &str, pid_namespace: u64) -> bool {
        let others = Others {
            programs: BTreeSet::new(),
            all: BTreeSet::new(),
            groups: ["/vm.init".to_owned()].into(),
            pid_namespace: 1,
        };
        let process = Process {
            exe: exe.to_owned(),
            cgroup: cgroup.to_owned(),
            namespaces: Namespaces { pid: pid_namespace, ..Namespaces::default() },
            ..Process::default()
        };
        others.is_of_program(&process, Path::new("/task1/namespace_prog"))
    }

    #[test]
    fn a_process_of_the_program_is_found_in_any_group() {
        assert!(is_left("/task1/namespace_prog", "/vm.init", 1));
        assert!(is_left("/usr/bin/sleep", "/vm.init", 2));
        assert!(is_left("/usr/bin/sleep", "/hide", 1));
    }

    #[test]
    fn a_service_of_the_machine_is_not_the_programs() {
        assert!(!is_left("/usr/lib/systemd/systemd-timedated", "/system.slice/systemd-timedated.service", 1));
        assert!(!is_left("/usr/bin/true", "/vm.init", 1));
        assert!(!is_left("", "/", 1));
    }
}
