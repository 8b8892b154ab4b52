//! `build`: layers, cache, COPY and RUN, errors, and clean-up.

#![allow(clippy::unwrap_used)]

#[path = "build/cache.rs"]
mod cache;
#[path = "build/interrupted.rs"]
mod interrupted;
#[path = "build/layers.rs"]
mod layers;
#[path = "build/sources.rs"]
mod sources;
mod support;

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use nix::sys::signal::{SigHandler, Signal};
use predicates::prelude::*;
use predicates::str::contains;
use support::Playground;

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

/// Every path below `root` with its kind, mode and contents, to compare before and after.
fn listing(root: &Path) -> String {
    let find = Command::new("find").arg(root).args(["-printf", "%P %y %m %l %T@\n"]).output().unwrap();
    let mut lines: Vec<_> = String::from_utf8(find.stdout).unwrap().lines().map(String::from).collect();
    lines.sort();
    lines.join("\n")
}

#[test]
fn an_image_is_a_layers_file_that_names_shared_directories_top_first() {
    let Some(place) = Playground::new() else { return };
    place.write("app/file", "x");
    place
        .build("COPY app /app\nRUN echo y > /made\n")
        .success()
        .stdout(contains("CS695 Conductor that manages containers\nStep 1/3 : FROM debian:bookworm\n"));
    let entries: Vec<_> = fs::read_dir(place.path().join(".images/img")).unwrap().collect();
    assert_eq!(entries.len(), 1, "an image is its layers file and nothing else");
    let layers = place.layers("img");
    assert_eq!(layers[0], place.path().join(".cache/base/debian-bookworm"));
    assert!(layers[1].join("app/file").exists() && !layers[1].join("made").exists());
    assert!(layers[2].join("made").exists() && !layers[2].join("app").exists());
}

#[test]
fn a_base_system_is_never_written_to() {
    let Some(place) = Playground::new() else { return };
    place.write("motd", "mine");
    let base = place.path().join(".cache/base/debian-bookworm");
    let before = listing(&base);
    place.build("COPY motd /etc/motd\nRUN rm -r /var /etc/passwd && echo z >> /etc/motd\n").success();
    assert_eq!(listing(&base), before);
}

#[test]
fn copied_directories_keep_modes_times_links_and_empty_directories_and_belong_to_root() {
    let Some(place) = Playground::new() else { return };
    let program = place.write("app/bin/tool", "#!/bin/sh\n");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o4751)).unwrap();
    std::os::unix::fs::chown(&program, Some(1234), Some(1234)).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o4751)).unwrap();
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    fs::File::open(&program).unwrap().set_modified(time).unwrap();
    fs::create_dir(place.path().join("app/empty")).unwrap();
    fs::set_permissions(place.path().join("app/empty"), fs::Permissions::from_mode(0o1777)).unwrap();
    symlink("/nowhere", place.path().join("app/dangling")).unwrap();
    let no_flags = rustix::fs::XattrFlags::empty();
    // cap_net_raw+ep, as setcap(8) writes it.
    let capability = b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    rustix::fs::setxattr(&program, "security.capability", capability, no_flags).unwrap();
    place.build("COPY app /opt/app\n").success();

    let app = place.layers("img")[1].join("opt/app");
    assert_eq!(mode(&app.join("bin/tool")), 0o4751);
    assert_eq!(fs::metadata(app.join("bin/tool")).unwrap().uid(), 0);
    assert_eq!(fs::metadata(app.join("bin/tool")).unwrap().modified().unwrap(), time);
    let mut copied = [0; 20];
    rustix::fs::getxattr(app.join("bin/tool"), "security.capability", &mut copied[..]).unwrap();
    assert_eq!(&copied, capability);
    assert_eq!(mode(&app.join("empty")), 0o1777);
    assert_eq!(fs::read_link(app.join("dangling")).unwrap(), Path::new("/nowhere"));
    assert_eq!(mode(&place.layers("img")[1].join("opt")), 0o755);
}

#[test]
fn a_directory_goes_where_cp_would_put_it() {
    let Some(place) = Playground::new() else { return };
    place.write("app/file", "x");
    for (copy, result) in [
        ("COPY app /", "app/file"),
        ("COPY app /app", "app/file"),
        ("COPY app /app/", "app/file"),
        ("COPY app/ /srv/new/", "srv/new/file"),
        ("COPY app /var", "var/app/file"),
        ("COPY app/. /", "file"),
        ("COPY app/. /var/log", "var/log/file"),
        ("COPY app relative", "relative/file"),
        ("COPY app/file /", "file"),
        ("COPY app/file /name", "name"),
        ("COPY app/file /new/", "new/file"),
        ("COPY app/file /etc/../var/./log", "var/log/file"),
        ("COPY app app/file /many", "many/app/file"),
        ("COPY app /lib", "usr/lib/app/file"),
    ] {
        place.build(&format!("{copy}\n")).success();
        assert!(place.layers("img")[1].join(result).is_file(), "{copy} did not make {result}");
    }
}

#[test]
fn directories_that_are_there_already_keep_their_modes_and_their_other_files() {
    let Some(place) = Playground::new() else { return };
    place.write("tree/var/log/mine", "x");
    fs::set_permissions(place.path().join("tree/var"), fs::Permissions::from_mode(0o700)).unwrap();
    fs::create_dir_all(place.path().join("tree/lib/deep")).unwrap();
    place
        .build("RUN chmod 2775 /var/log && touch /var/log/theirs\nCOPY tree/. /\nRUN test -f /var/log/theirs -a -f /var/log/mine -a -d /usr/lib/deep -a -L /lib\n")
        .success();
    let copied = &place.layers("img")[2];
    assert_eq!(mode(&copied.join("var")), 0o755);
    assert_eq!(mode(&copied.join("var/log")), 0o2775);
}

#[test]
fn copy_replaces_files_but_never_a_directory_by_a_file_or_the_other_way_round() {
    let Some(place) = Playground::new() else { return };
    place.write("motd", "mine");
    place.write("tree/etc/passwd/x", "");
    place.write("tree2/var", "");
    place.build("COPY motd /etc/motd\nRUN test $(cat /etc/motd) = mine\n").success();
    place.build("COPY motd /etc/passwd/\n").failure().stderr(contains("/etc/passwd is not a directory"));
    place.build("COPY tree/. /\n").failure().stderr(contains("/etc/passwd is a file"));
    place.build("COPY tree2/. /\n").failure().stderr(contains("/var is a directory"));
}

#[test]
fn what_a_run_deleted_stays_deleted_under_a_later_copy() {
    let Some(place) = Playground::new() else { return };
    place.write("app/new", "x");
    place
        .build("RUN mkdir /app && touch /app/old\nRUN rm -r /app\nCOPY app /app\nRUN test -e /app/new -a ! -e /app/old\n")
        .success();
}

#[test]
fn a_copy_of_everything_leaves_out_the_state_that_lies_beside_it() {
    let Some(place) = Playground::new() else { return };
    place.write("app/file", "x");
    place.write(".containers/eg/image", "img\n");
    place.build("RUN rm -r /var\nCOPY . /src\n").success();
    let copied = place.layers("img")[2].join("src");
    assert!(copied.join("app/file").exists() && copied.join("Conductorfile").exists());
    for state in [".cache", ".images", ".containers"] {
        assert!(!copied.join(state).exists(), "{state}");
    }
    // The state folders do not change the key of the layer either.
    place.conductor(["build", "img"]).assert().success().stdout(contains("Using cache").count(3));
}

#[test]
fn a_failing_instruction_is_named_with_its_file_and_line() {
    let Some(place) = Playground::new() else { return };
    place.build("\n# why\nCOPY *.txt /\n").failure().stderr(
        contains("Conductorfile:4: COPY *.txt /: '*.txt' is not in the context")
            .and(contains("COPY takes names, no patterns")),
    );
}

#[test]
fn more_instructions_than_an_image_can_have_layers_are_refused_before_any_is_followed() {
    let Some(place) = Playground::new() else { return };
    place.write("file", "x");
    place
        .build(&"COPY file /\n".repeat(200))
        .failure()
        .stderr(contains("Conductorfile has 201 layers, and an image has at most 200"))
        .stdout(contains("Step").not());
}

#[test]
fn a_run_may_make_a_tree_deeper_than_paths_are_long() {
    let Some(place) = Playground::new() else { return };
    let ten = format!("{}/", "d".repeat(200)).repeat(10);
    place
        .build(&format!("RUN mkdir -p /a/{ten} /b/{ten} /c/{ten} && mv /a /b/{ten} && mv /b /c/{ten}\n"))
        .success();
}

#[test]
fn a_run_may_take_away_the_name_servers_that_it_was_lent() {
    let Some(place) = Playground::new() else { return };
    place.build("RUN umount /etc/resolv.conf && rm /etc/resolv.conf\n").success();
    place.build("RUN umount /etc/resolv.conf && echo nameserver 1.2.3.4 > /etc/resolv.conf\n").success();
    let own = place.layers("img")[1].join("etc/resolv.conf");
    assert_eq!(fs::read_to_string(own).unwrap(), "nameserver 1.2.3.4\n");
}

#[test]
fn a_run_may_be_a_program_and_its_arguments() {
    let Some(place) = Playground::new() else { return };
    let built = place.build("RUN [\"echo\", \"$HOME  *\"]\n").success();
    built.stdout(contains("$HOME  *\n"));
    place.build("RUN [\"nosuch\"]\n").failure().stderr(contains("cannot execute nosuch"));
}

#[test]
fn sources_outside_of_the_context_are_refused() {
    let Some(place) = Playground::new() else { return };
    fs::create_dir(place.path().join("context")).unwrap();
    place.write("secret", "x");
    symlink("/etc", place.path().join("context/etc")).unwrap();
    symlink("../secret", place.path().join("context/up")).unwrap();
    for source in ["../secret", "etc/hostname", "etc", "up", "a/../../secret"] {
        place.write("context/Conductorfile", &format!("FROM debian:bookworm\nCOPY {source} /\n"));
        place
            .conductor(["build", "img", "context/Conductorfile"])
            .assert()
            .failure()
            .stderr(contains("leads out of the context").or(contains("is not in the context")));
    }
    place.write("context/Conductorfile", "FROM debian:bookworm\nCOPY secret /\n");
    place.conductor(["build", "img", "context/Conductorfile", "--context", "."]).assert().success();
}

#[test]
fn a_folder_means_its_conductorfile_and_its_files() {
    let Some(place) = Playground::new() else { return };
    fs::create_dir(place.path().join("context")).unwrap();
    place.write("context/file", "inside");
    place.write("context/Conductorfile", "FROM debian:bookworm\nCOPY file /\n");
    place.conductor(["build", "img", "context"]).assert().success();
    place.conductor(["run", "img", "eg", "--", "cat", "/file"]).assert().success().stdout(contains("inside"));
    fs::remove_file(place.path().join("context/Conductorfile")).unwrap();
    let refused = place.conductor(["build", "img", "context"]).assert().failure();
    refused.stderr(contains("cannot read context/Conductorfile: No such file"));
}

#[test]
fn a_run_has_proc_sys_dev_name_resolution_and_pid_one() {
    let Some(place) = Playground::new() else { return };
    place
        .build("RUN test $$ = 1 && test -d /proc/1 && test -d /sys/class/net && echo x > /dev/null && test -r /etc/resolv.conf\nRUN echo ok\n")
        .success()
        .stdout(contains("ok"));
    for layer in &place.layers("img")[1..] {
        assert!(!layer.join("etc/resolv.conf").exists(), "the host's name servers are no part of an image");
    }
}

#[test]
fn a_run_sees_no_process_and_no_host_name_of_the_host() {
    let Some(place) = Playground::new() else { return };
    place
        .build("RUN hostname changed; for p in /proc/[0-9]*; do test ${p#/proc/} -le 3 || exit 1; done\n")
        .success();
    let mut hostname = place.command("hostname");
    assert!(!String::from_utf8(hostname.output().unwrap().stdout).unwrap().contains("changed"));
}

#[test]
fn a_failing_run_fails_the_build_with_its_status_and_leaves_nothing() {
    let Some(place) = Playground::new() else { return };
    place
        .build("RUN echo before\nRUN echo partly > /done; sleep 98765 & exit 42\nRUN echo never\n")
        .code(1)
        .stderr(contains("exit 42").and(contains("exit status: 42")))
        .stdout(contains("never").not());
    assert!(!place.path().join(".images/img").exists());
    assert_eq!(place.half_made(), Vec::<PathBuf>::new());
    assert_eq!(place.mounts(), Vec::<String>::new());
    assert_eq!(fs::read_dir(place.path().join(".cache/layers")).unwrap().count(), 1);
    let left = Command::new("ps").args(["-eo", "args"]).output().unwrap();
    assert!(!String::from_utf8(left.stdout).unwrap().lines().any(|line| line == "sleep 98765"));
}

#[test]
fn a_run_that_a_signal_ends_fails_the_build_with_the_signal() {
    let Some(place) = Playground::new() else { return };
    // Process 1 is ended only by a signal from outside: here, by the kernel's for a time limit.
    place.build("RUN ulimit -t 1; while :; do :; done\n").code(1).stderr(contains("signal: 9 (SIGKILL)"));
    place.build("RUN kill -TERM $$; exit 3\n").code(1).stderr(contains("exit status: 3"));
}

#[test]
fn a_run_changes_no_settings_and_no_shared_memory_of_the_host() {
    let Some(place) = Playground::new() else { return };
    place
        .build(
            "RUN ! echo 1 > /proc/sys/net/ipv4/ip_forward && readlink /proc/self/ns/ipc && ! mkdir /sys/x\n",
        )
        .success()
        .stdout(contains("ipc:[").and(contains(namespace_of(place.pid())).not()));
    let setting = place.command("cat").arg("/proc/sys/net/ipv4/ip_forward").output().unwrap();
    assert_eq!(setting.stdout, b"0\n");
}

fn namespace_of(pid: u32) -> String {
    fs::read_link(format!("/proc/{pid}/ns/ipc")).unwrap().display().to_string()
}

#[test]
fn a_successful_run_leaves_no_process_and_no_mount_either() {
    let Some(place) = Playground::new() else { return };
    place.build("RUN (sleep 98764 &) ; mkdir /m && mount -t tmpfs none /m && touch /m/lost\n").success();
    assert_eq!(place.mounts(), Vec::<String>::new());
    let left = Command::new("ps").args(["-eo", "args"]).output().unwrap();
    assert!(!String::from_utf8(left.stdout).unwrap().lines().any(|line| line == "sleep 98764"));
    assert!(!place.layers("img")[1].join("m/lost").exists());
    let layer = place.layers("img")[1].parent().unwrap().to_owned();
    let mut names: Vec<_> = fs::read_dir(layer).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["diff", "metadata"]);
}

#[test]
fn fifty_layers_build_and_run_together() {
    let Some(place) = Playground::new() else { return };
    let steps: Vec<_> = (0..50).map(|number| format!("RUN echo {number} > /file-{number}")).collect();
    place.build(&(steps.join("\n") + "\nRUN test $(ls / | grep -c file-) = 50\n")).success();
}

#[test]
fn an_error_in_the_conductorfile_is_shown_with_its_line_and_nothing_is_made() {
    let Some(place) = Playground::new() else { return };
    place
        .build("COPY only-one\n")
        .code(1)
        .stderr(contains("Conductorfile:2:14: COPY needs a source and a destination\n 2 | COPY only-one\n"));
    assert!(!place.path().join(".images").exists());
}

#[test]
fn a_missing_conductorfile_or_source_is_named() {
    let Some(place) = Playground::new() else { return };
    place.conductor(["build", "img", "none"]).assert().code(1).stderr(contains("cannot read none"));
    place.build("COPY none /\n").code(1).stderr(contains("COPY none /: 'none' is not in the context"));
}
