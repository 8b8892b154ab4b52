//! What a process sees mounted where, from `/proc/PID/mountinfo` (proc(5)).

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::evidence::mount::Mount;

/// What process `pid` sees; nothing when it is gone.
pub fn of(pid: i32) -> Vec<Mount> {
    seen_by(&pid.to_string())
}

/// What the calling process sees, whatever its PID is in the /proc that it sees.
pub fn own() -> Vec<Mount> {
    seen_by("self")
}

/// What the guest half's own thread sees: the machine's mounts.
pub fn machine() -> Vec<Mount> {
    of(nix::unistd::gettid().as_raw())
}

fn seen_by(process: &str) -> Vec<Mount> {
    let text = fs::read(super::handles::proc(format!("{process}/mountinfo"))).unwrap_or_default();
    String::from_utf8_lossy(&text).lines().filter_map(parse).collect()
}

/// What became of the mount points of `before`: a sentence for each that is gone, or that something
/// else covers now. What is mounted at any other place is no matter. Left out is what services
/// mount and unmount below /run, and what comes when somebody looks (autofs).
pub fn disturbed(before: &[Mount], now: &[Mount]) -> Vec<String> {
    let is_new = |mount: &&Mount| !before.iter().any(|old| old.is(mount));
    let by_itself = |old: &Mount| old.mount_point.starts_with("/run/") || old.fs_type == "autofs";
    let lies_on_autofs = |old: &Mount| {
        before.iter().any(|other| other.mount_point == old.mount_point && other.fs_type == "autofs")
    };
    let mut sentences = Vec::new();
    for old in before.iter().filter(|old| !by_itself(old) && !lies_on_autofs(old)) {
        let place = &old.mount_point;
        let sentence = match now.iter().find(|mount| mount.is(old)) {
            None => Some(format!("{place} is unmounted")),
            Some(mount) => {
                let below = ancestors(mount, now);
                let covers = |new: &&Mount| lies_in(place, &new.mount_point) && !below.contains(&new.id);
                let cover = now.iter().filter(is_new).find(covers);
                cover.map(|new| format!("{place} is covered by a mount of {}", new.fs_type))
            }
        };
        sentences.extend(sentence);
    }
    sentences.dedup();
    sentences
}

/// The folders in which services of the machine mount and unmount too, and in which looking at a
/// path may mount something (autofs).
const SYSTEM: [&str; 4] = ["/proc", "/sys", "/dev", "/run"];

/// The mounts of `now` that were not there before, outside of the folders in `SYSTEM`.
pub fn added(before: &[Mount], now: &[Mount]) -> Vec<Mount> {
    let is_new = |mount: &&Mount| !before.iter().any(|old| old.is(mount));
    let is_systems = |mount: &&Mount| SYSTEM.iter().any(|folder| lies_in(&mount.mount_point, folder));
    now.iter().filter(is_new).filter(|mount| !is_systems(mount)).cloned().collect()
}

/// Those of `came` that are still there, as sentences have them. Overlays are left out, and what
/// lies on one of them.
pub fn left(came: &[Mount], now: &[Mount]) -> Vec<String> {
    let is_there = |mount: &&Mount| now.iter().any(|other| other.is(mount));
    let there: Vec<&Mount> = came.iter().filter(is_there).collect();
    let overlays = there.iter().filter(|mount| mount.fs_type == "overlay");
    let on_overlay: Vec<&str> = overlays.map(|mount| mount.mount_point.as_str()).collect();
    let others = there.iter().filter(|mount| !on_overlay.iter().any(|dir| lies_in(&mount.mount_point, dir)));
    others.map(|mount| format!("{} ({})", mount.mount_point, mount.fs_type)).collect()
}

/// The mounts on which a mount lies, down to the root's.
fn ancestors(mount: &Mount, all: &[Mount]) -> BTreeSet<u32> {
    let mut ids = BTreeSet::new();
    let mut parent = mount.parent;
    while ids.insert(parent) {
        let Some(next) = all.iter().find(|other| other.id == parent) else { break };
        parent = next.parent;
    }
    ids
}

/// Whether a path is `folder` or lies in it.
fn lies_in(path: &str, folder: &str) -> bool {
    Path::new(path).starts_with(folder)
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
pub fn unescape(text: &str) -> String {
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

    fn mount(id: u32, parent: u32, mount_point: &str, fs_type: &str) -> Mount {
        let (mount_point, fs_type) = (mount_point.to_owned(), fs_type.to_owned());
        Mount { id, parent, mount_point, fs_type, ..Mount::default() }
    }

    fn machine() -> Vec<Mount> {
        vec![
            mount(1, 0, "/", "ext4"),
            mount(2, 1, "/dev", "devtmpfs"),
            mount(3, 2, "/dev/pts", "devpts"),
            mount(4, 1, "/proc", "proc"),
            mount(5, 4, "/proc/sys/fs/binfmt_misc", "autofs"),
            mount(6, 1, "/run/user/0", "tmpfs"),
        ]
    }

    #[test]
    fn what_is_unmounted_or_covered_is_told() {
        let mut now = machine();
        now.retain(|mount| mount.mount_point != "/dev/pts");
        assert_eq!(disturbed(&machine(), &now), ["/dev/pts is unmounted"]);
        let covered = [machine(), vec![mount(9, 3, "/dev/pts", "devpts")]].concat();
        assert_eq!(disturbed(&machine(), &covered), ["/dev/pts is covered by a mount of devpts"]);
        let from_above = [machine(), vec![mount(9, 2, "/dev", "tmpfs")]].concat();
        let both = ["/dev is covered by a mount of tmpfs", "/dev/pts is covered by a mount of tmpfs"];
        assert_eq!(disturbed(&machine(), &from_above), both);
    }

    #[test]
    fn a_new_mount_elsewhere_or_below_an_old_one_disturbs_nothing() {
        let elsewhere = [
            mount(9, 1, "/srv/task3/.containers/eg/rootfs", "overlay"),
            mount(10, 9, "/srv/task3/.containers/eg/rootfs/dev", "devtmpfs"),
            mount(11, 2, "/dev/new", "tmpfs"),
            mount(12, 5, "/proc/sys/fs/binfmt_misc", "binfmt_misc"),
        ];
        let mut now = [machine(), elsewhere.to_vec()].concat();
        now.retain(|mount| mount.mount_point != "/run/user/0");
        // Propagation puts a new mount below the one that is there.
        now.push(mount(13, 2, "/dev/pts", "devpts"));
        now[2].parent = 13;
        assert_eq!(disturbed(&machine(), &now), [""; 0]);
    }

    #[test]
    fn mounts_that_came_are_told_except_in_the_systems_folders() {
        let came = ["/srv/task3/.cache/dev", "/dev/pts", "/run/netns/eg", "/proc/sys/fs/binfmt_misc"]
            .map(|place| mount(9, 1, place, "tmpfs"));
        let now = [machine(), came.to_vec()].concat();
        assert_eq!(added(&machine(), &now), came[..1]);
        assert_eq!(added(&now, &machine()), []);
    }

    #[test]
    fn a_mount_that_came_and_stays_is_left_unless_an_overlay_stays_below_it() {
        let came = [
            mount(9, 1, "/var/lib/cnt/1/state", "tmpfs"),
            mount(10, 1, "/var/lib/cnt/1/merged", "overlay"),
            mount(11, 10, "/var/lib/cnt/1/merged/proc", "proc"),
        ];
        let now = [machine(), came.to_vec()].concat();
        assert_eq!(left(&came, &now), ["/var/lib/cnt/1/state (tmpfs)"]);
        assert_eq!(left(&came[..1], &machine()), [""; 0]);
    }

    #[test]
    fn our_own_mounts_include_a_root_and_proc() {
        let mounts = of(std::process::id() as i32);
        assert!(mounts.iter().any(|mount| mount.mount_point == "/"));
        assert!(mounts.iter().any(|mount| mount.fs_type == "proc"));
    }
}
