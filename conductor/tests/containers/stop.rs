//! `stop`, and what it cleans up.

use super::*;

#[test]
fn stop_kills_processes_however_they_hide() {
    let Some(place) = place() else { return };
    let hide = "trap '' TERM INT HUP QUIT; (setsid sh -c 'trap \"\" TERM; echo 1 > /hid; sleep 4242' &) ; \
                sleep 4242";
    let mut run = place.start("eg", &["sh", "-c", hide]);
    wait_for(|| place.path().join(".containers/eg/upper/hid").exists());
    place.exec("eg", ["sh", "-c", "(setsid sleep 4242 >/dev/null 2>&1 &)"]);
    let namespace = fs::read_link(format!("/proc/{}/ns/pid", place.first_pid("eg"))).unwrap();
    let members = || {
        let entries = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
        let inside = |path: &Path| fs::read_link(path.join("ns/pid")).is_ok_and(|link| link == namespace);
        entries.filter(|entry| inside(&entry.path())).count()
    };
    wait_for(|| members() == 3);
    place.conductor(["stop", "eg"]).assert().success();
    // Its first process is a zombie until `run` has waited for it.
    run.wait().unwrap();
    assert_eq!(members(), 0);
}

#[test]
fn stop_cleans_up_after_a_conductor_that_was_killed() {
    let Some(place) = place() else { return };
    let mut run = place.start("eg", &["sleep", "infinity"]);
    let first = place.first_pid("eg");
    run.kill().unwrap();
    run.wait().unwrap();
    place.conductor(["ps"]).assert().stdout(contains("running"));
    place.conductor(["stop", "eg"]).assert().success();
    // Its parent is gone: the init of the machine may need a moment to reap it.
    let stat = fs::read_to_string(format!("/proc/{first}/stat")).unwrap_or_default();
    assert!(stat.is_empty() || stat.contains(") Z "), "{stat}");
    assert_eq!(place.containers(), Vec::<String>::new());
}

#[test]
fn stop_never_kills_another_process_that_has_the_pid_now() {
    let Some(place) = place() else { return };
    place.conductor(["run", "img", "eg", "true"]).assert().success();
    // A process is identified by its PID and its start time in clock ticks. The stranger must start
    // in a later tick.
    std::thread::sleep(std::time::Duration::from_millis(50));
    let mut stranger = Command::new("sleep").arg("600").spawn().unwrap();
    let path = place.path().join(".containers/eg/process.json");
    let mut json: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    json["pid"] = stranger.id().into();
    fs::write(&path, json.to_string()).unwrap();
    place.conductor(["ps"]).assert().stdout(contains("exited"));
    place.conductor(["stop", "eg"]).assert().success();
    assert!(stranger.try_wait().unwrap().is_none(), "it lives");
    stranger.kill().unwrap();
    stranger.wait().unwrap();
}

#[test]
fn a_folder_that_is_no_container_is_left_alone() {
    let Some(place) = place() else { return };
    let precious = place.write(".containers/notes/file", "data");
    place.write(".containers/pictures/image/file", "data");
    let said = "no container 'notes': conductor did not make ";
    place.conductor(["stop", "notes"]).assert().code(1).stderr(contains(said));
    place.conductor(["exec", "notes", "true"]).assert().code(125).stderr(contains(said));
    place.conductor(["run", "img", "notes", "true"]).assert().code(125).stderr(contains(said));
    place.conductor(["stop", "pictures"]).assert().code(1).stderr(contains("no container 'pictures'"));
    assert_eq!(fs::read_to_string(precious).unwrap(), "data");
    place.conductor(["ps"]).assert().success().stdout(contains("No containers found"));
    // It keeps nobody from work either.
    place.conductor(["run", "img", "eg", "true"]).assert().success();
    place.conductor(["stop", "eg"]).assert().success();
    place.conductor(["rmcache", "--force"]).assert().success();
    assert!(place.path().join(".containers/pictures/image/file").exists());
}

#[test]
fn a_file_or_a_link_with_the_name_of_a_container_is_left_alone() {
    let Some(place) = place() else { return };
    place.conductor(["run", "img", "eg", "true"]).assert().success();
    place.write(".containers/file", "data");
    let containers = place.path().join(".containers");
    for (name, target) in [("link", "eg"), ("dangling", "nowhere")] {
        std::os::unix::fs::symlink(target, containers.join(name)).unwrap();
    }
    let said = "conductor did not make ";
    for name in ["file", "link", "dangling"] {
        place.conductor(["run", "img", name, "true"]).assert().code(125).stderr(contains(said));
        place.conductor(["stop", name]).assert().code(1).stderr(contains(said));
        assert!(containers.join(name).symlink_metadata().is_ok(), "{name}");
    }
    assert!(containers.join("eg/image").exists());
}

#[test]
fn stop_unmounts_what_somebody_mounted_in_the_container_folder() {
    let Some(place) = place() else { return };
    place.conductor(["run", "img", "eg", "true"]).assert().success();
    let precious = place.write("precious/file", "data");
    let target = place.path().join(".containers/eg/rootfs");
    let mut mount = place.command("/bin/mount");
    mount.arg("--bind").arg(place.path().join("precious")).arg(&target);
    assert!(mount.status().unwrap().success());
    place.conductor(["stop", "eg"]).assert().success();
    assert_eq!(place.mounts(), Vec::<String>::new());
    assert_eq!(fs::read_to_string(precious).unwrap(), "data");
}

#[test]
fn stop_unmounts_also_where_a_link_leads_to_the_containers() {
    let Some(place) = place() else { return };
    fs::create_dir(place.path().join("real")).unwrap();
    std::os::unix::fs::symlink("real", place.path().join("link")).unwrap();
    let conductor = |args: &[&str]| {
        let mut command = place.conductor(args.iter().copied());
        command.env("CONTAINERDIR", place.path().join("link"));
        command
    };
    conductor(&["run", "img", "eg", "true"]).assert().success();
    let target = place.path().join("link/eg/rootfs");
    let mounted = place.command("/bin/mount").args(["-t", "tmpfs", "tmpfs"]).arg(target).status();
    assert!(mounted.unwrap().success());
    conductor(&["stop", "eg"]).assert().success();
    assert_eq!(place.mounts(), Vec::<String>::new());
}

#[test]
fn what_cannot_be_tidied_up_keeps_nobody_from_work() {
    let Some(place) = place() else { return };
    let left = place.path().join(".containers/.half-made-removed-1-2");
    fs::create_dir_all(&left).unwrap();
    let mounted = place.command("/bin/mount").args(["-t", "tmpfs", "tmpfs"]).arg(&left).status();
    assert!(mounted.unwrap().success());
    place.conductor(["run", "img", "eg", "true"]).assert().success();
    place.conductor(["stop", "eg"]).assert().success();
}

/// Starts `conductor exec eg sleep`, or another client, and stops it with SIGSTOP.
fn stopped_client(place: &Playground, mut client: Command) -> std::process::Child {
    let client = client.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    wait_for(|| place.exec("eg", ["ps", "-o", "args"]).contains("sleep 4243"));
    kill(Pid::from_raw(client.id() as i32), Signal::SIGSTOP).unwrap();
    client
}

fn ends_soon(mut child: std::process::Child) {
    let ended = std::cell::RefCell::new(&mut child);
    wait_for(|| ended.borrow_mut().try_wait().unwrap().is_some());
}

#[test]
fn a_stopped_exec_keeps_neither_stop_nor_run_waiting() {
    let Some(place) = place() else { return };
    for by_itself in [false, true] {
        let run = place.start("eg", &["sh", "-c", "until test -e /end; do sleep 0.1; done"]);
        let mut exec = place.command(env!("CARGO_BIN_EXE_conductor"));
        exec.args(["-q", "exec", "eg", "sleep", "4243"]);
        let exec = stopped_client(&place, exec);
        if by_itself {
            place.exec("eg", ["touch", "/end"]);
            ends_soon(run);
            place.conductor(["stop", "eg"]).assert().success();
        } else {
            place.conductor(["stop", "eg"]).timeout(std::time::Duration::from_secs(30)).assert().success();
            ends_soon(run);
        }
        ends_soon(exec);
    }
}

#[test]
fn stop_names_another_program_that_does_not_wait() {
    let Some(place) = place() else { return };
    let run = place.start("eg", &["sleep", "infinity"]);
    let mut enter = place.command("nsenter");
    enter.args(["-m", "-p", "-t", &place.first_pid("eg").to_string(), "sleep", "4243"]);
    let mut enter = stopped_client(&place, enter);
    let stop = || place.conductor(["stop", "eg"]).timeout(std::time::Duration::from_secs(30)).assert();
    stop().code(1).stderr(contains(format!("process {} does not wait for its child", enter.id())));
    kill(Pid::from_raw(enter.id() as i32), Signal::SIGCONT).unwrap();
    enter.wait().unwrap();
    stop().success();
    ends_soon(run);
}
