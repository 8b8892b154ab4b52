//! Asks for consent before `harness grade --here` runs a submission on this machine.

use std::io::{IsTerminal, stderr, stdin};

use harness::programs::{Verb, packages};

use super::Failure;

/// The changes that `--here` makes to this machine.
const TOUCHES: &str = "\
--here runs the submission on this machine, as root, and the report is not a mark.
  Processes   run in namespaces of their own: mounts, network, PIDs, host name, IPC, control groups.
  Files       are a copy-on-write view of this machine's; changes go to the cache and are removed.
              /home, /root, /tmp, /var/tmp, /run, /mnt, /media and /srv begin empty.
  Network     leads to the grader only: the submission reaches no address outside of this machine.
  Kernel      may load modules that containers need: overlay, veth, iptables. They stay loaded.
A hostile program can break out: grade only a submission that you trust.
";

/// Prints what `--here` does. Asks once whether to go on, unless `yes`.
pub fn agree(yes: bool) -> Result<(), Failure> {
    if !nix::unistd::geteuid().is_root() {
        return Err(Failure::infrastructure(harness::here::Error::NotRoot));
    }
    let missing = Verb::Here.missing();
    if !missing.is_empty() {
        return Err(Failure::infrastructure(format!(
            "--here needs programs that this machine lacks: apt install {}",
            packages(&missing)
        )));
    }
    let can_ask = stdin().is_terminal() && stderr().is_terminal();
    if !yes && !can_ask {
        return Err(Failure::unreadable(
            "--here asks before it runs the submission on this machine, and there is no terminal to ask on: add --yes",
        ));
    }
    harness::note!("{TOUCHES}");
    if yes {
        return Ok(());
    }
    harness::note!("Go on? [y/N]");
    let mut answer = String::new();
    let read = stdin().read_line(&mut answer);
    if read.is_ok() && ["y", "yes"].contains(&answer.trim().to_lowercase().as_str()) {
        return Ok(());
    }
    Err(Failure::unreadable("--here was not confirmed, so nothing was run"))
}
