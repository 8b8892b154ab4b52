//! The machine's packet filter: its rules as text, and the policy of its FORWARD chain.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, Output};

use crate::guest::run::programs::Programs;

/// Programs under the names by which they are told what to do; the first two are one program.
const PROGRAMS: [&str; 4] = [
    "/usr/sbin/iptables-nft",
    "/usr/sbin/iptables-nft-save",
    "/usr/sbin/iptables-legacy-save",
    "/usr/sbin/nft",
];
/// Where iptables has its extensions, below a library directory.
const EXTENSIONS: &str = "xtables";
/// Non-empty when the older of the two kernel interfaces is in use; to ask it
/// would bring it into use.
const LEGACY_IN_USE: &str = "net/ip_tables_names";

/// Copies of the programs.
#[derive(Debug)]
pub struct Firewall {
    programs: Programs,
}

impl Firewall {
    /// Copies the programs into an empty directory.
    ///
    /// # Errors
    /// When iptables is not there, or the directory cannot be written.
    pub fn copy_into(dir: &Path) -> io::Result<Self> {
        let programs = Programs::copy_into(dir, &PROGRAMS)?;
        let extensions = programs.sources.iter().map(|source| source.join(EXTENSIONS));
        if let Some(extensions) = extensions.into_iter().find(|extensions| extensions.is_dir()) {
            copy_all(&extensions, &dir.join(EXTENSIONS))?;
        }
        Ok(Self { programs })
    }

    /// All rules of all tables, a line each, without counters and handles.
    pub fn rules(&self) -> BTreeSet<String> {
        let mut calls: Vec<(&str, &[&str])> = vec![("nft", &["list", "ruleset"])];
        if !self.programs.has("nft") {
            calls = vec![("iptables-nft-save", &[])];
        }
        if fs::read(super::handles::proc(LEGACY_IN_USE)).is_ok_and(|names| !names.is_empty()) {
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
        let words = self.programs.call(program);
        Command::new(&words[0])
            .args(&words[1..])
            .args(arguments)
            .current_dir("/")
            .env_clear()
            .env("XTABLES_LIBDIR", self.programs.dir.join(EXTENSIONS))
            .output()
    }
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
