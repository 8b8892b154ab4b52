//! `report.json`, for programs: schema `harness-report/1`, documented in `docs/report.md`.

use crate::verdict::Report;

/// The report as one JSON object, indented, with a newline at its end.
pub fn render(report: &Report) -> String {
    // Plain structs of strings and numbers have a JSON form.
    let mut text = serde_json::to_string_pretty(report).unwrap_or_default();
    text.push('\n');
    text
}
