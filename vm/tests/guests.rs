//! Real guests: one template in the default cache, made if need be, and a restored
//! machine for each test.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod machine;

use std::fs;
use std::io::{Read, Write};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use vm::{Command, Disks, Error, Outcome, Request, RestoreBy, STREAM, Template, disk_from_dir, prepare};

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
    template().restore(&Disks::default()).unwrap()
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
        let mut guest = template().restore(&disks).unwrap();
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
fn no_card_leads_to_the_host_and_qemu_listens_nowhere() {
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
    let mut guest = stream.restore(&Disks::default()).unwrap();
    assert_eq!(said(&mut guest, "hostname"), "cs695\n");
}
