//! What is mounted below a folder in our mount namespace.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::mount::{UnmountFlags, unmount};

use crate::state::{self, at};

/// Detaches everything that is mounted below `folder`, innermost first.
pub(super) fn detach_below(folder: &Path) -> Result<(), state::Error> {
    // The mount table has paths without symbolic links.
    let folder = at(fs::canonicalize(folder), "find", folder)?;
    let path = Path::new("/proc/self/mountinfo");
    let table = at(fs::read_to_string(path), "read", path)?;
    let targets = table.lines().filter_map(|line| line.split(' ').nth(4)).map(unescape);
    let mut below: Vec<PathBuf> = targets.filter(|target| target.starts_with(&folder)).collect();
    below.sort();
    for target in below.iter().rev() {
        at(unmount(target, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW), "unmount", target)?;
    }
    Ok(())
}

/// Decodes a path of mountinfo: space, tab, newline and backslash are octal escapes
/// (`proc_pid_mountinfo(5)`).
pub(super) fn unescape(word: &str) -> PathBuf {
    let mut parts = word.split('\\');
    let mut path = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (digits, rest) = part.split_at_checked(3).unwrap_or((part, ""));
        path.extend(u8::from_str_radix(digits, 8).map(char::from));
        path.push_str(rest);
    }
    path.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_mountinfo_are_unescaped() {
        assert_eq!(unescape(r"/a\040b\134c/d"), Path::new("/a b\\c/d"));
    }
}
