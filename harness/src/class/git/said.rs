//! What git and the server said, as a sentence with a remedy, or as another address.

use super::{Failed, shown};

/// What git said, as a sentence with a remedy.
pub fn failed(url: &str, said: &str) -> Failed {
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

/// The address that a server names instead, from git's record of its headers. The login goes along
/// to the same host only.
pub fn moved(url: &str, headers: &str) -> Option<String> {
    const ASKED: &str = "/info/refs?service=git-upload-pack";
    let location = |line: &str| {
        let (_, header) = line.split_once("<= Recv header: ")?;
        let (name, value) = header.split_once(':')?;
        name.eq_ignore_ascii_case("location").then(|| value.trim().to_owned())
    };
    let next = headers.lines().rev().find_map(location)?;
    let place = |url: &str| url.split_once("://").map(|(scheme, rest)| (scheme.to_owned(), rest.to_owned()));
    let (scheme, rest) = place(url)?;
    let authority = rest.split('/').next()?;
    let next = if next.starts_with('/') { format!("{scheme}://{authority}{next}") } else { next };
    let next = next.strip_suffix(ASKED)?;
    let (next_scheme, next_rest) = place(next)?;
    let (login, host) = authority.rsplit_once('@').unwrap_or_default();
    let is_same = !login.is_empty() && next_scheme == scheme && next_rest.split('/').next() == Some(host);
    Some(if is_same { format!("{scheme}://{login}@{next_rest}") } else { next.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_goes_along_to_the_same_host_only() {
        let asked = "/info/refs?service=git-upload-pack";
        let headers = |location: &str| {
            format!("<= Recv header: HTTP/1.1 301\n<= Recv header: Location: {location}{asked}\n")
        };
        let next = |location| moved("https://x:tok@host/b", &headers(location));
        assert_eq!(next("https://host/b.git").as_deref(), Some("https://x:tok@host/b.git"));
        assert_eq!(next("/c").as_deref(), Some("https://x:tok@host/c"));
        assert_eq!(next("https://other/b").as_deref(), Some("https://other/b"));
        assert_eq!(next("http://host/b").as_deref(), Some("http://host/b"));
        assert_eq!(moved("https://host/b", "<= Recv header: location: https://host/login\n"), None);
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
