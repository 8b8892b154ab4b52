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
    for (round, expected) in [(1, vec![DEB, RELEASE, "/debian/dists/none"]), (2, vec![])] {
        let (cache, _server, address) = open(dir.path(), &mirror, false);
        assert_eq!(ask(address, "GET", DEB), (200, Some(vec![7; 300_000])), "round {round}");
        assert_eq!(ask(address, "HEAD", RELEASE), (200, Some(vec![])));
        assert_eq!(ask(address, "GET", RELEASE), (200, Some(b"release".to_vec())));
        assert_eq!(ask(address, "GET", "/debian/dists/none").0, 404);
        assert_eq!(upstream.asked(), expected);
        assert_eq!(cache.stats().upstream_requests, expected.len() as u64);
        assert_eq!(cache.stats().requests, 4);
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
    assert_eq!(cache.stats().missing.len(), 1);
    assert!(cache.stats().missing[0].contains(RELEASE));
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
    assert_eq!(cache.stats().missing.len(), 2, "{:?}", cache.stats());

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
    assert_eq!(status, 502);
    assert!(String::from_utf8(body.unwrap()).unwrap().contains("mirror.example.net/elsewhere"));
    assert_eq!(ask(address, "POST", RELEASE).0, 405);
    assert!(upstream.asked().is_empty());
    assert_eq!(cache.stats().upstream_requests, 0);
}
