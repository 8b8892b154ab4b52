//! `index.html` in a browser: headless Chromium opens it from the disk, and axe-core looks for what
//! keeps people from reading it. `target/browser` has the pictures, for people to look at.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

mod pages;

/// Where the modules of npm and the pictures go.
fn folder() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"), PathBuf::from);
    target.join("browser")
}

fn install(folder: &Path) {
    let packages = ["puppeteer-core@24.43.1", "axe-core@4.14.1"];
    let npm = Command::new("npm")
        .args(["install", "--no-audit", "--no-fund", "--silent", "--prefix"])
        .arg(folder)
        .args(packages)
        .status()
        .unwrap();
    assert!(npm.success(), "npm could not install {}", packages.join(" and "));
}

#[test]
#[ignore = "needs chromium and npm, and takes minutes: ci/setup test-all installs them"]
fn pages_can_be_read_by_everybody_and_run_nothing() {
    let folder = folder();
    fs::create_dir_all(&folder).unwrap();
    let folder = folder.canonicalize().unwrap();
    install(&folder);
    let mut paths = vec![];
    for (name, html) in pages::all() {
        let place = folder.join("pages").join(name);
        fs::create_dir_all(&place).unwrap();
        let path = place.join("index.html");
        fs::write(&path, html).unwrap();
        paths.push(path);
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser/look.mjs");
    let output = Command::new("node").arg(script).arg(&folder).arg(&folder).args(&paths).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told = String::from_utf8(output.stdout).unwrap();
    assert_eq!(told.lines().count(), paths.len(), "{told}");
    for line in told.lines() {
        let seen: Value = serde_json::from_str(line).unwrap();
        let page = &seen["page"];
        for nothing in ["requests", "errors", "violations", "wide"] {
            assert_eq!(seen[nothing], Value::Array(vec![]), "{nothing} of {page}");
        }
        assert_eq!(seen["dialogs"], 0, "{page}");
        assert_ne!(seen["title"], "owned", "{page}");
        let is_short = page.as_str().unwrap().contains("does-not-compile");
        assert_eq!(seen["played"], if is_short { "nothing to play" } else { "plays" }, "{page}");
        assert!(seen["milliseconds"].as_f64().unwrap() < 5000.0, "{page} took {} ms", seen["milliseconds"]);
    }
}
