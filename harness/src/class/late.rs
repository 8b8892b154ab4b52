//! Late submissions: the `[late]` table of a rubric, and what it takes for a time of submission.
//! The time is the course system's; a run says nothing about it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime, UtcOffset};

/// The `[late]` table.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    #[serde(default)]
    grace_minutes: u32,
    per_day: f64,
    #[serde(default = "all")]
    cap: f64,
}

fn all() -> f64 {
    100.0
}

/// What a late submission loses.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    deadline: OffsetDateTime,
    grace: Duration,
    per_day: f64,
    cap: f64,
    /// Later deadlines, by the ids of those who have one.
    extensions: BTreeMap<String, OffsetDateTime>,
}

/// How late a submission was, as its report says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Late {
    /// When it was handed in, RFC 3339. Empty, as the deadline, where it would say who it was.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub submitted: String,
    /// The deadline, RFC 3339.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub deadline: String,
    /// Seconds after the deadline.
    pub seconds: i64,
    /// Days that were begun after the deadline.
    pub days: i64,
    /// What is taken, in percent of the points that there were to get.
    pub percent: f64,
    /// What was taken, in points.
    #[serde(default)]
    pub penalty: f64,
}

impl Policy {
    /// Reads the table.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it.
    pub fn of(table: toml::Table) -> Result<Self, String> {
        let mut table = table;
        // A date inside a value becomes a string on its way into a struct.
        let deadline =
            table.remove("deadline").ok_or_else(|| format!("it has no deadline: write it as {FORM}"))?;
        let deadline = moment(&deadline).map_err(|why| format!("its deadline {why}"))?;
        let later = match table.remove("extensions") {
            None => toml::Table::new(),
            Some(toml::Value::Table(later)) => later,
            Some(_) => return Err("its extensions are no table [late.extensions]".to_owned()),
        };
        let table: Table = table.try_into().map_err(|error: toml::de::Error| error.message().to_owned())?;
        let mut extensions = BTreeMap::new();
        for (id, value) in later {
            let later = moment(&value).map_err(|why| format!("the extension of {id} {why}"))?;
            if later <= deadline {
                return Err(format!("the extension of {id} to {value} is not after the deadline"));
            }
            extensions.insert(id, later);
        }
        let is_percentage = |number: f64| (0.0..=100.0).contains(&number);
        if !is_percentage(table.per_day) || !is_percentage(table.cap) {
            return Err("per_day and cap are percentages, from 0 to 100".to_owned());
        }
        let grace = Duration::minutes(i64::from(table.grace_minutes));
        Ok(Self { deadline, grace, per_day: table.per_day, cap: table.cap, extensions })
    }

    /// The zone of the deadline, for times that state none.
    pub fn zone(&self) -> UtcOffset {
        self.deadline.offset()
    }

    /// The ids that have an extension.
    pub fn extended(&self) -> impl Iterator<Item = &str> {
        self.extensions.keys().map(String::as_str)
    }

    /// How late a time is for the submission with an id; `None` where it is not.
    pub fn late(&self, id: &str, submitted: OffsetDateTime) -> Option<Late> {
        let deadline = self.extensions.get(id).copied().unwrap_or(self.deadline);
        let by = submitted - deadline;
        if by <= self.grace {
            return None;
        }
        let seconds = by.whole_seconds();
        let days = seconds.div_euclid(86_400) + i64::from(seconds % 86_400 > 0);
        let text = |at: OffsetDateTime| at.format(&Rfc3339).unwrap_or_default();
        Some(Late {
            submitted: text(submitted),
            deadline: text(deadline),
            seconds,
            days,
            percent: (self.per_day * days as f64).min(self.cap),
            penalty: 0.0,
        })
    }
}

/// How a time is written in the table.
const FORM: &str = "2026-02-01T23:59:00+05:30";

/// A time with its zone. An error goes on from the name of what has it.
fn moment(value: &toml::Value) -> Result<OffsetDateTime, String> {
    let text = match value {
        toml::Value::Datetime(text) => text.to_string(),
        toml::Value::String(text) => text.clone(),
        other => return Err(format!("{other} is not a time: write it as {FORM}")),
    };
    OffsetDateTime::parse(&text, &Rfc3339)
        .map_err(|_| format!("{text:?} has no time of day or no time zone: write it as {FORM}"))
}

impl Late {
    /// How long, for people: `2 d 3 h`, `4 h 5 min`.
    pub fn by(&self) -> String {
        let (days, hours, minutes) =
            (self.seconds / 86_400, self.seconds / 3600 % 24, self.seconds.div_euclid(60) % 60);
        match (days, hours) {
            (0, 0) => format!("{} min", minutes.max(1)),
            (0, _) => format!("{hours} h {minutes} min"),
            _ => format!("{days} d {hours} h"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(text: &str) -> Result<Policy, String> {
        Policy::of(text.parse().unwrap())
    }

    fn at(text: &str) -> OffsetDateTime {
        OffsetDateTime::parse(text, &Rfc3339).unwrap()
    }

    #[test]
    fn days_count_from_the_deadline_once_the_grace_is_over_and_the_cap_holds() {
        let policy =
            policy("deadline = 2026-02-01T23:59:00+05:30\ngrace_minutes = 15\nper_day = 10\ncap = 25\n")
                .unwrap();
        let percent = |time| policy.late("a", at(time)).map(|late| (late.days, late.percent as i64));
        assert_eq!(percent("2026-02-01T18:29:00Z"), None);
        assert_eq!(percent("2026-02-01T18:44:00Z"), None);
        assert_eq!(percent("2026-02-01T18:44:01Z"), Some((1, 10)));
        assert_eq!(percent("2026-02-02T18:29:00Z"), Some((1, 10)));
        assert_eq!(percent("2026-02-02T18:29:01Z"), Some((2, 20)));
        assert_eq!(percent("2026-03-01T00:00:00Z"), Some((28, 25)));
    }

    #[test]
    fn a_deadline_without_a_zone_and_strange_percentages_are_refused() {
        assert!(policy("deadline = 2026-02-01T23:59:00\nper_day = 10\n").unwrap_err().contains("time zone"));
        let quoted = "deadline = \"2026-02-01T23:59:00Z\"\nper_day = 10\n";
        assert_eq!(policy(quoted), policy(&quoted.replace('"', "")));
        for text in ["\"1 February\"", "20260201"] {
            let error = policy(&format!("deadline = {text}\nper_day = 10\n")).unwrap_err();
            assert!(error.contains("write it as 2026-02-01T23:59:00+05:30"), "{error}");
        }
        assert!(policy("deadline = 2026-02-01\nper_day = 10\n").unwrap_err().contains("time of day"));
        assert!(policy("deadline = 2026-02-01T23:59:00Z\nper_day = -1\n").is_err());
        assert!(policy("deadline = 2026-02-01T23:59:00Z\nper_day = 1\nper_hour = 1\n").is_err());
    }

    #[test]
    fn an_extension_moves_the_deadline_of_one_id_only() {
        let table = "deadline = 2026-02-01T23:59:00Z\nper_day = 10\n[extensions]\n1004 = ";
        let policy_of = policy(&format!("{table}2026-02-04T23:59:00Z\n")).unwrap();
        let days = |id, time| policy_of.late(id, at(time)).map(|late| (late.days, late.deadline));
        assert_eq!(days("1004", "2026-02-04T23:00:00Z"), None);
        assert_eq!(days("1004", "2026-02-05T23:00:00Z"), Some((1, "2026-02-04T23:59:00Z".to_owned())));
        assert_eq!(days("1005", "2026-02-04T23:00:00Z").map(|(days, _)| days), Some(3));
        assert_eq!(policy_of.extended().collect::<Vec<_>>(), ["1004"]);
        for (value, said) in
            [("2026-01-04T23:59:00Z", "not after"), ("2026-02-04T23:59:00", "zone"), ("3", "not a time")]
        {
            let error = policy(&format!("{table}{value}\n")).unwrap_err();
            assert!(error.contains("1004") && error.contains(said), "{error}");
        }
    }
}
