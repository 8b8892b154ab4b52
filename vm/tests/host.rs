//! Faults of the host, and other processes on it: a full disk, a killed harness, a
//! KVM that does not work.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod machine;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use vm::{Command, Disks, Error, Outcome, Request, Requested, Template, prepare};

/// The usual template, made if need be.
fn template() -> Template {
    let agent = Some(env!("CARGO_BIN_EXE_vm-agent").into());
    let request = Request { agent, setup: machine::setup(), ..Request::default() };
    prepare(&machine::cache(), &request, &mut |event| eprintln!("{event:?}")).unwrap()
}

#[test]
fn a_full_host_disk_is_the_infrastructure_s_fault() {
    use nix::mount::{MsFlags, mount};
    use nix::sched::{CloneFlags, unshare};
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: only root can make a small file system");
        return;
    }
    let template = template();
    let small = std::thread::spawn(move || {
        // Of this thread alone: the guest's overlay is made by it, and QEMU is given the open file.
        unshare(CloneFlags::CLONE_NEWNS).unwrap();
        let nothing = None::<&str>;
        mount(nothing, "/", nothing, MsFlags::MS_REC | MsFlags::MS_PRIVATE, nothing).unwrap();
        let scratch = machine::cache().root().join("scratch");
        mount(Some("small"), &scratch, Some("tmpfs"), MsFlags::empty(), Some("size=16m")).unwrap();
        let mut guest = template.restore(&Disks::default()).unwrap();
        let script = "dd if=/dev/urandom of=/big bs=1M count=64 conv=fsync 2>/dev/null; sleep 100";
        let outcome = guest.run(&Command::new(["/bin/bash", "-c", script]), &mut |_| {});
        assert!(matches!(outcome, Outcome::HostDiskFull(_)), "{outcome:?}");
        assert!(outcome.is_infrastructure());

        drop(guest);
        fs::write(scratch.join("rest"), vec![0; 17 << 20]).unwrap_err();
        let error = vm::chain(&template.restore(&Disks::default()).unwrap_err());
        assert!(error.contains("No space left on device"), "{error}");
    });
    small.join().unwrap();
}

/// The QEMUs that a process started.
fn children(parent: u32) -> Vec<u32> {
    let stat = |pid: u32| fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok())
        .filter(|&pid| {
            let stat = stat(pid);
            let after_name = stat.rsplit(')').next().unwrap_or_default();
            after_name.split_whitespace().nth(1) == Some(&parent.to_string())
        })
        .collect()
}

#[test]
fn a_killed_harness_leaves_no_qemu_and_no_file() {
    template();
    let mut harness = std::process::Command::new(example("shell"))
        .args(["sh", "-c", "echo running; sleep 1000"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(harness.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "running\n");
    let qemu = children(harness.id());
    assert_eq!(qemu.len(), 1);
    harness.kill().unwrap();
    harness.wait().unwrap();
    // Its signal is sent when its parent is gone; it is only given time to act on it.
    let gone = || fs::read(format!("/proc/{}/cmdline", qemu[0])).map_or(true, |words| words.is_empty());
    for _ in 0..600 {
        if gone() {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(gone(), "QEMU {} is still there", qemu[0]);
    let scratch = machine::cache().root().join("scratch");
    assert_eq!(fs::read_dir(scratch).unwrap().count(), 0);
}

/// Cargo puts examples beside the directory of the test programs.
fn example(name: &str) -> std::path::PathBuf {
    let this = std::env::current_exe().unwrap();
    let target: &Path = this.parent().unwrap().parent().unwrap();
    target.join("examples").join(name)
}

#[test]
fn kvm_that_does_not_work_is_refused_in_one_sentence() {
    template();
    if vm::doctor(&machine::cache()).unwrap().kvm == vm::Kvm::Works {
        return;
    }
    let request = Request { accel: Requested::Kvm, setup: machine::setup(), ..Request::default() };
    let error = prepare(&machine::cache(), &request, &mut |_| {}).unwrap_err();
    assert!(matches!(error, Error::Accelerator(_)), "{error:?}");
    assert!(error.to_string().starts_with("KVM was asked for, but "), "{error}");
    assert_eq!(error.to_string().lines().count(), 1);
}

#[test]
#[ignore = "slow: two processes boot a machine in a new cache"]
fn two_that_prepare_at_once_make_one_template() {
    template();
    let dir = tempfile::tempdir().unwrap();
    let images = machine::cache().root().join("images");
    std::os::unix::fs::symlink(images, dir.path().join("images")).unwrap();
    let start = || {
        std::process::Command::new(example("shell"))
            .args(["hostname"])
            .env("HARNESS_CACHE", dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let both = [start(), start()].map(|child| child.wait_with_output().unwrap());
    let mut boots = 0;
    for output in both {
        let progress = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.stdout, b"cs695\n", "{progress}");
        boots += progress.matches("booting").count() - progress.matches("another run is booting").count();
    }
    assert_eq!(boots, 1);
    assert_eq!(fs::read_dir(dir.path().join("templates")).unwrap().count(), 1);
}
