//! Faults: kills at random moments, full disks, and many commands at once. Afterwards nothing is
//! left, and everything works. The slow parts are ignored by default; `make test-all` runs them.

#![allow(clippy::unwrap_used)]

#[path = "faults/host.rs"]
mod host;
mod support;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use host::{Host, place};
use rand::prelude::*;
use support::Playground;

/// A generator whose seed is printed, so that a failure can be repeated with `CONDUCTOR_SEED`.
fn generator() -> StdRng {
    let seed = std::env::var("CONDUCTOR_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(rand::random);
    eprintln!("CONDUCTOR_SEED={seed}");
    StdRng::seed_from_u64(seed)
}

/// A number of repetitions or seconds that the environment may change.
fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

/// Commands with what must exist before: containers that run, and whether they have networks.
const KILLED: [(&[&str], usize, bool); 12] = [
    (&["build", "img"], 0, false),
    (&["build", "other"], 0, false),
    (&["images", "--json"], 0, false),
    (&["rmi", "img"], 0, false),
    (&["rmcache", "--force"], 0, false),
    (&["run", "img", "a", "sleep", "infinity"], 0, false),
    (&["ps", "--json"], 1, false),
    (&["exec", "a", "sleep", "infinity"], 1, false),
    (&["addnetwork", "a", "-i", "-e", "80-3000"], 1, false),
    (&["addnetwork", "a", "-i", "-e", "81-3001", "-e", "82-3002"], 1, true),
    (&["peer", "a", "b"], 2, true),
    (&["stop", "a"], 2, true),
];

/// Kills random commands at random moments, and recovers each time.
fn kill_at_random(times: u64) {
    let Some(place) = place() else { return };
    let host = Host::prepare(&place);
    let mut random = generator();
    for time in 0..times {
        let (command, running, connected) = *KILLED.choose(&mut random).unwrap();
        place.write("file", &random.random::<u64>().to_string());
        place.write("Conductorfile", "FROM debian:bookworm\nCOPY file /file\nRUN cp /file /copy\n");
        let mut runs = Vec::new();
        for name in &["a", "b"][..running] {
            runs.push(place.start(name, &["sleep", "infinity"]));
            if connected {
                place.conductor(["addnetwork", name]).assert().success();
            }
        }
        // Most happens early. The longest command takes about 50 ms on a quiet machine.
        let delay = Duration::from_secs_f64(0.08 * random.random::<f64>().powi(2));
        let what = format!("kill {time}: {command:?} after {delay:?}");
        let mut killed = place.command(env!("CARGO_BIN_EXE_conductor"));
        killed.args(command).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut killed = killed.spawn().unwrap();
        std::thread::sleep(delay);
        let _ = killed.kill();
        killed.wait().unwrap();

        for listing in ["ps", "images"] {
            let listed = place.conductor([listing, "--json"]).output().unwrap();
            assert!(listed.status.success(), "{what}: {listing}: {listed:?}");
            assert!(
                serde_json::from_slice::<serde_json::Value>(&listed.stdout).is_ok(),
                "{what}: {listed:?}"
            );
        }
        for name in place.containers().iter().filter(|name| !name.starts_with('.')) {
            let stopped = place.conductor(["stop", name]).output().unwrap();
            assert!(stopped.status.success(), "{what}: stop: {stopped:?}");
        }
        for mut run in runs {
            run.wait().unwrap();
        }
        let base = place.path().join(".cache/base/debian-bookworm");
        if !base.exists() {
            support::make_base(&base);
        }
        let built = place.conductor(["build", "img"]).output().unwrap();
        assert!(built.status.success(), "{what}: {built:?}");
        // What was half-made goes with the next command that makes something of the kind.
        place.conductor(["run", "img", "sweep", "cmp", "/file", "/copy"]).assert().success();
        place.conductor(["stop", "sweep"]).assert().success();
        host.check(&what);
        assert_eq!(place.half_made(), Vec::<std::path::PathBuf>::new(), "{what}");
    }
}

#[test]
fn twenty_kills_at_random_moments_leave_nothing() {
    kill_at_random(20);
}

#[test]
#[ignore = "slow: a thousand kills"]
fn a_thousand_kills_at_random_moments_leave_nothing() {
    kill_at_random(setting("CONDUCTOR_KILLS", 1000));
}

/// Fills the file system of `folder` with `filler`, except for `pages` of memory.
fn fill_space(filler: &Path, pages: u64) {
    let status = Command::new("sh").args(["-c", "cat /dev/zero > \"$0\" 2> /dev/null"]).arg(filler).status();
    status.unwrap();
    let length = fs::metadata(filler).unwrap().len();
    fs::OpenOptions::new()
        .write(true)
        .open(filler)
        .unwrap()
        .set_len(length - length.min(pages * 4096))
        .unwrap();
}

/// Uses up all inodes of the file system of `folder` but `inodes`.
fn fill_inodes(folder: &Path, inodes: u64) {
    fs::create_dir(folder).unwrap();
    let mut made = 0;
    while fs::write(folder.join(made.to_string()), "").is_ok() {
        made += 1;
    }
    for number in 0..inodes.min(made) {
        fs::remove_file(folder.join(number.to_string())).unwrap();
    }
}

/// Runs commands on a state folder with little room, whatever they can do there. They end with an
/// error that says why; then what takes room can be deleted, and with room everything works.
fn with_little_room(options: &str, fill: impl Fn(&Path, u64), rooms: impl Iterator<Item = u64>) {
    let Some(place) = Playground::new() else { return };
    for room in rooms {
        let state = place.path().join("state");
        fs::create_dir_all(&state).unwrap();
        let mount = ["-t", "tmpfs", "-o", options, "tmpfs"];
        assert!(place.command("mount").args(mount).arg(&state).status().unwrap().success());
        let inside = Path::new("/proc")
            .join(place.pid().to_string())
            .join("root")
            .join(state.strip_prefix("/").unwrap());
        let copy = place.command("cp").args(["-a", ".cache/base", "state/base"]).status();
        assert!(copy.unwrap().success());
        let conductor = |args: &[&str]| {
            let folders =
                ["--cachedir", "state", "--imagedir", "state/images", "--containerdir", "state/containers"];
            place.conductor(args.iter().copied().take(1).chain(folders).chain(args.iter().copied().skip(1)))
        };
        let works = |args: &[&str], what: &str| {
            let done = conductor(args).output().unwrap();
            assert!(done.status.success(), "{what} with {room} left of {options}: {args:?}: {done:?}");
        };
        place.write("file", &"x".repeat(9000));
        place.write("Conductorfile", "FROM debian:bookworm\nCOPY file /file\n");
        works(&["build", "old"], "before");
        works(&["run", "old", "exited", "true"], "before");

        let filler = inside.join("filler");
        fill(&filler, room);
        place.write(
            "Conductorfile",
            "FROM debian:bookworm\nCOPY file /new\nRUN cp /new /newer; mkdir /a /b /c\n",
        );
        for args in [
            &["build", "new"][..],
            &["run", "old", "one", "true"],
            &["run", "old", "two", "sh", "-c", "echo x > /x; mkdir /y"],
            &["build", "new"],
        ] {
            let done = conductor(args).output().unwrap();
            let message = String::from_utf8(done.stderr).unwrap();
            let status = done.status.code();
            assert!(
                matches!(status, Some(0..=2 | 125)),
                "{room} left of {options}: {args:?}: {status:?} {message}"
            );
            assert!(!message.contains("panicked"), "{message}");
        }
        for name in fs::read_dir(inside.join("containers")).unwrap() {
            let name = name.unwrap().file_name().into_string().unwrap();
            if !name.starts_with('.') {
                works(&["stop", &name], "freeing");
            }
        }
        works(&["rmi", "old"], "freeing");
        works(&["rmcache", "--force"], "freeing");
        let _ = fs::remove_dir_all(&filler).or_else(|_| fs::remove_file(&filler));
        let copy = place.command("cp").args(["-a", ".cache/base", "state/base"]).status();
        assert!(copy.unwrap().success());
        works(&["build", "new"], "after");
        works(&["run", "new", "after", "true"], "after");
        let left = Command::new("find").arg(&inside).args(["-name", ".half-made-*"]).output().unwrap();
        assert_eq!(String::from_utf8(left.stdout).unwrap(), "", "{room} left of {options}");
        assert!(place.command("umount").arg(&state).status().unwrap().success());
    }
}

#[test]
fn a_full_disk_is_an_error_and_room_can_be_made() {
    with_little_room("size=16m", fill_space, [0, 1, 3, 7].into_iter());
    with_little_room("nr_inodes=1000", fill_inodes, [0, 2, 5, 11].into_iter());
}

#[test]
#[ignore = "slow: every room from none to enough"]
fn a_disk_that_gets_full_at_any_write_is_an_error_and_room_can_be_made() {
    with_little_room("size=16m", fill_space, 0..24);
    with_little_room("nr_inodes=1000", fill_inodes, 0..60);
}

/// Stops what is there; whether nothing was.
fn stopped_all(place: &Playground) -> bool {
    let names = place.containers();
    let names: Vec<_> = names.iter().filter(|name| !name.starts_with('.')).collect();
    for name in &names {
        let stopped = place.conductor(["stop", name]).output().unwrap();
        assert!(stopped.status.success(), "{stopped:?}");
    }
    names.is_empty()
}

/// Random commands by many processes at once, on few names.
fn at_once(workers: u64, seconds: u64) {
    let Some(place) = place() else { return };
    let host = Host::prepare(&place);
    let mut random = generator();
    let seeds: Vec<u64> = (0..workers).map(|_| random.random()).collect();
    let end = Instant::now() + Duration::from_secs(seconds);
    place.write("Conductorfile", "FROM debian:bookworm\nRUN echo x > /x\n");
    let work = |seed: u64| {
        let mut random = StdRng::seed_from_u64(seed);
        let mut runs = Vec::new();
        let mut count = 0;
        while Instant::now() < end {
            let name = *["a", "b", "c", "d", "e", "f"].choose(&mut random).unwrap();
            let other = *["a", "b", "c"].choose(&mut random).unwrap();
            let port = format!("80-{}", random.random_range(3000..3010));
            let command: &[&str] = &match random.random_range(0..10) {
                0 => {
                    let mut run = place.command(env!("CARGO_BIN_EXE_conductor"));
                    run.args(["-q", "run", "img", name, "sleep", "infinity"]);
                    run.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
                    runs.push(run.spawn().unwrap());
                    continue;
                }
                1 => vec!["run", "img", name, "true"],
                2 => vec!["exec", name, "true"],
                3 => vec!["addnetwork", name, "-i", "-e", &port],
                4 => vec!["addnetwork", name],
                5 => vec!["peer", name, other],
                6 | 7 => vec!["stop", name],
                8 => vec!["ps", "--json"],
                _ => vec!["build", "img"],
            };
            let done = place.conductor(command.iter().copied()).output().unwrap();
            let message = String::from_utf8_lossy(&done.stderr).into_owned();
            let status = done.status.code();
            assert!(matches!(status, Some(0 | 1 | 125 | 137)), "{command:?}: {status:?}: {message}");
            assert!(!message.contains("panicked"), "{command:?}: {message}");
            if command[0] == "ps" || command[0] == "build" {
                assert_eq!(status, Some(0), "{command:?}: {message}");
            }
            count += 1;
        }
        (runs, count)
    };
    let (mut runs, mut count) = (Vec::new(), 0);
    std::thread::scope(|scope| {
        let threads: Vec<_> = seeds.iter().map(|seed| scope.spawn(move || work(*seed))).collect();
        for thread in threads {
            let (started, commands) = thread.join().unwrap();
            runs.extend(started);
            count += commands;
        }
    });
    eprintln!("{count} commands by {workers} processes in {seconds} s");
    // A run of the last moment may start its container only now.
    while !stopped_all(&place) || runs.iter_mut().any(|run| run.try_wait().unwrap().is_none()) {
        assert!(end.elapsed() < Duration::from_secs(300), "a run does not end, and no container is there");
        std::thread::sleep(Duration::from_millis(20));
    }
    place.conductor(["run", "img", "sweep", "true"]).assert().success();
    place.conductor(["stop", "sweep"]).assert().success();
    host.check("after all");
    assert_eq!(place.half_made(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn four_processes_at_once_for_two_seconds_do_not_disturb_each_other() {
    at_once(4, 2);
}

#[test]
#[ignore = "slow: twenty processes for five minutes"]
fn twenty_processes_at_once_for_five_minutes_do_not_disturb_each_other() {
    at_once(20, setting("CONDUCTOR_SECONDS", 300));
}
