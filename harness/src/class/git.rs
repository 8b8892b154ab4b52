//! Clones a repository that a table names. Whatever goes wrong here is no fault of the participant:
//! a server that is away says nothing about a submission.

use std::fs;
use std::io::{Read, Seek};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How long a clone may take.
const CLONE_TIME: Duration = Duration::from_secs(300);

/// How long to wait before a host that cannot be reached is tried once more.
const PAUSE: Duration = Duration::from_secs(2);

/// How much of what git says is read.
const MOST_SAID: u64 = 1 << 16;

/// Why there is no clone, as a sentence.
#[derive(Debug, PartialEq, Eq)]
enum Failed {
    /// The host cannot be reached, or did not answer to the end.
    Unreachable(String),
    /// There is no such repository, or we may not read it; or something else.
    Other(String),
}

/// An address without name, password and query: those may be a token, which is nobody's business.
/// `ssh` needs the name, which is no secret.
pub fn shown(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let rest = &rest[..rest.find(['?', '#']).unwrap_or(rest.len())];
    let end = rest.find('/').unwrap_or(rest.len());
    let Some(at) = rest[..end].rfind('@') else { return format!("{scheme}://{rest}") };
    let (login, place) = (&rest[..at], &rest[at + 1..]);
    match login.split(':').next() {
        Some(name) if scheme.ends_with("ssh") && !name.is_empty() => format!("{scheme}://{name}@{place}"),
        _ => format!("{scheme}://{place}"),
    }
}

/// Clones a repository into a folder that does not exist yet. A host that cannot be reached is
/// tried once more.
pub fn clone(url: &str, into: &Path) -> Result<(), String> {
    let first = match attempt(url, into) {
        Ok(()) => return Ok(()),
        Err(Failed::Other(why)) => return Err(why),
        Err(Failed::Unreachable(why)) => why,
    };
    std::thread::sleep(PAUSE);
    let _ = fs::remove_dir_all(into);
    attempt(url, into).map_err(|again| match again {
        Failed::Unreachable(_) => first,
        Failed::Other(why) => why,
    })
}

/// The commit that a clone of ours has checked out; `None` where there is none.
pub fn commit(clone: &Path) -> Option<String> {
    let said = Command::new("git")
        .arg("-C")
        .arg(clone)
        .args(["rev-parse", "--verify", "--quiet", "HEAD"])
        .env("GIT_CEILING_DIRECTORIES", clone.parent()?.canonicalize().ok()?)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8(said.stdout).ok()?.trim().to_owned();
    (said.status.success() && !text.is_empty()).then_some(text)
}

/// Nothing of the repository is run: no hook, no filter, no submodule, no program as a transport.
fn attempt(url: &str, into: &Path) -> Result<(), Failed> {
    let shown = shown(url);
    let other = |why: String| Failed::Other(format!("cannot clone {shown}: {why}"));
    let mut said = tempfile::tempfile().map_err(|error| other(error.to_string()))?;
    let stderr = said.try_clone().map_err(|error| other(error.to_string()))?;
    let mut git = Command::new("git");
    git.args(["-c", "core.hooksPath=/dev/null", "-c", "protocol.ext.allow=never", "clone", "--quiet"])
        .args(["--template=", "--no-recurse-submodules", "--", &shown])
        .arg(into)
        .env("LC_ALL", "C")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_LFS_SKIP_SMUDGE", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(stderr);
    if shown != url {
        // The clone's own configuration keeps the address that git was given, and goes into the
        // machine with the submission. So the token is in the environment only.
        let count = std::env::var("GIT_CONFIG_COUNT").ok().and_then(|count| count.parse::<u32>().ok());
        let place = count.unwrap_or(0);
        git.env("GIT_CONFIG_COUNT", (place + 1).to_string())
            .env(format!("GIT_CONFIG_KEY_{place}"), format!("url.{url}.insteadOf"))
            .env(format!("GIT_CONFIG_VALUE_{place}"), &shown);
    }
    let mut child = git.spawn().map_err(|error| other(format!("cannot start git: {error}; install git")))?;
    let began = Instant::now();
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if began.elapsed() < CLONE_TIME => std::thread::sleep(Duration::from_millis(50)),
            _ => {
                let _ = child.kill();
                let _ = child.wait();
                let minutes = CLONE_TIME.as_secs() / 60;
                return Err(other(format!("it took more than {minutes} minutes")));
            }
        }
    };
    if status.success() {
        return Ok(());
    }
    let mut bytes = vec![];
    if said.rewind().is_ok() {
        let _ = said.take(MOST_SAID).read_to_end(&mut bytes);
    }
    Err(failed(url, &String::from_utf8_lossy(&bytes)))
}

/// What git said, as a sentence with a remedy.
fn failed(url: &str, said: &str) -> Failed {
    const REFUSED: [&str; 9] = [
        "not found",
        "does not exist",
        "does not appear to be a git repository",
        "authentication failed",
        "could not read username",
        "could not read password",
        "permission denied",
        "access denied",
        "returned error: 40",
    ];
    const UNREACHABLE: [&str; 13] = [
        "could not resolve",
        "temporary failure",
        "failed to connect",
        "couldn't connect",
        "could not connect",
        "connection refused",
        "connection reset",
        "timed out",
        "network is unreachable",
        "no route to host",
        "returned error: 5",
        "early eof",
        "hung up unexpectedly",
    ];
    let shown = shown(url);
    // Git repeats the address as it was rewritten.
    let said = said.replace(url, &shown);
    let mut lines = said.lines().map(str::trim).filter(|line| !line.is_empty());
    let line = lines.clone().find(|line| line.starts_with("fatal:")).or_else(|| lines.next_back());
    let line: String = line.unwrap_or("git said nothing").chars().take(300).collect();
    let lower = said.to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    if has(&REFUSED) {
        Failed::Other(format!(
            "cannot clone {shown}: {line}; there is no such repository, or you may not read it: correct its URL, or ask \
             for access"
        ))
    } else if has(&UNREACHABLE) {
        Failed::Unreachable(format!(
            "cannot clone {shown}: {line}; its host cannot be reached: start the same command again later"
        ))
    } else {
        Failed::Other(format!("cannot clone {shown}: {line}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_what_may_be_a_token() {
        for (url, expected) in [
            ("https://host/a/b.git", "https://host/a/b.git"),
            ("https://x:tok@host:8443/b.git", "https://host:8443/b.git"),
            ("http://tok@host/b@c", "http://host/b@c"),
            ("https://host/b.git?private_token=tok", "https://host/b.git"),
            ("ssh://git:tok@host/b", "ssh://git@host/b"),
            ("git@host:a/b.git", "git@host:a/b.git"),
            ("file:///a/b", "file:///a/b"),
        ] {
            assert_eq!(shown(url), expected);
        }
    }

    #[test]
    fn the_fatal_line_is_said_and_a_host_that_is_away_is_told_from_a_repository_that_is_not_there() {
        let url = "https://x:tok@host/b";
        let refused = "remote: Repository not found.\nfatal: repository 'https://x:tok@host/b/' not found\n";
        let Failed::Other(why) = failed(url, refused) else { panic!() };
        assert!(
            why.contains("fatal: repository 'https://host/b/' not found") && !why.contains("tok"),
            "{why}"
        );
        assert!(why.contains("no such repository"), "{why}");
        for away in [
            "fatal: unable to access 'https://x:tok@host/b/': Could not resolve host: host\n",
            "ssh: connect to host h port 22: Connection refused\nfatal: Could not read from remote repository.\n\n\
             Please make sure you have the correct access rights\nand the repository exists.\n",
        ] {
            let Failed::Unreachable(why) = failed(url, away) else { panic!("{away}") };
            assert!(why.contains("fatal: ") && !why.contains("tok"), "{why}");
        }
        assert_eq!(failed("a", "odd\n"), Failed::Other("cannot clone a: odd".to_owned()));
    }
}
