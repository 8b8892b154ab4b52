//! `FROM`: base systems that debootstrap creates, and that images share.

#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::path::PathBuf;

use predicates::prelude::*;
use predicates::str::contains;
use support::{Playground, make_base};

/// Puts a `debootstrap` first in `PATH`. It records its arguments and runs `then`.
fn with_debootstrap(place: &Playground, then: &str) -> String {
    make_base(&place.path().join("tree"));
    let folder = place.path().display();
    let script = format!("#!/bin/sh\necho \"$@\" >> {folder}/calls\n{then}\n");
    place.write_program("bin/debootstrap", &script);
    format!("{folder}/bin:{}", std::env::var("PATH").unwrap())
}

#[test]
fn a_base_system_is_made_once_with_the_mirror_of_the_settings_and_shared() {
    let Some(place) = Playground::without_base() else { return };
    let path = with_debootstrap(&place, "cp -a \"$(dirname \"$0\")/../tree/.\" \"$2\"");
    place.write("setup.sh", "declare -A BASE_MIRRORS=(\n [debian]=\"http://mirror.example/debian\"\n)\n");
    place.write("Conductorfile", "FROM debian:bookworm\nRUN true\n");
    place.conductor(["build", "one"]).env("PATH", &path).assert().success();
    place.conductor(["build", "two"]).env("PATH", &path).assert().success();
    let calls = fs::read_to_string(place.path().join("calls")).unwrap();
    assert_eq!(calls.lines().count(), 1, "{calls}");
    let words: Vec<_> = calls.split_whitespace().collect();
    assert_eq!((words[0], words[2]), ("bookworm", "http://mirror.example/debian"));
    assert_eq!(place.layers("one")[0], place.path().join(".cache/base/debian-bookworm"));
    assert_eq!(place.layers("one")[0], place.layers("two")[0]);
}

#[test]
fn a_file_with_the_name_of_a_base_system_is_left_alone() {
    let Some(place) = Playground::without_base() else { return };
    let path = with_debootstrap(&place, "exit 1");
    place.write(".cache/base/debian-bookworm", "data");
    place.write("Conductorfile", "FROM debian:bookworm\n");
    let build = place.conductor(["build", "one"]).env("PATH", &path).assert().code(1);
    build.stderr(contains(".cache/base/debian-bookworm, because a base system is a folder: move it away"));
    assert!(!place.path().join("calls").exists());
}

#[test]
fn where_no_mirror_is_named_debootstrap_uses_its_own() {
    let Some(place) = Playground::without_base() else { return };
    let path = with_debootstrap(&place, "cp -a \"$(dirname \"$0\")/../tree/.\" \"$2\"");
    place.write("Conductorfile", "FROM debian:bookworm\n");
    place.conductor(["build", "img"]).env("PATH", &path).assert().success();
    let calls = fs::read_to_string(place.path().join("calls")).unwrap();
    assert_eq!(calls.split_whitespace().count(), 2, "{calls}");
}

#[test]
fn a_mirror_may_be_named_for_one_build() {
    let Some(place) = Playground::without_base() else { return };
    let path = with_debootstrap(&place, "cp -a \"$(dirname \"$0\")/../tree/.\" \"$2\"");
    place.write("Conductorfile", "FROM ubuntu:jammy\n");
    place
        .conductor(["build", "img", "--mirror", "http://near.example"])
        .env("PATH", &path)
        .assert()
        .success();
    let calls = fs::read_to_string(place.path().join("calls")).unwrap();
    assert!(calls.starts_with("jammy ") && calls.ends_with(" http://near.example\n"), "{calls}");
    assert!(place.path().join(".cache/base/ubuntu-jammy/bin/sh").exists());
}

#[test]
fn an_empty_mirror_is_none() {
    let Some(place) = Playground::without_base() else { return };
    let path = with_debootstrap(&place, "cp -a \"$(dirname \"$0\")/../tree/.\" \"$2\"");
    place.write("setup.sh", "BASE_MIRRORS=([debian]=http://mirror.example [ubuntu]=)\n");
    for system in ["debian:bookworm", "ubuntu:jammy"] {
        place.write("Conductorfile", &format!("FROM {system}\n"));
        let mut build = place.conductor(["build", "img"]);
        build.env("PATH", &path).env("CONDUCTOR_MIRROR", "").assert().success();
    }
    let calls = fs::read_to_string(place.path().join("calls")).unwrap();
    let calls: Vec<_> = calls.lines().map(|call| call.split(' ').skip(2).collect::<Vec<_>>()).collect();
    assert_eq!(calls, [vec!["http://mirror.example"], vec![]]);
}

#[test]
fn a_debootstrap_that_fails_leaves_no_base_no_mount_and_no_process() {
    let Some(place) = Playground::without_base() else { return };
    let then = "mkdir -p \"$2/proc\" && mount -t proc proc \"$2/proc\" && (sleep 98763 &); exit 3";
    let path = with_debootstrap(&place, then);
    place.write("Conductorfile", "FROM debian:bookworm\n");
    place.conductor(["build", "img"]).env("PATH", &path).assert().code(1).stderr(
        contains("FROM debian:bookworm: debootstrap of debian:bookworm").and(contains("exit status: 3")),
    );
    assert_eq!(place.mounts(), Vec::<String>::new());
    assert_eq!(place.half_made(), Vec::<PathBuf>::new());
    assert_eq!(fs::read_dir(place.path().join(".cache/base")).unwrap().count(), 0);
    let left = std::process::Command::new("ps").args(["-eo", "args"]).output().unwrap();
    assert!(!String::from_utf8(left.stdout).unwrap().lines().any(|line| line == "sleep 98763"));
}

#[test]
fn an_empty_tree_is_no_base_system_though_debootstrap_says_so() {
    let Some(place) = Playground::without_base() else { return };
    let path = with_debootstrap(&place, "exit 0");
    place.write("Conductorfile", "FROM debian:bookworm\n");
    place.conductor(["build", "img"]).env("PATH", &path).assert().code(1).stderr(contains("left no /bin/sh"));
    assert!(!place.path().join(".cache/base/debian-bookworm").exists());
}

/// Mounts a folder over the playground's /usr/sbin.
fn replace_sbin(place: &Playground, folder: &str) {
    for sbin in ["/usr/sbin", "/usr/local/sbin"] {
        let bound = place.command("mount").args(["--bind", folder, sbin]).status().unwrap();
        assert!(bound.success());
    }
}

#[test]
fn a_missing_debootstrap_is_an_error_with_a_remedy() {
    let Some(place) = Playground::without_base() else { return };
    place.write("Conductorfile", "FROM debian:bookworm\n");
    place.write("empty/file", "");
    replace_sbin(&place, "empty");
    place
        .conductor(["build", "img"])
        .env("PATH", place.path())
        .assert()
        .code(1)
        .stderr(contains("apt install debootstrap"));
}

#[test]
fn debootstrap_is_found_in_sbin_where_the_callers_path_is_a_users() {
    let Some(place) = Playground::without_base() else { return };
    with_debootstrap(&place, "cp -a \"$(dirname \"$0\")/../tree/.\" \"$2\"");
    let tree = place.path().join("tree");
    fs::write(
        place.path().join("bin/debootstrap"),
        format!("#!/bin/sh\ncp -a {}/. \"$2\"\n", tree.display()),
    )
    .unwrap();
    replace_sbin(&place, "bin");
    place.write("Conductorfile", "FROM debian:bookworm\n");
    place.conductor(["build", "img"]).env("PATH", "/usr/local/bin:/usr/bin:/bin").assert().success();
}

#[test]
#[ignore = "slow: makes a base system over the network with the real debootstrap, and installs a package in it"]
fn a_real_base_system_has_apt_ps_and_ping_that_work() {
    let Some(place) = Playground::without_base() else { return };
    place.write(
        "Conductorfile",
        "FROM debian:bookworm\nRUN apt update && apt install -y tree && tree --version\nRUN ps aux && ping -c 1 127.0.0.1\n",
    );
    // The build uses the network of the test process. The playground's network has no way out.
    let mut build = std::process::Command::new("unshare");
    build.args(["-m", env!("CARGO_BIN_EXE_conductor"), "build", "img"]).current_dir(place.path());
    let out = assert_cmd::Command::from_std(build).assert().success();
    out.stdout(contains("1 packets transmitted, 1 received"));
    place
        .conductor(["run", "img", "eg", "--", "sh", "-c", "ps -e && tree --version && stat -c %a /"])
        .assert()
        .success()
        .stdout(contains("755"));
    place.conductor(["stop", "eg"]).assert().success();
}
