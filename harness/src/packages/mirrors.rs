//! Which mirror stands for the archive that a guest asks for.
//!
//! A guest may name any host; what it asks for is told by the path. Only mirrors that the
//! host's own configuration names are ever asked: `$HARNESS_MIRRORS`, then apt's sources
//! (sources.list(5)), then the defaults that debootstrap carries. So nothing a submission
//! asks for makes the host talk to a server of the submission's choosing, and no list of
//! hosts is in our code.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use reqwest::Url;

/// Folders in which public servers keep the archives of many distributions.
const COLLECTIONS: [&str; 3] = ["/pub/", "/mirror/", "/mirrors/"];

/// The mirrors' base addresses, those to prefer first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mirrors(Vec<Mirror>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Mirror {
    /// Without what stands before an `@`: this is what guests and people see.
    url: Url,
    login: Option<Login>,
}

/// The name and password in a mirror's address. Only requests to that mirror carry them.
#[derive(Clone, PartialEq, Eq)]
struct Login {
    name: String,
    password: Option<String>,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Login")
    }
}

/// A file on a mirror.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    /// Its address, without a login.
    pub url: Url,
    /// The mirror's address, without a slash at its end.
    pub base: String,
    /// What follows: `dists/…` or `pool/…`.
    pub file: String,
    login: Option<Login>,
}

impl Wanted {
    /// The address as it is requested.
    pub fn with_credentials(&self) -> Url {
        let mut url = self.url.clone();
        if let Some(login) = &self.login {
            // Fails only for addresses without a host, which no mirror is.
            let _ = url.set_username(&login.name);
            let _ = url.set_password(login.password.as_deref());
        }
        url
    }

    /// The mirror's name.
    pub fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }
}

impl Mirrors {
    /// What this host has configured. What cannot be read is passed over.
    pub fn of_this_host() -> Self {
        let given = std::env::var("HARNESS_MIRRORS").unwrap_or_default();
        let mut mirrors = Self::new(given.split_whitespace());
        for file in sources_files(Path::new("/etc/apt")) {
            let text = fs::read_to_string(&file).unwrap_or_default();
            let deb822 = file.extension().is_some_and(|extension| extension == "sources");
            let uris = if deb822 { deb822_uris(&text) } else { one_line_uris(&text) };
            for uri in uris {
                mirrors.add_apt_uri(&uri);
            }
        }
        for uri in debootstrap_uris() {
            mirrors.add(&uri);
        }
        mirrors
    }

    /// These and no others.
    pub fn new<'a>(uris: impl IntoIterator<Item = &'a str>) -> Self {
        let mut mirrors = Self::default();
        for uri in uris {
            mirrors.add(uri);
        }
        mirrors
    }

    /// Where to fetch what a guest asks for by `path`, such as `/debian/dists/bookworm/InRelease`;
    /// `None` where no mirror stands for that archive, or the path is not a plain one.
    pub(super) fn url_for(&self, path: &str) -> Option<Wanted> {
        let (archive, file) = split(path)?;
        let plain = path.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#\\".contains(&byte))
            && !path.to_ascii_lowercase().replace("%2e", ".").contains("..");
        let mirror = plain.then(|| self.find(archive))??;
        let base = mirror.url.as_str().trim_end_matches('/').to_owned();
        let url = Url::parse(&format!("{base}/{file}")).ok()?;
        Some(Wanted { url, base, file: file.to_owned(), login: mirror.login.clone() })
    }

    /// The first mirror of an archive's path, such as `/debian`; without a login.
    pub fn standing_for(&self, archive: &str) -> Option<&Url> {
        self.find(archive).map(|mirror| &mirror.url)
    }

    fn find(&self, archive: &str) -> Option<&Mirror> {
        let path = |mirror: &&Mirror| mirror.url.path().trim_end_matches('/').to_owned();
        // `/debian` may be kept elsewhere, as in `/pub/debian`, and be asked for so.
        let own = match archive.rfind('/') {
            Some(at) if COLLECTIONS.iter().any(|folder| archive.starts_with(folder)) => &archive[at..],
            _ => archive,
        };
        let last = |mirror: &&Mirror| own.rfind('/') == Some(0) && path(mirror).ends_with(own);
        self.0.iter().find(|mirror| path(mirror) == archive).or_else(|| self.0.iter().find(last))
    }

    fn add(&mut self, uri: &str) {
        if let Ok(mut url) = Url::parse(uri)
            && matches!(url.scheme(), "http" | "https")
        {
            let login =
                Login { name: url.username().to_owned(), password: url.password().map(ToOwned::to_owned) };
            let login = (!login.name.is_empty() || login.password.is_some()).then_some(login);
            let _ = url.set_username("");
            let _ = url.set_password(None);
            if !self.0.iter().any(|mirror| mirror.url == url) {
                self.0.push(Mirror { url, login });
            }
        }
    }

    /// As apt means it: `mirror+file:` names a file that lists the mirrors
    /// (apt-transport-mirror(1)).
    fn add_apt_uri(&mut self, uri: &str) {
        match uri.strip_prefix("mirror+file:") {
            None => self.add(uri),
            Some(list) => {
                let list = fs::read_to_string(list).unwrap_or_default();
                for uri in list.lines().filter_map(|line| line.split_whitespace().next()) {
                    self.add(uri);
                }
            }
        }
    }
}

/// A path's archive and the file in it.
fn split(path: &str) -> Option<(&str, &str)> {
    let at = ["/dists/", "/pool/"].iter().filter_map(|part| path.find(part)).min()?;
    Some((&path[..at], &path[at + 1..]))
}

/// Apt's source lists in the order in which apt reads them.
fn sources_files(apt: &Path) -> Vec<PathBuf> {
    let mut parts: Vec<PathBuf> = fs::read_dir(apt.join("sources.list.d"))
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            path.extension().is_some_and(|extension| extension == "list" || extension == "sources")
        })
        .collect();
    parts.sort();
    parts.insert(0, apt.join("sources.list"));
    parts
}

/// The URIs of `deb [options] URI suite components…` lines.
fn one_line_uris(text: &str) -> Vec<String> {
    let uri = |line: &str| {
        let line = line.trim().strip_prefix("deb")?;
        let line = line.strip_prefix([' ', '\t'])?.trim_start();
        let line = match line.strip_prefix('[') {
            Some(options) => options.split_once(']')?.1,
            None => line,
        };
        line.split_whitespace().next().map(ToOwned::to_owned)
    };
    text.lines().filter_map(uri).collect()
}

/// The URIs of the enabled stanzas that name binary packages.
fn deb822_uris(text: &str) -> Vec<String> {
    let mut uris = Vec::new();
    for stanza in stanzas(text) {
        let field = |name: &str| stanza.get(name).map_or("", String::as_str);
        if field("types").split_whitespace().any(|kind| kind == "deb")
            && !["no", "false", "0"].contains(&field("enabled").trim())
        {
            uris.extend(field("uris").split_whitespace().map(ToOwned::to_owned));
        }
    }
    uris
}

/// The fields of each stanza, names in lower case, continuation lines joined (deb822(5)).
fn stanzas(text: &str) -> Vec<BTreeMap<String, String>> {
    let mut stanzas = vec![BTreeMap::<String, String>::new()];
    let mut last = String::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let Some(stanza) = stanzas.last_mut() else { break };
        if line.trim().is_empty() {
            stanzas.push(BTreeMap::new());
        } else if line.starts_with([' ', '\t']) {
            stanza.entry(last.clone()).or_default().push_str(line);
        } else if let Some((name, value)) = line.split_once(':') {
            last = name.to_ascii_lowercase();
            stanza.insert(last.clone(), value.to_owned());
        }
    }
    stanzas
}

/// The mirrors that the installed debootstrap takes where none is named.
fn debootstrap_uris() -> Vec<String> {
    let program = fs::read_to_string("/usr/sbin/debootstrap").unwrap_or_default();
    let script = fs::read_to_string("/usr/share/debootstrap/scripts/gutsy").unwrap_or_default();
    let debian = program.lines().find_map(|line| line.strip_prefix("DEF_MIRROR=\"")?.strip_suffix('"'));
    debian.into_iter().chain(ubuntu_uris(&script)).map(ToOwned::to_owned).collect()
}

/// The defaults for suites that are in no list of old ones (`*)` of a `case`).
fn ubuntu_uris(script: &str) -> impl Iterator<Item = &str> {
    let after = script.lines().skip(1);
    script
        .lines()
        .zip(after)
        .filter(|(line, _)| line.trim() == "*)")
        .filter_map(|(_, next)| next.trim().strip_prefix("default_mirror "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(mirrors: &Mirrors, path: &str) -> Option<String> {
        mirrors.url_for(path).map(|wanted| wanted.url.to_string())
    }

    #[test]
    fn an_archive_is_told_by_its_path() {
        let mirrors = Mirrors::new([
            "http://m.example/pub/debian/",
            "http://m.example/debian-security",
            "https://example.com/linux/debian",
        ]);
        let found = |path| url(&mirrors, path);
        assert_eq!(
            found("/debian/pool/main/b/bash/bash_5.2.15-2+b7_amd64.deb").unwrap(),
            "http://m.example/pub/debian/pool/main/b/bash/bash_5.2.15-2+b7_amd64.deb"
        );
        assert_eq!(
            found("/debian-security/dists/bookworm-security/InRelease").unwrap(),
            "http://m.example/debian-security/dists/bookworm-security/InRelease"
        );
        assert_eq!(
            found("/linux/debian/dists/bookworm/InRelease").unwrap(),
            "https://example.com/linux/debian/dists/bookworm/InRelease"
        );
        assert_eq!(found("/ubuntu/dists/jammy/InRelease"), None);
        assert_eq!(found("/other/debian/dists/x/InRelease"), None);
    }

    #[test]
    fn a_collection_of_archives_has_the_same_archive() {
        let mirrors = Mirrors::new(["http://m.example/debian", "http://m.example/pub/linux/ubuntu"]);
        for folder in ["/pub", "/pub/linux", "/mirror", "/mirrors/some.where"] {
            assert_eq!(
                url(&mirrors, &format!("{folder}/debian/dists/x/InRelease")).unwrap(),
                "http://m.example/debian/dists/x/InRelease"
            );
        }
        assert!(url(&mirrors, "/mirror/ubuntu/dists/x/InRelease").is_some());
        assert_eq!(url(&mirrors, "/linux/debian/dists/x/InRelease"), None);
    }

    #[test]
    fn a_path_cannot_leave_its_archive() {
        let mirrors = Mirrors::new(["http://m.example/debian"]);
        for path in [
            "/debian/dists/../../secret",
            "/debian/dists/%2e%2E/%2e./secret",
            "/debian/pool/x?y=z",
            "/debian/pool/x#y",
            "/debian/pool/a b",
            "/debian/secret",
        ] {
            assert_eq!(url(&mirrors, path), None, "{path}");
        }
    }

    #[test]
    fn a_login_is_shown_to_nobody_but_the_mirror() {
        let mirrors = Mirrors::new(["http://us%40er:swordfish@m.example/debian"]);
        let wanted = mirrors.url_for("/debian/dists/x/InRelease").unwrap();
        assert_eq!(
            wanted.with_credentials().as_str(),
            "http://us%40er:swordfish@m.example/debian/dists/x/InRelease"
        );
        let seen = [
            wanted.url.to_string(),
            wanted.base.clone(),
            format!("{wanted:?} {mirrors:?}"),
            mirrors.standing_for("/debian").unwrap().to_string(),
        ];
        assert!(seen.iter().all(|seen| !seen.contains("swordfish") && !seen.contains("us%40er")), "{seen:?}");
    }

    #[test]
    fn apt_sources_are_read_in_both_formats() {
        let list = "# deb http://off.example/debian x main\n\
            deb http://a.example/debian bookworm main\n\
            deb-src http://src.example/debian bookworm main\n\
            deb [arch=amd64 signed-by=/k.gpg] https://b.example/ubuntu jammy main\n";
        assert_eq!(one_line_uris(list), ["http://a.example/debian", "https://b.example/ubuntu"]);
        let sources = "Types: deb deb-src\nURIs: http://a.example/debian\n http://c.example/debian\nSuites: x\n\
            \n\n# a comment\nTypes: deb\nEnabled: no\nURIs: http://off.example/\n\nTypes: deb-src\nURIs: http://src.example/\n";
        assert_eq!(deb822_uris(sources), ["http://a.example/debian", "http://c.example/debian"]);
    }

    #[test]
    fn debootstraps_default_is_the_one_for_suites_of_today() {
        let script = "case $SUITE in\n  gutsy|hardy)\n\tdefault_mirror http://old.example/ubuntu\n\t;;\n  *)\n\
            \tdefault_mirror http://archive.example/ubuntu\n\t;;\nesac\n";
        assert_eq!(ubuntu_uris(script).collect::<Vec<_>>(), ["http://archive.example/ubuntu"]);
    }
}
