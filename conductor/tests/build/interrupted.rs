//! Builds that are interrupted or killed, and what the next command cleans up.

use super::*;

#[test]
fn what_a_killed_build_left_is_cleaned_up_by_the_next() {
    let Some(place) = Playground::new() else { return };
    let dead = place.path().join(".cache/layers/.half-made-new-1-dead/diff/etc");
    fs::create_dir_all(&dead).unwrap();
    fs::create_dir_all(place.path().join(".cache/base/.half-made-new-1-dead/bin")).unwrap();
    place.build("RUN true\n").success();
    assert_eq!(place.half_made(), Vec::<PathBuf>::new());
}

#[test]
fn ctrl_c_ends_a_build_and_the_command_it_runs() {
    let Some(place) = Playground::new() else { return };
    fs::write(place.path().join(".cache/base/debian-bookworm/etc/passwd"), "root:x:0:0::/:\nno:x:9:9::/:\n")
        .unwrap();
    // Process 1 of a PID namespace ignores SIGINT, so conductor must end it. And the kernel does
    // not end a process with its parent after the process has changed its user.
    for command in
        ["echo started; sleep 98762; echo over", "exec su no -s /bin/sh -c 'echo started; sleep 98762'"]
    {
        interrupted(&place, command);
    }
}

fn interrupted(place: &Playground, command: &str) {
    place.write("Conductorfile", &format!("FROM debian:bookworm\nRUN {command}\n"));
    let mut build = place.command(env!("CARGO_BIN_EXE_conductor"));
    // If the tests run in the background, their shell may have made them ignore SIGINT.
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
    // The pipe closes when the last process that has it open has ended.
    assert_eq!(lines.next(), None);
    assert!(!place.path().join(".images/img").exists());
}

#[test]
fn what_a_killed_build_rmi_or_rmcache_left_goes_with_the_next_build() {
    let Some(place) = Playground::new() else { return };
    for folder in [".cache", ".cache/base", ".cache/layers", ".images"] {
        place.write(&format!("{folder}/.half-made-removed-1-2/removed/file"), "");
    }
    assert_eq!(place.half_made().len(), 4);
    place.build("RUN true\n").success();
    assert_eq!(place.half_made(), Vec::<PathBuf>::new());
}

#[test]
fn a_run_that_protects_files_with_chattr_leaves_nothing_that_cannot_be_deleted() {
    let Some(place) = Playground::new() else { return };
    let Ok(libraries) = Command::new("ldd").arg("/usr/bin/chattr").output() else {
        eprintln!("skipped: needs ldd and /usr/bin/chattr");
        return;
    };
    let libraries = String::from_utf8(libraries.stdout).unwrap();
    for path in libraries.split_whitespace().filter(|word| word.starts_with('/')).chain(["/usr/bin/chattr"]) {
        let copy = place.path().join(".cache/base/debian-bookworm").join(&path[1..]);
        fs::create_dir_all(copy.parent().unwrap()).unwrap();
        fs::copy(path, copy).unwrap();
    }
    place.build("RUN chattr +i /etc/resolv.conf\n").success();
    place.build("RUN echo x > /x && chattr +i /x && false\n").failure();
    assert_eq!(place.half_made(), Vec::<PathBuf>::new());
    place.build("RUN mkdir /d && echo x > /d/x && chattr +i /d/x && chattr +a /d\n").success();
    place.conductor(["run", "img", "eg", "sh", "-c", "echo a > /a; chattr +i /a"]).assert().success();
    place.conductor(["stop", "eg"]).assert().success();
    place.conductor(["rmcache", "--force"]).assert().success();
    assert_eq!(fs::read_dir(place.path().join(".cache")).unwrap().count(), 0);
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
        // Standard output closes when the last process that has it open has ended.
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
