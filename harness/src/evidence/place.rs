//! Places in a bundle, as findings name them: `evidence/2/records.jsonl#17` is line 17 of that
//! file.

use super::Recording;

/// The place of the record with this index.
pub fn of(recording: &Recording, index: usize) -> String {
    format!("evidence/{}/records.jsonl#{}", recording.scenario, index + 1)
}

/// The recording's name and the line, counted from 1; `None` for places of other forms.
pub fn parse(place: &str) -> Option<(&str, usize)> {
    let (path, line) = place.split_once('#')?;
    let recording = path.strip_prefix("evidence/")?.strip_suffix("/records.jsonl")?;
    Some((recording, line.parse().ok().filter(|line| *line > 0)?))
}
