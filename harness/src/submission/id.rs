//! Chooses a submission's id. The name that staff gave to the archive has priority over the names
//! inside, because the author of the submission chose those.

use std::path::Path;

use super::root::roll_number;

/// The greatest length of an id, in bytes.
const LONGEST: usize = 64;

/// Chooses the id of the submission at `source`, whose own folder is `folder`. The id is the roll
/// number in the name of `source`, or else the one in the name of `folder`. Without a roll number,
/// the id is the name of `source`. It is safe to use as a file name.
pub fn choose(source: &Path, folder: Option<&str>) -> String {
    let own = own_name(source);
    let folder = folder.map(Path::new);
    let id = roll_number(Path::new(&own))
        .or_else(|| folder.and_then(roll_number))
        .map_or_else(|| stem(&own).to_owned(), str::to_owned);
    safe(&id)
}

/// A warning, if the name of `source` and the name of `folder` have different roll numbers.
pub fn mismatch(source: &Path, folder: Option<&str>) -> Option<String> {
    let own = own_name(source);
    let outside = roll_number(Path::new(&own))?;
    let inside = roll_number(Path::new(folder?))?;
    (!outside.eq_ignore_ascii_case(inside)).then(|| {
        format!("the submission's name has the roll number {outside}, but the folder inside has {inside}")
    })
}

/// Validates the id given by `--id`; `None` if it is not valid.
pub fn given(id: &str) -> Option<String> {
    (safe(id) == id).then(|| id.to_owned())
}

fn own_name(source: &Path) -> String {
    let of = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
    of(source).or_else(|| of(&source.canonicalize().ok()?)).unwrap_or_default()
}

fn stem(name: &str) -> &str {
    [".tar", ".tar.gz", ".tgz", ".tar.xz", ".zip"]
        .iter()
        .find_map(|end| name.strip_suffix(end))
        .unwrap_or(name)
}

fn safe(id: &str) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' };
    let id: String = id.chars().map(safe).take(LONGEST).collect();
    match id.trim_start_matches('.') {
        // `latest` is the link to the newest report.
        "" | "latest" => "submission".to_owned(),
        id => id.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_source_name_has_priority_over_the_inner_folder() {
        let id = |source: &str, folder| choose(Path::new(source), folder);
        assert_eq!(id("up/23m0001_assignment3.tar.gz", Some("23m0002_assignment3")), "23m0001");
        assert_eq!(id("upload.zip", Some("23m0002_assignment3")), "23m0002");
        let moodles = "Anna Müller_1001_assignsubmission_file_23m0001_assignment3.tar.gz";
        assert_eq!(id(moodles, None), "23m0001");
        assert_eq!(id("my work.tar.xz", Some("stuff")), "my_work");
        assert_eq!(id("my work.tar.xz", None), "my_work");
        assert_eq!(id("..hidden", None), "hidden");
        assert_eq!(id("/", Some("..")), "submission");
        assert_eq!(id("latest.zip", None), "submission");
        assert_eq!(id("../../etc_assignment3/x.tar", Some("../../evil_assignment3")), "evil");
    }

    #[test]
    fn different_roll_numbers_cause_a_warning() {
        let said = |source: &str, folder| mismatch(Path::new(source), folder);
        assert!(said("23m0001_assignment3.zip", Some("23m0002_assignment3")).is_some());
        assert_eq!(said("23m0001_assignment3.zip", Some("23M0001_Assignment3")), None);
        assert_eq!(said("x.zip", Some("23m0002_assignment3")), None);
    }

    #[test]
    fn a_given_id_is_used_unchanged_or_refused() {
        assert_eq!(given("23m0001-late").as_deref(), Some("23m0001-late"));
        for bad in ["", ".", "..", "a/b", "a b", ".x", "latest", &"x".repeat(65)] {
            assert_eq!(given(bad), None, "{bad}");
        }
    }
}
