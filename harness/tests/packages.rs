//! The package cache between a client and a mirror, both over real sockets.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod upstream;

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;

use harness::packages::{Mirrors, PackageCache, Server};
use sha2::{Digest, Sha256};
use upstream::{File, Upstream};

fn open(root: &Path, mirror: &str, offline: bool) -> (Arc<PackageCache>, Server, SocketAddr) {
    let mirrors = Mirrors::new([format!("{mirror}/debian").as_str()]);
    let cache = Arc::new(PackageCache::open(root, mirrors, offline).unwrap());
    let (server, address) = Server::on_loopback(&cache).unwrap();
    (cache, server, address)
}

/// The status and body of an answer; no body where the connection broke off.
fn ask(server: SocketAddr, method: &str, path: &str) -> (u16, Option<Vec<u8>>) {
    let mut stream = TcpStream::connect(server).unwrap();
    write!(stream, "{method} {path} HTTP/1.1\r\nHost: mirror.example.net\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap() + 4;
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    let promised = head
        .lines()
        .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse::<usize>().ok());
    let body = answer.split_off(end);
    let whole = method == "HEAD" || promised.is_none_or(|promised| promised == body.len());
    (head.split(' ').nth(1).unwrap().parse().unwrap(), whole.then_some(body))
}

const DEB: &str = "/debian/pool/main/h/hello/hello_1_all.deb";
const RELEASE: &str = "/debian/dists/bookworm/InRelease";

#[test]
fn a_warm_cache_asks_the_mirror_for_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (upstream, mirror) = Upstream::start();
    upstream.put(DEB, File::Body(vec![7; 300_000]));
    upstream.put(RELEASE, File::Body(b"release".to_vec()));
    // That a mirror does not have something is remembered for a minute, and by nobody else.
    let absent = "/debian/dists/none";
    for (round, expected) in [(1, vec![DEB, RELEASE, absent]), (2, vec![absent])] {
        let (cache, _server, address) = open(dir.path(), &mirror, false);
        assert_eq!(ask(address, "GET", DEB), (200, Some(vec![7; 300_000])), "round {round}");
        assert_eq!(ask(address, "HEAD", RELEASE), (200, Some(vec![])));
        assert_eq!(ask(address, "GET", RELEASE), (200, Some(b"release".to_vec())));
        assert_eq!([ask(address, "GET", absent).0, ask(address, "GET", absent).0], [404, 404]);
        assert_eq!(upstream.asked(), expected);
        assert_eq!(cache.stats().upstream_requests, expected.len() as u64);
        assert_eq!(cache.stats().requests, 5);
        assert_eq!(cache.stats().missing.count(), 0, "nobody lacks what there is not");
    }
}

#[test]
fn many_clients_of_several_processes_caches_cause_one_download() {
    let dir = tempfile::tempdir().unwrap();
    let (upstream, mirror) = Upstream::start();
    upstream.put(DEB, File::Body(vec![9; 1 << 20]));
    let servers: Vec<_> = (0..3).map(|_| open(dir.path(), &mirror, false)).collect();
    std::thread::scope(|scope| {
        for (_, _, address) in servers.iter().cycle().take(12) {
            scope.spawn(|| assert_eq!(ask(*address, "GET", DEB), (200, Some(vec![9; 1 << 20]))));
        }
    });
    assert_eq!(upstream.asked(), [DEB]);
}

#[test]
fn offline_serves_what_is_there_and_names_what_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let (upstream, mirror) = Upstream::start();
    upstream.put(DEB, File::Body(b"deb".to_vec()));
    let (_, server, address) = open(dir.path(), &mirror, false);
    ask(address, "GET", DEB);
    drop(server);
    upstream.asked();

    let (cache, _server, address) = open(dir.path(), &mirror, true);
    assert_eq!(ask(address, "GET", DEB), (200, Some(b"deb".to_vec())));
    let (status, body) = ask(address, "GET", RELEASE);
    assert_eq!(status, 504);
    assert!(String::from_utf8(body.unwrap()).unwrap().contains(RELEASE));
    assert_eq!(cache.stats().missing.count(), 1);
    assert!(cache.stats().missing.texts()[0].contains(RELEASE));
    assert!(upstream.asked().is_empty());
}

/// Makes every entry look as if it had been confirmed long ago.
fn age(root: &Path) {
    for entry in fs::read_dir(root.join("urls")).unwrap() {
        let path = entry.unwrap().path();
        let mut entry: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        entry["confirmed"] = 0.into();
        fs::write(path, entry.to_string()).unwrap();
    }
}

#[test]
fn an_old_index_is_asked_after_and_an_old_package_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let (upstream, mirror) = Upstream::start();
    upstream.put(RELEASE, File::Body(b"old".to_vec()));
    upstream.put(DEB, File::Body(b"deb".to_vec()));
    let (_cache, _server, address) = open(dir.path(), &mirror, false);
    let both = || (ask(address, "GET", RELEASE).1.unwrap(), ask(address, "GET", DEB).1.unwrap());
    both();
    upstream.asked();

    age(dir.path());
    assert_eq!(both(), (b"old".to_vec(), b"deb".to_vec()));
    assert_eq!(upstream.asked(), [RELEASE], "confirmed by 304");
    both();
    assert!(upstream.asked().is_empty(), "and not asked after again");

    age(dir.path());
    upstream.put(RELEASE, File::Body(b"new release".to_vec()));
    assert_eq!(both(), (b"new release".to_vec(), b"deb".to_vec()));
}

#[test]
fn an_old_index_is_served_when_the_mirror_fails() {
    let dir = tempfile::tempdir().unwrap();
    let (upstream, mirror) = Upstream::start();
    upstream.put(RELEASE, File::Body(b"release".to_vec()));
    let (_cache, _server, address) = open(dir.path(), &mirror, false);
    ask(address, "GET", RELEASE);
    age(dir.path());
    upstream.put(RELEASE, File::Fails);
    assert_eq!(ask(address, "GET", RELEASE), (200, Some(b"release".to_vec())));
}

#[test]
fn what_a_mirror_cuts_short_or_falsifies_is_not_kept() {
    let dir = tempfile::tempdir().unwrap();
    let (upstream, mirror) = Upstream::start();
    let right = Sha256::digest(b"right").iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
    let by_hash = format!("/debian/dists/bookworm/main/binary-amd64/by-hash/SHA256/{right}");
    upstream.put(DEB, File::BreaksOff);
    upstream.put(&by_hash, File::Body(b"wrong".to_vec()));
    let (cache, _server, address) = open(dir.path(), &mirror, false);
    assert_eq!(ask(address, "GET", DEB), (200, None));
    ask(address, "GET", &by_hash);
    assert_eq!(cache.stats().missing.count(), 2, "{:?}", cache.stats());
    assert_eq!(cache.stats().lacking.count(), 2, "{:?}", cache.stats());

    upstream.put(DEB, File::Body(b"deb".to_vec()));
    upstream.put(&by_hash, File::Body(b"right".to_vec()));
    assert_eq!(ask(address, "GET", DEB), (200, Some(b"deb".to_vec())));
    assert_eq!(ask(address, "GET", &by_hash), (200, Some(b"right".to_vec())));
}

#[test]
fn archives_without_a_mirror_and_other_methods_are_refused_without_asking_anyone() {
    let dir = tempfile::tempdir().unwrap();
    let (upstream, mirror) = Upstream::start();
    let (cache, _server, address) = open(dir.path(), &mirror, false);
    let (status, body) = ask(address, "GET", "/elsewhere/dists/x/InRelease");
    assert_eq!(status, 404);
    assert!(String::from_utf8(body.unwrap()).unwrap().contains("mirror.example.net/elsewhere"));
    assert_eq!(ask(address, "POST", RELEASE).0, 405);
    assert!(upstream.asked().is_empty());
    let done = cache.stats();
    assert_eq!((done.upstream_requests, done.missing.count(), done.lacking.count()), (0, 1, 0));
}

/// All files below a directory.
fn files(root: &Path) -> Vec<String> {
    let entries = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| if path.is_dir() { files(&path) } else { vec![path.display().to_string()] })
        .collect()
}

#[test]
fn what_a_mirror_no_longer_has_stays_in_the_cache() {
    let dir = tempfile::tempdir().unwrap();
    let (upstream, mirror) = Upstream::start();
    upstream.put(RELEASE, File::Body(b"release".to_vec()));
    let (cache, _server, address) = open(dir.path(), &mirror, false);
    ask(address, "GET", RELEASE);
    age(dir.path());
    upstream.remove(RELEASE);
    assert_eq!(ask(address, "GET", RELEASE), (200, Some(b"release".to_vec())));
    assert_eq!(upstream.asked(), [RELEASE, RELEASE]);
    assert_eq!(cache.stats().lacking.count(), 0);
}

#[test]
fn an_absent_file_is_our_lack_where_the_index_names_it() {
    let dir = tempfile::tempdir().unwrap();
    let (upstream, mirror) = Upstream::start();
    let packages = "/debian/dists/bookworm/main/binary-amd64/Packages.gz";
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gz.write_all(b"Package: hello\nFilename: pool/main/h/hello/hello_1_all.deb\n\n").unwrap();
    upstream.put(packages, File::Body(gz.finish().unwrap()));
    let release = "SHA256:\n 00 1 main/binary-amd64/Packages.gz\n 11 1 main/i18n/Translation-en.xz\n";
    upstream.put(RELEASE, File::Body(release.into()));
    let (cache, _server, address) = open(dir.path(), &mirror, false);
    let lacking = || cache.stats().lacking.texts();

    assert_eq!(ask(address, "GET", "/debian/pool/main/n/none/none_1_all.deb").0, 404);
    assert_eq!(ask(address, "GET", "/debian/dists/bookwurm/InRelease").0, 404);
    assert_eq!((ask(address, "GET", RELEASE).0, ask(address, "GET", packages).0), (200, 200));
    for unnamed in ["/debian/pool/main/o/other/other_1_all.deb", "/debian/dists/bookworm/main/i18n/none.xz"] {
        assert_eq!(ask(address, "GET", unnamed).0, 404);
    }
    assert_eq!(lacking(), [""; 0], "what nobody names is the wish of who asks");

    for (count, named) in [(1, DEB), (2, "/debian/dists/bookworm/main/i18n/Translation-en.xz")] {
        assert_eq!(ask(address, "GET", named).0, 404);
        assert_eq!(lacking().len(), count, "{:?}", lacking());
        assert!(lacking()[count - 1].contains(named) && lacking()[count - 1].contains("404"));
    }
    drop(upstream);
}

#[test]
fn a_mirror_that_gives_no_answer_is_our_lack_and_what_is_cached_needs_none() {
    let dir = tempfile::tempdir().unwrap();
    let (upstream, mirror) = Upstream::start();
    upstream.put(RELEASE, File::Body(b"SHA256:\n".to_vec()));
    let (_, server, address) = open(dir.path(), &mirror, false);
    ask(address, "GET", RELEASE);
    drop(server);
    age(dir.path());

    // Nobody listens there.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let moved = format!("http://{closed}");
    rename_mirror(dir.path(), &mirror, &moved);
    let (cache, _server, address) = open(dir.path(), &moved, false);
    assert_eq!(ask(address, "GET", RELEASE), (200, Some(b"SHA256:\n".to_vec())));
    assert_eq!(ask(address, "GET", DEB).0, 502);
    assert_eq!(ask(address, "GET", "/debian/dists/bookworm/none").0, 404);
    let lacking = cache.stats().lacking.texts();
    assert!(lacking.len() == 1 && lacking[0].contains(DEB), "{lacking:?}");
}

/// Makes a cache's entries those of another mirror.
fn rename_mirror(root: &Path, from: &str, to: &str) {
    for entry in fs::read_dir(root.join("urls")).unwrap() {
        let path = entry.unwrap().path();
        let mut entry: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let url = entry["url"].as_str().unwrap().replace(from, to);
        let name = Sha256::digest(&url).iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
        entry["url"] = url.into();
        fs::remove_file(path).unwrap();
        fs::write(root.join("urls").join(name + ".json"), entry.to_string()).unwrap();
    }
}

#[test]
fn many_who_wait_for_one_file_cost_no_threads_and_all_get_it() {
    // One server serves 64 connections at a time.
    const SERVERS: usize = 10;
    const ASKERS: usize = 60;
    let dir = tempfile::tempdir().unwrap();
    let (upstream, mirror) = Upstream::start();
    upstream.put(DEB, File::Slow(std::time::Duration::from_secs(1), vec![5; 1000]));
    let (cache, _server, address) = open(dir.path(), &mirror, false);
    let others: Vec<_> = (1..SERVERS).map(|_| Server::on_loopback(&cache).unwrap()).collect();
    let addresses: Vec<_> = others.iter().map(|(_, address)| *address).chain([address]).collect();
    let threads = || fs::read_dir("/proc/self/task").unwrap().count();
    let before = threads();
    let askers = addresses.iter().cycle().take(SERVERS * ASKERS);
    let mut streams: Vec<TcpStream> = askers.map(|address| TcpStream::connect(address).unwrap()).collect();
    for stream in &mut streams {
        write!(stream, "GET {DEB} HTTP/1.1\r\nHost: m.example\r\nConnection: close\r\n\r\n").unwrap();
    }
    std::thread::sleep(std::time::Duration::from_millis(300));
    let during = threads();
    assert!(during < before + 100, "{before} threads, then {during}");
    for mut stream in streams {
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 200") && answer.ends_with(&[5; 1000]));
    }
    assert_eq!(upstream.asked(), [DEB]);
    assert_eq!(fs::read_dir(dir.path().join("locks")).unwrap().count(), 0);
}

#[test]
fn a_guest_that_asks_for_nonsense_is_refused_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (upstream, mirror) = Upstream::start();
    let (cache, _server, address) = open(dir.path(), &mirror, false);
    let asked: Vec<u16> =
        (0..400).map(|n| ask(address, "GET", &format!("/debian/pool/main/n/none/{n}.deb")).0).collect();
    assert_eq!((asked[0], asked[399]), (404, 429));
    assert!(upstream.asked().len() <= 200);
    let left: Vec<_> = files(dir.path()).into_iter().filter(|file| !file.ends_with("upstream.log")).collect();
    assert!(left.is_empty(), "{left:?}");
    assert!(cache.stats().missing.texts().len() < 102);

    // Another process, another grade: its files are still to be had.
    upstream.put(DEB, File::Body(b"deb".to_vec()));
    let (_other, _second, address) = open(dir.path(), &mirror, false);
    assert_eq!(ask(address, "GET", DEB), (200, Some(b"deb".to_vec())));
}

#[test]
fn a_login_goes_to_the_mirror_and_nowhere_else() {
    let dir = tempfile::tempdir().unwrap();
    let (upstream, mirror) = Upstream::start();
    upstream.put(DEB, File::Body(b"deb".to_vec()));
    upstream.put(RELEASE, File::Fails);
    let with_login = mirror.replace("http://", "http://teacher:swordfish@");
    let (cache, _server, address) = open(dir.path(), &with_login, false);
    assert_eq!(ask(address, "GET", DEB), (200, Some(b"deb".to_vec())));
    let (_, text) = ask(address, "GET", RELEASE);
    // "teacher:swordfish" in base64.
    assert!(upstream.heads().iter().all(|head| head.contains("Basic dGVhY2hlcjpzd29yZGZpc2g=")));
    let mut seen =
        vec![format!("{:?} {:?}", cache.stats(), cache.mirrors()), String::from_utf8(text.unwrap()).unwrap()];
    seen.push(cache.mirrors().standing_for("/debian").unwrap().to_string());
    seen.extend(
        files(dir.path()).iter().map(|file| String::from_utf8_lossy(&fs::read(file).unwrap()).into_owned()),
    );
    assert!(seen.iter().all(|seen| !seen.contains("swordfish") && !seen.contains("teacher")), "{seen:?}");
    assert!(seen[0].contains("127.0.0.1"), "the mirror itself is named");
}
