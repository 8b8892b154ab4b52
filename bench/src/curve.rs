//! How the times of a task grow with a number of containers. Two points do not share rounds, so
//! other work on the machine may slow one of them. It changes the fastest times least.

use std::fmt::Write;

use serde::Serialize;

use crate::measure::Row;

/// A task that was measured beside several numbers of containers.
#[derive(Debug, Serialize)]
pub struct Curve {
    /// The task.
    pub title: &'static str,
    /// The measurements, fewest containers first.
    pub points: Vec<Point>,
}

/// The measurements beside one number of containers.
#[derive(Debug, Serialize)]
pub struct Point {
    /// How many containers there are.
    pub containers: usize,
    /// One row for each program.
    pub rows: Vec<Row>,
}

impl Curve {
    /// The fastest time of a program beside so many containers.
    pub fn fastest(&self, name: &str, containers: usize) -> Option<f64> {
        self.row(name, containers)?.fastest_ms()
    }

    fn row(&self, name: &str, containers: usize) -> Option<&Row> {
        let point = self.points.iter().find(|point| point.containers == containers)?;
        point.rows.iter().find(|row| row.name == name)
    }

    /// The programs, in the order in which they appeared.
    fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for row in self.points.iter().flat_map(|point| &point.rows) {
            if !names.contains(&row.name.as_str()) {
                names.push(&row.name);
            }
        }
        names
    }
}

/// Adds measurements to the curve `title`.
pub fn add(curves: &mut Vec<Curve>, title: &'static str, containers: usize, rows: Vec<Row>) {
    let at = curves.iter().position(|curve| curve.title == title).unwrap_or_else(|| {
        curves.push(Curve { title, points: Vec::new() });
        curves.len() - 1
    });
    let points = &mut curves[at].points;
    match points.iter_mut().find(|point| point.containers == containers) {
        Some(point) => point.rows.extend(rows),
        None => points.push(Point { containers, rows }),
    }
}

/// All curves in one table of fastest times. A cell is empty if its program was not measured there.
pub fn table(curves: &[Curve]) -> String {
    let mut counts: Vec<usize> =
        curves.iter().flat_map(|curve| &curve.points).map(|point| point.containers).collect();
    counts.sort_unstable();
    counts.dedup();
    let mut text = String::new();
    let mut line = |first: [&str; 2], cells: Vec<String>| {
        let _ = writeln!(text, "| {} | {} | {} |", first[0], first[1], cells.join(" | "));
    };
    let head = ["fastest time in ms, beside so many containers", "program"];
    line(head, counts.iter().map(usize::to_string).collect());
    line(["---"; 2], vec!["--:".into(); counts.len()]);
    for curve in curves {
        for (at, name) in curve.names().into_iter().enumerate() {
            let title = if at == 0 { curve.title } else { "" };
            line([title, name], counts.iter().map(|count| cell(curve.row(name, *count))).collect());
        }
    }
    text
}

fn cell(row: Option<&Row>) -> String {
    match row {
        Some(Row { trouble: Some(trouble), .. }) => format!("does not work here: {}", trouble.trim()),
        Some(row) => row.fastest_ms().map_or(String::new(), |fastest| format!("{fastest:.2}")),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, times_ms: &[f64], trouble: Option<&str>) -> Row {
        let times_ms = times_ms.to_vec();
        Row { name: name.into(), median_ms: None, times_ms, trouble: trouble.map(Into::into) }
    }

    #[test]
    fn a_line_has_the_fastest_times_and_ends_where_its_program_does() {
        let mut curves = Vec::new();
        add(&mut curves, "ps", 2, vec![row("conductor", &[0.7, 0.5], None), row("podman", &[70.0], None)]);
        add(&mut curves, "ps", 250, vec![row("conductor", &[2.25, 9.0], None)]);
        add(&mut curves, "ps", 2, vec![row("ext4", &[], Some("no loop device"))]);
        assert_eq!(
            table(&curves),
            "| fastest time in ms, beside so many containers | program | 2 | 250 |\n\
             | --- | --- | --: | --: |\n\
             | ps | conductor | 0.50 | 2.25 |\n\
             |  | podman | 70.00 |  |\n\
             |  | ext4 | does not work here: no loop device |  |\n"
        );
        assert_eq!(curves[0].fastest("conductor", 250), Some(2.25));
        assert_eq!(curves[0].fastest("podman", 250), None);
    }
}
