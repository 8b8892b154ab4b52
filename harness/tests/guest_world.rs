//! The world in a virtual machine, with packages and base trees from the host.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use harness::guest::world::{Moment, Passed, WorldPlan};
use harness::host_look::HostLook;
use harness::packages::base::{Maker, Order, TREE_FILE};
use harness::packages::{Mirrors, PackageCache, Supply};
use harness::stage::Medium;
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::json;
use sha2::{Digest, Sha256};

fn template(cache: &vm::Cache) -> vm::Template {
    let request = vm::Request { setup: harness::machine::setup(), ..vm::Request::default() };
    vm::prepare(cache, &request, &mut |event| eprintln!("{event:?}")).unwrap()
}

fn payload(at: &Path) -> std::path::PathBuf {
    let content = at.join("payload");
    fs::create_dir(&content).unwrap();
    fs::copy(env!("CARGO_BIN_EXE_harness-guest"), content.join("harness-guest")).unwrap();
    let disk = at.join("payload.img");
    vm::disk_from_dir(&content, &disk).unwrap();
    disk
}

fn supply(cache: &vm::Cache, workdir: &Path, orders: &[Order], maker: Option<Maker>) -> Supply {
    Supply::start(cache.root(), false, workdir, orders, &[], maker, &mut |line| eprintln!("{line}")).unwrap()
}

/// Runs a script in a machine with a world; what it printed, and what passed.
fn in_world(guest: &mut vm::Guest, plan: &WorldPlan, script: &str) -> (Vec<String>, Vec<Moment>) {
    let mut command =
        vm::Command::new(["/run/vm/payload/harness-guest", "in-world", "/bin/bash", "-ec", script]);
    command.stdin = serde_json::to_vec(plan).unwrap();
    command.deadline = Duration::from_secs(1800);
    let (mut said, mut passed) = (Vec::new(), Vec::new());
    let outcome = guest.run(&command, &mut |line| match serde_json::from_slice(line) {
        Ok(moment) => passed.push(moment),
        Err(_) => said.push(String::from_utf8_lossy(line).into_owned()),
    });
    let vm::Outcome::Exited { code, stderr } = &outcome else { panic!("{outcome:?}\n{}", said.join("\n")) };
    let stderr = String::from_utf8_lossy(stderr);
    eprintln!("{stderr}");
    assert_eq!(*code, 0, "{}\n{stderr}", said.join("\n"));
    (said, passed)
}

#[test]
#[ignore = "slow: boots a virtual machine"]
fn a_guest_reaches_the_world_and_the_host_reaches_the_guest() {
    let cache = harness::machine::cache().unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let plan = WorldPlan::draw(&mut StdRng::seed_from_u64(11));
    let supply = Supply::start(cache.root(), true, scratch.path(), &[], &[], None, &mut |_| {}).unwrap();
    let visit = harness::task::task4::SCENARIO.visit.as_ref().unwrap();
    let (look, tunnels) = HostLook::of(visit, &json!({ "world": { "machine": plan.machine } }));
    let disks = vm::Disks { payload: Some(payload(scratch.path())), store: None };
    let mut guest = template(&cache).restore(&disks).unwrap();
    eprintln!("restored in {:?}", guest.restored_in());
    supply.serve(&mut guest, Some(tunnels));
    // The page is there some seconds before the host asks for it.
    let visitor = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_secs(10));
        look.look()
    });
    let (said, passed) = in_world(
        &mut guest,
        &plan,
        "page='HTTP/1.1 200 OK\\r\\nContent-Length: 6\\r\\n\\r\\npomelo'
         (printf \"$page\" | timeout 100 nc -N -l 3000 >/dev/null) &
         ping -c 1 -W 30 8.8.8.8 >/dev/null
         curl -sS http://www.example.org/page
         curl -sS http://deb.example.org/debian/dists/nonesuch/InRelease
         ip -o link
         wait",
    );
    let shown = visitor.join().unwrap();
    assert_eq!((&shown["status"], &shown["body"]), (&json!(200), &json!("pomelo")), "{shown:?}");
    let said = said.join("\n");
    assert!(said.contains(&plan.page_word), "{said}");
    assert!(said.contains("not in the package cache, and --offline allows no mirror"), "{said}");
    assert!(!said.contains("uplink0") && !said.contains("world0"), "the machine has one card: {said}");
    assert!(passed.iter().any(|moment| matches!(moment.passed, Passed::FromHost { received: 44, .. })));
    assert_eq!(supply.stats().upstream_requests, 0);
}

#[test]
#[ignore = "slow: boots a virtual machine, runs apt in it"]
fn debootstrap_and_apt_work_in_a_guest_and_the_second_time_nothing_is_fetched() {
    let cache = harness::machine::cache().unwrap();
    let template = template(&cache);
    let scratch = tempfile::tempdir().unwrap();
    let payload = payload(scratch.path());
    for round in [1, 2] {
        let plan = WorldPlan::draw(&mut StdRng::seed_from_u64(round));
        let workdir = tempfile::tempdir_in(scratch.path()).unwrap();
        let orders = [Order::debian("bookworm"), Order::debian("bookworm").by_https()];
        let supply = supply(&cache, workdir.path(), &orders, Maker::find(Some(&template)));
        let disks = vm::Disks { payload: Some(payload.clone()), store: supply.store(Medium::Disk).unwrap() };
        let mut guest = template.restore(&disks).unwrap();
        supply.serve(&mut guest, None);
        let (said, _) = in_world(
            &mut guest,
            &plan,
            "set -o pipefail
             say() { echo \"round: $* at $SECONDS s\"; }
             time debootstrap --arch amd64 bookworm /root/base http://ftp.nowhere.example.net/debian/
             say debootstrap
             mount -t proc proc /root/base/proc
             chroot /root/base apt-get -q update
             say update
             chroot /root/base apt-get -q -y install --no-install-recommends tree
             say install
             chroot /root/base tree --version
             cat /root/base/etc/apt/sources.list",
        );
        let said = said.join("\n");
        eprintln!("{said}\n{:?}", supply.stats());
        assert!(said.contains("deb http://ftp.nowhere.example.net/debian bookworm main"), "{said}");
        assert!(said.contains("tree v"), "{said}");
        if round == 2 {
            assert_eq!(supply.stats().upstream_requests, 0, "{:?}", supply.stats());
        }
    }
}

#[test]
#[ignore = "slow: runs the real debootstrap twice, once in a virtual machine"]
fn a_tree_that_a_guest_makes_is_the_one_that_root_makes() {
    let cache = harness::machine::cache().unwrap();
    let template = template(&cache);
    let packages =
        Arc::new(PackageCache::open(&cache.root().join("packages"), Mirrors::of_this_host(), false).unwrap());
    let order = Order::debian("bookworm").by_https();
    let scratch = tempfile::tempdir_in("/var/tmp").unwrap();
    let entries = [("guest", Maker::Guest(&template)), ("host", Maker::Host)].map(|(name, maker)| {
        let began = Instant::now();
        let say = &mut |line| eprintln!("{line}");
        let place = order.prepare(Some(maker), &packages, &scratch.path().join(name), say).unwrap();
        eprintln!("{name}: {:.0} s", began.elapsed().as_secs_f64());
        entries(&place.join(TREE_FILE))
    });
    let differs = ["./var/log/", "./var/cache/ldconfig/aux-cache", "./etc/machine-id", "./var/cache/apt/"];
    let mut differences = Vec::new();
    for path in entries[0].keys().chain(entries[1].keys()) {
        let (guest, host) = (entries[0].get(path), entries[1].get(path));
        if guest != host && !differs.iter().any(|part| path.starts_with(part)) {
            differences.push(format!("{path}: {guest:?} in the guest's, {host:?} in the host's"));
        }
    }
    assert!(entries[0].len() > 5000, "{} entries", entries[0].len());
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// What a tar file says of each path, but for times.
fn entries(tree: &Path) -> BTreeMap<String, String> {
    let mut archive = tar::Archive::new(fs::File::open(tree).unwrap());
    let mut found = BTreeMap::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().display().to_string();
        let header = entry.header().clone();
        let link = entry.link_name().unwrap().map(|link| link.display().to_string());
        let attributes: Vec<_> = entry
            .pax_extensions()
            .unwrap()
            .into_iter()
            .flatten()
            .map(|extension| extension.unwrap())
            .filter(|extension| extension.key_bytes().starts_with(b"SCHILY"))
            .map(|extension| format!("{:?}={:?}", extension.key(), extension.value_bytes()))
            .collect();
        let mut digest = Sha256::new();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        digest.update(&content);
        let device = (header.device_major().ok().flatten(), header.device_minor().ok().flatten());
        let (mode, owner) = (header.mode().unwrap(), (header.uid().unwrap(), header.gid().unwrap()));
        let kind = header.entry_type();
        let sum = digest.finalize();
        found
            .insert(path, format!("{kind:?} {mode:o} {owner:?} {link:?} {device:?} {attributes:?} {sum:x?}"));
    }
    found
}
