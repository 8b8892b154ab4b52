//! `images`, `rmi` and `rmcache`: listing, deleting, and refusing to delete what is used.

#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::os::unix::fs::symlink;

use predicates::prelude::*;
use predicates::str::{contains, is_match};
use support::Playground;

#[test]
fn images_are_listed_as_in_the_assignment() {
    let Some(place) = Playground::new() else { return };
    place
        .conductor(["images"])
        .assert()
        .success()
        .stdout("CS695 Conductor that manages containers\nNo images found\n");
    place.build("RUN true\n").success();
    let line = "^CS695 Conductor that manages containers\nName                 Size       Date\nimg                  [0-9.]+M       20[0-9]{2}-[01][0-9]-[0-3][0-9]\n$";
    place.conductor(["images"]).assert().success().stdout(is_match(line).unwrap());
}

#[test]
fn json_is_the_whole_output_and_has_the_layers() {
    let Some(place) = Playground::new() else { return };
    place.conductor(["images", "--json"]).assert().success().stdout("[]\n");
    place.build("RUN echo 12345 > /file\n").success();
    let out = place.conductor(["images", "--json"]).assert().success();
    let images: serde_json::Value = serde_json::from_slice(&out.get_output().stdout).unwrap();
    assert_eq!(images[0]["name"], "img");
    let layers: Vec<_> =
        images[0]["layers"].as_array().unwrap().iter().rev().map(|l| l.as_str().unwrap()).collect();
    assert_eq!(layers, place.layers("img").iter().map(|layer| layer.to_str().unwrap()).collect::<Vec<_>>());
    let base = fs::metadata(place.layers("img")[0].join("bin/busybox")).unwrap().len();
    assert!(images[0]["size"].as_u64().unwrap() > base + 6);
}

#[test]
fn a_deleted_image_is_gone_and_its_layers_are_not() {
    let Some(place) = Playground::new() else { return };
    place.build("RUN true\n").success();
    let layers = place.layers("img");
    place.conductor(["rmi", "img"]).assert().success().stdout(contains("img succesfully removed"));
    assert_eq!(fs::read_dir(place.path().join(".images")).unwrap().count(), 0);
    assert!(layers.iter().all(|layer| layer.is_dir()));
    place.build("RUN true\n").success().stdout(contains("Using cache").count(2));
}

#[test]
fn deleting_what_is_not_there_is_an_error_and_makes_nothing() {
    let Some(place) = Playground::new() else { return };
    place.conductor(["rmi", "img"]).assert().code(1).stderr(contains("no image 'img'"));
    assert!(!place.path().join(".images").exists());
}

#[test]
fn an_image_with_a_container_is_refused() {
    let Some(place) = Playground::new() else { return };
    place.build("RUN true\n").success();
    place.conductor(["run", "img", "eg", "true"]).assert().success();
    place.conductor(["rmi", "img"]).assert().code(1).stderr(contains("used by container 'eg'"));
    place
        .conductor(["rmcache", "--force"])
        .assert()
        .code(1)
        .stderr(contains("container 'eg' uses the cache"));
    assert!(place.layers("img").iter().all(|layer| layer.is_dir()));
    place.conductor(["stop", "eg"]).assert().success();
    place.conductor(["rmi", "img"]).assert().success();
}

#[test]
fn the_cache_is_emptied_unless_images_consist_of_it() {
    let Some(place) = Playground::new() else { return };
    place.build("RUN true\n").success();
    place
        .conductor(["rmcache"])
        .assert()
        .code(1)
        .stderr(contains("image 'img' consists of layers in the cache"));
    place.conductor(["rmi", "img"]).assert().success();
    place.conductor(["rmcache"]).assert().success();
    assert_eq!(fs::read_dir(place.path().join(".cache")).unwrap().count(), 0);
    place.conductor(["rmcache"]).assert().success();
}

#[test]
fn what_other_programs_keep_in_the_folder_of_the_cache_stays() {
    let Some(place) = Playground::new() else { return };
    place.build("COPY Conductorfile /\n").success();
    place.conductor(["rmi", "img"]).assert().success();
    place.write(".cache/pip/data", "x");
    place.write(".cache/layers/.half-made-removed-1-2/removed/file", "");
    place.write(".cache/.half-made-removed-1-2/file", "");
    symlink("pip", place.path().join(".cache/link")).unwrap();
    place.write(".cache/.half-made-mine/file", "x");
    let rmcache = || {
        let said = "CS695 Conductor that manages containers\nCache succesfully removed\n";
        place.conductor(["rmcache"]).assert().success().stdout(said);
    };
    rmcache();
    let left = fs::read_dir(place.path().join(".cache")).unwrap();
    let mut left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, [".half-made-mine", "link", "pip"]);
    assert!(place.path().join(".cache/pip/data").exists());
    // Folders with the names of ours.
    let others = ["base/mine", "base/mine.metadata", "layers/mine", "layers/.half-made-mine", "index/mine"];
    for other in others {
        place.write(&format!(".cache/{other}/file"), "x");
    }
    support::make_base(&place.path().join(".cache/base/debian-bookworm"));
    place.build("COPY Conductorfile /\n").success();
    // A base system of a suite that the settings no longer name.
    let old = place.layers("img")[1].with_file_name("metadata");
    fs::copy(old, place.path().join(".cache/base/debian-trixie.metadata")).unwrap();
    place.write(".cache/base/debian-trixie/file", "x");
    place.conductor(["rmi", "img"]).assert().success();
    rmcache();
    let names = |folder: &str| {
        let entries = fs::read_dir(place.path().join(".cache").join(folder)).unwrap();
        entries.map(|entry| format!("{folder}/{}", entry.unwrap().file_name().display())).collect::<Vec<_>>()
    };
    let mut left: Vec<_> = ["base", "layers", "index"].into_iter().flat_map(names).collect();
    left.sort();
    assert_eq!(left, {
        let mut others = others;
        others.sort_unstable();
        others
    });
    assert!(others.iter().all(|other| place.path().join(".cache").join(other).join("file").exists()));
}

#[test]
fn folders_of_the_cache_that_are_links_are_emptied() {
    let Some(place) = Playground::new() else { return };
    fs::rename(place.path().join(".cache/base"), place.path().join("elsewhere")).unwrap();
    symlink("../elsewhere", place.path().join(".cache/base")).unwrap();
    place.conductor(["rmcache"]).assert().success();
    assert_eq!(fs::read_dir(place.path().join("elsewhere")).unwrap().count(), 0);
    assert!(place.path().join(".cache/base").is_symlink());
}

#[test]
fn one_folder_for_images_and_cache_is_refused() {
    let Some(place) = Playground::new() else { return };
    place.write("Conductorfile", "FROM debian:bookworm\n");
    let cache = place.path().join(".cache");
    let mut build = place.conductor(["build", "img"]);
    build.env("IMAGEDIR", &cache).timeout(std::time::Duration::from_secs(60));
    build.assert().code(1).stderr(contains("are the same folder: give each a folder of its own"));
    assert!(cache.join("base/debian-bookworm/bin").exists());
}

#[test]
fn the_cache_stays_while_a_container_of_another_folder_uses_it() {
    let Some(place) = Playground::new() else { return };
    // The paths of so many layers do not fit the options of a mount.
    let copies = "COPY Conductorfile /\n".repeat(50);
    for (steps, said) in [("RUN true\n", ".containers/eg: stop its container first"), (&copies, "")] {
        place.build(steps).success();
        place.keep_running("eg", &["sleep", "infinity"]);
        let rmcache = || {
            let mut rmcache = place.conductor(["rmcache", "--force"]);
            rmcache.env("CONTAINERDIR", place.path().join("other"));
            rmcache.assert()
        };
        let pid = place.first_pid("eg");
        rmcache().code(1).stderr(contains(format!("process {pid} uses the cache")).and(contains(said)));
        assert!(place.layers("img").iter().all(|layer| layer.is_dir()));
        place.conductor(["stop", "eg"]).assert().success();
        if steps == copies {
            rmcache().success();
        }
    }
}

#[test]
fn an_image_whose_layers_were_forced_away_says_so_and_can_be_deleted() {
    let Some(place) = Playground::new() else { return };
    place.build("RUN true\n").success();
    place.conductor(["rmcache", "--force"]).assert().success();
    place.conductor(["images"]).assert().success().stdout(contains("img"));
    place
        .conductor(["run", "img", "eg", "true"])
        .assert()
        .failure()
        .stderr(contains("which is gone: build it again"));
    place.conductor(["ps"]).assert().success().stdout(contains("No containers found"));
    place.conductor(["rmi", "img"]).assert().success();
}

#[test]
fn the_cache_stays_while_a_build_uses_it() {
    let Some(place) = Playground::new() else { return };
    place.write("Conductorfile", "FROM debian:bookworm\nRUN echo started; sleep 1000\n");
    let mut build = place.command(env!("CARGO_BIN_EXE_conductor"));
    let mut build = build.args(["build", "img"]).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut output = std::io::BufReader::new(build.stdout.take().unwrap());
    for _ in std::io::BufRead::lines(&mut output).map_while(Result::ok).take_while(|line| line != "started") {
    }
    place.conductor(["rmcache", "--force"]).assert().code(1).stderr(contains("a build uses the cache"));
    build.kill().unwrap();
    build.wait().unwrap();
    assert!(place.half_made().len() == 1, "the killed build left its draft");
    place.conductor(["rmcache"]).assert().success();
    assert_eq!(fs::read_dir(place.path().join(".cache")).unwrap().count(), 0);
}

#[test]
fn a_mount_in_the_cache_is_not_deleted_with_it() {
    let Some(place) = Playground::new() else { return };
    let inside = place.path().join(".cache/layers").join("0123456789abcdef".repeat(4)).join("diff");
    fs::create_dir_all(&inside).unwrap();
    fs::create_dir(place.path().join("precious")).unwrap();
    place.write("precious/file", "x");
    let mount = place.command("mount").arg("--bind").arg("precious").arg(&inside).status().unwrap();
    assert!(mount.success());
    place
        .conductor(["rmcache"])
        .assert()
        .failure()
        .stderr(contains("cannot delete").or(contains("cannot remove")));
    assert!(place.path().join("precious/file").exists());
}

#[test]
fn what_is_not_an_image_is_neither_replaced_nor_deleted() {
    let Some(place) = Playground::new() else { return };
    place.build("RUN true\n").success();
    let made = place.path().join(".images/img/layers");
    place.write(".images/folder/file", "data");
    place.write(".images/file", "data");
    place.write(".images/more/file", "data");
    fs::copy(&made, place.path().join(".images/more/layers")).unwrap();
    fs::create_dir_all(place.path().join(".images/mounted/inside")).unwrap();
    symlink("img", place.path().join(".images/link")).unwrap();
    let mount = place.command("mount").args(["-t", "tmpfs", "tmpfs", ".images/mounted/inside"]).status();
    assert!(mount.unwrap().success());
    for name in ["folder", "file", "more", "mounted", "link"] {
        let said = format!("image '{name}': conductor did not make {}", place.path().display());
        let refused = |args: &[&str]| {
            let refused = place.conductor(args.iter().copied()).assert().code(1);
            refused.stderr(contains(&said).and(contains("; move it away, or choose another name\n")))
        };
        refused(&["build", name]).stdout("CS695 Conductor that manages containers\n");
        refused(&["rmi", name]);
        if name != "more" && name != "link" {
            place.conductor(["run", name, "eg", "true"]).assert().code(125).stderr(contains(&said));
        }
    }
    // The sweep of another build finds nothing to unmount or to delete either.
    place.build("RUN echo\n").success();
    assert_eq!(place.mounts().len(), 1);
    for file in ["folder/file", "file", "more/file"] {
        assert_eq!(fs::read_to_string(place.path().join(".images").join(file)).unwrap(), "data");
    }
    assert!(place.path().join(".images/link").is_symlink() && made.exists());
    assert_eq!(place.half_made(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn a_sweep_of_images_and_cache_detaches_no_mount() {
    let Some(place) = Playground::new() else { return };
    place.build("RUN true\n").success();
    for folder in [".images", ".cache", ".cache/base", ".cache/layers"] {
        let inside = format!("{folder}/.half-made-new-1-2/inside");
        fs::create_dir_all(place.path().join(&inside)).unwrap();
        let mount = place.command("mount").args(["-t", "tmpfs", "tmpfs", &inside]).status().unwrap();
        assert!(mount.success());
    }
    place.build("RUN echo\n").success();
    assert_eq!(place.mounts().len(), 4);
}
