//! `conductor` killed at any moment, and many commands at once: nothing is lost, and nothing stays
//! behind.

#![allow(clippy::unwrap_used)]

#[path = "faults/host.rs"]
mod host;
mod support;

use std::collections::HashSet;
use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use host::{Host, place, state};
use support::Playground;

/// Kills a command after `delay`. Returns whether it had ended before.
fn kill_after(place: &Playground, args: &[&str], delay: Duration) -> bool {
    let mut command = place.command(env!("CARGO_BIN_EXE_conductor"));
    let mut child =
        command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(delay);
    let ended = child.try_wait().unwrap().is_some();
    let _ = child.kill();
    child.wait().unwrap();
    ended
}

/// Kills each command at `moments` moments spread over its duration, and recovers every time.
fn kill_at(moments: u32) {
    let Some(place) = place() else { return };
    let host = Host::prepare(&place);
    let stop = |name: &str| {
        // If there is nothing to stop, nothing stayed behind.
        let _ = place.conductor(["stop", name]).ok();
        // The next command that creates something deletes half-made directories.
        place.conductor(["run", "img", "sweep", "true"]).assert().success();
        place.conductor(["stop", "sweep"]).assert().success();
    };
    let addnetwork = ["addnetwork", "eg", "-i", "-e", "80-3000", "-e", "81-3001"];
    for moment in 0..moments {
        // Quadratic: most happens in the first moments.
        let delay = Duration::from_micros(u64::from(moment * moment) * 40_000 / u64::from(moments * moments));

        kill_after(&place, &["run", "img", "eg", "sleep", "infinity"], delay);
        stop("eg");
        host.check(&format!("run, killed after {delay:?}"));

        let mut run = place.start("eg", &["sleep", "infinity"]);
        kill_after(&place, &["exec", "eg", "sleep", "infinity"], delay);
        kill_after(&place, &addnetwork, delay);
        // The command is completed now, or it was complete before the kill.
        let again = place.conductor(addnetwork).output().unwrap();
        let message = String::from_utf8(again.stderr).unwrap();
        assert!(again.status.success() || message.contains("already has a network"), "{delay:?}: {message}");
        kill_after(&place, &["stop", "eg"], delay);
        stop("eg");
        run.wait().unwrap();
        host.check(&format!("exec, addnetwork and stop, killed after {delay:?}"));
    }
}

#[test]
fn ten_kills_of_each_command_leave_nothing() {
    kill_at(10);
}

#[test]
#[ignore = "slow: a hundred kills of each command"]
fn a_hundred_kills_of_each_command_leave_nothing() {
    kill_at(100);
}

/// Simulates a power failure: copies the disk as it is, without the data that is only in memory.
#[test]
fn what_has_its_name_after_a_power_failure_is_whole() {
    let Some(place) = Playground::new() else { return };
    let host = |script: &str| {
        let output = place.command("/bin/sh").args(["-ec", script]).output().unwrap();
        output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
    };
    let disk = "truncate -s 64M disk; PATH=$PATH:/sbin:/usr/sbin mkfs.ext4 -q disk; mkdir mnt; mount -o loop disk mnt";
    if host(disk).is_none() {
        eprintln!("skipped: no ext4 on a loop device here");
        return;
    }
    assert!(host("mkdir mnt/cache; cp -a .cache/base mnt/cache; sync -f mnt").is_some());
    let text = "precious\n".repeat(1000);
    place.write("file", &text);
    let build = |steps: &str| {
        place.write("Conductorfile", &format!("FROM debian:bookworm\n{steps}"));
        place.conductor(["build", "img", "--cachedir", "mnt/cache", "--imagedir", "mnt/images"]).assert()
    };
    // Another program's fsync(2) writes the journal, and with it the names of everything created
    // before.
    let fail = || {
        let script = "echo x > mnt/other; sync mnt/other; cp disk crashed; umount mnt; mv crashed disk; mount -o loop disk mnt";
        assert!(host(script).is_some());
    };

    build("COPY file /copied\nRUN cat /copied > /run\nRUN exit 1\n").failure();
    fail();
    assert_eq!(host("cat mnt/cache/layers/*/diff/copied").unwrap(), text);
    assert_eq!(host("cat mnt/cache/layers/*/diff/run").unwrap(), text);
    assert_eq!(host("cat mnt/cache/layers/*/metadata | grep -c instruction").unwrap(), "2\n");

    build("COPY file /copied\n").success();
    fail();
    assert_eq!(host("tr : '\\n' < mnt/images/img/layers | wc -l").unwrap(), "2\n");
}

/// `workers` processes at once start, connect, peer and stop `containers` containers.
fn many_at_once(containers: usize, workers: usize) {
    let Some(place) = place() else { return };
    let host = Host::prepare(&place);
    let names: Vec<String> = (0..containers).map(|number| format!("c{number}")).collect();
    let in_parallel = |steps: &dyn Fn(&str) -> String| {
        let shares: Vec<Vec<&String>> =
            (0..workers).map(|worker| names.iter().skip(worker).step_by(workers).collect()).collect();
        let shells: Vec<_> = shares
            .into_iter()
            .map(|share| {
                let script: String = share.iter().map(|name| steps(name) + "\n").collect();
                let mut shell = place.command("/bin/sh");
                shell.args(["-ec", &script]).env("C", env!("CARGO_BIN_EXE_conductor"));
                shell.stdout(Stdio::null()).spawn().unwrap()
            })
            .collect();
        for mut shell in shells {
            assert!(shell.wait().unwrap().success());
        }
    };
    let port = |name: &str| 3000 + name[1..].parse::<usize>().unwrap();
    in_parallel(&|name| {
        format!(
            "$C run img {name} sleep infinity < /dev/null & until $C exec {name} true 2> /dev/null; do :; done; \
             $C addnetwork {name} -i -e 80-{}",
            port(name)
        )
    });
    let addresses: HashSet<String> = names
        .iter()
        .map(|name| {
            let path = place.path().join(".containers").join(name).join("network.json");
            let record: serde_json::Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
            record["address"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(addresses.len(), containers, "no address twice");
    in_parallel(&|name| {
        let next = (name[1..].parse::<usize>().unwrap() + 1) % containers;
        format!("$C peer {name} c{next}")
    });
    let rules = state(&place);
    for (at, name) in names.iter().enumerate() {
        let next = format!("c{}", (at + 1) % containers);
        assert!(
            rules.contains(&format!("\"{name}-outside\" . \"{next}-outside\"")),
            "{name} and {next}: {rules}"
        );
        assert!(rules.contains(&format!("{} : 192.168.", port(name))), "{name}: {rules}");
    }
    in_parallel(&|name| format!("$C stop {name}"));
    host.check("after all");
}

#[test]
fn six_containers_by_three_processes_at_once_do_not_get_in_each_others_way() {
    many_at_once(6, 3);
}

#[test]
#[ignore = "slow: fifty containers"]
fn fifty_containers_by_eight_processes_at_once_do_not_get_in_each_others_way() {
    many_at_once(50, 8);
}

#[test]
fn a_container_of_before_a_reboot_is_stopped_without_touching_another() {
    let Some(place) = place() else { return };
    let mut run = place.start("old", &["sleep", "infinity"]);
    place.conductor(["addnetwork", "old"]).assert().success();
    let folder = place.path().join(".containers/old");
    // After a reboot its processes, link and rules are gone, and another process has its PID.
    let record = fs::read(folder.join("process.json")).unwrap();
    let mut record: serde_json::Value = serde_json::from_slice(&record).unwrap();
    let script = "nft delete table inet conductor; ip link del old-outside";
    assert!(place.command("/bin/sh").args(["-c", script]).status().unwrap().success());
    run.kill().unwrap();
    run.wait().unwrap();
    Command::new("kill").args(["-9", &record["pid"].to_string()]).status().unwrap();
    let mut stranger = Command::new("sleep").arg("600").spawn().unwrap();
    record["boot"] = "00000000-0000-0000-0000-000000000000".into();
    record["pid"] = stranger.id().into();
    fs::write(folder.join("process.json"), record.to_string()).unwrap();
    place.keep_running("new", &["sleep", "infinity"]);
    place.conductor(["addnetwork", "new"]).assert().success();
    let before = state(&place);
    place.conductor(["stop", "old"]).assert().success();
    assert_eq!(state(&place), before);
    assert!(stranger.try_wait().unwrap().is_none());
    stranger.kill().unwrap();
    stranger.wait().unwrap();
}
