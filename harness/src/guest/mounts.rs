//! What a process sees mounted where, from `/proc/PID/mountinfo` (proc(5)).

use std::collections::BTreeSet;
use std::fs;

use serde::{Deserialize, Serialize};

/// One mount.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// The mount's id in its namespace.
    pub id: u32,
    /// Of the mount it lies on.
    pub parent: u32,
    /// `major:minor` of the file system.
    pub device: String,
    /// The directory of that file system which is mounted.
    pub root: String,
    /// Where, below the process's root.
    pub mount_point: String,
    /// Such as `proc`, `overlay`, `ext4`.
    pub fs_type: String,
    /// What was mounted, as it was named.
    pub source: String,
    /// Options of the mount and of its file system, comma separated.
    pub options: String,
    /// Whether mounts on it propagate to other namespaces.
    pub shared: bool,
}

/// What process `pid` sees; nothing when it is gone.
pub fn of(pid: i32) -> Vec<Mount> {
    let text = fs::read(format!("/proc/{pid}/mountinfo")).unwrap_or_default();
    String::from_utf8_lossy(&text).lines().filter_map(parse).collect()
}

/// Places of `before` at which there is less or more now: what was mounted there is gone, or something lies over it.
/// What comes when somebody looks (autofs), and what services mount below /run, is left out.
pub fn disturbed(before: &[Mount], now: &[Mount]) -> Vec<String> {
    let at = |mounts: &[Mount], place: &str| mounts.iter().filter(|mount| mount.mount_point == place).count();
    let by_itself = |place: &str| {
        let is_automatic = |mount: &Mount| mount.mount_point == place && mount.fs_type == "autofs";
        place.starts_with("/run/") || before.iter().any(is_automatic)
    };
    let places: BTreeSet<&str> = before.iter().map(|mount| mount.mount_point.as_str()).collect();
    let changed = places.into_iter().filter(|place| at(before, place) != at(now, place) && !by_itself(place));
    changed.map(str::to_owned).collect()
}

fn parse(line: &str) -> Option<Mount> {
    let (own, filesystem) = line.split_once(" - ")?;
    let mut own = own.split(' ');
    let (id, parent) = (own.next()?.parse().ok()?, own.next()?.parse().ok()?);
    let (device, root) = (own.next()?.to_owned(), unescape(own.next()?));
    let (mount_point, options) = (unescape(own.next()?), own.next()?);
    let shared = own.any(|field| field.starts_with("shared:"));
    let mut filesystem = filesystem.split(' ');
    let (fs_type, source) = (filesystem.next()?.to_owned(), unescape(filesystem.next()?));
    let options = format!("{options},{}", filesystem.next().unwrap_or_default());
    Some(Mount { id, parent, device, root, mount_point, fs_type, source, options, shared })
}

/// Undoes the kernel's `\040` for blank, tab, newline and backslash.
fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        plain.push_str(before);
        if let Some(byte) = after.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            plain.push(byte as char);
            rest = &after[3..];
        } else {
            plain.push('\\');
            rest = after;
        }
    }
    plain + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_with_optional_fields_and_escapes_is_read() {
        let line = r"36 35 98:0 /mnt1 /with\040blank rw,noatime shared:7 master:1 - ext3 /dev/root rw,errors=continue";
        let mount = parse(line).unwrap();
        assert_eq!((mount.id, mount.parent, mount.shared), (36, 35, true));
        assert_eq!(mount.mount_point, "/with blank");
        assert_eq!(mount.fs_type, "ext3");
        assert_eq!(mount.options, "rw,noatime,rw,errors=continue");
    }

    #[test]
    fn what_is_unmounted_or_covered_is_told_and_what_comes_elsewhere_is_not() {
        let mounts = |places: &[&str]| -> Vec<Mount> {
            let mount = |place: &&str| Mount { mount_point: (*place).to_owned(), ..Mount::default() };
            places.iter().map(mount).collect()
        };
        let mut before =
            mounts(&["/", "/dev", "/dev/pts", "/proc", "/proc/sys/fs/binfmt_misc", "/run/user/0"]);
        before[4].fs_type = "autofs".to_owned();
        let after =
            mounts(&["/", "/dev", "/dev", "/proc", "/proc/sys/fs/binfmt_misc", "/proc/sys/fs/binfmt_misc"]);
        assert_eq!(disturbed(&before, &after), ["/dev", "/dev/pts"]);
        assert_eq!(disturbed(&before[..4], &mounts(&["/", "/dev", "/dev/pts", "/proc", "/mnt"])), [""; 0]);
    }

    #[test]
    fn our_own_mounts_include_a_root_and_proc() {
        let mounts = of(std::process::id() as i32);
        assert!(mounts.iter().any(|mount| mount.mount_point == "/"));
        assert!(mounts.iter().any(|mount| mount.fs_type == "proc"));
    }
}
