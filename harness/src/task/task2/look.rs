//! What is recorded of a container that has more than a record holds.

use std::collections::BTreeSet;

/// Most processes of a sample that are there without having been seen to start.
const OTHERS_CAP: usize = 50;

/// The processes whose groups are recorded: `container_prog` first, then what else was seen to
/// start in a container, then other inhabitants of its PID namespace. Only these have a limit.
pub fn sampled(container_prog: Option<i32>, members: &BTreeSet<i32>, inhabitants: &[i32]) -> Vec<i32> {
    let first = container_prog.filter(|pid| members.contains(pid));
    let seen = members.iter().copied().filter(|pid| Some(*pid) != first);
    let others = inhabitants.iter().copied().filter(|pid| !members.contains(pid));
    first.into_iter().chain(seen).chain(others.take(OTHERS_CAP)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_processes_with_lower_pids_do_not_hide_container_prog() {
        let inhabitants: Vec<i32> = (100..900).collect();
        let sampled = sampled(Some(800), &[700, 800].into(), &inhabitants);
        assert_eq!(sampled[..2], [800, 700]);
        assert_eq!(sampled[2..], inhabitants[..OTHERS_CAP]);
    }

    #[test]
    fn a_container_prog_that_has_ended_is_not_sampled() {
        assert_eq!(sampled(Some(800), &[700].into(), &[700, 701]), [700, 701]);
    }
}
