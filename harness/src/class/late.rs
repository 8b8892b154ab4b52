//! Late submissions: the `[late]` table of a rubric, and what it takes for a time of submission.
//! The time is the course system's; a run says nothing about it.

use serde::{Deserialize, Serialize};
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime, UtcOffset};

/// The `[late]` table.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    deadline: toml::value::Datetime,
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
}

/// How late a submission was, as its report says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Late {
    /// When it was handed in, RFC 3339.
    pub submitted: String,
    /// The deadline, RFC 3339.
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
        let table: Table = table.try_into().map_err(|error: toml::de::Error| error.message().to_owned())?;
        let deadline = OffsetDateTime::parse(&table.deadline.to_string(), &Rfc3339).map_err(|_| {
            format!("its deadline {} has no time zone: write it as 2026-02-01T23:59:00+05:30", table.deadline)
        })?;
        let is_percentage = |number: f64| (0.0..=100.0).contains(&number);
        if !is_percentage(table.per_day) || !is_percentage(table.cap) {
            return Err("per_day and cap are percentages, from 0 to 100".to_owned());
        }
        let grace = Duration::minutes(i64::from(table.grace_minutes));
        Ok(Self { deadline, grace, per_day: table.per_day, cap: table.cap })
    }

    /// The zone of the deadline, for times that state none.
    pub fn zone(&self) -> UtcOffset {
        self.deadline.offset()
    }

    /// How late a time is; `None` where it is not.
    pub fn late(&self, submitted: OffsetDateTime) -> Option<Late> {
        let by = submitted - self.deadline;
        if by <= self.grace {
            return None;
        }
        let seconds = by.whole_seconds();
        let days = seconds.div_euclid(86_400) + i64::from(seconds % 86_400 > 0);
        let text = |at: OffsetDateTime| at.format(&Rfc3339).unwrap_or_default();
        Some(Late {
            submitted: text(submitted),
            deadline: text(self.deadline),
            seconds,
            days,
            percent: (self.per_day * days as f64).min(self.cap),
            penalty: 0.0,
        })
    }
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
        let percent = |time| policy.late(at(time)).map(|late| (late.days, late.percent as i64));
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
        assert!(policy("deadline = 2026-02-01T23:59:00Z\nper_day = -1\n").is_err());
        assert!(policy("deadline = 2026-02-01T23:59:00Z\nper_day = 1\nper_hour = 1\n").is_err());
    }
}
