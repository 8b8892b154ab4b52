//! A check is one row: what is asked, what it needs, and the function that judges it.
//!
//! Order, number and ids of checks come from the rows alone, so they cannot disagree. A judge gets
//! the verdicts on the checks that its own row names in `needs`.

use crate::task::finding::Question;
use crate::verdict::{Finding, Status};

/// What the assignment asks, as reports, `harness checks` and `harness explain` show it.
#[derive(Debug)]
pub struct CheckSpec {
    /// `<subtask>/<kebab-name>`.
    pub id: &'static str,
    /// In a few words.
    pub title: &'static str,
    /// The assignment's words, shortened in places.
    pub requirement: &'static str,
    /// Where to look when it fails, without giving the answer.
    pub hint: &'static str,
    /// Shell commands that show the fact by hand. [`crate::see`] lists their placeholders.
    pub see: &'static [&'static str],
    /// Carries no marks by default.
    pub informational: bool,
    /// Ids of the checks without which this one may not be judged.
    pub needs: &'static [&'static str],
    /// Ids of checks whose verdicts decide how much this one asks; it is judged after them.
    pub considers: &'static [&'static str],
    /// What is looked at, and how.
    pub how: &'static str,
    /// Typical causes of a failure.
    pub causes: &'static [&'static str],
    /// Manual pages that help, such as `clone(2)`.
    pub man: &'static [&'static str],
}

impl CheckSpec {
    /// The checks that are judged before this one, where they are in the same table.
    fn earlier(&self) -> impl Iterator<Item = &'static str> + use<> {
        self.needs.iter().chain(self.considers).copied()
    }
}

/// A check and its judge.
#[derive(Debug)]
pub struct Row<J> {
    /// What is asked.
    pub check: CheckSpec,
    /// Decides it.
    pub judge: J,
}

/// The rows without their judges.
pub const fn specs<J, const N: usize>(rows: &'static [Row<J>; N]) -> [&'static CheckSpec; N] {
    let mut all = [&rows[0].check; N];
    let mut next = 1;
    while next < N {
        all[next] = &rows[next].check;
        next += 1;
    }
    all
}

/// The verdicts so far, as far as one check needs them.
#[derive(Debug)]
pub struct Verdicts<'a> {
    check: &'static CheckSpec,
    findings: &'a [Finding],
}

impl Verdicts<'_> {
    /// The check that is judged.
    pub fn id(&self) -> &'static str {
        self.check.id
    }

    /// Whether all checks that this one needs passed.
    pub fn needs_met(&self) -> bool {
        self.unmet().is_none()
    }

    /// Whether a check passed that this one needs or considers.
    pub fn passed(&self, id: &str) -> bool {
        self.of(id).is_some_and(|finding| finding.status == Status::Pass)
    }

    /// Whether a check failed that this one needs or considers.
    pub fn failed(&self, id: &str) -> bool {
        self.of(id).is_some_and(|finding| finding.status == Status::Fail)
    }

    /// The first check that this one needs and that was judged and did not pass.
    pub fn unmet(&self) -> Option<&'static str> {
        let is_unmet = |id: &&&str| self.of(id).is_some_and(|finding| finding.status != Status::Pass);
        self.check.needs.iter().find(is_unmet).copied()
    }

    fn of(&self, id: &str) -> Option<&Finding> {
        debug_assert!(self.check.earlier().any(|known| known == id), "{} does not name {id}", self.check.id);
        self.findings.iter().find(|finding| finding.check == id)
    }
}

/// Judges all rows, each after the rows of this table that it needs; the findings are in the order
/// of the rows. `judge` calls a row's judge.
pub fn judge<J: Copy>(
    rows: &'static [Row<J>],
    judge: impl Fn(J, Question, &Verdicts) -> Finding,
) -> Vec<Finding> {
    let mut findings: Vec<Finding> = Vec::with_capacity(rows.len());
    let mut waiting: Vec<&'static Row<J>> = rows.iter().collect();
    while !waiting.is_empty() {
        let is_waiting = |id: &str| waiting.iter().any(|other| other.check.id == id);
        // Rows that need each other would wait for ever: a test forbids them.
        let next = waiting.iter().position(|row| !row.check.earlier().any(is_waiting)).unwrap_or(0);
        let row = waiting.remove(next);
        let verdicts = Verdicts { check: &row.check, findings: &findings };
        let finding = judge(row.judge, Question::of(&row.check), &verdicts);
        findings.push(finding);
    }
    let place = |finding: &Finding| rows.iter().position(|row| row.check.id == finding.check);
    findings.sort_by_key(place);
    findings
}

/// The same finding for all rows.
pub fn all<J>(rows: &'static [Row<J>], finding: impl Fn(Question) -> Finding) -> Vec<Finding> {
    rows.iter().map(|row| finding(Question::of(&row.check))).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::CheckSpec;
    use crate::task::subtasks;

    fn checks() -> BTreeMap<&'static str, &'static CheckSpec> {
        subtasks().iter().flat_map(|subtask| subtask.checks).map(|check| (check.id, *check)).collect()
    }

    #[test]
    fn ids_are_unique_and_begin_with_their_subtask() {
        let all: usize = subtasks().iter().map(|subtask| subtask.checks.len()).sum();
        assert_eq!(checks().len(), all);
        for subtask in subtasks() {
            assert!(subtask.checks.iter().all(|check| check.id.split('/').next() == Some(subtask.id)));
        }
    }

    #[test]
    fn what_a_check_needs_exists_and_leads_to_no_circle() {
        let checks = checks();
        for check in checks.values() {
            let mut open: Vec<_> = check.earlier().collect();
            let mut steps = 0;
            while let Some(id) = open.pop() {
                let needed =
                    checks.get(id).unwrap_or_else(|| panic!("{} needs {id}: no such check", check.id));
                assert_ne!(needed.id, check.id, "{} needs itself", check.id);
                open.extend(needed.earlier());
                steps += 1;
                assert!(steps < 1000, "{} needs checks that need each other", check.id);
            }
        }
    }

    #[test]
    fn every_row_says_how_the_check_is_seen() {
        for check in checks().values() {
            assert!(check.how.ends_with('.') && !check.requirement.is_empty(), "{}", check.id);
            // A sample session is its own command.
            assert_eq!(check.see.is_empty(), check.id.ends_with("/as-shown"), "{}", check.id);
            assert!(check.man.iter().all(|page| page.ends_with(')')), "{}", check.id);
        }
    }
}
