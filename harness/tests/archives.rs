//! Makes each archive of the corpus, and accepts or refuses it as its `expect.toml` says.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::process::Command;

use harness::submission::{ASKED, GitFact, Limits, open};
use serde::Deserialize;
use tempfile::TempDir;

#[derive(Deserialize)]
struct Corpus {
    archive: Vec<Archive>,
}

#[derive(Deserialize)]
struct Archive {
    file: String,
    verdict: String,
    #[serde(default)]
    missing: Vec<String>,
    names: Option<String>,
}

#[test]
fn every_archive_of_the_corpus_is_accepted_or_refused_as_expected() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/submissions/archives");
    let expected: Corpus = toml::from_str(&fs::read_to_string(corpus.join("expect.toml")).unwrap()).unwrap();
    let home = TempDir::new().unwrap();
    let made = home.path().join("made");
    let status = Command::new(corpus.join("make.sh")).arg(&made).status().unwrap();
    assert!(status.success());

    let wrong: Vec<_> =
        expected.archive.iter().filter_map(|archive| judge(archive, &made, home.path()).err()).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Opens one archive and returns the difference from the expected result.
fn judge(archive: &Archive, made: &Path, home: &Path) -> Result<(), String> {
    let into = home.join("into").join(&archive.file);
    fs::create_dir_all(&into).unwrap();
    let siblings = || fs::read_dir(home).unwrap().count();
    let before = siblings();
    let taken = open(&made.join(&archive.file), &into, &Limits::default(), None);
    if siblings() != before {
        return Err(format!("{}: something was written outside its folder", archive.file));
    }
    match (archive.verdict.as_str(), taken) {
        ("accepted", Ok(submission)) => {
            let there = |path: &&str| submission.layout.files.iter().any(|file| file.path == **path);
            let mut missing: Vec<_> =
                ASKED.iter().filter(|path| !there(path)).map(ToString::to_string).collect();
            if submission.layout.git == GitFact::Missing {
                missing.push(".git".into());
            }
            if missing == archive.missing {
                Ok(())
            } else {
                Err(format!("{}: missing {missing:?}", archive.file))
            }
        }
        ("refused", Err(error)) => match &archive.names {
            Some(name) if !error.to_string().contains(name) => Err(format!("{}: {error}", archive.file)),
            _ => Ok(()),
        },
        (_, Ok(_)) => Err(format!("{}: accepted", archive.file)),
        (_, Err(error)) => Err(format!("{}: {error}", archive.file)),
    }
}
