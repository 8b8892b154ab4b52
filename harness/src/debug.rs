//! Finds the moment of a run that decided a check, for `harness debug`.

use crate::evidence::{Bundle, Recording, place};
use crate::judge;
use crate::rubric::Rubric;
use crate::see;
use crate::task::{self, Scenario};
use crate::terminals;
use crate::verdict::Check;
use crate::wire::Moment;

/// What to drive again, and how far.
#[derive(Debug)]
pub struct Target<'a> {
    /// The check as it is judged now.
    pub check: Check,
    /// The scenario that showed it.
    pub scenario: &'static Scenario,
    /// Its recording.
    pub recording: &'a Recording,
    /// Where to stop; `None` is the scenario's end.
    pub at: Option<Moment>,
    /// The submission's last command before that.
    pub command: Option<String>,
    /// What to type in that machine to see what the check looks at.
    pub look: Vec<String>,
}

/// Why a check has no such moment.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The report does not have this check.
    #[error("this report has no check {0:?}; it has the subtasks {1}")]
    NoCheck(String, String),
    /// No machine ran for this check.
    #[error("no virtual machine ran for {0}")]
    NoMachine(String),
}

/// The moment that decided a check: just after the last record that is evidence for it.
///
/// # Errors
/// If the bundle does not have the check, or no scenario ran for it.
pub fn target<'a>(bundle: &'a Bundle, id: &str, rubric: &Rubric) -> Result<Target<'a>, Error> {
    let report = judge::judge(bundle, rubric);
    let subtasks = report.subtasks.iter().map(|subtask| subtask.id.as_str()).collect::<Vec<_>>().join(" ");
    let mut checks = report.subtasks.into_iter().flat_map(|subtask| subtask.checks);
    let check = checks.find(|check| check.id == id).ok_or(Error::NoCheck(id.to_owned(), subtasks))?;

    let look = see::look(&check.id, &check.evidence, bundle);
    let scenarios = task::scenarios();
    let known = |name: &str| scenarios.iter().find(|scenario| scenario.id == name).copied();
    let places = check.evidence.iter().filter_map(|text| place::parse(text));
    let places = places.filter_map(|(name, line)| Some((known(name)?, bundle.recordings.get(name)?, line)));
    let last = places.max_by_key(|(scenario, _, line)| {
        (scenarios.iter().position(|other| other.id == scenario.id), *line)
    });
    let Some((scenario, recording, line)) = last else {
        let name = id.split('/').next().unwrap_or(id);
        let subtask = task::subtasks().into_iter().find(|subtask| subtask.id == name);
        let names = subtask.map_or(&[][..], |subtask| subtask.scenarios);
        let ran = names.iter().find_map(|name| Some((known(name)?, bundle.recordings.get(*name)?)));
        let (scenario, recording) = ran.ok_or_else(|| Error::NoMachine(id.to_owned()))?;
        return Ok(Target { check, scenario, recording, at: None, command: None, look });
    };
    let at = moment(recording, line);
    let command = command(recording, line);
    Ok(Target { check, scenario, recording, at, command, look })
}

/// The moment just after the record on this line; `None` if there is no such line.
fn moment(recording: &Recording, line: usize) -> Option<Moment> {
    let kind = &recording.records.get(line.checked_sub(1)?)?.kind;
    let number = recording.records[..line].iter().filter(|record| record.kind == *kind).count();
    Some(Moment { kind: kind.clone(), number })
}

/// The last command that began before this line.
fn command(recording: &Recording, line: usize) -> Option<String> {
    let sessions = terminals::sessions(recording);
    let last = sessions.into_iter().rfind(|session| session.record < line)?;
    Some(last.argv.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{Ending, Record};

    #[test]
    fn a_moment_is_counted_among_records_of_its_kind() {
        let kinds = ["start", "output", "command", "start", "output", "command", "left"];
        let record = |kind: &&str| Record {
            ms: 0,
            host_ms: None,
            kind: (*kind).to_owned(),
            data: serde_json::json!({ "argv": ["./conductor.sh", "stop"] }),
        };
        let recording = Recording {
            scenario: "3-run".into(),
            plan: serde_json::Value::Null,
            ending: Ending::Finished,
            seconds: 0.0,
            records: kinds.iter().map(record).collect(),
        };
        assert_eq!(moment(&recording, 6), Some(Moment { kind: "command".into(), number: 2 }));
        assert_eq!(moment(&recording, 9), None);
        assert_eq!(command(&recording, 7).as_deref(), Some("./conductor.sh stop"));
    }
}
