//! The sample sessions of the assignment, as plain text in `snapshots/as-shown`, compiled in.
//!
//! A person writes these files after the assignment; no test and no snapshot tool does. What varies from run to run
//! stands in square brackets, such as `[pid]`.

/// Task 1: the output of `namespace_prog`.
pub const TASK_1: &str = include_str!("../../../snapshots/as-shown/1.txt");
/// 2a: what `simple_container.sh` shows of it.
pub const TASK_2A: &str = include_str!("../../../snapshots/as-shown/2a.txt");
/// 2b: what `simple_container.sh` shows of it.
pub const TASK_2B: &str = include_str!("../../../snapshots/as-shown/2b.txt");
/// 2c: what `simple_container.sh` shows of it.
pub const TASK_2C: &str = include_str!("../../../snapshots/as-shown/2c.txt");

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    #[test]
    fn the_sessions_are_plain_text_that_no_snapshot_tool_writes() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../snapshots/as-shown");
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            assert_eq!(path.extension().unwrap(), "txt", "{}", path.display());
            let text = fs::read_to_string(&path).unwrap();
            assert!(!text.starts_with("---\nsource:"), "{} has the head of a snapshot", path.display());
        }
    }
}
