//! `run`, `exec`, `ps` and `stop`.

#![allow(clippy::unwrap_used)]

#[path = "containers/processes.rs"]
mod processes;
#[path = "containers/stop.rs"]
mod stop;
mod support;

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use predicates::prelude::*;
use predicates::str::{contains, is_match};
use support::{Playground, wait_for};

/// A playground with the image `img`.
fn place() -> Option<Playground> {
    let place = Playground::new()?;
    place.build("").success();
    Some(place)
}

fn namespaces_of(pid: &str) -> Vec<String> {
    let link = |name| fs::read_link(format!("/proc/{pid}/ns/{name}")).unwrap().display().to_string();
    ["uts", "pid", "net", "mnt", "ipc"].map(link).to_vec()
}

#[test]
fn run_gives_the_commands_output_and_status() {
    let Some(place) = place() else { return };
    place
        .conductor(["run", "img", "eg", "--", "sh", "-c", "echo out; echo err >&2; exit 7"])
        .assert()
        .code(7)
        .stdout("CS695 Conductor that manages containers\nout\n")
        .stderr("err\n");
}

#[test]
fn a_command_ended_by_a_signal_has_the_shells_status() {
    let Some(place) = place() else { return };
    // Sent from outside: process 1 gets no signal from inside that it has no handler for.
    let mut run = place.start("eg", &["sleep", "infinity"]);
    kill(Pid::from_raw(place.first_pid("eg")), Signal::SIGKILL).unwrap();
    assert_eq!(run.wait().unwrap().code(), Some(137));
}

#[test]
fn the_first_process_is_one_and_sees_its_own_proc_sys_and_dev() {
    let Some(place) = place() else { return };
    let script = "echo pid $$; ps -o pid,args; hostname; stat -c %a /; ls /sys/class/net; stat -c %d /dev; \
                  test -c /dev/null && echo null; test -w /dev/pts/ptmx && echo ptmx";
    let device = nix::sys::stat::stat("/dev").unwrap().st_dev;
    place
        .conductor(["-q", "run", "img", "eg", "--", "sh", "-c", script])
        .assert()
        .success()
        .stdout(contains("pid 1\n").and(contains("eg\n")).and(contains("755\nlo\n")))
        .stdout(contains(format!("\n{device}\nnull\nptmx\n")))
        // ps itself, the shell, and the header. No process of the host appears.
        .stdout(is_match(r"PID +COMMAND\n +1 sh -c[^\n]*\n +[0-9]+ [^\n]*\neg\n").unwrap());
}

#[test]
fn devices_that_are_bound_over_files_are_devices_in_the_container_too() {
    let Some(place) = place() else { return };
    let script = "mkdir kept && mount --rbind /dev kept && mount -t tmpfs -o mode=755 tmpfs /dev && \
                  mkdir /dev/pts /dev/shm && for device in null zero tty; do \
                  touch /dev/$device && mount --bind kept/$device /dev/$device || exit; done";
    assert!(place.command("sh").args(["-c", script]).status().unwrap().success());
    place
        .conductor([
            "-q",
            "run",
            "img",
            "eg",
            "--",
            "sh",
            "-c",
            "for d in null zero tty; do test -c /dev/$d && echo $d; done",
        ])
        .assert()
        .success()
        .stdout("null\nzero\ntty\n");
}

#[test]
fn the_root_can_be_entered_by_everybody_whatever_the_callers_umask() {
    let Some(place) = place() else { return };
    let mut run = place.command(env!("CARGO_BIN_EXE_conductor"));
    run.args(["-q", "run", "img", "eg", "--", "sh", "-c", "stat -c %a /; umask"]);
    let narrow = || {
        nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o077));
        Ok(())
    };
    // SAFETY: one system call between fork and exec.
    unsafe { run.pre_exec(narrow) };
    assert_cmd::Command::from_std(run).assert().success().stdout("755\n0022\n");
}

#[test]
fn the_root_has_the_owner_mode_and_attributes_of_the_images() {
    let Some(place) = place() else { return };
    let stat = "stat -c '%u:%g %a' /";
    place.build(&format!("RUN chown 1000:1001 / && chmod 1777 /\nRUN {stat}\n")).success();
    let top = place.layers("img").pop().unwrap();
    let no_flags = rustix::fs::XattrFlags::empty();
    // user::rwx user:1000:rwx group::r-x mask::rwx other::r-x, as setfacl(1) writes it.
    let acl = b"\x02\0\0\0\x01\0\x07\0\xff\xff\xff\xff\x02\0\x07\0\xe8\x03\0\0\x04\0\x05\0\xff\xff\xff\xff\
                \x10\0\x07\0\xff\xff\xff\xff\x20\0\x05\0\xff\xff\xff\xff";
    for (name, value) in [("user.note", b"x".as_slice()), ("system.posix_acl_default", acl)] {
        rustix::fs::setxattr(&top, name, value, no_flags).unwrap();
    }
    let run = ["-q", "run", "img", "eg", "sh", "-c", stat];
    place.conductor(run).assert().success().stdout("1000:1001 1777\n");
    let upper = place.path().join(".containers/eg/upper");
    for (name, length) in [("user.note", 1), ("system.posix_acl_default", acl.len())] {
        assert_eq!(rustix::fs::getxattr(&upper, name, &mut [0; 64][..]).unwrap(), length, "{name}");
    }
}

#[test]
fn run_makes_five_namespaces_and_exec_joins_all_of_them_and_the_root() {
    let Some(place) = place() else { return };
    place.keep_running("eg", &["sleep", "infinity"]);
    let host = namespaces_of(&place.pid().to_string());
    let first = namespaces_of(&place.first_pid("eg").to_string());
    assert!(first.iter().zip(&host).all(|(ours, hosts)| ours != hosts), "{first:?} and {host:?}");
    let script = "for n in uts pid net mnt ipc; do readlink /proc/self/ns/$n; done; stat -c %d:%i /";
    let inside = place.exec("eg", ["sh", "-c", script]);
    let root = nix::sys::stat::stat(Path::new(&format!("/proc/{}/root/", place.first_pid("eg")))).unwrap();
    assert_eq!(inside, format!("{}\n{}:{}\n", first.join("\n"), root.st_dev, root.st_ino));
}

#[test]
fn exec_shows_only_the_container_and_leaves_it_running() {
    let Some(place) = place() else { return };
    place.keep_running("eg", &["sleep", "infinity"]);
    place
        .conductor(["exec", "eg", "--", "ps", "-o", "pid,args"])
        .assert()
        .success()
        .stdout(contains("Executing exec in eg container!\n"))
        .stdout(is_match(r"PID +COMMAND\n +1 sleep infinity\n +[0-9]+ ps -o pid,args\n$").unwrap());
    place.conductor(["exec", "eg", "sh", "-c", "exit 9"]).assert().code(9);
    place.conductor(["exec", "eg", "sh", "-c", "kill -9 $$"]).assert().code(137);
    place.conductor(["exec", "eg", "nosuch"]).assert().code(127).stderr(contains("cannot execute nosuch"));
    place.conductor(["exec", "eg", "/etc/motd"]).assert().code(126).stderr(contains("Permission denied"));
    place.conductor(["ps"]).assert().success().stdout(contains("running"));
}

#[test]
fn without_a_command_both_start_a_bash() {
    let Some(place) = place() else { return };
    let bash = "echo the shell is $$";
    place.conductor(["-q", "run", "img", "eg"]).write_stdin(bash).assert().stdout("the shell is 1\n");
    place.keep_running("bg", &["sleep", "infinity"]);
    place.conductor(["-q", "exec", "bg"]).write_stdin("echo $0").assert().stdout(contains("sh\n"));
}

#[test]
fn the_environment_is_the_containers() {
    let Some(place) = place() else { return };
    place.keep_running("eg", &["sleep", "infinity"]);
    for args in [["-q", "run", "img", "other", "env"].as_slice(), &["-q", "exec", "eg", "env"]] {
        place
            .conductor(args.iter().copied())
            .env("SECRET_OF_THE_HOST", "x")
            .assert()
            .success()
            .stdout(contains("SECRET").not())
            .stdout(contains("HOME=/root\n").and(is_match("PATH=.*:/bin\n").unwrap()));
    }
}

#[test]
fn nothing_open_in_the_caller_is_open_in_the_container() {
    let Some(place) = place() else { return };
    place.keep_running("eg", &["sleep", "infinity"]);
    let script = |first: &str| {
        let conductor = env!("CARGO_BIN_EXE_conductor");
        format!("exec 7</etc/passwd; exec {conductor} -q {first} -- ls /proc/self/fd")
    };
    for first in ["run img other", "exec eg"] {
        let mut shell = place.command("/bin/sh");
        shell.args(["-c", &script(first)]);
        // ls itself opens the last one to read the list.
        assert_cmd::Command::from_std(shell).assert().success().stdout("0\n1\n2\n3\n");
    }
}

#[test]
fn what_cannot_be_run_leaves_nothing_behind() {
    let Some(place) = place() else { return };
    let cases: [(&[&str], i32, &str); 5] = [
        (&["run", "img", "eg", ""], 127, "cannot execute '': No such file"),
        (&["run", "nosuch", "eg"], 125, "no image 'nosuch'"),
        (&["run", "img", "eg", "nosuch"], 127, "cannot execute nosuch: No such file"),
        (&["run", "img", "eg", "/etc/motd"], 126, "cannot execute /etc/motd: Permission denied"),
        (&["run", "img", "../eg"], 2, "contains '/'"),
    ];
    for (args, status, message) in cases {
        place.conductor(args.iter().copied()).assert().code(status).stderr(contains(message));
        assert_eq!(place.containers(), Vec::<String>::new());
    }
}

#[test]
fn a_name_is_used_once_until_stop() {
    let Some(place) = place() else { return };
    place.conductor(["run", "img", "eg", "sh", "-c", "echo kept > /file"]).assert().success();
    let again = "container 'eg' exists already: `stop eg` deletes it";
    place.conductor(["run", "img", "eg", "true"]).assert().code(125).stderr(contains(again));
    let kept = fs::read_to_string(place.path().join(".containers/eg/upper/file")).unwrap();
    assert_eq!(kept, "kept\n");
    place.conductor(["exec", "eg", "true"]).assert().code(125).stderr(contains("'eg' has exited"));
    place.conductor(["stop", "eg"]).assert().success();
    place.conductor(["run", "img", "eg", "true"]).assert().success();
}

#[test]
fn unknown_containers_are_named_in_the_error() {
    let Some(place) = place() else { return };
    let commands: [(&[&str], i32); 4] =
        [(&["exec", "eg"], 125), (&["stop", "eg"], 1), (&["addnetwork", "eg"], 1), (&["peer", "eg", "x"], 1)];
    for (args, status) in commands {
        let refused = place.conductor(args.iter().copied()).assert().code(status);
        refused.stderr(contains("no container 'eg': `ps` lists the containers"));
    }
}

#[test]
fn ps_lists_running_and_exited_containers_until_they_are_stopped() {
    let Some(place) = place() else { return };
    place.conductor(["-q", "ps"]).assert().success().stdout("No containers found\n");
    place.conductor(["run", "img", "gone", "true"]).assert().success();
    place.keep_running("here", &["sleep", "infinity"]);
    place.conductor(["-q", "ps"]).assert().stdout(
        is_match(r"^Name {17}Date {7}Status\ngone {17}[0-9-]{10} exited\nhere {17}[0-9-]{10} running\n$")
            .unwrap(),
    );
    let json = place.conductor(["ps", "--json"]).unwrap().stdout;
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(json[0]["status"], "exited");
    assert_eq!(json[1]["pid"], place.first_pid("here"));
    assert_eq!(json[1]["image"], "img");
    for name in ["gone", "here"] {
        place.conductor(["-q", "stop", name]).assert().stdout(format!("{name} succesfully removed\n"));
    }
    place.conductor(["-q", "ps"]).assert().stdout("No containers found\n");
}

#[test]
fn one_overlay_is_mounted_while_a_container_runs_and_none_after() {
    let Some(place) = place() else { return };
    let mut run = place.start("eg", &["sleep", "infinity"]);
    let table = fs::read_to_string(format!("/proc/{}/mountinfo", place.first_pid("eg"))).unwrap();
    let overlays: Vec<&str> = table.lines().filter(|line| line.contains(" - overlay ")).collect();
    assert_eq!(overlays.len(), 1, "{table}");
    assert!(overlays[0].contains(" / / "), "it is the root: {}", overlays[0]);
    for layer in place.layers("img") {
        assert!(overlays[0].contains(&*layer.to_string_lossy()), "{layer:?} is a layer of {}", overlays[0]);
    }
    assert_eq!(place.mounts(), Vec::<String>::new(), "the host has nothing mounted");

    place.exec("eg", ["sh", "-c", "echo changed > /etc/motd; rm /etc/passwd; mkdir /new"]);
    let base = &place.layers("img")[0];
    assert_eq!(fs::read_to_string(base.join("etc/motd")).unwrap(), "hello\n");
    assert!(base.join("etc/passwd").exists() && !base.join("new").exists());

    place.conductor(["stop", "eg"]).assert().success();
    assert_eq!(run.wait().unwrap().code(), Some(137));
    assert_eq!(place.containers(), Vec::<String>::new());
}

#[test]
fn several_commands_at_once_are_told_apart() {
    let Some(place) = place() else { return };
    place.keep_running("eg", &["sleep", "infinity"]);
    let execs: Vec<_> = (0..8)
        .map(|number| {
            let mut exec = place.command(env!("CARGO_BIN_EXE_conductor"));
            exec.args(["-q", "exec", "eg", "--", "sh", "-c", &format!("echo {number}; exit {number}")]);
            exec.stdout(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    for (number, exec) in execs.into_iter().enumerate() {
        let output = exec.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(number as i32));
        assert_eq!(output.stdout, format!("{number}\n").into_bytes());
    }
    // Only one of many commands that want the same name gets it.
    let runs: Vec<_> = (0..8)
        .map(|_| {
            let mut run = place.command(env!("CARGO_BIN_EXE_conductor"));
            run.args(["-q", "run", "img", "one", "true"]).stderr(Stdio::null()).spawn().unwrap()
        })
        .collect();
    let statuses: Vec<_> = runs.into_iter().map(|mut run| run.wait().unwrap().code().unwrap()).collect();
    let distinct: HashSet<_> = statuses.iter().copied().collect();
    assert_eq!(statuses.iter().filter(|status| **status == 0).count(), 1, "{statuses:?}");
    assert_eq!(distinct, HashSet::from([0, 125]));
    assert_eq!(place.half_made(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn state_is_only_roots() {
    let Some(place) = place() else { return };
    place.conductor(["run", "img", "eg", "true"]).assert().success();
    let mode = fs::metadata(place.path().join(".containers")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn the_container_knows_its_own_name() {
    let Some(place) = place() else { return };
    let run = |name: &str, image: &str| {
        place.conductor(["-q", "run", image, name, "--", "cat", "/etc/hosts"]).assert().success()
    };
    run("eg", "img")
        .stdout("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n127.0.1.1\teg\n");
    let mode =
        fs::metadata(place.path().join(".containers/eg/upper/etc/hosts")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o644);
    place.build("RUN printf '127.0.0.1 localhost\\n10.0.0.1 two' > /etc/hosts\n").success();
    run("one", "img").stdout("127.0.0.1 localhost\n10.0.0.1 two\n127.0.1.1\tone\n");
    run("two", "img").stdout("127.0.0.1 localhost\n10.0.0.1 two");
    // Nothing waits for the other end of a pipe, and a link leads to a file of the container.
    place.build("RUN mkfifo /etc/hosts\n").success();
    place.conductor(["run", "img", "pipe", "true"]).assert().success();
    place.build("RUN ln -s /home-of-hosts /etc/hosts\n").success();
    place.conductor(["run", "img", "link", "--", "grep", "link", "/home-of-hosts"]).assert().success();
}

#[test]
fn the_callers_keys_stay_outside() {
    let Some(place) = place() else { return };
    let has_key = |mut command: Command| {
        // SAFETY: only system calls between fork and exec.
        unsafe { command.pre_exec(make_key) };
        let output = command.output();
        output.ok().map(|output| String::from_utf8_lossy(&output.stdout).contains("conductor-secret"))
    };
    let mut here = place.command("cat");
    here.arg("/proc/keys");
    if has_key(here) != Some(true) {
        eprintln!("skipped: this host gives no keys");
        return;
    }
    place.keep_running("bg", &["sleep", "infinity"]);
    place.write("Conductorfile", "FROM debian:bookworm\nRUN echo seen; cat /proc/keys\n");
    for args in [
        &["-q", "run", "img", "eg", "cat", "/proc/keys"][..],
        &["-q", "exec", "bg", "cat", "/proc/keys"],
        &["build", "keys"],
    ] {
        let mut command = place.command(env!("CARGO_BIN_EXE_conductor"));
        command.args(args);
        assert_eq!(has_key(command), Some(false), "{args:?}");
    }
}

/// Joins a new session keyring with a key that only its possessor can see.
fn make_key() -> std::io::Result<()> {
    use nix::libc::{self, syscall};
    const POSSESSOR_ALL: u32 = 0x3f00_0000;
    // SAFETY: the kernel reads the strings, and they are static.
    let key = unsafe {
        syscall(libc::SYS_keyctl, libc::KEYCTL_JOIN_SESSION_KEYRING, std::ptr::null::<u8>());
        let (kind, name) = (c"user".as_ptr(), c"conductor-secret".as_ptr());
        let key = syscall(libc::SYS_add_key, kind, name, c"x".as_ptr(), 1, libc::KEY_SPEC_SESSION_KEYRING);
        if key >= 0 { syscall(libc::SYS_keyctl, libc::KEYCTL_SETPERM, key, POSSESSOR_ALL) } else { key }
    };
    nix::errno::Errno::result(key)?;
    Ok(())
}

#[test]
fn whatever_the_image_has_as_hosts_file_the_container_runs() {
    let Some(place) = Playground::new() else { return };
    for hosts in
        ["mkdir /etc/hosts", "ln -s /proc/sys/kernel/hostname /etc/hosts", "ln -s /dev/full /etc/hosts"]
    {
        place.build(&format!("RUN rm -f /etc/hosts && {hosts}\n")).success();
        place.conductor(["-q", "run", "img", "eg", "echo", "runs"]).assert().success().stdout("runs\n");
        place.conductor(["stop", "eg"]).assert().success();
    }
}
