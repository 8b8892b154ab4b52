//! What is checked: all checks as a list, and one check in detail. Both come from the checks'
//! rows and the rubric.

use std::fmt::Write as _;

use serde::Serialize;

use crate::rubric::Rubric;
use crate::see;
use crate::task::{self, CheckSpec};

/// One line of the list.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Listed {
    /// `<subtask>/<kebab-name>`.
    pub id: &'static str,
    /// In a few words.
    pub title: &'static str,
    /// Points by the rubric; 0 for an informational check.
    pub points: f64,
    /// Whether it carries no marks by default.
    pub informational: bool,
    /// Ids of the checks without which it may not be judged.
    pub needs: &'static [&'static str],
}

/// All checks, in the order of reports.
pub fn list(rubric: &Rubric) -> Vec<Listed> {
    checks()
        .map(|check| Listed {
            id: check.id,
            title: check.title,
            points: rubric.points(check.id),
            informational: check.informational,
            needs: check.needs,
        })
        .collect()
}

fn checks() -> impl Iterator<Item = &'static CheckSpec> {
    task::subtasks().into_iter().flat_map(|subtask| subtask.checks.iter().copied())
}

/// The list as text: a line for each check.
pub fn table(list: &[Listed]) -> String {
    let width = |of: fn(&Listed) -> &str| list.iter().map(|one| of(one).chars().count()).max().unwrap_or(0);
    let (ids, titles) = (width(|one| one.id), width(|one| one.title));
    list.iter().fold(String::new(), |mut text, one| {
        let points = if one.points == 0.0 { "-".to_owned() } else { one.points.to_string() };
        let line = format!("{:<ids$}  {points:>4}  {:<titles$}", one.id, one.title);
        let needs =
            if one.needs.is_empty() { String::new() } else { format!("  needs {}", one.needs.join(", ")) };
        let _ = writeln!(text, "{}", format!("{line}{needs}").trim_end());
        text
    })
}

/// Everything about one check; `None` where there is no such check.
pub fn explain(id: &str, rubric: &Rubric) -> Option<String> {
    let check = checks().find(|check| check.id == id)?;
    let points = match rubric.points(check.id) {
        0.0 => "no points (informational)".to_owned(),
        1.0 => "1 point".to_owned(),
        points => format!("{points} points"),
    };
    let mut text = format!("{}: {}, {points}\n", check.id, check.title);
    let mut part = |name: &str, lines: &[String]| {
        if !lines.is_empty() {
            let _ = write!(text, "\n{name}\n");
            for line in lines {
                let _ = writeln!(text, "  {line}");
            }
        }
    };
    part("The assignment says", &[format!("\"{}\"", check.requirement)]);
    part("What is checked", &[check.how.to_owned()]);
    let needs = check.needs.iter().map(|needed| {
        let title = checks().find(|other| other.id == *needed).map_or("", |other| other.title);
        format!("{needed} ({title})")
    });
    part("It needs", &needs.collect::<Vec<_>>());
    let causes: Vec<String> = check.causes.iter().map(|cause| format!("- {cause}")).collect();
    part("Typical causes of a failure", &causes);
    part("Where to look", &[check.hint.to_owned()]);
    let see: Vec<String> = check.see.iter().map(|line| see::plain(line)).collect();
    part("See it yourself", &see);
    let pages: Vec<String> = check.man.iter().filter_map(|page| command(page)).collect();
    part("Manual pages", &pages);
    Some(text)
}

/// `man 2 clone`, of `clone(2)`.
fn command(page: &str) -> Option<String> {
    let (name, section) = page.strip_suffix(')')?.split_once('(')?;
    Some(format!("man {section} {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_has_every_check_and_its_points_are_the_rubrics() {
        let list = list(&Rubric::default());
        assert!((list.iter().map(|one| one.points).sum::<f64>() - 100.0).abs() < 1e-9);
        let packages = list.iter().find(|one| one.id == "3c/packages").unwrap();
        assert!(packages.needs.contains(&"3c/internet"));
        assert!(
            table(&list)
                .lines()
                .any(|line| line.starts_with("3c/packages") && line.contains("needs 3c/internet"))
        );
    }

    #[test]
    fn a_check_is_explained_from_its_row() {
        let text = explain("2c/throttled", &Rubric::default()).unwrap();
        for part in [
            "1 point",
            "restricts the maximum CPU utilization",
            "2c/cpu-quota (50 % of one core)",
            "man 7 cgroups",
        ] {
            assert!(text.contains(part), "{part} is not in:\n{text}");
        }
        assert_eq!(explain("2c/no-such-check", &Rubric::default()), None);
    }
}
