//! `build`: layers, cache, COPY and RUN, errors, and what is left behind.

#![allow(clippy::unwrap_used)]

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

/// Every path below `root` with its kind, mode and contents: what must be the same before and after.
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
    // Nor does it make the layer another one.
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
        .stderr(contains("Conductorfile makes 201 layers, and an image has at most 200"))
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
            .stderr(contains("outside of the context").or(contains("is not in the context")));
    }
    place.write("context/Conductorfile", "FROM debian:bookworm\nCOPY secret /\n");
    place.conductor(["build", "img", "context/Conductorfile", "--context", "."]).assert().success();
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
fn an_unchanged_build_uses_the_cache_for_every_instruction() {
    let Some(place) = Playground::new() else { return };
    place.write("app/file", "x");
    let steps = "COPY app /app\nRUN cat /proc/sys/kernel/random/uuid > /id\n";
    place.build(steps).success();
    let before = place.layers("img");
    // Another time of a file is no change.
    fs::File::open(place.path().join("app/file")).unwrap().set_modified(SystemTime::now()).unwrap();
    let out = place.build(steps).success();
    assert_eq!(String::from_utf8_lossy(&out.get_output().stdout).matches("Using cache").count(), 3);
    assert_eq!(place.layers("img"), before);
}

/// Builds, changes something, builds again: the layers below `first_changed` must stay, all others be new.
fn changes(steps: &str, first_changed: usize, change: impl FnOnce(&Playground) -> Option<String>) {
    let Some(place) = Playground::new() else { return };
    place.write("a/file", "one");
    place.write("a/sub/other", "two");
    symlink("file", place.path().join("a/link")).unwrap();
    place.write("b", "three");
    place.build(steps).success();
    let before = place.layers("img");
    let new_steps = change(&place);
    place.build(new_steps.as_deref().unwrap_or(steps)).success();
    let after = place.layers("img");
    assert_eq!(before[..first_changed], after[..first_changed]);
    for (old, new) in before[first_changed..].iter().zip(&after[first_changed..]) {
        assert_ne!(old, new);
    }
}

const STEPS: &str = "RUN echo 1 > /1\nCOPY a /a\nRUN echo 2 > /2\nCOPY b /b\n";

#[test]
fn changed_contents_invalidate_their_copy_and_what_follows() {
    // Of the same size, and right after the build: only reading it can tell.
    changes(STEPS, 2, |place| {
        place.write("a/file", "ONE");
        None
    });
}

#[test]
fn a_changed_mode_invalidates_its_copy_and_what_follows() {
    changes(STEPS, 2, |place| {
        let path = place.path().join("a/sub/other");
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
        None
    });
}

#[test]
fn a_changed_link_invalidates_its_copy_and_what_follows() {
    changes(STEPS, 2, |place| {
        fs::remove_file(place.path().join("a/link")).unwrap();
        symlink("other", place.path().join("a/link")).unwrap();
        None
    });
}

#[test]
fn a_new_empty_directory_invalidates_its_copy_and_what_follows() {
    changes(STEPS, 2, |place| {
        fs::create_dir(place.path().join("a/new")).unwrap();
        None
    });
}

#[test]
fn a_change_in_a_later_source_keeps_the_layers_before() {
    changes(STEPS, 4, |place| {
        place.write("b", "THREE");
        None
    });
}

#[test]
fn a_changed_instruction_invalidates_itself_and_what_follows() {
    changes(STEPS, 1, |_| Some(STEPS.replace("echo 1", "echo one")));
    changes(STEPS, 3, |_| Some(STEPS.replace("echo 2", "echo two")));
    changes(STEPS, 2, |_| Some(STEPS.replace("COPY a /a", "COPY a /other")));
}

#[test]
fn a_rebuilt_image_takes_the_place_of_the_old_one() {
    let Some(place) = Playground::new() else { return };
    place.build("RUN echo 1 > /1\n").success();
    let first = place.layers("img");
    place.build("RUN echo 2 > /2\n").success();
    assert_ne!(place.layers("img"), first);
    assert!(first[1].exists(), "layers stay in the cache");
    assert_eq!(place.half_made(), Vec::<PathBuf>::new());
    place.build("RUN false\n").failure();
    assert!(place.layers("img")[1].join("2").exists(), "a failed build keeps the image that was");
}

#[test]
fn what_a_killed_build_left_is_cleaned_up_by_the_next() {
    let Some(place) = Playground::new() else { return };
    let dead = place.path().join(".cache/layers/.half-made-dead/diff/etc");
    fs::create_dir_all(&dead).unwrap();
    fs::create_dir_all(place.path().join(".cache/base/.half-made-dead/bin")).unwrap();
    place.build("RUN true\n").success();
    assert_eq!(place.half_made(), Vec::<PathBuf>::new());
}

#[test]
fn ctrl_c_ends_a_build_and_the_command_it_runs() {
    let Some(place) = Playground::new() else { return };
    // Process 1 of a PID namespace ignores SIGINT: it is for us to end it.
    place.write("Conductorfile", "FROM debian:bookworm\nRUN echo started; sleep 98762; echo over\n");
    let mut build = place.command(env!("CARGO_BIN_EXE_conductor"));
    // Whoever runs the tests in the background may have us ignore SIGINT, and all that we start.
    // SAFETY: signal(2) may be called between fork and exec.
    unsafe {
        build.pre_exec(|| {
            nix::sys::signal::signal(Signal::SIGINT, SigHandler::SigDfl)?;
            Ok(())
        });
    }
    let mut build = build.args(["build", "img"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(build.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.any(|line| line == "started"));
    let pid = nix::unistd::Pid::from_raw(build.id() as i32);
    nix::sys::signal::kill(pid, Signal::SIGINT).unwrap();
    assert!(!build.wait().unwrap().success());
    // The pipe closes when the last process that has it is gone.
    assert_eq!(lines.next(), None);
    assert!(!place.path().join(".images/img").exists());
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

#[test]
fn two_builds_of_the_same_at_once_make_the_same_layers() {
    let Some(place) = Playground::new() else { return };
    place.write("app/file", "x");
    place.write(
        "Conductorfile",
        "FROM debian:bookworm\nCOPY app /\nRUN cat /proc/sys/kernel/random/uuid > /id\n",
    );
    let builds: Vec<_> = ["one", "two", "three"]
        .map(|image| {
            let mut build = place.command(env!("CARGO_BIN_EXE_conductor"));
            build.args(["-q", "build", image]).stdout(Stdio::null()).spawn().unwrap()
        })
        .into_iter()
        .collect();
    for mut build in builds {
        assert!(build.wait().unwrap().success());
    }
    assert_eq!(place.layers("one"), place.layers("two"));
    assert_eq!(place.layers("one"), place.layers("three"));
    assert_eq!(place.half_made(), Vec::<PathBuf>::new());
}

#[test]
fn what_a_killed_build_rmi_or_rmcache_left_goes_with_the_next_build() {
    let Some(place) = Playground::new() else { return };
    for folder in [".cache", ".cache/base", ".cache/layers", ".images"] {
        place.write(&format!("{folder}/.half-made-x/removed/file"), "");
    }
    assert_eq!(place.half_made().len(), 4);
    place.build("RUN true\n").success();
    assert_eq!(place.half_made(), Vec::<PathBuf>::new());
}

#[test]
#[ignore = "slow: kills a build at 100 random moments"]
fn a_build_killed_at_any_moment_leaves_nothing_that_the_next_does_not_clean_up() {
    let Some(place) = Playground::new() else { return };
    for number in 0..50 {
        place.write(&format!("app/file-{number}"), "x");
    }
    let start = |round: u32| {
        let steps = format!(
            "FROM debian:bookworm\nRUN echo {round} > /round; sleep 0.01\nCOPY app /app\nRUN rm -r /app\n"
        );
        place.write("Conductorfile", &steps);
        let mut build = place.command(env!("CARGO_BIN_EXE_conductor"));
        build.args(["build", "img"]).stdout(Stdio::piped()).spawn().unwrap()
    };
    let clock = std::time::Instant::now();
    assert!(start(0).wait().unwrap().success());
    let whole = clock.elapsed();
    for round in 1..=100 {
        let mut build = start(round);
        std::thread::sleep(whole.mul_f64(rand::random()));
        build.kill().unwrap();
        build.wait().unwrap();
        // Standard output ends when the last process that has it is gone.
        std::io::copy(&mut build.stdout.take().unwrap(), &mut std::io::sink()).unwrap();
        assert_eq!(place.mounts(), Vec::<String>::new(), "round {round}");

        place.conductor(["build", "img"]).assert().success();
        assert_eq!(place.half_made(), Vec::<PathBuf>::new(), "round {round}");
        let text = fs::read_to_string(place.layers("img")[1].join("round")).unwrap();
        assert_eq!(text, format!("{round}\n"));
        assert!(place.layers("img").iter().all(|layer| layer.is_dir()), "round {round}");
    }
    place.conductor(["rmi", "img"]).assert().success();
    place.conductor(["rmcache"]).assert().success();
    assert_eq!(fs::read_dir(place.path().join(".cache")).unwrap().count(), 0);
}
