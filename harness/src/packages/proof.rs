//! Proves before a run that the packages which its scenarios install are here or can be had:
//! fetches into the cache what apt will ask for. Without that, a mirror that is down would look
//! like a submission that fails.
//!
//! What apt chooses is worked out roughly: of alternatives the first one that the archive has,
//! recommendations included. Only what is depended on has to be had.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Cursor, Read};
use std::path::Path;
use std::sync::Arc;

use liblzma::read::XzDecoder;
use sha2::{Digest, Sha256};
use tokio::runtime::Builder;

use super::answer::Content;
use super::base::Order;
use super::cache::PackageCache;
use crate::hex::hex;

/// No index of an archive is longer, unpacked.
const LONGEST: u64 = 1 << 30;

/// What cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {why}")]
pub struct Missing {
    /// Where it was looked for.
    pub path: String,
    /// What the cache or the mirror said.
    pub why: String,
}

/// Packages that some scenarios install in containers of one suite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The suite, with the components that its containers know.
    pub order: Order,
    /// By name.
    pub packages: Vec<&'static str>,
}

/// Fetches what is not in the cache yet. Where it was proved before, for the same
/// index, nothing is asked.
///
/// # Errors
/// Names the first file that is neither here nor to be had.
pub fn prove(
    wanted: &Wanted,
    cache: &Arc<PackageCache>,
    proved: &Path,
    say: &mut dyn FnMut(String),
) -> Result<(), Missing> {
    let order = &wanted.order;
    let dists = format!("/{}/dists/{}", order.archive, order.suite);
    let release = fetch(cache, &format!("{dists}/InRelease"))?;
    let key = hex(&Sha256::digest([&release, format!("{wanted:?}").as_bytes()].concat()));
    let stamp = proved.join(format!("proved-{}", &key[..16]));
    if stamp.exists() {
        return Ok(());
    }
    let release = String::from_utf8_lossy(&release).into_owned();
    let mut archive = Archive::default();
    for component in order.components.split(',') {
        let index = format!("{component}/binary-{}/Packages.xz", super::base::ARCH);
        // As apt asks for it.
        let path = match digest_of(&release, &index) {
            Some(digest) => {
                format!("{dists}/{component}/binary-{}/by-hash/SHA256/{digest}", super::base::ARCH)
            }
            None => format!("{dists}/{index}"),
        };
        let mut text = String::new();
        XzDecoder::new(Cursor::new(fetch(cache, &path)?))
            .take(LONGEST)
            .read_to_string(&mut text)
            .map_err(|error| Missing { path, why: error.to_string() })?;
        archive.add(&text);
    }
    let files = archive.files(&wanted.packages);
    say(format!("packages of {} that scenarios install: {} files", order.suite, files.len()));
    for (file, must) in files {
        let path = format!("/{}/{file}", order.archive);
        match fetch(cache, &path) {
            Err(missing) if must => return Err(missing),
            _ => {}
        }
    }
    // Without it the next run only takes longer.
    let _ = fs::write(stamp, "");
    Ok(())
}

/// A file's content, from the cache or a mirror.
pub(super) fn fetch(cache: &Arc<PackageCache>, path: &str) -> Result<Vec<u8>, Missing> {
    let missing = |why: String| Missing { path: path.to_owned(), why };
    let runtime =
        Builder::new_current_thread().enable_all().build().map_err(|error| missing(error.to_string()))?;
    runtime.block_on(async {
        let answer = cache.answer("mirror.invalid", path).await;
        let mut file = match answer.body {
            Content::File(file) if answer.status == 200 => file,
            Content::File(_) => return Err(missing(format!("the mirror answered {}", answer.status))),
            Content::Text(why) => return Err(missing(format!("{} {}", answer.status, why.trim()))),
        };
        let mut bytes = Vec::new();
        loop {
            let more = file.read_at(bytes.len() as u64).await.map_err(|error| missing(error.to_string()))?;
            if more.is_empty() {
                return Ok(bytes);
            }
            bytes.extend(more);
        }
    })
}

/// The SHA-256 of an index, as a Release file has it.
fn digest_of<'a>(release: &'a str, index: &str) -> Option<&'a str> {
    let lines = release.lines().skip_while(|line| !line.starts_with("SHA256:")).skip(1);
    lines.take_while(|line| line.starts_with(' ')).find_map(|line| {
        let mut words = line.split_whitespace();
        let digest = words.next()?;
        (words.nth(1) == Some(index)).then_some(digest)
    })
}

/// What an archive has, by the names of its packages.
#[derive(Debug, Default)]
struct Archive {
    packages: BTreeMap<String, Package>,
    /// Who stands for a name that no package has.
    provided: BTreeMap<String, String>,
}

#[derive(Debug)]
struct Package {
    file: String,
    depends: Vec<String>,
    recommends: Vec<String>,
}

impl Archive {
    fn add(&mut self, index: &str) {
        for stanza in index.split("\n\n") {
            let field =
                |name: &str| stanza.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
            let (Some(name), Some(file)) = (field("Package"), field("Filename")) else { continue };
            let lists = |names: &[&str]| {
                names
                    .iter()
                    .filter_map(|name| field(name))
                    .flat_map(|list| list.split(','))
                    .map(str::to_owned)
                    .collect()
            };
            for provided in field("Provides").into_iter().flat_map(|list| list.split(',')) {
                self.provided.entry(bare(provided).to_owned()).or_insert_with(|| name.to_owned());
            }
            self.packages.insert(
                name.to_owned(),
                Package {
                    file: file.to_owned(),
                    depends: lists(&["Pre-Depends", "Depends"]),
                    recommends: lists(&["Recommends"]),
                },
            );
        }
    }

    /// The files of packages and all that they pull in, and whether each has to be had.
    fn files(&self, roots: &[&str]) -> Vec<(&str, bool)> {
        let needed = self.closure(roots.iter().copied(), false);
        let all = self.closure(roots.iter().copied(), true);
        let file = |name: &&str| Some((self.packages.get(*name)?.file.as_str(), needed.contains(*name)));
        all.iter().filter_map(file).collect()
    }

    fn closure<'a>(&'a self, roots: impl Iterator<Item = &'a str>, recommends: bool) -> BTreeSet<&'a str> {
        let mut found = BTreeSet::new();
        let mut open: Vec<&str> = roots.collect();
        while let Some(name) = open.pop() {
            let Some(package) = self.packages.get(name) else { continue };
            if found.insert(name) {
                let more = if recommends { &package.recommends[..] } else { &[] };
                open.extend(package.depends.iter().chain(more).filter_map(|choice| self.first_of(choice)));
            }
        }
        found
    }

    /// Of alternatives, the first one that is here.
    fn first_of<'a>(&'a self, alternatives: &'a str) -> Option<&'a str> {
        alternatives.split('|').map(bare).find_map(|name| {
            let stands = || self.provided.get(name).map(String::as_str);
            self.packages.contains_key(name).then_some(name).or_else(stands)
        })
    }
}

/// A package's name without version and architecture.
fn bare(name: &str) -> &str {
    name.trim().split([' ', '(', ':']).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const INDEX: &str = "Package: app\nFilename: pool/app.deb\nDepends: lib (>= 2), missing | editor:any\n\
        Recommends: docs\n\nPackage: lib\nFilename: pool/lib.deb\nPre-Depends: app\n\nPackage: vi\n\
        Filename: pool/vi.deb\nProvides: editor (= 1)\n\nPackage: docs\nFilename: pool/docs.deb\n\n\
        Package: other\nFilename: pool/other.deb\n";

    #[test]
    fn all_that_a_package_pulls_in_is_found_and_recommendations_may_be_missing() {
        let mut archive = Archive::default();
        archive.add(INDEX);
        let files = archive.files(&["app", "unheard-of"]);
        assert_eq!(
            files,
            [("pool/app.deb", true), ("pool/docs.deb", false), ("pool/lib.deb", true), ("pool/vi.deb", true)]
        );
    }

    #[test]
    fn an_index_is_asked_for_by_its_digest() {
        let release = "Suite: x\nMD5Sum:\n aaa 1 main/binary-amd64/Packages.xz\nSHA256:\n \
            bbb 1 main/binary-amd64/Packages\n ccc 12 main/binary-amd64/Packages.xz\nSigned: x\n";
        assert_eq!(digest_of(release, "main/binary-amd64/Packages.xz"), Some("ccc"));
        assert_eq!(digest_of(release, "universe/binary-amd64/Packages.xz"), None);
    }
}
