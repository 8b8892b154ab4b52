//! The scripts of task 4 as they were handed in. A fact decides first: the counter-service had one
//! address in both runs, or the firewall forwards everything. The scripts then tell who did this.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{COUNTER, EXTERNAL};

/// The orchestrator.
const ORCHESTRATOR: &str = "service-orchestrator.sh";
/// Most bytes of a script, most scripts, and most folders below task4 that are read.
const BYTES_CAP: u64 = 64 << 10;
const SCRIPTS_CAP: usize = 16;
const FOLDERS_CAP: usize = 64;
/// How the names of scripts end.
const SUFFIXES: [&str; 3] = ["sh", "bash", "py"];
/// Words of iptables and nft that begin a condition.
const CONDITIONS: [&str; 16] = [
    "-d",
    "-i",
    "-m",
    "-o",
    "-s",
    "--destination",
    "--dst",
    "--in-interface",
    "--match",
    "--out-interface",
    "--source",
    "--src",
    "ct",
    "iifname",
    "ip",
    "oifname",
];
/// What a script begins with.
const INTERPRETER: &[u8] = b"#!";

/// A script; part of the record `scripts`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handed {
    /// Its path below task4.
    pub file: String,
    /// Its text.
    pub text: String,
}

/// The scripts in task4, the orchestrator first; the record `scripts`. Programs of task 3 that lie
/// there too are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scripts {
    pub scripts: Vec<Handed>,
}

impl Scripts {
    /// What lies there now.
    pub fn now(submission: &Path) -> Self {
        let (task3, task4) = (submission.join("task3"), submission.join("task4"));
        let mut files = vec![task4.join(ORCHESTRATOR)];
        let mut folders = vec![task4.clone()];
        let mut next = 0;
        while next < folders.len().min(FOLDERS_CAP) {
            let mut entries: Vec<_> = fs::read_dir(&folders[next]).into_iter().flatten().flatten().collect();
            entries.sort_by_key(fs::DirEntry::file_name);
            for entry in entries {
                let (name, Ok(kind)) = (entry.file_name(), entry.file_type()) else { continue };
                let is_own = !name.as_encoded_bytes().starts_with(b".") && !task3.join(&name).exists();
                if kind.is_dir() && is_own && name != COUNTER && name != EXTERNAL {
                    folders.push(entry.path());
                } else if kind.is_file() && is_own && name != ORCHESTRATOR {
                    files.push(entry.path());
                }
            }
            next += 1;
        }
        let handed = |path: PathBuf| {
            let file = path.strip_prefix(&task4).ok()?.to_string_lossy().into_owned();
            Some(Handed { file, text: script(&path)? })
        };
        Self { scripts: files.into_iter().filter_map(handed).take(SCRIPTS_CAP).collect() }
    }

    /// The line that gives the external-service this address, whatever the container has: a call of
    /// app.py or `address=…`, in the orchestrator or in a script that it names.
    pub fn hard_codes(&self, address: &str) -> Option<String> {
        let orchestrator = self.scripts.iter().find(|script| script.file == ORCHESTRATOR)?;
        let is_used = |script: &&Handed| {
            let name = script.file.rsplit('/').next().unwrap_or_default();
            script.file == ORCHESTRATOR || orchestrator.text.contains(name)
        };
        let mut used = self.scripts.iter().filter(is_used);
        used.find_map(|script| {
            let (number, _) = commands(&script.text).find(|(_, line)| self.gives(line, address))?;
            Some(format!("line {number} of {}", script.file))
        })
    }

    fn gives(&self, line: &str, address: &str) -> bool {
        let words = line.trim_start();
        if ["echo", "printf", "print", "curl", "if ", "[", "test "].iter().any(|word| words.starts_with(word))
        {
            return false;
        }
        let Some((before, after)) = line.split_once(address) else { return false };
        if before.ends_with(|char: char| char.is_ascii_digit() || char == '.')
            || after.starts_with(|char: char| char.is_ascii_digit())
        {
            return false;
        }
        if before.contains("app.py") && !before.contains(['|', ';', '=']) {
            return true;
        }
        // An address that is a command's output too may have this one as its default.
        assigned(before).is_some_and(|name| !self.is_looked_up(name))
    }

    /// Whether a variable is given what a command says, anywhere.
    fn is_looked_up(&self, name: &str) -> bool {
        self.scripts.iter().flat_map(|script| commands(&script.text)).any(|(_, line)| {
            let reads = line.split_whitespace().next() == Some("read") || line.contains(" read ");
            let mut rest = line.split(name).skip(1);
            reads && line.contains(name)
                || rest.any(|rest| {
                    let value = rest.trim_start().strip_prefix('=');
                    value.is_some_and(|value| value.contains(['$', '`', '(']))
                })
        })
    }

    /// The line that lets the firewall forward everything, where the networks are set up by
    /// `addnetwork` and nothing calls `peer`.
    pub fn forwards_instead_of_peer(&self) -> Option<String> {
        let lines = || self.scripts.iter().flat_map(|script| script.text.lines());
        let is_comment = |line: &str| line.trim_start().starts_with('#');
        let peers = lines().any(|line| line.contains("peer") && !is_comment(line));
        if peers || !lines().any(|line| line.contains("addnetwork")) {
            return None;
        }
        self.scripts.iter().find_map(|script| {
            let (number, _) = commands(&script.text).find(|(_, line)| accepts_all(line))?;
            Some(format!("line {number} of {}", script.file))
        })
    }
}

/// Whether a command tells the firewall to forward without a condition.
fn accepts_all(line: &str) -> bool {
    // Capitals tell `-I`, which inserts a rule, from `-i`.
    let has = |sought: &str| line.split_whitespace().any(|word| word == sought);
    ["iptables", "nft"].iter().any(|tool| line.contains(tool))
        && (has("FORWARD") || has("forward"))
        && (line.contains("ACCEPT") || line.contains("accept"))
        && !CONDITIONS.iter().any(|condition| has(condition))
}

/// Whether the firewall's rules forward every packet: a rule without a condition, or the policy.
pub fn forward_everything(rules: &[String]) -> bool {
    rules.iter().any(|rule| {
        let words: Vec<&str> = rule.split_whitespace().collect();
        matches!(words.as_slice(), ["accept"] | ["counter", "accept"] | ["-A", "FORWARD", "-j", "ACCEPT"])
            || rule.contains("hook forward") && rule.contains("policy accept")
            || rule.starts_with(":FORWARD ACCEPT")
    })
}

/// The text of a script; `None` if the file is none.
fn script(path: &Path) -> Option<String> {
    let mut bytes = Vec::new();
    fs::File::open(path).ok()?.take(BYTES_CAP).read_to_end(&mut bytes).ok()?;
    let is_named = path.extension().is_some_and(|suffix| SUFFIXES.iter().any(|own| suffix == *own));
    (is_named || bytes.starts_with(INTERPRETER)).then(|| String::from_utf8_lossy(&bytes).into_owned())
}

/// The lines of a script with their numbers, without comments.
fn commands(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let numbered = text.lines().enumerate().map(|(index, line)| (index + 1, line));
    numbered.filter(|(_, line)| !line.trim_start().starts_with('#')).map(|(number, line)| {
        let comment = line.find(" #").or_else(|| line.find("\t#"));
        (number, comment.map_or(line, |at| &line[..at]))
    })
}

/// The variable to which the text that follows is assigned: `address` of `local address="http://`.
fn assigned(before: &str) -> Option<&str> {
    let quotes = ['"', '\''];
    let value = before.trim_end_matches(quotes);
    let value = value.strip_suffix("http://").unwrap_or(value).trim_end_matches(quotes);
    let name = value.trim_end().strip_suffix('=')?.trim_end();
    let start = name.rfind(|char: char| !char.is_alphanumeric() && char != '_').map_or(0, |at| at + 1);
    let (before, name) = name.split_at(start);
    let begins =
        before.is_empty() || before.ends_with(|char: char| char.is_whitespace() || ";&({".contains(char));
    (begins && !name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: &str = "192.168.1.2";

    fn scripts(text: &str) -> Scripts {
        Scripts { scripts: vec![Handed { file: ORCHESTRATOR.to_owned(), text: text.to_owned() }] }
    }

    #[test]
    fn an_address_that_is_written_down_is_hard_coded() {
        for text in [
            "address=192.168.1.2\n",
            "  local IP=\"192.168.1.2\"; go",
            "URL='http://192.168.1.2:8080/'",
            "$C exec es-cont -- python3 /opt/app.py \"http://192.168.1.2:8080/\" &",
            "ip = \"192.168.1.2\"",
        ] {
            assert_eq!(
                scripts(text).hard_codes(ADDRESS).as_deref(),
                Some("line 1 of service-orchestrator.sh"),
                "{text}"
            );
        }
    }

    #[test]
    fn an_address_that_is_only_mentioned_is_not_hard_coded() {
        for text in [
            "# address=192.168.1.2",
            "x=1 # e.g. address=192.168.1.2",
            "echo address=192.168.1.2",
            "curl http://192.168.1.2:8080/get_counter",
            "[ \"$ip\" = 192.168.1.2 ]",
            "if [ \"$ip\" = 192.168.1.2 ]; then",
            "address=192.168.1.20",
            "address=$(conductor exec cs-cont -- hostname -I)\n[ -n \"$address\" ] || address=192.168.1.2",
            "ip=`hostname -I`\nip=192.168.1.2",
            "read -r ip < file\nip=192.168.1.2",
            "ip=${ip:-192.168.1.2}",
        ] {
            assert_eq!(scripts(text).hard_codes(ADDRESS), None, "{text}");
        }
    }

    #[test]
    fn a_script_that_nothing_names_does_not_count() {
        let with = |text: &str| {
            let mut scripts = scripts(text);
            let text = "ADDRESS=192.168.1.2".to_owned();
            scripts.scripts.push(Handed { file: "lib/addresses.sh".to_owned(), text });
            scripts.hard_codes(ADDRESS)
        };
        assert_eq!(with("true"), None);
        assert_eq!(with(". lib/addresses.sh").as_deref(), Some("line 1 of lib/addresses.sh"));
    }

    #[test]
    fn a_firewall_that_forwards_everything_is_no_peer_network() {
        let opens = "$C addnetwork a -i\niptables -I FORWARD -j ACCEPT\n";
        assert_eq!(
            scripts(opens).forwards_instead_of_peer().as_deref(),
            Some("line 2 of service-orchestrator.sh")
        );
        for text in [
            format!("{opens}$C peer a b"),
            "./program\niptables -P FORWARD ACCEPT".to_owned(),
            "$C addnetwork a -i".to_owned(),
            "$C addnetwork a -i\niptables -I FORWARD -i a -o b -j ACCEPT".to_owned(),
            format!("{opens}echo \"step #3\"; $C peer a b"),
            "$C addnetwork a\n# iptables -P FORWARD ACCEPT".to_owned(),
        ] {
            assert_eq!(scripts(&text).forwards_instead_of_peer(), None, "{text}");
        }
        let everything = |rule: &str| forward_everything(&[rule.to_owned()]);
        assert!(
            everything("counter accept")
                && everything("type filter hook forward priority filter; policy accept;")
        );
        assert!(!everything("iifname \"a\" counter accept"));
        assert!(!everything("type nat hook output priority -100; policy accept;"));
    }

    #[test]
    fn the_scripts_of_task_4_are_read_but_not_those_of_task_3() {
        let submission = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = submission.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("task3/conductor.sh", "x");
        write("task4/conductor.sh", "x");
        write("task4/service-orchestrator.sh", "main");
        write("task4/lib/steps", "#!/bin/bash");
        write("task4/notes.txt", "address=192.168.1.2");
        write("task4/counter-service/run.sh", "x");
        let found = Scripts::now(submission.path());
        let files: Vec<&str> = found.scripts.iter().map(|script| script.file.as_str()).collect();
        assert_eq!(files, [ORCHESTRATOR, "lib/steps"]);
    }
}
