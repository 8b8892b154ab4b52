//! Disks that fail: strace lets one system call of a command fail with EIO, and each call has its
//! turn. The command reports it or does without, nothing is left, and the next command works.

#![allow(clippy::unwrap_used)]

#[path = "faults/host.rs"]
mod host;
#[path = "faults/injection.rs"]
mod injection;
mod support;

use std::fs;
use std::process::Child;

use host::Host;
use injection::{CALLS, Call, Injected, calls, hide, inject};
use support::Playground;

/// The Conductorfile of the image `img`.
const STEPS: &str = "COPY file /file\nCOPY folder /folder\nRUN cp /file /copy\n";

/// A command, and what must be there before it.
struct Case {
    command: &'static [&'static str],
    before: Before,
    /// The exit status without a fault.
    status: i32,
}

/// The state before a command.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    /// No layer but the base system.
    Base,
    /// The image `img`.
    Image,
    /// Also the container `a`, which has exited.
    Exited,
    /// Also the container `a`, which runs.
    Running,
    /// Also its network, and the container `b` with a network.
    Connected,
}

const fn case(command: &'static [&'static str], before: Before) -> Case {
    Case { command, before, status: 0 }
}

const CASES: [Case; 16] = [
    case(&["build", "img"], Before::Base),
    case(&["build", "img"], Before::Image),
    case(&["images", "--json"], Before::Image),
    case(&["rmi", "img"], Before::Image),
    Case { status: 1, ..case(&["rmi", "img"], Before::Exited) },
    case(&["rmcache", "--force"], Before::Image),
    Case { status: 1, ..case(&["rmcache", "--force"], Before::Exited) },
    case(&["run", "img", "b", "true"], Before::Running),
    case(&["exec", "a", "true"], Before::Running),
    case(&["ps", "--json"], Before::Running),
    case(&["ps", "--json"], Before::Connected),
    case(&["addnetwork", "a", "-i", "-e", "80-3000"], Before::Running),
    case(&["addnetwork", "a", "-i", "-e", "81-3001"], Before::Connected),
    case(&["peer", "a", "b"], Before::Connected),
    case(&["stop", "a"], Before::Exited),
    case(&["stop", "a"], Before::Connected),
];

/// Makes a base system, if there is none, with the few programs that are used here: every file of
/// it adds system calls.
fn make_base(place: &Playground) {
    let base = place.path().join(".cache/base/debian-bookworm");
    if base.exists() {
        return;
    }
    support::make_base(&base);
    for program in fs::read_dir(base.join("bin")).unwrap() {
        let program = program.unwrap();
        let used =
            ["busybox", "cmp", "cp", "sh", "sleep", "true"].iter().any(|used| program.file_name() == *used);
        if !used {
            fs::remove_file(program.path()).unwrap();
        }
    }
}

/// Makes the state before a command. Returns the processes of `run`.
fn prepare(place: &Playground, before: Before) -> Vec<Child> {
    let works = |args: &[&str]| drop(place.conductor(args.iter().copied()).assert().success());
    if before == Before::Base {
        works(&["rmcache", "--force"]);
    }
    make_base(place);
    let mut runs = Vec::new();
    if before != Before::Base {
        works(&["build", "img"]);
    }
    match before {
        Before::Base | Before::Image => {}
        Before::Exited => works(&["run", "img", "a", "true"]),
        Before::Running => runs.push(place.start("a", &["sleep", "infinity"])),
        Before::Connected => {
            for name in ["a", "b"] {
                runs.push(place.start(name, &["sleep", "infinity"]));
                works(&["addnetwork", name, "-i"]);
            }
        }
    }
    runs
}

/// Fails unless a command that ended well despite a fault has done its work.
fn check_success(place: &Playground, command: &[&str], usual: &str, said: &str, what: &str) {
    let succeeds = |args: &[&str]| place.conductor(args.iter().copied()).output().unwrap().status.success();
    match command[0] {
        "images" | "ps" => assert_eq!(said, usual, "{what}"),
        "build" => assert!(succeeds(&["run", "img", "built", "cmp", "/file", "/copy"]), "{what}"),
        "rmi" => assert!(!place.path().join(".images/img").exists(), "{what}"),
        "rmcache" => assert!(!place.path().join(".cache/layers").exists(), "{what}"),
        "run" => assert!(place.containers().contains(&"b".to_owned()), "{what}"),
        "stop" => assert!(!place.containers().contains(&"a".to_owned()), "{what}"),
        // A second time there is nothing to add.
        "addnetwork" => assert!(!succeeds(command), "{what}"),
        _ => {}
    }
}

/// Fails unless `message` is one sentence that says what could not be done. A command that is
/// refused anyway may say so.
fn check_message(case: &Case, status: i32, message: &str, what: &str) {
    let Case { command, status: usual, .. } = *case;
    let in_container = matches!(command[0], "run" | "exec");
    // The command in the container has failed.
    if in_container && !matches!(status, 125..=127) {
        return;
    }
    let own = message.lines().filter(|line| line.starts_with("conductor: ")).collect::<Vec<_>>();
    assert_eq!(own.len(), 1, "{what}: {message}");
    let refused = usual != 0 && (own[0].contains(" is used by ") || own[0].contains(" uses the cache"));
    let of_a_run = own[0].contains("the command failed (");
    assert!(refused || of_a_run || own[0].ends_with("Input/output error (os error 5)"), "{what}: {message}");
}

/// Lets each `step`th call fail in turn, in every case.
fn fail_in_turn(step: usize) {
    let Some(place) = Playground::without_base() else { return };
    make_base(&place);
    place.write("file", "one");
    place.write("folder/file", "two");
    place.build(STEPS).success();
    let host = Host::prepare(&place);
    let mut turn = 0;
    for case in CASES {
        let runs = prepare(&place, case.before);
        let calls = calls(&place, case.command);
        recover(&place, &host, runs, "without a fault");
        for call in calls {
            turn += 1;
            if turn % step == 0 {
                fail(&place, &host, &case, &call);
            }
        }
    }
    eprintln!("{} of {turn} calls failed in turn", turn / step);
}

/// Lets one call of a command fail.
fn fail(place: &Playground, host: &Host, case: &Case, call: &Call) {
    let Case { command, before, status: usual_status } = *case;
    let runs = prepare(place, before);
    let usual = listing(place, command);
    let Injected { status, said, message, at } = inject(place, command, call);
    let what = format!("{command:?}: {call}: {at}");
    assert!(!message.contains("panicked"), "{what}: {message}");
    let is_heard = !at.contains("write(2<");
    if status != 0 && is_heard {
        check_message(case, status, &message, &what);
    } else if status == 0 && !is_of_the_kernel(&at) {
        assert_eq!(usual_status, 0, "{what}: {said}{message}");
        check_success(place, command, &usual, &said, &what);
    }
    recover(place, host, runs, &what);
}

/// What the command prints without a fault, if it lists something.
fn listing(place: &Playground, command: &[&str]) -> String {
    match command[0] {
        "ps" | "images" => {
            String::from_utf8(place.conductor(command.iter().copied()).output().unwrap().stdout).unwrap()
        }
        _ => String::new(),
    }
}

/// Whether a call concerns files without a disk.
fn is_of_the_kernel(at: &str) -> bool {
    ["/proc/", "/sys/", "/dev/"]
        .iter()
        .any(|folder| at.contains(&format!("\"{folder}")) || at.contains(&format!("<{folder}")))
}

/// Stops all containers.
fn end(place: &Playground, runs: Vec<Child>, what: &str) {
    for name in place.containers().iter().filter(|name| !name.starts_with('.')) {
        let stopped = place.conductor(["stop", name]).output().unwrap();
        assert!(stopped.status.success(), "{what}: stop: {stopped:?}");
    }
    for mut run in runs {
        run.wait().unwrap();
    }
}

/// Stops all containers and makes the image again. Then the host must be as before.
fn recover(place: &Playground, host: &Host, runs: Vec<Child>, what: &str) {
    end(place, runs, what);
    make_base(place);
    let built = place.conductor(["build", "img"]).output().unwrap();
    assert!(built.status.success(), "{what}: {built:?}");
    place.conductor(["run", "img", "sweep", "cmp", "/file", "/copy"]).assert().success();
    place.conductor(["stop", "sweep"]).assert().success();
    host.check(what);
    assert_eq!(place.half_made(), Vec::<std::path::PathBuf>::new(), "{what}");
}

/// Files that cannot be read or found. The command must not take them for missing.
#[test]
fn an_unreadable_file_is_not_a_missing_one() {
    let Some(place) = Playground::without_base() else { return };
    make_base(&place);
    place.write("file", "one");
    place.write("folder/file", "two");
    place.build(STEPS).success();
    let _host = Host::prepare(&place);
    let layer = place.layers("img").pop().unwrap().strip_prefix(place.path()).unwrap().to_owned();
    let cases: [(Before, &[&str], &str); 12] = [
        (Before::Exited, &["rmi", "img"], ".containers/a/image"),
        (Before::Image, &["rmi", "img"], ".images/img/layers"),
        (Before::Exited, &["rmcache", "--force"], ".containers/a/image"),
        (Before::Image, &["run", "img", "b", "true"], layer.to_str().unwrap()),
        (Before::Image, &["images"], ".cache/base/debian-bookworm"),
        (Before::Image, &["build", "img"], ".containers"),
        (Before::Image, &["build", "img"], layer.to_str().unwrap()),
        (Before::Base, &["build", "img"], "/etc/resolv.conf"),
        (Before::Exited, &["ps"], ".containers/a/image"),
        (Before::Running, &["ps"], ".containers/a/process.json"),
        (Before::Connected, &["ps", "--json"], ".containers/a/network.json"),
        (Before::Connected, &["peer", "a", "b"], ".containers/a/network.json"),
    ];
    for (before, command, path) in cases {
        let runs = prepare(&place, before);
        let Injected { status, message, at, .. } = hide(&place, command, CALLS, path);
        let what = format!("{command:?}: {path}: {at}");
        assert_ne!(status, 0, "{what}");
        assert!(message.contains(path), "{what}: {message}");
        assert!(message.ends_with("Input/output error (os error 5)\n"), "{what}: {message}");
        end(&place, runs, &what);
    }
}

#[test]
fn a_call_that_fails_after_the_file_was_found_is_an_error() {
    let Some(place) = Playground::new() else { return };
    place.build("").success();
    let run = hide(&place, &["run", "img", "a", "true"], "read", "/etc/hosts");
    assert_eq!(run.status, 125, "{}", run.at);
    let said = "cannot add the host name to /etc/hosts: Input/output error (os error 5)\n";
    assert!(run.message.ends_with(said), "{}", run.message);
    place.write("Conductorfile", "FROM debian:bookworm\nRUN true\n");
    let build = hide(&place, &["build", "img"], "newfstatat", "resolv.conf");
    assert_eq!(build.status, 1, "{}", build.at);
    assert!(build.message.ends_with("resolv.conf: Input/output error (os error 5)\n"), "{}", build.message);
}

#[test]
fn a_stop_that_cannot_look_leaves_the_container_and_its_network() {
    let Some(place) = Playground::without_base() else { return };
    make_base(&place);
    place.build("").success();
    let host = Host::prepare(&place);
    let runs = prepare(&place, Before::Connected);
    let boot = "/proc/sys/kernel/random/boot_id";
    for path in [".containers/a/network.json", ".containers/a/process.json", boot] {
        let stopped = hide(&place, &["stop", "a"], CALLS, path);
        assert_eq!(stopped.status, 1, "{path}: {}", stopped.message);
        place.conductor(["exec", "a", "true"]).assert().success();
    }
    end(&place, runs, "after all");
    host.check("after all");
}

#[test]
fn some_failed_reads_and_writes_leave_nothing() {
    fail_in_turn(61);
}

#[test]
#[ignore = "slow: every system call on files, of every command"]
fn no_failed_read_or_write_leaves_anything() {
    fail_in_turn(1);
}
