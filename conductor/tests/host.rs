//! The border between the host and containers: no command reaches a file, device or terminal mode
//! of the host, and nothing of the host's user gets into an image.

#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Stdio;

use predicates::prelude::*;
use predicates::str::contains;
use rustix::fs::XattrFlags;
use rustix::io::Errno;
use support::Playground;

const ACCESS: &str = "system.posix_acl_access";
const DEFAULT: &str = "system.posix_acl_default";

/// Gives a folder a default access control list that admits user 1000, in the form of
/// `struct posix_acl_xattr_header` and its entries (`linux/posix_acl_xattr.h`).
fn let_user_1000_in(folder: &Path) {
    const NOBODY: u32 = u32::MAX;
    let entries = [(1_u16, 7_u16, NOBODY), (2, 7, 1000), (4, 5, NOBODY), (16, 7, NOBODY), (32, 5, NOBODY)];
    let mut list = 2_u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in entries {
        list.extend_from_slice(&tag.to_le_bytes());
        list.extend_from_slice(&permissions.to_le_bytes());
        list.extend_from_slice(&id.to_le_bytes());
    }
    rustix::fs::setxattr(folder, DEFAULT, &list, XattrFlags::empty()).unwrap();
}

fn has(path: &Path, attribute: &str) -> bool {
    match rustix::fs::lgetxattr(path, attribute, &mut [0_u8; 256][..]) {
        Ok(_) => true,
        Err(Errno::NODATA | Errno::NOTSUP) => false,
        Err(error) => panic!("{}: {error}", path.display()),
    }
}

/// Whether a file or folder belongs to root: owner, group, and no access control list.
fn is_roots_alone(path: &Path) -> bool {
    let facts = fs::symlink_metadata(path).unwrap();
    (facts.uid(), facts.gid()) == (0, 0) && !has(path, ACCESS) && !has(path, DEFAULT)
}

#[test]
fn a_run_that_turns_etc_into_a_link_deletes_no_file_of_the_host() {
    let Some(place) = Playground::new() else { return };
    let victim = place.write("victim/resolv.conf", "");
    let folder = victim.parent().unwrap().display();
    place.build(&format!("RUN umount /etc/resolv.conf && rm -r /etc && ln -s {folder} /etc\n")).success();
    assert!(victim.exists());
}

#[test]
fn the_placeholder_for_name_servers_goes_also_where_etc_is_a_link() {
    let Some(place) = Playground::new() else { return };
    place.build("RUN mv /etc /usr/etc && ln -s usr/etc /etc\nRUN test -s /etc/resolv.conf\n").failure();
    place
        .build("RUN umount /etc/resolv.conf && mv /etc /usr/etc && ln -s usr/etc /etc\nRUN test -s /etc/resolv.conf\n")
        .success();
    assert!(!place.layers("img")[2].join("usr/etc/resolv.conf").exists());
}

#[test]
fn a_run_has_devices_of_its_own() {
    let Some(place) = Playground::new() else { return };
    let planted = Path::new("/dev/planted-by-a-test-of-conductor");
    let steps = format!(
        "RUN test -c /dev/full && test -c /dev/tty && echo x > /dev/null && head -c 4 /dev/urandom > /x\n\
         RUN touch {} && echo x > /dev/shm/x && ls /dev | tr '\\n' ' '\n",
        planted.display()
    );
    let built = place.build(&steps).success();
    let reached_the_host = fs::remove_file(planted).is_ok();
    assert!(!reached_the_host);
    built.stdout(contains(
        "fd full null planted-by-a-test-of-conductor ptmx pts random shm stderr stdin stdout tty urandom zero",
    ));
}

#[test]
fn name_servers_can_be_read_by_everybody_in_a_run_whatever_the_mode_of_the_hosts_file() {
    let Some(place) = Playground::new() else { return };
    let own = place.write("resolv.conf", "nameserver 192.0.2.1\n");
    fs::set_permissions(&own, fs::Permissions::from_mode(0o600)).unwrap();
    let bound = place.command("mount").arg("--bind").args([&own, Path::new("/etc/resolv.conf")]).status();
    assert!(bound.unwrap().success());
    place
        .build("RUN grep -q 192.0.2.1 /etc/resolv.conf && stat -c %a /etc/resolv.conf\n")
        .success()
        .stdout(contains("644\n"));
}

#[test]
fn signals_that_the_caller_ignores_have_their_default_effect_in_a_container() {
    let Some(place) = Playground::new() else { return };
    let conductor = env!("CARGO_BIN_EXE_conductor");
    let ignored = "grep SigIgn /proc/self/status";
    place.write("Conductorfile", &format!("FROM debian:bookworm\nRUN {ignored}\n"));
    let script = format!(
        "trap '' INT QUIT HUP TERM TSTP USR1; {conductor} -q build img; {conductor} -q run img one -- {ignored}; \
         {conductor} -q run img two -- sleep 60 & \
         until {conductor} -q exec two -- {ignored}; do sleep 0.05; done 2> /dev/null; {conductor} -q stop two"
    );
    let shell = place.command("/bin/sh").args(["-c", &script]).stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8(shell.stdout).unwrap();
    let masks: Vec<&str> = said.lines().filter_map(|line| line.strip_prefix("SigIgn:\t")).collect();
    // A shell of busybox ignores SIGQUIT itself.
    let by_itself = ["0000000000000004", "0000000000000000", "0000000000000000"];
    assert_eq!(masks, by_itself, "{said}{}", String::from_utf8_lossy(&shell.stderr));
}

#[test]
fn groups_of_the_caller_reach_neither_containers_nor_images() {
    let Some(place) = Playground::new() else { return };
    place.write("folder/file", "x");
    place.write("Conductorfile", "FROM debian:bookworm\nCOPY folder /folder\nRUN touch /made\n");
    let conductor = env!("CARGO_BIN_EXE_conductor");
    let with_groups = |words: &[&str]| {
        let mut command = place.command("setpriv");
        command.args(["--regid", "8", "--groups", "8,9", conductor, "-q"]).args(words).stdin(Stdio::null());
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    };
    with_groups(&["build", "img"]);
    assert_eq!(with_groups(&["run", "img", "eg", "--", "sh", "-c", "id -G; touch /made"]), "0\n");
    for layer in &place.layers("img")[1..] {
        for path in ["", "folder", "folder/file", "made"].map(|path| layer.join(path)) {
            assert!(!path.exists() || is_roots_alone(&path), "{}", path.display());
        }
    }
    let container = place.path().join(".containers/eg");
    for path in ["", "image", "upper", "upper/made"].map(|path| container.join(path)) {
        assert!(is_roots_alone(&path), "{}", path.display());
    }
}

#[test]
fn access_control_lists_and_groups_of_folders_are_not_inherited_by_images_and_containers() {
    let Some(place) = Playground::new() else { return };
    // The project's folder with the state, and /var/mail of the base system with its own group.
    let_user_1000_in(place.path());
    let mail = place.path().join(".cache/base/debian-bookworm/var/mail");
    fs::create_dir(&mail).unwrap();
    std::os::unix::fs::chown(&mail, Some(0), Some(8)).unwrap();
    fs::set_permissions(&mail, fs::Permissions::from_mode(0o2775)).unwrap();
    let open_to_all = place.path().join(".cache/base/debian-bookworm/var/acl");
    fs::create_dir(&open_to_all).unwrap();
    let_user_1000_in(&open_to_all);

    let outside = tempfile::tempdir().unwrap();
    fs::create_dir(outside.path().join("sub")).unwrap();
    fs::write(outside.path().join("sub/file"), "x").unwrap();
    std::os::unix::fs::symlink("file", outside.path().join("sub/link")).unwrap();
    let file = outside.path().join("Conductorfile");
    fs::write(&file, "FROM debian:bookworm\nCOPY sub /var/mail/\nCOPY sub /var/acl/\nRUN touch /made\n")
        .unwrap();
    place.conductor(["build", "img", file.to_str().unwrap()]).assert().success();
    place.conductor(["run", "img", "eg", "--", "touch", "/made"]).assert().success();

    let layers = place.layers("img");
    for (layer, folder) in [(&layers[1], "var/mail/sub"), (&layers[2], "var/acl/sub")] {
        for path in [folder.to_owned(), format!("{folder}/file"), format!("{folder}/link")] {
            assert!(is_roots_alone(&layer.join(&path)), "{path}");
        }
        assert_eq!(fs::metadata(layer.join(folder)).unwrap().mode() & 0o7777, 0o755, "{folder}");
    }
    let state = [
        layers[3].join("made"),
        place.path().join(".containers/eg"),
        place.path().join(".containers/eg/upper/made"),
    ];
    assert!(state.iter().all(|path| is_roots_alone(path)));
}

#[test]
fn a_full_disk_keeps_nobody_from_freeing_it() {
    let Some(place) = Playground::new() else { return };
    place.build("RUN touch /made\n").success();
    place.conductor(["run", "img", "eg", "--", "true"]).assert().success();
    let state = place.path().join("small");
    fs::create_dir(&state).unwrap();
    let script = format!(
        "set -e; truncate -s 24M disk; mkfs.ext4 -q -N 1500 disk; mount -o loop disk {0}; \
         cp -a .images .containers .cache {0}; cd {0}; i=0; while echo > fill-$i; do i=$((i+1)); done 2> /dev/null; \
         ! cat /dev/zero > zeros 2> /dev/null; ! touch another 2> /dev/null",
        state.display()
    );
    if !place.command("/bin/sh").args(["-c", &script]).status().unwrap().success() {
        eprintln!("skipped: no disk of our own can be mounted here");
        return;
    }
    for words in [&["stop", "eg"][..], &["rmi", "img"], &["rmcache", "--force"]] {
        let mut command = place.command(env!("CARGO_BIN_EXE_conductor"));
        for (variable, folder) in
            [("IMAGEDIR", ".images"), ("CONTAINERDIR", ".containers"), ("CACHEDIR", ".cache")]
        {
            command.env(variable, state.join(folder));
        }
        let output = command.args(words).output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn a_state_folder_on_an_overlay_is_refused_with_a_remedy() {
    let Some(place) = Playground::new() else { return };
    for folder in ["lower", "upper", "work", "merged"] {
        fs::create_dir(place.path().join(folder)).unwrap();
    }
    let options = "lowerdir=lower,upperdir=upper,workdir=work";
    let mounted = place.command("mount").args(["-t", "overlay", "overlay", "-o", options, "merged"]).status();
    assert!(mounted.unwrap().success());
    place.build("").success();
    let run = place.conductor(["run", "--containerdir", "merged", "img", "eg", "true"]).assert().code(125);
    run.stderr(contains("it is on an overlay file system").and(contains("Set CACHEDIR and CONTAINERDIR")));
    assert!(!place.path().join("merged/eg").exists());
}

/// Places in the sources that reach into the content of images and containers by a path of the host
/// would follow links that a command planted there. Such content is opened by `openat2` with a root
/// that links cannot leave.
#[test]
fn no_source_file_reaches_into_an_image_by_a_path_of_the_host() {
    const CONFINED: [&str; 4] = ["IN_ROOT", "BENEATH", "NO_SYMLINKS", "NO_XDEV"];
    let mut files = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    let mut openat2 = 0;
    while let Some(path) = files.pop() {
        if path.is_dir() {
            files.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let program = text.split("#[cfg(test)]").next().unwrap();
        for (at, _) in program.match_indices("openat2(") {
            let call = program[at..].split(';').next().unwrap();
            // The flags may be in a variable that is set just before the call.
            let nearby = &program[program[..at].rfind("\n\n").unwrap_or(0)..at + call.len()];
            assert!(CONFINED.iter().any(|flag| nearby.contains(flag)), "{}: {call}", path.display());
            openat2 += 1;
        }
        for folder in ["bin", "dev", "etc", "lib", "proc", "root", "run", "sbin", "sys", "tmp", "usr", "var"]
        {
            // `"etc"` alone may also be the name of one of our own scratch folders.
            let reaching =
                [format!(".join(\"{folder}/"), format!(".join(\"/{folder}"), format!("}}/{folder}/")];
            for pattern in reaching {
                assert!(!program.contains(&pattern), "{}: {pattern}", path.display());
            }
        }
    }
    assert!(openat2 >= 5, "{openat2} calls were found");
}
