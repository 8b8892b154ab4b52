//! What `debootstrap` in the guest leaves, beside what the real one leaves.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod machine;
#[expect(dead_code, reason = "the mirror of these tests never fails")]
mod upstream;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use harness::guest::fakes::debootstrap;
use harness::guest::trust::{CERTIFICATE, trust};
use harness::guest::world::{Packages, World, WorldPlan};
use harness::packages::base::{Maker, Order};
use harness::packages::{Mirrors, PackageCache, Server};
use machine::{in_a_machine, must};
use rand::SeedableRng;
use sha2::{Digest, Sha256};

/// Where packages and trees are kept between runs of these tests.
fn cache_root() -> PathBuf {
    harness::machine::cache().unwrap().root().to_owned()
}

/// Everything about a file that a program could see, except its times and number.
fn look(path: &Path) -> String {
    let metadata = fs::symlink_metadata(path).unwrap();
    let kind = metadata.file_type();
    let content = if kind.is_symlink() {
        fs::read_link(path).unwrap().display().to_string()
    } else if kind.is_file() {
        let sum = Sha256::digest(fs::read(path).unwrap());
        format!("{} bytes, {:02x}{:02x}{:02x}{:02x}", metadata.len(), sum[0], sum[1], sum[2], sum[3])
    } else if kind.is_char_device() || kind.is_block_device() {
        format!("device {:#x}", metadata.rdev())
    } else {
        String::new()
    };
    let attributes: Vec<_> =
        xattr::list(path).unwrap().map(|name| (name.clone(), xattr::get(path, name).unwrap())).collect();
    let links = if kind.is_file() { metadata.nlink() } else { 1 };
    format!("{:o} {}:{} x{links} {content} {attributes:?}", metadata.mode(), metadata.uid(), metadata.gid())
}

fn tree(root: &Path) -> BTreeMap<PathBuf, String> {
    fn walk(root: &Path, at: &Path, found: &mut BTreeMap<PathBuf, String>) {
        found.insert(at.strip_prefix(root).unwrap().to_owned(), look(at));
        if fs::symlink_metadata(at).unwrap().is_dir() {
            for entry in fs::read_dir(at).unwrap() {
                walk(root, &entry.unwrap().path(), found);
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(root, root, &mut found);
    found
}

/// Files whose content differs between any two runs of the real debootstrap: logs, and caches and
/// backups that hold the time or inode numbers of their making.
const DIFFERS: [&str; 4] = ["var/log/", "var/cache/ldconfig/aux-cache", "etc/machine-id", "var/cache/apt/"];

#[test]
#[ignore = "slow: runs the real debootstrap twice"]
fn a_prepared_tree_is_what_the_real_debootstrap_leaves() {
    compare(Order::debian("bookworm"), "http://mirror.country.example/debian/");
}

#[test]
#[ignore = "slow: runs the real debootstrap twice"]
fn a_prepared_tree_is_what_it_leaves_by_https() {
    compare(Order::debian("bookworm").by_https(), "https://mirror.country.example/debian");
}

#[test]
#[ignore = "slow: runs the real debootstrap twice"]
fn a_prepared_tree_of_jammy_is_what_it_leaves() {
    compare(Order::ubuntu("jammy"), "http://in.archive.example.com/ubuntu/");
}

#[test]
#[ignore = "slow: runs the real debootstrap twice"]
fn a_prepared_tree_of_focal_is_what_it_leaves() {
    let components = "main,universe".to_owned();
    compare(Order { components, ..Order::ubuntu("focal") }, "http://in.archive.example.com/ubuntu");
}

/// Makes a tree in advance, has the real debootstrap make one in a world, and compares.
fn compare(order: Order, mirror: &'static str) {
    // Outside the machine, which has no way out.
    let mirrors = Mirrors::of_this_host();
    let cache = Arc::new(PackageCache::open(&cache_root().join("packages"), mirrors, false).unwrap());
    let scratch = tempfile::tempdir_in("/var/tmp").unwrap();
    let bases = scratch.path().join("bases");
    let took = Instant::now();
    order.prepare(Maker::find(None), &cache, &bases, &mut |line| eprintln!("{line}")).unwrap();
    eprintln!("prepared in {:.1} s", took.elapsed().as_secs_f64());
    let socket = scratch.path().join("packages.sock");
    let _server = Server::on_socket(&cache, &socket).unwrap();
    in_a_machine(move || {
        let mut plan = WorldPlan::draw(&mut rand::rngs::StdRng::seed_from_u64(1));
        plan.packages = Packages::Socket(socket);
        let world = World::start(&plan).unwrap();
        trust(Path::new("/"), &world.certificate()).unwrap();
        must("mount -t tmpfs tmpfs /usr/local/sbin && hostname > /etc/hostname");

        let (real, memo) = (scratch.path().join("real"), scratch.path().join("memo"));
        // As the course's tool has it: umask 077, and the directory made beforehand.
        for target in [&real, &memo] {
            must(&format!("umask 077; mkdir {}", target.display()));
        }
        let words = |target: &Path| {
            let mut words = vec!["--arch".to_owned(), "amd64".to_owned()];
            if order.components != "main" {
                words.push(format!("--components={}", order.components));
            }
            words.extend([order.suite.clone(), target.display().to_string(), mirror.to_owned()]);
            words
        };
        let took = Instant::now();
        must(&format!("unshare -mp --fork /usr/sbin/debootstrap {}", words(&real).join(" ")));
        eprintln!("the real one took {:.1} s", took.elapsed().as_secs_f64());
        // And what the world adds.
        must(&format!(
            "mkdir -p {0}/usr/local/share/ca-certificates
             cp /{CERTIFICATE} {0}/{CERTIFICATE}
             ! [ -x {0}/usr/sbin/update-ca-certificates ] || chroot {0} update-ca-certificates",
            real.display()
        ));
        debootstrap::install(&bases, world.certificate()).unwrap();
        let took = Instant::now();
        assert_eq!(
            format!("{:?}", debootstrap::main(&words(&memo))),
            format!("{:?}", std::process::ExitCode::SUCCESS)
        );
        eprintln!("the memo took {:.1} s", took.elapsed().as_secs_f64());
        assert_same(&tree(&real), &tree(&memo));
    });
}

fn assert_same(real: &BTreeMap<PathBuf, String>, memo: &BTreeMap<PathBuf, String>) {
    let mut differences = Vec::new();
    for path in real.keys().chain(memo.keys().filter(|path| !real.contains_key(*path))) {
        let (left, right) = (real.get(path), memo.get(path));
        if left != right
            && !DIFFERS.iter().any(|part| path.starts_with(part) && left.is_some() == right.is_some())
        {
            differences.push(format!("{}: {left:?} but {right:?}", path.display()));
        }
    }
    assert!(real.len() > 5000, "{} files", real.len());
    assert!(differences.is_empty(), "{} of {}:\n{}", differences.len(), real.len(), differences.join("\n"));
}

/// Makes a signed archive of an Ubuntu suite from Debian's packages, and a package
/// `quince` of its own.
const ARCHIVE: &str = r#"
    mkdir -p "$DIR/ubuntu/pool/main" "$DIR/keys" "$DIR/quince/DEBIAN" "$DIR/quince/usr/bin"
    unshare -mp --fork debootstrap --download-only --variant=minbase bookworm "$DIR/debs" http://mirror.invalid/debian
    mv "$DIR"/debs/var/cache/apt/archives/*.deb "$DIR/ubuntu/pool/main/"
    printf '#!/bin/sh\necho a quince\n' >"$DIR/quince/usr/bin/quince"
    chmod 755 "$DIR/quince/usr/bin/quince"
    printf 'Package: quince\nVersion: 1\nArchitecture: all\nPriority: optional\nMaintainer: T <t@example.org>\nDescription: a fruit\n' \
        >"$DIR/quince/DEBIAN/control"
    dpkg-deb --build --root-owner-group "$DIR/quince" "$DIR/ubuntu/pool/main/quince_1_all.deb"
    cd "$DIR/ubuntu"
    binary=main/binary-amd64
    mkdir -p "dists/jammy/$binary"
    dpkg-scanpackages --multiversion pool >"dists/jammy/$binary/Packages" 2>/dev/null
    xz --keep "dists/jammy/$binary/Packages"
    cd dists/jammy
    {
        printf 'Origin: Ubuntu\nLabel: Ubuntu\nSuite: jammy\nCodename: jammy\nVersion: 22.04\n'
        printf 'Date: %s\nArchitectures: amd64\nComponents: main\nSHA256:\n' "$(date -Ru)"
        for file in "$binary/Packages" "$binary/Packages.xz"; do
            printf ' %s %s %s\n' "$(sha256sum <"$file" | cut -d' ' -f1)" "$(wc -c <"$file")" "$file"
        done
    } >Release
    export GNUPGHOME="$DIR/keys"
    chmod 700 "$DIR/keys"
    gpg --batch --quiet --passphrase '' --quick-generate-key archive@example.org ed25519 sign never
    gpg --batch --quiet --clearsign --output InRelease Release
    gpg --batch --quiet --export >"$DIR/archive.gpg"
    gpgconf --kill gpg-agent
"#;

#[test]
#[ignore = "slow: runs the real debootstrap"]
fn a_suite_of_ubuntu_is_served_under_any_mirrors_name() {
    let scratch = tempfile::tempdir().unwrap();
    let (upstream, address) = upstream::Upstream::start();
    {
        let debian =
            PackageCache::open(&cache_root().join("packages"), Mirrors::of_this_host(), false).unwrap();
        let (_server, proxy) = Server::on_loopback(&Arc::new(debian)).unwrap();
        must(&format!(
            "DIR={} http_proxy=http://{proxy}; export DIR http_proxy\n{ARCHIVE}",
            scratch.path().display()
        ));
    }
    for (path, _) in tree(&scratch.path().join("ubuntu")) {
        let file = scratch.path().join("ubuntu").join(&path);
        if file.is_file() {
            upstream
                .put(&format!("/ubuntu/{}", path.display()), upstream::File::Body(fs::read(file).unwrap()));
        }
    }
    let mirrors = Mirrors::new([format!("{address}/ubuntu").as_str()]);
    let cache = Arc::new(PackageCache::open(&scratch.path().join("packages"), mirrors, false).unwrap());
    let bases = scratch.path().join("bases");
    let key = scratch.path().join("archive.gpg");
    let variant = Some("minbase".to_owned());
    let order = Order { variant, keyring: Some(key.clone()), ..Order::ubuntu("jammy") };
    order.prepare(Maker::find(None), &cache, &bases, &mut |line| eprintln!("{line}")).unwrap();
    let socket = scratch.path().join("packages.sock");
    let _server = Server::on_socket(&cache, &socket).unwrap();
    in_a_machine(move || {
        let mut plan = WorldPlan::draw(&mut rand::rngs::StdRng::seed_from_u64(2));
        plan.packages = Packages::Socket(socket);
        let world = World::start(&plan).unwrap();
        must("mount -t tmpfs tmpfs /usr/local/sbin && hostname > /etc/hostname");
        debootstrap::install(&bases, world.certificate()).unwrap();
        let target = scratch.path().join("jammy").display().to_string();
        let mirror = "http://in.archive.example.com/ubuntu";
        let arguments = ["--variant=minbase", "jammy", &target, mirror].map(ToOwned::to_owned);
        assert_eq!(
            format!("{:?}", debootstrap::main(&arguments)),
            format!("{:?}", std::process::ExitCode::SUCCESS)
        );
        must(&format!("cp {} {target}/etc/apt/trusted.gpg.d/archive.gpg", key.display()));
        // Debian's packages want a package that Ubuntu's script leaves out.
        let said = must(&format!(
            "unshare -mp --fork chroot {target} sh -ec 'apt-get -q update; apt-get -q -y install usr-is-merged quince; quince'"
        ));
        assert!(said.contains(mirror) && said.ends_with("a quince\n"), "{said}");
    });
}
