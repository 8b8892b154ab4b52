//! What changed a report's points after they were given: appeals and lateness, as
//! sentences for every report.

use super::text::{points, visible};
use crate::verdict::{BY_HAND, Report};

/// One sentence for each change.
pub fn sentences(report: &Report) -> Vec<String> {
    let adjusted = report.adjustments.iter().map(|one| {
        let change = if one.of == BY_HAND {
            format!("{} points by hand", points(one.applied))
        } else {
            let sign = if one.applied > 0.0 { "+" } else { "" };
            format!("{} adjusted by {sign}{}", visible(&one.of), points(one.applied))
        };
        // Without names, the day is not shown.
        let when = if one.when.is_empty() { String::new() } else { format!(", {}", one.when) };
        format!("{change}: {} ({}{})", visible(&one.reason), visible(&one.who), visible(&when))
    });
    let late = report.late.as_ref().map(|late| {
        let cost = points(late.penalty);
        format!("handed in {} late: {cost} points less ({} %)", late.by(), points(late.percent))
    });
    adjusted.chain(late).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::class::late::Late;
    use crate::evidence::Bundle;
    use crate::report::{markdown, page, terminal};
    use crate::verdict::{Adjustment, Environment, SubmissionInfo};

    fn bundle() -> Bundle {
        Bundle {
            submission: SubmissionInfo { id: String::new(), source: String::new(), sha256: String::new() },
            environment: Environment::default(),
            subtasks: vec![],
            layout: serde_json::Value::Null,
            recordings: std::collections::BTreeMap::new(),
        }
    }

    #[test]
    fn every_change_is_in_the_reports_that_people_read() {
        let adjustment = Adjustment {
            of: "2b/root-isolated".into(),
            delta: 2.0,
            applied: 1.5,
            reason: "seen by hand\u{1b}[2J".into(),
            who: "Ann".into(),
            when: "2026-02-03".into(),
        };
        let late = Late {
            submitted: String::new(),
            deadline: String::new(),
            seconds: 90_000,
            days: 2,
            percent: 20.0,
            penalty: 3.0,
        };
        let report = Report { adjustments: vec![adjustment], late: Some(late), ..Report::default() };
        let page = page::render(&report, &bundle());
        for text in [terminal::render(&report, false), markdown::render(&report), page] {
            assert!(text.contains("adjusted by +1.5: seen by hand"), "{text}");
            assert!(text.contains("1 d 1 h late: 3 points less"), "{text}");
            assert!(!text.contains("\u{1b}[2J"), "{text}");
        }
    }
}
