//! Writes into a container, and looks for it in the image and in another container.

use std::fs;
use std::io;
use std::path::Path;

use super::Written;

/// A file that is rewritten.
const EXISTING: &str = "etc/issue";
/// Folders in which a file is made, and the folders above these: a tool may mount something there.
const FOLDERS: [&[&str]; 6] = [
    &["root"],
    &["home"],
    &["var", "var/lib"],
    &["var", "var/log"],
    &["usr", "usr/local"],
    &["usr", "usr/lib"],
];

/// Writes `word` into files of the container's `root`, and looks for it in `places`.
pub fn written(word: &str, root: &str, places: &[String]) -> Written {
    let issue = format!("{root}/{EXISTING}");
    let done = fs::write(format!("{root}/{word}"), word)
        .and_then(|()| fs::read_to_string(&issue))
        .and_then(|text| fs::write(&issue, format!("{text}{word}\n")));
    let below: Vec<&str> = FOLDERS.iter().filter_map(|path| write_below(root, path, word).ok()).collect();
    let mut found = Vec::new();
    for place in places {
        let changed = fs::read_to_string(format!("{place}/{EXISTING}"));
        if Path::new(place).join(word).exists() || changed.is_ok_and(|text| text.contains(word)) {
            found.push(place.clone());
        }
        let folders = below.iter().map(|folder| format!("{place}/{folder}"));
        found.extend(folders.filter(|folder| Path::new(folder).join(word).exists()));
    }
    Written {
        step: "write".to_owned(),
        error: done.err().map(|error| error.to_string()),
        kept: Path::new(root).join(word).exists(),
        found,
    }
}

/// Makes a file in a folder of the container. A link on the way could lead to the machine's files,
/// and is left alone.
fn write_below<'a>(root: &str, path: &[&'a str], word: &str) -> io::Result<&'a str> {
    let is_folder = |folder: &&str| {
        fs::symlink_metadata(format!("{root}/{folder}")).is_ok_and(|meta| meta.file_type().is_dir())
    };
    let folder = path.last().filter(|_| path.iter().all(is_folder)).ok_or(io::ErrorKind::NotFound)?;
    fs::write(format!("{root}/{folder}/{word}"), word)?;
    Ok(folder)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_folder_that_two_containers_share_shows_what_one_writes_and_no_link_is_followed() {
        let home = tempfile::tempdir().unwrap();
        for folder in ["one/etc", "one/var/lib", "two/var", "three"] {
            fs::create_dir_all(home.path().join(folder)).unwrap();
        }
        fs::write(home.path().join("one/etc/issue"), "Debian\n").unwrap();
        let at = |name: &str| home.path().join(name).to_str().unwrap().to_owned();
        symlink(at("one/var/lib"), at("two/var/lib")).unwrap();
        symlink(at("three"), at("one/root")).unwrap();
        let seen = written("word", &at("one"), &[at("two"), at("three")]);
        assert_eq!((seen.error, seen.kept), (None, true));
        assert_eq!(seen.found, [at("two/var/lib")]);
        assert!(!Path::new(&at("three/word")).exists());
    }
}
