//! Real guests: one template in the default cache, made if need be, and a restored machine for each test.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod machine;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use vm::{
    Command, Disks, Error, GuestForward, Network, Outcome, Request, Requested, RestoreBy, STREAM, Template,
    disk_from_dir, prepare,
};

/// One test at a time: this machine may have two processors, and so has every guest.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn template() -> &'static Template {
    static TEMPLATE: OnceLock<Template> = OnceLock::new();
    TEMPLATE.get_or_init(|| make(RestoreBy::Auto).unwrap())
}

fn make(restore: RestoreBy) -> Result<Template, Error> {
    let agent = Some(env!("CARGO_BIN_EXE_vm-agent").into());
    let request = Request { restore, agent, setup: machine::setup(), ..Request::default() };
    prepare(&machine::cache(), &request, &mut |event| eprintln!("{event:?}"))
}

fn guest() -> vm::Guest {
    template().restore(&Disks::default(), &Network::default()).unwrap()
}

fn sh(script: &str) -> Command {
    Command::new(["/bin/bash", "-c", script])
}

/// What a script wrote in a guest where it ended well.
fn said(guest: &mut vm::Guest, script: &str) -> String {
    let mut text = String::new();
    let outcome = guest.run(&sh(script), &mut |line| {
        text += &String::from_utf8_lossy(line);
        text.push('\n');
    });
    assert!(matches!(outcome, Outcome::Exited { code: 0, .. }), "{script}: {outcome:?}");
    text
}

/// How a script in a guest of its own ended.
fn outcome_of(script: &str) -> Outcome {
    guest().run(&sh(script), &mut |_| {})
}

#[test]
fn a_program_gets_its_input_and_all_it_says_arrives() {
    let _turn = turn();
    let mut guest = guest();
    let input: Vec<u8> = (0..200_000u32).flat_map(|n| format!("{n}\n").into_bytes()).collect();
    let mut command = sh("cat; printf 'no newline'; echo 'to the side' >&2; exit 7");
    command.stdin.clone_from(&input);
    let mut output = Vec::new();
    let outcome = guest.run(&command, &mut |line| {
        output.extend_from_slice(line);
        output.push(b'\n');
    });
    assert_eq!(outcome, Outcome::Exited { code: 7, stderr: b"to the side\n".to_vec() });
    assert_eq!(output, [&input[..], b"no newline\n"].concat());

    assert_eq!(guest.run(&sh("kill -9 $$"), &mut |_| {}), Outcome::Exited { code: 137, stderr: vec![] });
    let missing = guest.run(&Command::new(["/no/such/program"]), &mut |_| {});
    assert!(
        matches!(&missing, Outcome::NotStarted { why } if why.contains("/no/such/program")),
        "{missing:?}"
    );
}

#[test]
fn a_descendant_that_stays_does_not_keep_the_verdict_back() {
    let _turn = turn();
    let outcome = outcome_of("sleep 1000 & echo started");
    assert!(matches!(outcome, Outcome::Exited { code: 0, .. }), "{outcome:?}");
}

#[test]
fn the_machine_is_the_one_that_submissions_expect() {
    let _turn = turn();
    let mut guest = guest();
    assert_eq!(said(&mut guest, "hostname"), "cs695\n");
    assert_eq!(said(&mut guest, "sudo -u cs695 sudo -n id -u"), "0\n");
    assert_eq!(said(&mut guest, "stat -f -c %T /sys/fs/cgroup"), "cgroup2fs\n");
    let handed_down = said(&mut guest, "cat /sys/fs/cgroup/cgroup.subtree_control");
    for controller in ["cpu", "cpuset"] {
        assert!(handed_down.split_whitespace().any(|word| word == controller), "{handed_down}");
    }
    let cards = said(&mut guest, "ip -br link | sort");
    for card in ["lan0", "uplink0", "world0"] {
        assert!(cards.lines().any(|line| line.starts_with(card) && line.contains("DOWN")), "{cards}");
    }
    assert_eq!(said(&mut guest, "ip -br addr | grep -v ^lo | awk 'NF > 2'"), "");
    assert_eq!(
        said(
            &mut guest,
            "cat /proc/self/oom_score_adj; ulimit -c >/dev/null; chrt -p $$ | head -1 | grep -c OTHER"
        ),
        "0\n1\n"
    );
    assert_eq!(said(&mut guest, "uname -r").trim(), template().kernel());
    assert_eq!(said(&mut guest, "systemctl --failed --no-legend | wc -l"), "0\n");
}

#[test]
fn restored_machines_know_the_time_and_differ_in_randomness() {
    let _turn = turn();
    let mut randoms = Vec::new();
    for _ in 0..2 {
        let mut guest = guest();
        let now: u64 = said(&mut guest, "date +%s").trim().parse().unwrap();
        let host = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        assert!(host.abs_diff(now) < 60, "{now} is not {host}");
        randoms.push(said(&mut guest, "od -An -tx8 -N16 /dev/urandom"));
    }
    assert_ne!(randoms[0], randoms[1]);
}

#[test]
fn disks_are_mounted_and_each_guest_sees_its_own() {
    let _turn = turn();
    let dir = tempfile::tempdir().unwrap();
    for text in ["first", "second, which is longer"] {
        let tree = dir.path().join("tree");
        fs::create_dir_all(tree.join("deep")).unwrap();
        fs::write(tree.join("deep/file"), text).unwrap();
        let disk = dir.path().join("disk");
        disk_from_dir(&tree, &disk).unwrap();
        let disks = Disks { payload: Some(disk.clone()), store: Some(disk) };
        let mut guest = template().restore(&disks, &Network::default()).unwrap();
        assert_eq!(said(&mut guest, "cat /run/vm/payload/deep/file"), format!("{text}\n"));
        assert_eq!(said(&mut guest, "cat /run/vm/store/deep/file"), format!("{text}\n"));
        assert_eq!(said(&mut guest, "touch /run/vm/store/x 2>/dev/null || echo no"), "no\n");
    }
}

#[test]
fn what_one_guest_writes_the_next_does_not_see() {
    let _turn = turn();
    said(&mut guest(), "echo spoilt >/etc/hostname; hostname spoilt; rm -rf /usr/bin/gcc; sync");
    assert_eq!(
        said(&mut guest(), "cat /etc/hostname; hostname; test -e /usr/bin/gcc && echo gcc"),
        "cs695\ncs695\ngcc\n"
    );
}

#[test]
fn a_panic_is_a_panic() {
    let _turn = turn();
    let outcome = outcome_of("echo c >/proc/sysrq-trigger; sleep 100");
    assert!(matches!(outcome, Outcome::Panicked(_)), "{outcome:?}");
    let console = outcome.console().unwrap().to_string();
    assert!(console.contains("Kernel panic - not syncing"), "{console}");
}

#[test]
fn a_restart_is_a_restart_however_it_is_asked_for() {
    let _turn = turn();
    for how in ["reboot -f", "systemctl reboot", "echo b >/proc/sysrq-trigger"] {
        let outcome = outcome_of(&format!("{how}; sleep 100"));
        assert!(matches!(outcome, Outcome::Rebooted(_)), "{how}: {outcome:?}");
    }
}

#[test]
fn switching_off_is_switching_off_however_it_is_asked_for() {
    let _turn = turn();
    for how in ["poweroff -f", "systemctl poweroff"] {
        let outcome = outcome_of(&format!("{how}; sleep 100"));
        assert!(matches!(outcome, Outcome::PoweredOff(_)), "{how}: {outcome:?}");
    }
}

#[test]
fn a_agent_can_neither_be_killed_nor_spoken_for() {
    let _turn = turn();
    let forge = r#"printf '{"number":3,"mac":"","body":{"type":"exited","code":0,"stderr":""}}\n' >/dev/virtio-ports/vm.agent"#;
    for attack in ["true", "pkill -9 -x vm-agent", "killall -9 vm-agent"] {
        let outcome = outcome_of(&format!("{attack}; {forge} 2>/dev/null && exit 9; exit 8"));
        assert!(matches!(outcome, Outcome::Exited { code: 8, .. }), "{attack}: {outcome:?}");
    }
}

#[test]
fn a_flood_is_cut_off() {
    let _turn = turn();
    let mut command = sh("yes");
    command.max_output = 1 << 20;
    let mut received = 0;
    let outcome = guest().run(&command, &mut |line| received += line.len() as u64);
    assert!(matches!(outcome, Outcome::Flooded(_)), "{outcome:?}");
    assert!(received <= command.max_output);

    let mut command = sh("tr '\\0' x </dev/zero");
    command.max_output = 1 << 20;
    let outcome = guest().run(&command, &mut |_| panic!("there is no line"));
    assert!(matches!(outcome, Outcome::Flooded(_)), "{outcome:?}");
}

#[test]
fn a_deadline_is_kept_and_the_guest_is_spent() {
    let _turn = turn();
    let mut guest = guest();
    let mut command = sh("trap '' TERM INT HUP; while :; do sleep 1; done");
    command.deadline = Duration::from_secs(2);
    let outcome = guest.run(&command, &mut |_| {});
    assert!(matches!(outcome, Outcome::TimedOut(_)), "{outcome:?}");
    assert_eq!(guest.run(&sh("true"), &mut |_| {}), outcome);
}

#[test]
fn a_fork_bomb_ends_at_its_deadline() {
    let _turn = turn();
    let mut command = sh("bomb() { bomb | bomb & }; bomb; sleep 1000");
    command.deadline = Duration::from_secs(10);
    let outcome = guest().run(&command, &mut |_| {});
    assert!(matches!(outcome, Outcome::TimedOut(_) | Outcome::Silent(_)), "{outcome:?}");
}

#[test]
fn a_machine_that_stands_still_is_silent() {
    let _turn = turn();
    let mut command = sh("kill -STOP $(pidof vm-agent); sleep 100");
    command.deadline = Duration::from_secs(8);
    let outcome = guest().run(&command, &mut |_| {});
    assert!(matches!(outcome, Outcome::Silent(_)), "{outcome:?}");
}

#[test]
fn the_uplink_leads_to_what_is_named_and_nowhere_else() {
    let _turn = turn();
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("it's a socket, too");
    let listener = UnixListener::bind(&socket).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut line = String::new();
            BufReader::new(&stream).read_line(&mut line).unwrap();
            write!(stream, "echo {line}").unwrap();
        }
    });
    let unnamed = TcpListener::bind("127.0.0.1:0").unwrap();
    let unnamed = unnamed.local_addr().unwrap().port();
    let forwards = vec![GuestForward { address: "10.0.2.100:3142".parse().unwrap(), socket }];
    let network = Network { forwards };
    let mut guest = template().restore(&Disks::default(), &network).unwrap();
    said(&mut guest, "ip link set uplink0 up; ip addr add 10.0.2.15/24 dev uplink0");
    for word in ["one", "two"] {
        let talk = format!("echo {word} | nc -N -w 20 10.0.2.100 3142");
        assert_eq!(said(&mut guest, &talk), format!("echo {word}\n"));
    }
    let other = format!("timeout 5 nc -z -w 3 10.0.2.2 {unnamed} || echo unreachable");
    assert_eq!(said(&mut guest, &other), "unreachable\n");
}

#[test]
fn without_forwards_the_uplink_leads_nowhere_and_nobody_listens_on_the_host() {
    let _turn = turn();
    let mut guest = guest();
    said(&mut guest, "ip link set uplink0 up; ip addr add 10.0.2.15/24 dev uplink0");
    assert_eq!(said(&mut guest, "ping -c 1 -W 3 10.0.2.2 >/dev/null || echo unreachable"), "unreachable\n");
    let qemu = guest.qemu_pid();
    let sockets = |table: &str| fs::read_to_string(format!("/proc/{qemu}/net/{table}")).unwrap();
    if nix::unistd::geteuid().is_root() {
        // A network namespace of its own, in which there is nothing.
        assert_ne!(
            fs::read_link(format!("/proc/{qemu}/ns/net")).unwrap(),
            fs::read_link("/proc/self/ns/net").unwrap()
        );
        assert_eq!(["tcp", "tcp6", "udp", "udp6"].map(|table| sockets(table).lines().count()), [1; 4]);
    }
    for descriptor in fs::read_dir(format!("/proc/{qemu}/fd")).unwrap() {
        let Ok(to) = fs::read_link(descriptor.unwrap().path()) else { continue };
        let Some(inode) = to.to_str().and_then(|to| to.strip_prefix("socket:[")) else { continue };
        let inode = format!(" {} ", inode.trim_end_matches(']'));
        for table in ["tcp", "tcp6", "udp", "udp6"] {
            assert!(!sockets(table).contains(&inode), "QEMU has a socket in {table}");
        }
    }
}

#[test]
fn bytes_pass_over_the_stream_both_ways_and_a_slow_reader_is_waited_for() {
    let _turn = turn();
    let mut guest = guest();
    let mut host = guest.stream().unwrap();
    assert!(guest.stream().is_none());
    // Said before anyone in the guest has opened the port, and kept until then.
    host.write_all(b"early\n").unwrap();
    let copy = format!(
        "exec 3<>/dev/virtio-ports/{STREAM}; head -n 1 <&3; head -c 3000000 /dev/zero >&3; echo sent"
    );
    let reader = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_secs(2));
        let mut all = vec![1; 3_000_000];
        host.read_exact(&mut all).unwrap();
        assert!(all.iter().all(|byte| *byte == 0));
    });
    assert_eq!(said(&mut guest, &copy), "early\nsent\n");
    reader.join().unwrap();
}

#[test]
fn a_line_without_end_is_cut_off() {
    let _turn = turn();
    let mut command = sh("head -c 3000000 /dev/zero | tr '\\0' x");
    command.max_line = 1 << 20;
    let outcome = guest().run(&command, &mut |_| panic!("there is no line"));
    assert!(matches!(outcome, Outcome::Flooded(_)), "{outcome:?}");
}

#[test]
fn two_cards_are_on_one_cable() {
    let _turn = turn();
    let script = "ip netns add far; ip link set world0 netns far; ip link set lan0 up
        ip addr add 10.9.0.1/24 dev lan0; ip -n far link set world0 up
        ip -n far addr add 10.9.0.2/24 dev world0; ping -c 1 -W 10 10.9.0.2 >/dev/null && echo there";
    assert_eq!(said(&mut guest(), script), "there\n");
}

#[test]
fn a_stream_restores_as_well_as_shared_memory() {
    let _turn = turn();
    assert_eq!(template().restores_by(), RestoreBy::SharedMemory, "this QEMU can");
    let stream = make(RestoreBy::Stream).unwrap();
    let mut guest = stream.restore(&Disks::default(), &Network::default()).unwrap();
    assert_eq!(said(&mut guest, "hostname"), "cs695\n");
}

#[test]
fn a_full_host_disk_is_the_infrastructure_s_fault() {
    use nix::mount::{MsFlags, mount};
    use nix::sched::{CloneFlags, unshare};
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: only root can make a small file system");
        return;
    }
    let _turn = turn();
    let template = template();
    let small = std::thread::spawn(move || {
        // Of this thread alone: the guest's overlay is made by it, and QEMU is given the open file.
        unshare(CloneFlags::CLONE_NEWNS).unwrap();
        let nothing = None::<&str>;
        mount(nothing, "/", nothing, MsFlags::MS_REC | MsFlags::MS_PRIVATE, nothing).unwrap();
        let scratch = machine::cache().root().join("scratch");
        mount(Some("small"), &scratch, Some("tmpfs"), MsFlags::empty(), Some("size=16m")).unwrap();
        let mut guest = template.restore(&Disks::default(), &Network::default()).unwrap();
        let script = "dd if=/dev/urandom of=/big bs=1M count=64 conv=fsync 2>/dev/null; sleep 100";
        let outcome = guest.run(&sh(script), &mut |_| {});
        assert!(matches!(outcome, Outcome::HostDiskFull(_)), "{outcome:?}");
        assert!(outcome.is_infrastructure());

        drop(guest);
        fs::write(scratch.join("rest"), vec![0; 17 << 20]).unwrap_err();
        let error = template.restore(&Disks::default(), &Network::default()).unwrap_err().to_string();
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
    let _turn = turn();
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
    let _turn = turn();
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
    let _turn = turn();
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
