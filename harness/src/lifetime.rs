//! Tells the run that left something behind from a later process with the same id.

use std::fs;

/// When a process began, in kernel ticks since boot: field 22 of /proc/PID/stat, see proc(5).
/// `None` if it has ended, even if it is a zombie: the parent of a killed run may be a container's
/// init that never waits.
pub fn started(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<_> = stat.rsplit_once(") ")?.1.split(' ').collect();
    if matches!(*fields.first()?, "Z" | "X") { None } else { fields.get(19)?.parse().ok() }
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::thread::sleep;
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_process_that_ended_has_no_start_even_before_its_parent_waits() {
        assert!(started(std::process::id()).is_some_and(|ticks| ticks > 0));
        let mut child = Command::new("true").spawn().unwrap();
        let ended = (0..500).any(|_| {
            sleep(Duration::from_millis(10));
            started(child.id()).is_none()
        });
        assert!(ended, "the child is a zombie until the next line");
        child.wait().unwrap();
    }
}
