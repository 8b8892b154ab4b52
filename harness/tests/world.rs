//! The world as a machine meets it, with the real kernel and ordinary clients.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod machine;

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use harness::evidence::Record;
use harness::guest::recorder::Recorder;
use harness::guest::trust::trust;
use harness::guest::world::{Frames, Moment, Packages, Passed, RECORD, World, WorldPlan};
use harness::packages::{Mirrors, PackageCache, Server, Takes};
use machine::{in_a_machine, must, shell};
use rand::SeedableRng;
use rand::rngs::StdRng;

const SOON: Duration = Duration::from_secs(20);
const NEVER: Duration = Duration::from_millis(700);

/// Runs a test in a machine with a world that was drawn from a fixed seed.
fn in_a_world(test: impl FnOnce(&World, &WorldPlan) + Send + 'static) {
    in_a_machine(|| {
        let mut plan = WorldPlan::draw(&mut StdRng::seed_from_u64(4));
        plan.packages = Packages::Nowhere;
        let world = World::start(&plan).unwrap();
        test(&world, &plan);
    });
}

/// A world whose host answers on a socket.
fn world_of(socket: PathBuf) -> World {
    let mut plan = WorldPlan::draw(&mut StdRng::seed_from_u64(8));
    plan.packages = Packages::Socket(socket);
    World::start(&plan).unwrap()
}

/// Sends the output of a shell script to the host.
fn give(world: &World, script: &str) -> io::Result<()> {
    let mut child = Command::new("sh").args(["-c", script]).stdout(Stdio::piped()).spawn().unwrap();
    let given = world.give_to_host(child.stdout.take().unwrap());
    child.wait().unwrap();
    given
}

#[test]
fn the_host_gets_the_output_of_a_child_once_and_only_if_it_waits_for_a_file() {
    let home = tempfile::tempdir_in("/var/tmp").unwrap();
    let cache =
        Arc::new(PackageCache::open(&home.path().join("packages"), Mirrors::of_this_host(), true).unwrap());
    let server = Server::on_socket(&cache, &home.path().join("host")).unwrap();
    let file = home.path().join("file");
    let (waiting, nothing) = (home.path().join("waiting"), home.path().join("nothing"));
    server.serve_machine(&waiting, Takes::File(File::create(&file).unwrap())).unwrap();
    server.serve_machine(&nothing, Takes::Nothing).unwrap();
    in_a_machine(move || {
        let world = world_of(waiting);
        give(&world, "head -c 3000000 /dev/zero; echo end").unwrap();
        let error = give(&world, "echo again").unwrap_err().to_string();
        assert!(error.contains("403"), "{error}");
    });
    let taken = fs::read(&file).unwrap();
    assert_eq!((taken.len(), &taken[2_999_999..]), (3_000_004, &b"\0end\n"[..]));
    in_a_machine(move || {
        let error = give(&world_of(nothing), "echo once").unwrap_err().to_string();
        assert!(error.contains("403"), "{error}");
    });
}

fn get(address: Ipv4Addr, request: &str) -> String {
    let mut stream = TcpStream::connect_timeout(&SocketAddrV4::new(address, 80).into(), SOON).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn any_public_address_answers_ping_and_says_the_runs_word() {
    in_a_world(|_, plan| {
        for address in ["8.8.8.8", "1.1.1.1", "93.184.215.14", "212.58.249.144"] {
            must(&format!("ping -c 1 -W 20 {address}"));
            let page = get(address.parse().unwrap(), "GET / HTTP/1.0\r\nHost: example.org\r\n\r\n");
            assert!(page.contains(&plan.page_word), "{address}: {page}");
        }
    });
}

#[test]
fn names_resolve_through_resolv_conf_to_where_pages_are() {
    in_a_world(|_, plan| {
        let address = must("getent ahostsv4 www.example.org").split_whitespace().next().unwrap().to_owned();
        assert_eq!(address, plan.address_of("www.example.org").to_string());
        assert_eq!(must("cat /etc/resolv.conf"), format!("nameserver {}\n", plan.resolver));
        assert!(must("curl -sS http://www.example.org/some/page").contains(&plan.page_word));
        assert!(!shell("getent ahostsv6 www.example.org | grep -v ::ffff:").status.success());
    });
}

#[test]
fn https_is_answered_for_any_name_and_address_once_the_worlds_authority_is_trusted() {
    in_a_world(|world, plan| {
        for url in
            ["https://www.example.org/some/page", "https://mirror.iitx.example/", "https://93.184.215.14/"]
        {
            assert!(!shell(&format!("curl -sS {url}")).status.success(), "{url}");
        }
        trust(Path::new("/"), &world.certificate()).unwrap();
        for client in ["curl -sS", "wget -q -O-"] {
            for url in ["https://www.example.org/some/page", "https://mirror.iitx.example/"] {
                let page = must(&format!("{client} {url}"));
                assert!(page.contains(&plan.page_word), "{client} {url}: {page}");
            }
        }
        assert!(must("curl -sS https://93.184.215.14/").contains(&plan.page_word));
        let said = must(
            "openssl s_client -connect mirror.example:443 -servername mirror.example -verify_return_error \
                 -verify_hostname mirror.example -x509_strict </dev/null 2>&1",
        );
        assert!(said.contains("Verify return code: 0 (ok)"), "{said}");
        assert!(world.passed().iter().any(|moment| matches!(&moment.passed,
            Passed::Http { to, host, path, status: 200, .. }
            if to.port() == 443 && host == "www.example.org" && path == "/some/page")));
    });
}

#[test]
fn trust_is_what_update_ca_certificates_makes_of_the_certificate() {
    in_a_world(|world, _| {
        must("update-ca-certificates --fresh");
        trust(Path::new("/"), &world.certificate()).unwrap();
        let look = "cd /etc/ssl/certs; ls -lA | cut -d' ' -f1,3,4,10- | sed 's/ [A-Z][a-z][a-z] .*:[0-9][0-9] / /' \
                 | grep -E 'world|f90bbe91'; sha256sum ca-certificates.crt; ls -l /usr/local/share/ca-certificates | wc -l";
        let ours = must(look);
        must("update-ca-certificates --fresh");
        assert_eq!(must(look), ours);
        // A second world's takes the place of the first one's.
        let again = world.certificate();
        trust(Path::new("/"), &again).unwrap();
        assert_eq!(must(look), ours);
    });
}

#[test]
fn the_machines_interface_has_the_name_that_the_plan_says() {
    in_a_machine(|| {
        let mut plan = WorldPlan::draw(&mut StdRng::seed_from_u64(6));
        (plan.packages, plan.interface) = (Packages::Nowhere, "enp1s0".to_owned());
        let _world = World::start(&plan).unwrap();
        assert!(must("ip -o -4 route show default").contains("dev enp1s0"));
        assert!(!must("ip -o link").contains("lan0"));
        assert!(must("curl -sS http://www.example.org/").contains(&plan.page_word));
    });
}

#[test]
fn any_server_answers_dns_from_the_address_that_was_asked() {
    in_a_world(|_, plan| {
        for server in ["8.8.8.8", "9.9.9.9", "203.0.114.7"] {
            must(&format!("echo nameserver {server} > /etc/resolv.conf"));
            let udp = must("getent ahostsv4 mirror.example.net");
            assert!(udp.starts_with(&plan.address_of("mirror.example.net").to_string()), "{udp}");
            must(&format!("printf 'nameserver {server}\\noptions use-vc\\n' > /etc/resolv.conf"));
            let tcp = must("getent ahostsv4 mirror.example.net");
            assert!(tcp.starts_with(&plan.address_of("mirror.example.net").to_string()), "{tcp}");
        }
    });
}

#[test]
fn on_the_lan_only_machines_that_exist_answer() {
    in_a_world(|_, plan| {
        must(&format!("ping -c 1 -W 20 {}", plan.gateway));
        must(&format!("ping -c 1 -W 20 {}", plan.neighbour));
        let lan = plan.machine.octets();
        let nobody = (1..=254)
            .map(|host| Ipv4Addr::new(lan[0], lan[1], lan[2], host))
            .find(|address| ![plan.machine, plan.gateway, plan.neighbour].contains(address))
            .unwrap();
        assert!(!shell(&format!("ping -c 1 -W 1 {nobody}")).status.success());
    });
}

/// A container of another network may have this address, and must not seem to answer.
#[test]
fn a_private_address_outside_the_lan_answers_no_ping_but_is_a_name_server() {
    in_a_world(|_, plan| {
        let [_, a, b, _] = plan.machine.octets();
        let beside = format!("10.{a}.{}.7", b ^ 1);
        for address in [&beside, "10.66.0.7", "192.168.1.2", "172.16.0.6", "100.64.0.1"] {
            assert!(!shell(&format!("ping -c 1 -W 1 {address}")).status.success(), "{address}");
        }
        must("echo nameserver 10.200.1.11 > /etc/resolv.conf");
        let found = must("getent ahostsv4 mirror.example.net");
        assert!(found.starts_with(&plan.address_of("mirror.example.net").to_string()), "{found}");
    });
}

#[test]
fn closed_ports_refuse_and_an_echo_service_opens_one() {
    in_a_world(|world, plan| {
        let to = SocketAddrV4::new(Ipv4Addr::new(151, 101, 2, 132), 4321);
        assert!(TcpStream::connect_timeout(&to.into(), SOON).is_err());
        world.listen(4321).unwrap();
        let mut stream = TcpStream::connect_timeout(&to.into(), SOON).unwrap();
        stream.write_all(b"kumquat\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, format!("{} kumquat\n", plan.echo_word));
    });
}

#[test]
fn the_lan_machine_reaches_what_the_machine_serves_and_nothing_else() {
    in_a_world(|world, plan| {
        let listener = TcpListener::bind("0.0.0.0:3000").unwrap();
        let to = SocketAddrV4::new(plan.machine, 3000);
        let serving = std::thread::spawn(move || {
            let (mut stream, from) = listener.accept().unwrap();
            let mut request = [0; 1024];
            let length = stream.read(&mut request).unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi").unwrap();
            (from, String::from_utf8_lossy(&request[..length]).into_owned())
        });
        let page = world.http_get_from_lan(to, "/count", SOON).unwrap();
        assert_eq!((page.status, page.body.as_str()), (200, "hi"));
        let (from, request) = serving.join().unwrap();
        assert_eq!(from.ip(), plan.neighbour);
        assert!(request.starts_with("GET /count HTTP/1.1\r\n"), "{request}");

        assert!(world.connect_from_lan(SocketAddrV4::new(plan.machine, 3001), SOON).is_err());
        world.ping_from_lan(plan.machine, SOON).unwrap();
    });
}

/// A container as the course's tool makes it: a namespace behind a veth, with a default route.
const CONTAINER: &str = "
    ip netns add eg
    ip link add eg-outside type veth peer name eg-inside
    ip link set eg-inside netns eg
    ip address add 192.168.1.1/24 dev eg-outside
    ip link set eg-outside up
    ip -n eg link set lo up
    ip -n eg address add 192.168.1.2/24 dev eg-inside
    ip -n eg link set eg-inside up
    ip -n eg route add default via 192.168.1.1
    echo 1 > /proc/sys/net/ipv4/ip_forward
";
const MASQUERADE: &str = "
    nft add table ip nat
    nft 'add chain ip nat post { type nat hook postrouting priority srcnat; }'
    nft add rule ip nat post ip saddr 192.168.1.0/24 oifname lan0 masquerade
";

#[test]
fn a_container_reaches_the_internet_only_behind_address_translation() {
    in_a_world(|_, plan| {
        must(CONTAINER);
        let curl = "ip netns exec eg curl -sS --connect-timeout 1 http://93.184.215.14/";
        assert!(!shell(curl).status.success());
        assert!(!shell("ip netns exec eg ping -c 1 -W 1 8.8.8.8").status.success());
        must(MASQUERADE);
        assert!(must(&curl.replace("timeout 1", "timeout 20")).contains(&plan.page_word));
        must("ip netns exec eg ping -c 1 -W 20 8.8.8.8");
    });
}

#[test]
fn the_lan_machine_meets_a_container_only_where_the_machine_routes_to_it() {
    in_a_world(|world, _| {
        must(CONTAINER);
        let inside = Ipv4Addr::new(192, 168, 1, 2);
        world.ping_from_lan(inside, SOON).unwrap();
        must(
            "nft 'add table ip f; add chain ip f forward { type filter hook forward priority 0; policy drop; }'",
        );
        let refused = world.ping_from_lan(inside, NEVER).unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::TimedOut);
        let refused = world.connect_from_lan(SocketAddrV4::new(inside, 80), NEVER).unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::TimedOut);
    });
}

#[test]
fn the_world_outlives_what_tools_do_to_the_machine() {
    in_a_world(|world, plan| {
        assert_eq!(must("nft list ruleset"), "", "no rule of ours is in the machine's tables");
        assert_eq!(must("ip netns list"), "");
        must(CONTAINER);
        must(
            "ip -all netns delete
             rm -rf /var/run/netns || true
             nft flush ruleset
             nft 'add table ip filter; add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }'
             echo nameserver 8.8.8.8 > /etc/resolv.conf",
        );
        assert!(must("curl -sS http://www.example.org/").contains(&plan.page_word));
        world.ping_from_lan(plan.machine, SOON).unwrap();
    });
}

#[test]
fn what_passed_is_recorded() {
    in_a_world(|world, plan| {
        must("curl -sS http://www.example.org/some/page");
        let mut lines = Vec::new();
        world.record(&Recorder::new(&mut lines)).unwrap();
        let records: Vec<Record> =
            lines.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect();
        assert!(records.iter().all(|record| record.kind == RECORD));
        let moments: Vec<Moment> =
            records.into_iter().map(|record| serde_json::from_value(record.data).unwrap()).collect();
        let address = plan.address_of("www.example.org");
        assert!(moments.iter().any(|moment| matches!(&moment.passed,
            Passed::Dns { from, server, name, address: Some(found), .. }
            if *from == plan.machine && *server == plan.resolver && name == "www.example.org." && *found == address)));
        assert!(moments.iter().any(|moment| matches!(&moment.passed,
            Passed::Http { from, to, host, path, status: 200, packages: false, .. }
            if *from.ip() == plan.machine && *to.ip() == address && host == "www.example.org" && path == "/some/page")));
        assert!(world.passed().is_empty());
    });
}

/// The frames in a pcap file's records.
fn records(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut frames = Vec::new();
    while let Some((head, rest)) = bytes.split_at_checked(16) {
        let (frame, rest) = rest.split_at(u32::from_le_bytes(head[8..12].try_into().unwrap()) as usize);
        frames.push(frame);
        bytes = rest;
    }
    frames
}

#[test]
fn frames_are_kept_where_the_plan_asks_for_them() {
    in_a_machine(|| {
        let mut plan = WorldPlan::draw(&mut StdRng::seed_from_u64(5));
        (plan.packages, plan.pcap) = (Packages::Nowhere, true);
        let world = World::start(&plan).unwrap();
        must("ping -c 3 -W 20 8.8.8.8");
        // Ethernet's type, IPv4's protocol, ICMP's type.
        let reply = |frame: &&[u8]| frame[12..14] == [8, 0] && frame[23] == 1 && frame[34] == 0;
        let mut replies = 0;
        let deadline = Instant::now() + SOON;
        while replies < 3 && Instant::now() < deadline {
            let mut lines = Vec::new();
            world.record(&Recorder::new(&mut lines)).unwrap();
            for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
                let record: Record = serde_json::from_slice(line).unwrap();
                let frames: Frames = serde_json::from_value(record.data).unwrap();
                replies += records(&frames.bytes()).into_iter().filter(reply).count();
            }
        }
        assert_eq!(replies, 3);
    });
}

#[test]
fn a_machine_without_a_cable_gets_no_world_and_is_left_as_it_was() {
    in_a_machine(|| {
        let before = must("ip -br link");
        let error = {
            must("ip link set world0 name other0");
            let plan = WorldPlan::draw(&mut StdRng::seed_from_u64(1));
            World::start(&plan).err().unwrap().to_string()
        };
        assert!(error.contains("world0"), "{error}");
        must("ip link set other0 name world0");
        assert_eq!(must("ip -br link"), before);
    });
}
