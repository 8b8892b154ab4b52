//! The machine's packet filter: its rules as text, and the policy of its FORWARD chain.
//!
//! The programs that read and write it are copied, with their libraries, before a submission runs: later the guest's
//! own may be the submission's.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Programs under the names by which they are told what to do; the first two are one program.
const PROGRAMS: [&str; 4] = ["iptables-nft", "iptables-nft-save", "iptables-legacy-save", "nft"];
/// Where iptables has its extensions, below a library directory.
const EXTENSIONS: &str = "xtables";
/// Non-empty when the older of the two kernel interfaces is in use; to ask it would bring it into use.
const LEGACY_IN_USE: &str = "/proc/net/ip_tables_names";

/// Copies of the programs.
#[derive(Debug)]
pub struct Firewall {
    dir: PathBuf,
    loader: PathBuf,
}

impl Firewall {
    /// Copies the programs into an empty directory.
    ///
    /// # Errors
    /// When iptables is not there, or the directory cannot be written.
    pub fn copy_into(dir: &Path) -> io::Result<Self> {
        fs::create_dir_all(dir.join("lib"))?;
        let mut loader = None;
        for program in PROGRAMS {
            let path = Path::new("/usr/sbin").join(program);
            let Ok(file) = fs::canonicalize(&path) else { continue };
            fs::copy(&file, dir.join(program))?;
            for library in libraries(&file)? {
                let Some(name) = library.file_name().and_then(|name| name.to_str()) else { continue };
                if name.starts_with("ld-") {
                    loader = Some(dir.join("lib").join(name));
                } else if let Some(extensions) = library.parent().map(|parent| parent.join(EXTENSIONS))
                    && extensions.is_dir()
                    && !dir.join(EXTENSIONS).exists()
                {
                    copy_all(&extensions, &dir.join(EXTENSIONS))?;
                }
                if !dir.join("lib").join(name).exists() {
                    fs::copy(&library, dir.join("lib").join(name))?;
                }
            }
        }
        let loader = loader.ok_or_else(|| io::Error::other("iptables is not installed in this machine"))?;
        Ok(Self { dir: dir.to_owned(), loader })
    }

    /// All rules of all tables, a line each, without counters and handles.
    pub fn rules(&self) -> BTreeSet<String> {
        let mut calls: Vec<(&str, &[&str])> = vec![("nft", &["list", "ruleset"])];
        if !self.dir.join("nft").exists() {
            calls = vec![("iptables-nft-save", &[])];
        }
        if fs::read(LEGACY_IN_USE).is_ok_and(|names| !names.is_empty()) {
            calls.push(("iptables-legacy-save", &[]));
        }
        let texts = calls.iter().filter_map(|(program, arguments)| self.run(program, arguments).ok());
        let lines = texts.flat_map(|output| {
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            text.lines().map(plain).collect::<Vec<_>>()
        });
        lines.filter(|line| !line.is_empty() && !line.starts_with('#')).collect()
    }

    /// Sets what happens to packets that no rule of the FORWARD chain takes: `ACCEPT` or `DROP`.
    ///
    /// # Errors
    /// When iptables refuses.
    pub fn set_forward_policy(&self, policy: &str) -> io::Result<()> {
        let output = self.run("iptables-nft", &["-P", "FORWARD", policy])?;
        if output.status.success() {
            Ok(())
        } else {
            Err(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned()))
        }
    }

    fn run(&self, program: &str, arguments: &[&str]) -> io::Result<Output> {
        Command::new(&self.loader)
            .arg("--library-path")
            .arg(self.dir.join("lib"))
            .arg("--argv0")
            .arg(program)
            .arg(self.dir.join(program))
            .args(arguments)
            .env_clear()
            .env("XTABLES_LIBDIR", self.dir.join(EXTENSIONS))
            .output()
    }
}

impl Drop for Firewall {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// The libraries that a program loads, its loader among them.
fn libraries(program: &Path) -> io::Result<Vec<PathBuf>> {
    let output = Command::new("/usr/bin/ldd").arg(program).output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let words = text.lines().filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')));
    Ok(words.map(PathBuf::from).collect())
}

fn copy_all(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}

/// A rule without what changes as packets pass: `counter packets 1 bytes 2`, `[1:2]`, `# handle 3`.
fn plain(line: &str) -> String {
    let line = line.split(" # handle ").next().unwrap_or_default();
    let mut words: Vec<&str> = line.split_whitespace().collect();
    while let Some(at) = words.windows(4).position(|four| four[0] == "packets" && four[2] == "bytes") {
        words.drain(at..at + 4);
    }
    words.retain(|word| !(word.starts_with('[') && word.ends_with(']') && word.contains(':')));
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn counters_are_no_part_of_a_rule() {
        assert_eq!(
            plain("\t\toifname \"lan0\" counter packets 12 bytes 720 masquerade # handle 4"),
            "oifname \"lan0\" counter masquerade"
        );
        assert_eq!(plain(":FORWARD DROP [12:34]"), ":FORWARD DROP");
    }
}
