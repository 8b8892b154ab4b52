//! The finding of a check that compares a session, and the sentence about it.

use super::{Likeness, Row, Session};
use crate::evidence::Recording;
use crate::task::check::Verdicts;
use crate::task::finding::{OLDER, Question};
use crate::verdict::Finding;

/// Most differences that a finding quotes.
const QUOTED: usize = 3;

/// Judges the session of the subtask that a check belongs to. If a check that it needs did not
/// pass, the finding refers to that check.
pub fn judge(recording: &Recording, question: Question, verdicts: &Verdicts) -> Finding {
    let question = question
        .expects("what the assignment shows, apart from what varies from run to run")
        .proof(format!("evidence/{}/terminal.cast", recording.scenario));
    if let Some(needed) = verdicts.unmet() {
        return question.unmet(needed, "");
    }
    let Some(session) = super::of(recording, verdicts.id()) else { return question.skip(OLDER) };
    let different: Vec<&Row> = rows(&session).filter(|row| row.is == Likeness::Differs).collect();
    if session.steps.iter().any(|step| step.seen.is_none()) {
        let missing = session.steps.iter().filter(|step| step.seen.is_none());
        let missing: Vec<&str> = missing.map(|step| step.asked.as_str()).collect();
        return question.skip(format!("not typed, because an earlier step failed: {}", missing.join(", ")));
    }
    if different.is_empty() {
        return question.pass(told(&session));
    }
    let shown: Vec<String> = different.iter().take(QUOTED).map(|row| quoted(row)).collect();
    let more = different.len().saturating_sub(QUOTED);
    let rest = if more > 0 { format!("\n({more} more)") } else { String::new() };
    question.fail(format!("{}{rest}", shown.join("\n")))
}

fn rows(session: &Session) -> impl Iterator<Item = &Row> {
    session.steps.iter().flat_map(|step| &step.rows)
}

fn quoted(row: &Row) -> String {
    let line = |sign: char, line: &Option<String>| line.as_ref().map(|line| format!("{sign}{}", line.trim()));
    let both: Vec<String> = [line('-', &row.asked), line('+', &row.seen)].into_iter().flatten().collect();
    both.join("\n")
}

/// Sums up a session in one sentence.
pub fn told(session: &Session) -> String {
    let count = |is| rows(session).filter(|row| row.is == is).count();
    let (fine, differs) = (count(Likeness::Fine), count(Likeness::Differs));
    let lines =
        |count: usize| if count == 1 { "1 line differs".to_owned() } else { format!("{count} lines differ") };
    match (fine, differs) {
        (0, 0) => "as the assignment shows it".to_owned(),
        (fine, 0) => format!("{}, and that is fine", lines(fine)),
        (0, differs) => lines(differs),
        (fine, differs) => format!("{}; {fine} more differ, and that is fine", lines(differs)),
    }
}
