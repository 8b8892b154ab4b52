//! Overlays that any process has mounted, and the layers that they need.

use std::collections::HashSet;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use crate::state::mounts::unescape;
use crate::state::{self, at};

/// A process with a mounted overlay.
#[derive(Debug, thiserror::Error)]
pub struct User {
    /// The process.
    pub pid: u32,
    /// The folder of its container, if the mount names it.
    pub container: Option<PathBuf>,
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} uses the cache", self.pid)?;
        if let Some(container) = &self.container {
            write!(f, " in the container {}", container.display())?;
        }
        write!(f, ": stop its container first")
    }
}

/// A process with a mounted overlay that has a lower directory in one of `folders`. The containers
/// of other folders are found only by their mounts.
pub fn user_of(folders: &[PathBuf]) -> Result<Option<User>, state::Error> {
    let folders: Vec<_> = folders.iter().filter_map(|folder| fs::canonicalize(folder).ok()).collect();
    let is_in_them = |path: &PathBuf| {
        let real = if path.is_absolute() { fs::canonicalize(path).ok() } else { None };
        let path = real.as_ref().unwrap_or(path);
        folders.iter().any(|folder| path.starts_with(folder))
    };
    let mut seen = HashSet::new();
    for entry in at(fs::read_dir("/proc"), "list", Path::new("/proc"))? {
        let entry = at(entry, "list", Path::new("/proc"))?;
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // The process may have ended.
        let Ok(namespace) = fs::read_link(entry.path().join("ns/mnt")) else { continue };
        if seen.contains(&namespace) {
            continue;
        }
        let Ok(table) = fs::read(entry.path().join("mountinfo")) else { continue };
        seen.insert(namespace);
        let table = String::from_utf8_lossy(&table);
        let mut overlays = table.lines().filter_map(Overlay::parse);
        // A build writes in the cache. It has the lock on it, unless it was killed and is ending.
        let is_user = |overlay: &Overlay| {
            overlay.lowers.iter().any(is_in_them) && !overlay.container.iter().any(is_in_them)
        };
        if let Some(overlay) = overlays.find(is_user) {
            return Ok(Some(User { pid, container: overlay.container }));
        }
    }
    Ok(None)
}

/// A line of mountinfo about an overlay.
#[derive(Debug, Default, PartialEq)]
struct Overlay {
    /// The lower directories, and the source of the mount.
    lowers: Vec<PathBuf>,
    /// The folder of the upper directory.
    container: Option<PathBuf>,
}

impl Overlay {
    fn parse(line: &str) -> Option<Self> {
        let (_, rest) = line.split_once(" - ")?;
        let mut words = rest.split(' ');
        let (kind, source, options) = (words.next()?, words.next()?, words.next()?);
        if kind != "overlay" {
            return None;
        }
        let mut overlay = Self { lowers: vec![unescape(source)], container: None };
        // The kernel escapes commas in values.
        for option in options.split(',') {
            match option.split_once('=') {
                Some(("lowerdir" | "lowerdir+", value)) => {
                    overlay.lowers.extend(layers(&unescape(value).to_string_lossy()));
                }
                Some(("upperdir", value)) => {
                    let upper = layers(&unescape(value).to_string_lossy()).into_iter().next();
                    // A descriptor says nothing about the container.
                    let upper = upper.filter(|path| !path.starts_with("/proc"));
                    overlay.container = upper.and_then(|path| path.parent().map(Path::to_owned));
                }
                _ => {}
            }
        }
        Some(overlay)
    }
}

/// Splits a list at colons. A backslash takes the meaning of the next character.
fn layers(list: &str) -> Vec<PathBuf> {
    let mut layers = vec![String::new()];
    let mut characters = list.chars();
    while let Some(character) = characters.next() {
        let plain = if character == '\\' { characters.next() } else { Some(character) };
        match (layers.last_mut(), plain) {
            (_, Some(':')) if character == ':' => layers.push(String::new()),
            (Some(layer), Some(plain)) => layer.push(plain),
            _ => {}
        }
    }
    layers.into_iter().map(PathBuf::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlays_are_read_from_mountinfo() {
        let line = r"35 30 0:40 / / rw,relatime shared:1 - overlay overlay rw,lowerdir=/c/a\134\054b/x:/c/y\040z,upperdir=/n/eg/upper,workdir=/n/eg/work,index=off";
        let expected = Overlay {
            lowers: ["overlay", "/c/a,b/x", "/c/y z"].map(PathBuf::from).into(),
            container: Some("/n/eg".into()),
        };
        assert_eq!(Overlay::parse(line), Some(expected));
        let line = "35 30 0:40 / / rw - overlay /c/top rw,lowerdir+=/proc/self/fd/5,upperdir=/proc/self/fd/3";
        let expected =
            Overlay { lowers: ["/c/top", "/proc/self/fd/5"].map(PathBuf::from).into(), container: None };
        assert_eq!(Overlay::parse(line), Some(expected));
        assert_eq!(Overlay::parse("35 30 0:40 / / rw - tmpfs tmpfs rw"), None);
    }
}
