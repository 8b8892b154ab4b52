//! Decides who is at fault if a scenario ended early: the submission or our infrastructure.

use crate::evidence::{Ending, Record, STARTS};
use crate::wire::SPOILT;

/// How far a scenario had progressed when it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Turn {
    /// The guest half had sent no record.
    Ours,
    /// The guest half was using the submission's files, and none of the submission's programs had
    /// run.
    Files,
    /// A program of the submission had started.
    Programs,
}

impl Turn {
    pub fn of(records: &[Record]) -> Self {
        if records.iter().any(|record| record.kind == STARTS) {
            Self::Programs
        } else if records.is_empty() {
            Self::Ours
        } else {
            Self::Files
        }
    }
}

/// Decides who is at fault for an end.
///
/// Once a program of the submission has started, the submission answers for the whole machine. It
/// is root there, so it could have caused any status, signal or message of the guest half. Before
/// that, only the submission's files can be at fault; the guest half then exits with status
/// [`SPOILT`].
pub(super) fn ending(outcome: &vm::Outcome, spoilt: Option<String>, turn: Turn) -> Ending {
    let console = outcome.console().map(|console| console.0.clone()).unwrap_or_default();
    let said = |stderr: &[u8]| {
        let said = String::from_utf8_lossy(stderr);
        said.trim().trim_start_matches("harness-guest: ").to_owned()
    };
    let (theirs, what) = match outcome {
        vm::Outcome::Exited { code: 0, .. } => match spoilt {
            None => return Ending::Finished,
            Some(why) => (turn == Turn::Programs, why),
        },
        vm::Outcome::Exited { code, stderr } if *code == i32::from(SPOILT) => {
            (turn >= Turn::Files, said(stderr))
        }
        vm::Outcome::Exited { code, stderr } => {
            let how = match code - 128 {
                signal @ 1..=64 => format!("the guest half ended with signal {signal}"),
                _ => format!("the guest half ended with status {code}"),
            };
            let said = said(stderr);
            let what = if said.is_empty() { how } else { format!("{how}; its output: {said}") };
            (turn == Turn::Programs, what)
        }
        outcome => (!outcome.is_infrastructure() && turn == Turn::Programs, outcome.to_string()),
    };
    if theirs { Ending::Lost { what, console } } else { Ending::Infrastructure { what, console } }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn exited(code: i32) -> vm::Outcome {
        vm::Outcome::Exited { code, stderr: b"said".to_vec() }
    }

    fn is_lost(outcome: &vm::Outcome, turn: Turn) -> bool {
        match ending(outcome, None, turn) {
            Ending::Lost { .. } => true,
            Ending::Infrastructure { .. } => false,
            Ending::Finished => panic!("{outcome:?} is no good end"),
        }
    }

    #[test]
    fn an_end_is_the_submissions_fault_only_after_its_first_program() {
        let panicked = vm::Outcome::Panicked(vm::Console(vec!["panic".into()]));
        assert!(is_lost(&panicked, Turn::Programs));
        assert!(!is_lost(&panicked, Turn::Files));
        assert!(!is_lost(&panicked, Turn::Ours));
    }

    #[test]
    fn the_submission_answers_for_every_end_of_the_guest_half_after_its_first_program() {
        for code in [1, 2, 75, 101, 127, 134, 137, 139, 143] {
            assert!(is_lost(&exited(code), Turn::Programs), "{code}");
            assert!(!is_lost(&exited(code), Turn::Ours), "{code}");
            assert_eq!(is_lost(&exited(code), Turn::Files), code == 75, "{code}");
        }
    }

    #[test]
    fn a_full_disk_or_a_dead_qemu_on_the_host_is_never_the_submissions_fault() {
        for outcome in [
            vm::Outcome::HostDiskFull(vm::Console::default()),
            vm::Outcome::QemuDied { why: "killed".into(), console: vm::Console::default() },
        ] {
            assert!(!is_lost(&outcome, Turn::Programs));
        }
    }

    #[test]
    fn the_report_quotes_the_guest_halfs_last_message() {
        let what = |code| match ending(&exited(code), None, Turn::Programs) {
            Ending::Lost { what, .. } => what,
            other => panic!("{other:?}"),
        };
        assert_eq!(what(134), "the guest half ended with signal 6; its output: said");
        assert_eq!(what(1), "the guest half ended with status 1; its output: said");
        assert_eq!(what(75), "said");
    }

    #[test]
    fn progress_is_read_from_the_records() {
        let record = |kind: &str| Record { ms: 0, host_ms: None, kind: kind.to_owned(), data: Value::Null };
        assert_eq!(Turn::of(&[]), Turn::Ours);
        assert_eq!(Turn::of(&[record("begin"), record("machine")]), Turn::Files);
        assert_eq!(Turn::of(&[record("begin"), record(STARTS), record("output")]), Turn::Programs);
    }

    #[test]
    fn a_forged_line_makes_a_successful_run_lost() {
        assert_eq!(ending(&exited(0), None, Turn::Programs), Ending::Finished);
        let forged = ending(&exited(0), Some("forged".into()), Turn::Programs);
        assert!(matches!(forged, Ending::Lost { .. }));
    }
}
