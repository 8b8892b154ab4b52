//! Which values a `setup.sh` assigns, found by reading and never by executing it.
//!
//! The course's settings file is a shell script of plain assignments. What is understood: `NAME=value`,
//! `export`/`readonly`/`declare` before it, both kinds of quotes, `$NAME`, `${NAME}` and `${NAME:-default}` of
//! earlier assignments or the environment, `NAME=([key]=value …)`, and the usual ways to say "the folder of
//! this script" (`$(dirname "$0")`, `$(dirname "${BASH_SOURCE[0]}")`, `$(cd "$(dirname "$0")" && pwd)`,
//! `${0%/*}`). Other lines are passed over. A value that only a shell could work out is remembered as such, and
//! is an error when somebody asks for it.

use std::collections::BTreeMap;
use std::path::Path;

/// The assignments of one settings file.
#[derive(Debug, Default)]
pub struct Assignments {
    scalars: BTreeMap<String, Value>,
    arrays: BTreeMap<String, BTreeMap<String, Value>>,
}

/// A value's text, or why it has none.
type Value = Result<String, Unreadable>;

/// A value that cannot be known without executing the file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: '{text}' would need a shell; write the value itself")]
pub struct Unreadable {
    /// Line of the file, from 1.
    pub line: usize,
    /// The part that was not understood.
    pub text: String,
}

impl Assignments {
    /// Reads `text`, a file in `folder`; `environment` looks up variables that the file itself does not set.
    pub fn parse(text: &str, folder: &Path, environment: &dyn Fn(&str) -> Option<String>) -> Self {
        let mut reader = Reader { rest: text, line: 1, folder, environment, read: Self::default() };
        while !reader.rest.is_empty() {
            reader.statement();
        }
        reader.read
    }

    /// The value last assigned to `name`.
    pub fn get(&self, name: &str) -> Result<Option<&str>, Unreadable> {
        self.scalars.get(name).map(|value| value.as_deref().map_err(Clone::clone)).transpose()
    }

    /// The entries of the associative array `name`.
    pub fn array(&self, name: &str) -> Result<Option<BTreeMap<String, String>>, Unreadable> {
        self.arrays
            .get(name)
            .map(|entries| entries.iter().map(|(k, v)| Ok((k.clone(), v.clone()?))).collect())
            .transpose()
    }
}

struct Reader<'a> {
    rest: &'a str,
    line: usize,
    folder: &'a Path,
    environment: &'a dyn Fn(&str) -> Option<String>,
    read: Assignments,
}

/// Length of the shell variable name that `text` begins with.
fn name_len(text: &str) -> usize {
    let len = text.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count();
    if text.starts_with(|c: char| c.is_ascii_digit()) { 0 } else { len }
}

impl<'a> Reader<'a> {
    fn bump(&mut self) -> Option<char> {
        let c = self.rest.chars().next()?;
        self.rest = &self.rest[c.len_utf8()..];
        self.line += usize::from(c == '\n');
        Some(c)
    }

    fn skip_while(&mut self, matches: impl Fn(char) -> bool) {
        while self.rest.starts_with(&matches) {
            self.bump();
        }
    }

    fn take(&mut self, len: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(len);
        self.line += taken.matches('\n').count();
        self.rest = rest;
        taken
    }

    /// Reads one assignment, or passes over a line that is none.
    fn statement(&mut self) {
        self.skip_while(|c| c.is_whitespace() || c == ';');
        let name = self.take(name_len(self.rest));
        if matches!(name, "export" | "readonly" | "declare" | "typeset" | "local") {
            self.skip_while(|c| c == ' ' || c == '\t');
            while self.rest.starts_with('-') {
                self.skip_while(|c| !c.is_whitespace());
                self.skip_while(|c| c == ' ' || c == '\t');
            }
            return;
        }
        if name.is_empty() || !self.rest.starts_with('=') {
            self.skip_while(|c| c != '\n');
            return;
        }
        self.bump();
        if self.rest.starts_with('(') {
            self.bump();
            let entries = self.array_entries();
            self.read.arrays.insert(name.into(), entries);
        } else {
            let value = self.word();
            self.read.scalars.insert(name.into(), value);
        }
    }

    fn array_entries(&mut self) -> BTreeMap<String, Value> {
        let mut entries = BTreeMap::new();
        loop {
            self.skip_while(char::is_whitespace);
            match self.rest.chars().next() {
                None => return entries,
                Some(')') => {
                    self.bump();
                    return entries;
                }
                Some('#') => self.skip_while(|c| c != '\n'),
                Some('[') => {
                    self.bump();
                    let key = self.take(self.rest.find(']').unwrap_or(self.rest.len()));
                    self.skip_while(|c| c == ']');
                    self.skip_while(|c| c == '=');
                    let value = self.word();
                    entries.insert(key.trim_matches(['"', '\'']).into(), value);
                }
                // A list without keys: the index is the key.
                Some(_) => {
                    let value = self.word();
                    entries.insert(entries.len().to_string(), value);
                }
            }
        }
    }

    /// Reads one shell word with its quotes and expansions.
    fn word(&mut self) -> Value {
        let mut word = String::new();
        let mut failure = None;
        let mut quoted = false;
        while let Some(c) = self.rest.chars().next() {
            let ends = c.is_whitespace() || matches!(c, ';' | ')' | '&' | '|');
            if ends && !quoted {
                break;
            }
            match c {
                '\'' if !quoted => {
                    self.bump();
                    word += self.take(self.rest.find('\'').unwrap_or(self.rest.len()));
                    self.bump();
                }
                '"' => {
                    self.bump();
                    quoted = !quoted;
                }
                '\\' => {
                    self.bump();
                    word.extend(self.bump().filter(|c| *c != '\n'));
                }
                '$' | '`' => match self.expansion() {
                    Ok(text) => word += &text,
                    Err(error) => failure = failure.or(Some(error)),
                },
                _ => word.extend(self.bump()),
            }
        }
        failure.map_or(Ok(word), Err)
    }

    /// Reads what a `$` or backtick introduces.
    fn expansion(&mut self) -> Value {
        let line = self.line;
        let len = expansion_len(self.rest);
        let text = self.take(len);
        let plain: String = text.chars().filter(|c| !matches!(c, '"' | '\'')).collect();
        let plain = plain.split_whitespace().collect::<Vec<_>>().join(" ");
        let name = plain.trim_start_matches('$').trim_start_matches('{').trim_end_matches('}');
        let unreadable = || Unreadable { line, text: text.into() };
        match plain.as_str() {
            "$" => Ok("$".into()),
            "$(dirname $0)"
            | "$(dirname ${0})"
            | "$(dirname ${BASH_SOURCE[0]})"
            | "$(dirname $BASH_SOURCE)"
            | "$(dirname ${BASH_SOURCE})"
            | "$(cd $(dirname $0) && pwd)"
            | "${0%/*}"
            | "$(cd $(dirname ${BASH_SOURCE[0]}) && pwd)"
            | "$(dirname $(realpath $0))"
            | "$(dirname $(readlink -f $0))" => self.folder.to_str().map(String::from).ok_or_else(unreadable),
            _ if !plain.starts_with("$(") && name_len(name) > 0 => {
                let (name, modifier) = name.split_at(name_len(name));
                let default = match modifier {
                    "" => None,
                    _ => Some(modifier.strip_prefix(":-").ok_or_else(unreadable)?.to_owned()),
                };
                let value = match self.read.scalars.get(name) {
                    Some(value) => Some(value.clone()?),
                    None => (self.environment)(name),
                };
                Ok(value.filter(|v| !v.is_empty() || default.is_none()).or(default).unwrap_or_default())
            }
            _ => Err(unreadable()),
        }
    }
}

/// Length in bytes of the expansion at the start of `text`, to its closing bracket.
fn expansion_len(text: &str) -> usize {
    let bytes = text.as_bytes();
    let (open, close) = match (bytes.first(), bytes.get(1)) {
        (Some(b'`'), _) => return text[1..].find('`').map_or(text.len(), |end| end + 2),
        (_, Some(b'(')) => (b'(', b')'),
        (_, Some(b'{')) => (b'{', b'}'),
        (_, Some(b)) if b.is_ascii_digit() => return 2,
        _ => return 1 + name_len(&text[1..]),
    };
    let mut depth = 0;
    for (at, byte) in bytes.iter().enumerate() {
        depth += i32::from(*byte == open) - i32::from(*byte == close);
        if *byte == close && depth == 0 {
            return at + 1;
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Assignments {
        Assignments::parse(text, Path::new("/srv/task3"), &|name| (name == "HOME").then(|| "/root".into()))
    }

    #[test]
    fn the_courses_own_file_is_understood() {
        let read = parse(
            r#"#!/bin/bash
## comment DEFAULT_IFC=wrong
DEFAULT_IFC=enp0s1 

IP4_SUBNET=192.168
IP4_PREFIX_SIZE=24 # Size of assigned prefixes
NEEDED_TOOLS="ip ping iptables"
IMAGEDIR="$(dirname "$0")/.images"
PORT=
declare -A BASE_MIRRORS=(
    [debian]="https://deb.example/debian" # near
    [ubuntu]="http://ubuntu.example/ubuntu"
)
EXTRADIR="$(dirname "$0")/extras"
"#,
        );
        assert_eq!(read.get("DEFAULT_IFC"), Ok(Some("enp0s1")));
        assert_eq!(read.get("IP4_PREFIX_SIZE"), Ok(Some("24")));
        assert_eq!(read.get("NEEDED_TOOLS"), Ok(Some("ip ping iptables")));
        assert_eq!(read.get("IMAGEDIR"), Ok(Some("/srv/task3/.images")));
        assert_eq!(read.get("PORT"), Ok(Some("")));
        assert_eq!(read.get("EXTRADIR"), Ok(Some("/srv/task3/extras")));
        let mirrors = read.array("BASE_MIRRORS").unwrap().unwrap();
        assert_eq!(mirrors["debian"], "https://deb.example/debian");
        assert_eq!(mirrors["ubuntu"], "http://ubuntu.example/ubuntu");
    }

    #[test]
    fn earlier_values_the_environment_and_defaults_are_expanded() {
        let read = parse("A=x\nexport B=\"${A}y$A\" C=$HOME/c\nreadonly D=${NONE:-d}\nE='$A'\nF=a\\ b\n");
        assert_eq!(read.get("B"), Ok(Some("xyx")));
        assert_eq!(read.get("C"), Ok(Some("/root/c")));
        assert_eq!(read.get("D"), Ok(Some("d")));
        assert_eq!(read.get("E"), Ok(Some("$A")));
        assert_eq!(read.get("F"), Ok(Some("a b")));
    }

    #[test]
    fn what_only_a_shell_could_tell_is_an_error_for_who_asks() {
        let read = parse("OK=1\nDEFAULT_IFC=$(ip route | awk '{print $5}')\nX=`id`\nLATER=$DEFAULT_IFC\nZ=2");
        assert_eq!(read.get("OK"), Ok(Some("1")));
        assert_eq!(read.get("Z"), Ok(Some("2")));
        let error = read.get("DEFAULT_IFC").unwrap_err();
        assert_eq!(error.line, 2);
        assert!(error.to_string().contains("ip route"), "{error}");
        assert!(read.get("X").is_err());
        assert!(read.get("LATER").is_err());
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC*") {
            parse(&text);
        }

        #[test]
        fn no_arrangement_of_shell_characters_makes_it_panic(text in "[A=$(){}\\[\\]\"'`\\\\ \n#0é-]*") {
            parse(&text);
        }

        #[test]
        fn single_quoted_text_is_read_as_it_stands(text in "[^'\0]*") {
            let read = parse(&format!("A='{text}'\nB=1\n"));
            prop_assert_eq!(read.get("A"), Ok(Some(text.as_str())));
            prop_assert_eq!(read.get("B"), Ok(Some("1")));
        }
    }
}
