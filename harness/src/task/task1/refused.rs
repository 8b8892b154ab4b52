//! Why the program has no child in the namespaces, in words: system calls that failed, and other
//! programs that did the work.

use nix::errno::Errno;

use super::timeline::{Life, ProcessTimeline, State};
use crate::evidence::program::Call;

impl ProcessTimeline<'_> {
    /// That another program created processes in new namespaces, as the end of a sentence.
    pub fn tools(&self) -> String {
        let in_new = |life: &&Life| !life.is_of_program() && self.is_elsewhere(life.first());
        self.children.iter().find(in_new).map_or_else(String::new, |life| {
            let process = &life.first().process;
            format!(
                "; {} created process {} in another namespace, not a system call of namespace_prog",
                process.exe, process.pid
            )
        })
    }

    fn is_elsewhere(&self, state: &State) -> bool {
        let (own, machine) = (state.process.namespaces, self.machine.namespaces);
        (own.pid, own.uts) != (machine.pid, machine.uts)
    }
}

/// A failed call in a few words: `setns(9, CLONE_NEWUTS) failed: Invalid argument`.
pub fn refusal(Call { name, arguments: [first, second], result }: &Call) -> String {
    let errno = i32::try_from(result.unsigned_abs()).map_or(Errno::UnknownErrno, Errno::from_raw);
    let arguments = match name.as_str() {
        "setns" => format!("{first}, {}", namespaces(*second)),
        "unshare" => namespaces(*first),
        _ => "…".to_owned(),
    };
    format!("{name}({arguments}) failed: {}", errno.desc())
}

/// The flags of setns(2) and unshare(2) by name; a number where others are set.
fn namespaces(flags: u64) -> String {
    const NAMES: [(u64, &str); 7] = [
        (0x0002_0000, "CLONE_NEWNS"),
        (0x0200_0000, "CLONE_NEWCGROUP"),
        (0x0400_0000, "CLONE_NEWUTS"),
        (0x0800_0000, "CLONE_NEWIPC"),
        (0x1000_0000, "CLONE_NEWUSER"),
        (0x2000_0000, "CLONE_NEWPID"),
        (0x4000_0000, "CLONE_NEWNET"),
    ];
    let known = NAMES.iter().filter(|(flag, _)| flags & flag != 0);
    let rest = NAMES.iter().fold(flags, |rest, (flag, _)| rest & !flag);
    if rest != 0 || flags == 0 {
        return format!("{flags:#x}");
    }
    known.map(|(_, name)| *name).collect::<Vec<_>>().join("|")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_call_is_told_with_its_flags_and_its_error() {
        let call = |name: &str, arguments, result| refusal(&Call { name: name.into(), arguments, result });
        assert_eq!(call("setns", [9, 0x0400_0000], -22), "setns(9, CLONE_NEWUTS) failed: Invalid argument");
        assert_eq!(
            call("unshare", [0x2400_0000, 0], -1),
            "unshare(CLONE_NEWUTS|CLONE_NEWPID) failed: Operation not permitted"
        );
        assert_eq!(call("setns", [9, 0], -22), "setns(9, 0x0) failed: Invalid argument");
        assert_eq!(call("sethostname", [1, 14], -1), "sethostname(…) failed: Operation not permitted");
    }
}
