//! Which of the machine's own files can be reached from a container's root directory, through
//! mounts on or below it.
//!
//! The script may bind library folders, single files, /dev, /proc and /sys from the machine. It may
//! not bind the machine's root directory, its settings, its users' files or its data.

use std::path::{Path, PathBuf};

use super::timeline::{Round, ScriptTimeline};
use super::{Machine, Mounted, Shown};
use crate::evidence::mount::Mount;

/// What no container is to see.
const PRIVATE: [&str; 3] = ["/etc", "/root", "/home"];
/// What no container is to see as a whole. A script may have put a folder of its own into one.
const PRIVATE_AS_A_WHOLE: [&str; 8] =
    ["/var", "/var/lib", "/var/log", "/var/tmp", "/boot", "/srv", "/opt", "/tmp"];

/// The first mount that shows what is the machine's own, or the first file of the machine's, in
/// words.
pub fn fault(timeline: &ScriptTimeline, round: &Round) -> Option<String> {
    let container_root = timeline.supplied.as_ref().map(|supplied| Path::new(&supplied.container_root.path));
    let mounted = round.run.mounts.iter().find_map(|mounted| {
        let path = shown(mounted, &timeline.machine, container_root)?;
        // Older evidence keeps its verdict.
        if is_whole(&path) && round.run.was_at_container_root.is_none() {
            return None;
        }
        let place = mounted.mount.mount_point.trim_end_matches('/');
        Some(format!("{}/ in its root directory is the machine's {}", place, path.display()))
    });
    mounted.or_else(|| round.run.machine_files.first().map(in_words))
}

/// What an overlay shows tells more than its options: these name folders that may be gone.
fn in_words(Shown { file, place }: &Shown) -> String {
    let who = match place.as_str() {
        "/" => "its root directory".to_owned(),
        below => format!("{below}/ in its root directory"),
    };
    format!("{who} shows the machine's files: {file} is there")
}

/// What a mount shows of the machine's own.
pub fn shown(mounted: &Mounted, machine: &Machine, container_root: Option<&Path>) -> Option<PathBuf> {
    // The submission may lie in somebody's home: what is in its own folder is its own.
    let own = container_root.and_then(Path::parent).filter(|folder| folder.components().count() > 1);
    let is_own = |path: &Path| own.is_some_and(|own| path.starts_with(own));
    let is_private = |path: &PathBuf| {
        let touches = |private: &&str| path.starts_with(private) || Path::new(private).starts_with(path);
        !is_own(path) && (PRIVATE.iter().any(touches) || is_whole(path))
    };
    if !mounted.folder {
        return None;
    }
    let mount = &mounted.mount;
    if mount.fs_type == "overlay" && shows_all(mounted, &machine.entries) {
        return Some(PathBuf::from("/"));
    }
    sources(mount, &machine.mounts).into_iter().find(is_private)
}

fn is_whole(path: &Path) -> bool {
    PRIVATE_AS_A_WHOLE.iter().any(|whole| path == Path::new(whole))
}

/// The machine's folders that a mount shows.
pub fn sources(mount: &Mount, machine: &[Mount]) -> Vec<PathBuf> {
    let same: Vec<&Mount> = machine.iter().filter(|own| own.device == mount.device).collect();
    // The machine's own root may be an overlay; a part of it is no overlay of the script's.
    if mount.fs_type == "overlay" && same.is_empty() {
        let below = mount.options.split(',').filter_map(|option| option.strip_prefix("lowerdir="));
        return below
            .flat_map(|value| value.split(':'))
            .filter(|dir| dir.starts_with('/'))
            .map(PathBuf::from)
            .collect();
    }
    let on_machine = |own: &Mount| {
        let inside = Path::new(&mount.root).strip_prefix(&own.root).ok()?;
        Some(Path::new(&own.mount_point).join(inside))
    };
    same.into_iter().filter_map(on_machine).collect()
}

/// Whether all that lies in the machine's root directory is there.
fn shows_all(mounted: &Mounted, machine: &[String]) -> bool {
    !machine.is_empty() && machine.iter().all(|name| mounted.entries.contains(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::process::{Directory, Namespaces};

    fn mount(device: &str, root: &str, mount_point: &str) -> Mount {
        let [device, root, mount_point] = [device, root, mount_point].map(str::to_owned);
        Mount { device, root, mount_point, fs_type: "ext4".to_owned(), ..Mount::default() }
    }

    #[test]
    fn a_bind_mount_is_found_on_the_machine_by_its_device() {
        let machine = [mount("8:1", "/", "/"), mount("8:2", "/", "/home"), mount("0:5", "/", "/dev")];
        let shown = |device, root| sources(&mount(device, root, "/mnt"), &machine);
        assert_eq!(shown("8:1", "/"), [Path::new("/")]);
        assert_eq!(shown("8:1", "/usr/lib"), [Path::new("/usr/lib")]);
        assert_eq!(shown("8:2", "/student"), [Path::new("/home/student")]);
        assert!(shown("0:99", "/").is_empty());
    }

    #[test]
    fn data_of_the_machine_is_private_as_a_whole_and_libraries_are_not() {
        let machine = Machine {
            hostname: String::new(),
            namespaces: Namespaces::default(),
            root: Directory::default(),
            entries: Vec::new(),
            subtree_control: String::new(),
            mounts: vec![mount("8:1", "/", "/"), mount("0:5", "/", "/dev")],
            markers: Vec::new(),
        };
        let is_private = |device, root, folder| {
            let mounted = Mounted { mount: mount(device, root, "/x"), folder, entries: Vec::new() };
            shown(&mounted, &machine, Some(Path::new("/home/a/task2/container_root"))).is_some()
        };
        for folder in ["/", "/var", "/tmp", "/opt", "/srv", "/boot", "/etc/ssl", "/home/b"] {
            assert!(is_private("8:1", folder, true), "{folder}");
        }
        for folder in ["/usr", "/usr/lib", "/tmp/libraries", "/opt/gcc/lib64", "/home/a/task2/libraries"] {
            assert!(!is_private("8:1", folder, true), "{folder}");
        }
        assert!(!is_private("8:1", "/etc/ld.so.cache", false));
        assert!(!is_private("0:5", "/", true));
    }

    #[test]
    fn an_overlay_shows_its_lower_folders() {
        let options = "rw,lowerdir=/srv/a:/etc,upperdir=/srv/u,workdir=/srv/w".to_owned();
        let overlay = Mount { fs_type: "overlay".to_owned(), options, ..Mount::default() };
        assert_eq!(sources(&overlay, &[]), [Path::new("/srv/a"), Path::new("/etc")]);
    }

    #[test]
    fn a_part_of_a_machine_whose_root_is_an_overlay_is_found_on_the_machine() {
        let overlay = |root, mount_point| Mount {
            fs_type: "overlay".to_owned(),
            options: "rw,lowerdir=/,upperdir=/srv/u,workdir=/srv/w".to_owned(),
            ..mount("0:46", root, mount_point)
        };
        let machine = [overlay("/", "/")];
        assert_eq!(sources(&overlay("/usr/lib", "/lib"), &machine), [Path::new("/usr/lib")]);
        assert_eq!(sources(&overlay("/", "/mnt"), &machine), [Path::new("/")]);
    }

    #[test]
    fn a_file_of_the_machines_is_named_with_the_place_that_shows_it() {
        let said = |place: &str| in_words(&Shown { file: "/etc/01ef".to_owned(), place: place.to_owned() });
        assert_eq!(said("/"), "its root directory shows the machine's files: /etc/01ef is there");
        assert_eq!(
            said("/lib/host"),
            "/lib/host/ in its root directory shows the machine's files: /etc/01ef is there"
        );
    }
}
