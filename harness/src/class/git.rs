//! Clones a repository that a table names. A server that is away says nothing about a submission;
//! an address that leads to this machine, or a repository too large for a submission, is refused.

mod address;
mod bounded;
mod listing;
mod said;

use std::fs;
use std::io::{Read, Seek};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

pub use self::address::{check, is_url, shown};
use self::said::{failed, moved};
use super::fetch;
use crate::submission::Limits;

/// How long to wait before a host that cannot be reached is tried once more.
const PAUSE: Duration = Duration::from_secs(2);

/// How much of what git says is read.
const MOST_SAID: u64 = 1 << 16;

/// How much of the headers of servers is read.
const MOST_HEADERS: u64 = 4 << 20;

/// How often a server may name another address.
const MOST_MOVES: u32 = 5;

/// The environment that both `clone` and `checkout` get. Nothing of the repository is run: no hook,
/// no filter, no submodule, no program as a transport.
const ENVIRONMENT: [(&str, &str); 4] = [
    ("LC_ALL", "C"),
    ("GIT_TERMINAL_PROMPT", "0"),
    ("GIT_LFS_SKIP_SMUDGE", "1"),
    ("GIT_TRACE_CURL_NO_DATA", "1"),
];
const SETTINGS: [&str; 6] =
    ["-c", "core.hooksPath=/dev/null", "-c", "submodule.recurse=false", "-c", "http.followRedirects=false"];

/// Why there is no clone, as a sentence.
#[derive(Debug, PartialEq, Eq)]
enum Failed {
    /// The host cannot be reached, or did not answer to the end.
    Unreachable(String),
    /// The address or the repository is one that we do not take.
    Refused(String),
    /// The server names this address instead.
    Moved(String),
    /// The server does not send the newest commit alone.
    NotShallow(String),
    /// There is no such repository, or we may not read it; or something else.
    Other(String),
}

impl From<Failed> for fetch::Error {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Refused(why) => Self::Theirs(why),
            Failed::Unreachable(why) | Failed::Other(why) | Failed::NotShallow(why) => Self::Ours(why),
            Failed::Moved(url) => {
                Self::Ours(format!("cannot clone: too many redirections, to {}", shown(&url)))
            }
        }
    }
}

/// Which addresses are cloned.
struct Rules {
    protocols: &'static str,
    check: fn(&str) -> Result<(), String>,
}

const RULES: Rules = Rules { protocols: address::PROTOCOLS, check: address::check_host };

/// Clones the newest commit of a repository into a folder that does not exist yet. A host that
/// cannot be reached is tried once more.
///
/// # Errors
/// When there is no clone. The folder may hold a part of it.
pub fn clone(url: &str, into: &Path, limits: &Limits) -> Result<(), fetch::Error> {
    let first = match follow(url, into, limits, &RULES) {
        Err(Failed::Unreachable(why)) => why,
        ended => return Ok(ended?),
    };
    std::thread::sleep(PAUSE);
    let _ = fs::remove_dir_all(into);
    follow(url, into, limits, &RULES).map_err(|again| match again {
        Failed::Unreachable(_) => Failed::Unreachable(first).into(),
        other => other.into(),
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

/// Clones from an address, or from one that its server names instead. Each is checked: git itself
/// would follow a redirection to any host.
fn follow(url: &str, into: &Path, limits: &Limits, rules: &Rules) -> Result<(), Failed> {
    let mut url = url.to_owned();
    let mut newest_only = true;
    let mut moves = 0;
    loop {
        (rules.check)(&url).map_err(Failed::Refused)?;
        match attempt(&url, into, limits, rules, newest_only) {
            Ok(()) => break,
            Err(Failed::Moved(next)) if moves < MOST_MOVES => {
                moves += 1;
                url = next;
            }
            Err(Failed::NotShallow(_)) if newest_only => newest_only = false,
            Err(failed) => return Err(failed),
        }
        let _ = fs::remove_dir_all(into);
    }
    if commit(into).is_none() {
        return Ok(());
    }
    let shown = shown(&url);
    listing::check(into, limits, &shown)?;
    let mut git = Command::new("git");
    git.arg("-C").arg(into).args(SETTINGS).args(["checkout", "--quiet", "--force", "HEAD", "--"]);
    finish(git, into, limits, &url)
}

/// Fetches a repository without its files: their sizes are not known yet.
fn attempt(url: &str, into: &Path, limits: &Limits, rules: &Rules, newest_only: bool) -> Result<(), Failed> {
    let shown = shown(url);
    let mut git = Command::new("git");
    git.args(SETTINGS)
        .args(["clone", "--quiet", "--no-checkout", "--no-tags", "--single-branch"])
        .args(newest_only.then_some("--depth=1"))
        .args(["--template=", "--no-recurse-submodules", "--", &shown])
        .arg(into)
        .env("GIT_ALLOW_PROTOCOL", rules.protocols);
    if shown != url {
        // The clone's own configuration keeps the address that git was given, and goes into the
        // machine with the submission. So the token is in the environment only.
        let count = std::env::var("GIT_CONFIG_COUNT").ok().and_then(|count| count.parse::<u32>().ok());
        let place = count.unwrap_or(0);
        git.env("GIT_CONFIG_COUNT", (place + 1).to_string())
            .env(format!("GIT_CONFIG_KEY_{place}"), format!("url.{url}.insteadOf"))
            .env(format!("GIT_CONFIG_VALUE_{place}"), &shown);
    }
    finish(git, into, limits, url)
}

/// Runs git to its end, and reads what it said if it failed.
fn finish(mut git: Command, into: &Path, limits: &Limits, url: &str) -> Result<(), Failed> {
    let shown = shown(url);
    let other = |error: std::io::Error| Failed::Other(format!("cannot clone {shown}: {error}"));
    let mut said = tempfile::tempfile().map_err(other)?;
    let headers = tempfile::NamedTempFile::new().map_err(other)?;
    git.envs(ENVIRONMENT)
        .env("GIT_TRACE_CURL", headers.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(said.try_clone().map_err(other)?);
    if bounded::run(&mut git, into, limits, &shown)?.success() {
        return Ok(());
    }
    let mut bytes = vec![];
    if said.rewind().is_ok() {
        let _ = said.take(MOST_SAID).read_to_end(&mut bytes);
    }
    let said = String::from_utf8_lossy(&bytes);
    // The limit on the size of a file ends index-pack without a word of its own.
    let mut own = said.lines().filter(|line| !line.starts_with("remote:") && !line.trim().is_empty());
    let is_cut = own.next() == Some("fatal: fetch-pack: invalid index-pack output") && own.next().is_none();
    if is_cut || said.contains("died of signal 25") {
        return Err(bounded::too_large(&shown, limits));
    }
    if said.contains("does not support shallow") {
        return Err(Failed::NotShallow(format!(
            "cannot clone {shown}: its server sends whole histories only"
        )));
    }
    let mut bytes = vec![];
    let _ = headers.as_file().take(MOST_HEADERS).read_to_end(&mut bytes);
    match moved(url, &String::from_utf8_lossy(&bytes)) {
        Some(next) if said.contains("returned error: 30") => Err(Failed::Moved(next)),
        _ => Err(failed(url, &said)),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::TcpListener;

    use super::*;

    const LOCAL: Rules = Rules { protocols: "file:http", check: |_| Ok(()) };

    fn git(folder: &Path, words: &[&str]) {
        let mut git = Command::new("git");
        git.arg("-C").arg(folder).args(["-c", "user.name=a", "-c", "user.email=a@b"]).args(words);
        let done = git.env("GIT_CONFIG_NOSYSTEM", "1").env("HOME", folder).output().unwrap();
        assert!(done.status.success(), "{words:?}: {}", String::from_utf8_lossy(&done.stderr));
    }

    /// A repository, its address, and a folder for clones.
    fn repository() -> (tempfile::TempDir, String) {
        let home = tempfile::tempdir().unwrap();
        let origin = home.path().join("origin");
        fs::create_dir(&origin).unwrap();
        git(&origin, &["init", "-q", "-b", "main"]);
        let url = format!("file://{}", origin.display());
        (home, url)
    }

    fn commit_all(home: &Path) {
        let origin = home.join("origin");
        git(&origin, &["add", "."]);
        git(&origin, &["commit", "-q", "-m", "work"]);
    }

    fn attempted(home: &Path, url: &str, limits: &Limits) -> Result<(), Failed> {
        follow(url, &home.join("clone"), limits, &LOCAL)
    }

    #[test]
    fn the_newest_commit_is_cloned_with_a_history_that_counts() {
        let (home, url) = repository();
        let home = home.path();
        for number in 0..3 {
            fs::write(home.join("origin/file"), number.to_string()).unwrap();
            commit_all(home);
        }
        attempted(home, &url, &Limits::default()).unwrap();
        let clone = home.join("clone");
        assert_eq!(fs::read_to_string(clone.join("file")).unwrap(), "2");
        assert!(clone.join(".git/shallow").is_file() && commit(&clone).is_some());
        fs::create_dir(home.join("copy")).unwrap();
        fs::create_dir(clone.join("task1")).unwrap();
        let opened = crate::submission::open(&clone, &home.join("copy"), &Limits::default(), None).unwrap();
        assert_eq!(opened.layout.git, crate::submission::GitFact::Present);
    }

    #[test]
    fn a_repository_without_a_commit_is_cloned_without_files() {
        let (home, url) = repository();
        attempted(home.path(), &url, &Limits::default()).unwrap();
        assert!(home.path().join("clone/.git").is_dir() && commit(&home.path().join("clone")).is_none());
    }

    #[test]
    fn a_few_kilobytes_that_stand_for_gigabytes_are_refused_before_a_file_is_written() {
        let (home, url) = repository();
        let home = home.path();
        for number in 0..15 {
            fs::write(home.join(format!("origin/{number}")), vec![0; 1 << 20]).unwrap();
        }
        commit_all(home);
        let limits = Limits { total: 8 << 20, ..Limits::default() };
        let Err(Failed::Refused(why)) = attempted(home, &url, &limits) else { panic!() };
        assert!(why.contains("the files exceed 8 MiB") && why.contains("origin is refused"), "{why}");
        let names: Vec<_> =
            fs::read_dir(home.join("clone")).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names, [".git"]);
        for (limits, said) in [
            (Limits { entries: 10, ..Limits::default() }, "11 entries"),
            (Limits { file: 900 << 10, ..Limits::default() }, "the limit for one file"),
        ] {
            fs::remove_dir_all(home.join("clone")).unwrap();
            let Err(Failed::Refused(why)) = attempted(home, &url, &limits) else { panic!() };
            assert!(why.contains(said), "{why}");
        }
    }

    #[test]
    fn a_pack_that_is_too_large_is_cut_off() {
        let (home, url) = repository();
        let home = home.path();
        let mut noise = vec![];
        fs::File::open("/dev/urandom").unwrap().take(3 << 20).read_to_end(&mut noise).unwrap();
        fs::write(home.join("origin/noise"), noise).unwrap();
        commit_all(home);
        let limits = Limits { file: 1 << 20, ..Limits::default() };
        let Err(Failed::Refused(why)) = attempted(home, &url, &limits) else { panic!() };
        assert!(why.contains("exceeds 1 MiB"), "{why}");
        assert!(bounded::size(&home.join("clone")) < 2 << 20);
    }

    #[test]
    fn an_encoding_that_makes_files_larger_is_cut_off() {
        let (home, url) = repository();
        let home = home.path();
        fs::write(home.join("origin/.gitattributes"), "text working-tree-encoding=UTF-32\n").unwrap();
        let mut text = vec![0xff, 0xfe, 0, 0];
        (0..1 << 20).for_each(|_| text.extend([b'a', 0, 0, 0]));
        fs::write(home.join("origin/text"), text).unwrap();
        commit_all(home);
        let limits = Limits { file: 2 << 20, ..Limits::default() };
        let Err(Failed::Refused(why)) = attempted(home, &url, &limits) else { panic!() };
        assert!(why.contains("exceeds 2 MiB"), "{why}");
    }

    /// A server that answers each request with these lines; the address that it has.
    fn server(answer: impl Fn(u16) -> String + Send + 'static) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let _ = stream.read(&mut [0; 4096]);
                let _ = stream.write_all(answer(port).as_bytes());
            }
        });
        port
    }

    #[test]
    fn a_redirection_is_followed_to_hosts_that_are_allowed_only() {
        let answer = |port| {
            format!(
                "HTTP/1.1 301 Moved\r\nLocation: http://localhost:{port}/secret/info/refs?service=git-upload-pack\r\n\
                 Content-Length: 0\r\nConnection: close\r\n\r\n"
            )
        };
        let port = server(answer);
        let home = tempfile::tempdir().unwrap();
        let clone = |rules| {
            follow(
                &format!("http://127.0.0.1:{port}/b"),
                &home.path().join("clone"),
                &Limits::default(),
                rules,
            )
        };
        let near = Rules {
            protocols: "http",
            check: |url| if url.contains("//localhost") { address::check(url) } else { Ok(()) },
        };
        let Err(Failed::Refused(why)) = clone(&near) else { panic!() };
        assert!(why.contains("/secret is not cloned: its host localhost is this machine"), "{why}");
        // A circle ends.
        let Err(Failed::Moved(_)) = clone(&LOCAL) else { panic!() };
    }

    #[test]
    fn another_protocol_than_those_of_a_table_is_not_spoken() {
        let (home, url) = repository();
        fs::write(home.path().join("origin/file"), "text").unwrap();
        commit_all(home.path());
        let closed = Rules { protocols: address::PROTOCOLS, ..LOCAL };
        let into = home.path().join("clone");
        let Err(Failed::Other(why)) = follow(&url, &into, &Limits::default(), &closed) else { panic!() };
        assert!(why.contains("transport 'file' not allowed"), "{why}");
        let fetch::Error::Theirs(why) = clone(&url, &into, &Limits::default()).unwrap_err() else { panic!() };
        assert!(why.ends_with("write the path instead"), "{why}");
    }
}
