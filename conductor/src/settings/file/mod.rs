//! Parses the assignments of a `setup.sh` without executing it.
//!
//! The course's settings file is a shell script of plain assignments. The parser supports
//! `NAME=value`, `export`/`readonly`/`declare` before it, both kinds of quotes, a leading `~`,
//! `$NAME`, `${NAME}` and `${NAME:-default}` of earlier assignments or the environment,
//! `NAME=([key]=value …)`, and the usual forms of "the folder of this script" (`$(dirname "$0")`,
//! `$(dirname "${BASH_SOURCE[0]}")`, `$(cd "$(dirname "$0")" && pwd)`, `${0%/*}`). It skips all
//! other commands, with their here-documents and bodies, so that their text is not mistaken for
//! assignments. A value that needs a shell, and an assignment that may or may not be executed, are
//! errors for a caller that asks for them.

use std::collections::BTreeMap;
use std::path::Path;

mod reader;
mod word;

use reader::Reader;

/// The assignments of one settings file.
#[derive(Debug, Default)]
pub struct Assignments(BTreeMap<String, Assignment>);

/// The last value of a name: as text, for `NAME=value`, and as a table, for `NAME=([key]=value …)`.
#[derive(Debug)]
struct Assignment {
    text: Value<String>,
    table: Value<BTreeMap<String, String>>,
}

/// A value, or why it is unknown.
type Value<T> = Result<T, Unreadable>;

/// A value that cannot be known without executing the file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// The assigned value is unknown.
    #[error("line {line}: '{text}' needs a shell")]
    Value {
        /// The line of the file, from 1.
        line: usize,
        /// The part that needs a shell.
        text: String,
    },
    /// It is unknown whether the assignment is executed: it is in `if`, a loop or a function, after
    /// `&&`, or before a command.
    #[error("line {line}: only a shell can tell whether '{text}' is executed")]
    Execution {
        /// The line of the file, from 1.
        line: usize,
        /// The assignment.
        text: String,
    },
}

impl Assignments {
    /// Parses `text`, a file in `folder`. `environment` looks up variables that the file does not
    /// set.
    pub fn parse(text: &str, folder: &Path, environment: &dyn Fn(&str) -> Option<String>) -> Self {
        Reader::new(text, folder, environment).read_all()
    }

    /// The last text assigned to `name`.
    pub fn get(&self, name: &str) -> Result<Option<&str>, Unreadable> {
        let text = self.0.get(name).map(|assigned| assigned.text.as_deref());
        text.transpose().map_err(Clone::clone)
    }

    /// The entries of the associative array `name`.
    pub fn table(&self, name: &str) -> Result<Option<&BTreeMap<String, String>>, Unreadable> {
        let table = self.0.get(name).map(|assigned| assigned.table.as_ref());
        table.transpose().map_err(Clone::clone)
    }
}

impl Assignment {
    fn unknown(why: &Unreadable) -> Self {
        Self { text: Err(why.clone()), table: Err(why.clone()) }
    }
}

impl Unreadable {
    fn value(line: usize, text: &str) -> Self {
        Self::Value { line, text: first_line(text) }
    }

    fn execution(line: usize, text: &str) -> Self {
        Self::Execution { line, text: first_line(text) }
    }
}

fn first_line(text: &str) -> String {
    match text.trim_end().split_once('\n') {
        Some((first, _)) => format!("{} …", first.trim_end()),
        None => text.trim_end().into(),
    }
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
        let mirrors = read.table("BASE_MIRRORS").unwrap().unwrap();
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
    fn a_value_that_needs_a_shell_is_an_error_when_it_is_asked_for() {
        let read = parse("OK=1\nDEFAULT_IFC=$(ip route | awk '{print $5}')\nX=`id`\nLATER=$DEFAULT_IFC\nZ=2");
        assert_eq!(read.get("OK"), Ok(Some("1")));
        assert_eq!(read.get("Z"), Ok(Some("2")));
        let error = read.get("DEFAULT_IFC").unwrap_err();
        assert!(error.to_string().starts_with("line 2: "), "{error}");
        assert!(error.to_string().contains("ip route"), "{error}");
        assert!(read.get("X").is_err());
        assert!(read.get("LATER").is_err());
    }

    /// The value that the file gives `X`, or why it is unknown.
    fn x(text: &str) -> Result<String, String> {
        let read = parse(text);
        read.get("X").map(|value| value.unwrap_or_default().into()).map_err(|error| error.to_string())
    }

    #[test]
    fn operators_in_a_table_are_an_error_when_it_is_asked_for() {
        let usage = "usage() {\n    cat <<EOT\nLIST=(one|two)\nEOT\n}\n";
        let awk = "awk '\nx=($1>2 && $2)\n' /etc/passwd\n";
        assert_eq!(x(&format!("{usage}{awk}X=1\n")), Ok("1".into()));
        assert_eq!(parse(usage).table("LIST"), Ok(None));
        for operator in [";", "&", "|", "(", "<", ">"] {
            let text = format!("X=1\nX=(a{operator}b)\nY=2\n");
            let error = parse(&text).table("X").unwrap_err().to_string();
            assert_eq!(error, format!("line 2: '{operator}' needs a shell"));
            assert_eq!(parse(&text).get("Y"), Ok(Some("2")));
        }
    }

    #[test]
    fn a_leading_tilde_is_the_home_directory() {
        assert_eq!(x("X=~/x"), Ok("/root/x".into()));
        assert_eq!(x("X=~\n"), Ok("/root".into()));
        assert_eq!(x("HOME=/h\nX=~/x"), Ok("/h/x".into()));
        assert_eq!(x("X=${NONE:-~/x}"), Ok("/root/x".into()));
        assert_eq!(x("X=\"~/x\""), Ok("~/x".into()));
        assert_eq!(x("X=a~/x"), Ok("a~/x".into()));
        assert_eq!(x("\nX=~somebody/x"), Err("line 2: '~somebody' needs a shell".into()));
        assert_eq!(x("HOME=\nX=~/x"), Err("line 2: '~' needs a shell".into()));
    }

    #[test]
    fn additions_to_a_value_are_an_error_when_it_is_asked_for() {
        assert_eq!(x("X=a\nX+=b\n"), Err("line 2: 'X+=b' needs a shell".into()));
        assert_eq!(x("export X+=\"b c\"\n"), Err("line 1: 'X+=\"b c\"' needs a shell".into()));
        assert_eq!(x("export \"X=b c\"\n"), Err("line 1: '\"X=b c\"' needs a shell".into()));
        assert_eq!(x("X=a\n: ${X:=b}\n"), Err("line 2: '${X:=b}' needs a shell".into()));
        assert_eq!(x("X=a\nread -r X < file\n"), Err("line 2: 'X' needs a shell".into()));
        for text in ["X+=([a]=b)", "X[a]=b", "X[\"a b\"]=c"] {
            let error = parse(&format!("X=([b]=c)\n{text}\n")).table("X").unwrap_err().to_string();
            assert_eq!(error, format!("line 2: '{text}' needs a shell"));
        }
        assert_eq!(x("X+=a\nX=b\n"), Ok("b".into()));
    }

    #[test]
    fn a_table_is_not_read_as_text_nor_text_as_a_table() {
        assert_eq!(x("X=(a\nb)\n"), Err("line 1: 'X=(a …' needs a shell".into()));
        let error = parse("X=a\n").table("X").unwrap_err().to_string();
        assert_eq!(error, "line 1: 'X=a' needs a shell");
    }

    #[test]
    fn assignments_that_may_not_be_executed_are_an_error_when_asked_for() {
        for text in [
            "if [ -e /x ]; then X=1; fi",
            "if true\nthen\n X=1\nelse\n X=1\nfi",
            "case $A in a|b) Y=2;; *) X=1;; esac",
            "for a in 1 2; do X=1; done",
            "while read a; do X=1; done < /x",
            "f() { X=1; }",
            "f()\n{\n X=1\n}",
            "function f {\n X=1\n}",
            "[ -e /x ] && X=1",
            "[ -e /x ] || # or\n\n X=1",
            "(X=1)",
            "{ X=1; }",
            "X=1 | cat",
            "X=1 &",
            "X=1 env",
        ] {
            let error = x(&format!("X=0\n{text}\n")).unwrap_err();
            assert!(error.ends_with("only a shell can tell whether 'X=1' is executed"), "{text}: {error}");
            assert_eq!(x(&format!("{text}\nX=2\n")), Ok("2".into()), "{text}");
        }
        assert_eq!(
            x("\nif true; then\n X=1\nfi"),
            Err("line 3: only a shell can tell whether 'X=1' is executed".into())
        );
    }

    #[test]
    fn commands_that_do_not_assign_a_name_do_not_change_it() {
        for text in [
            "echo X=1",
            "echo a \\\n X=1",
            "Y=$(X=1; echo ')')",
            "echo \"$(cat <<E\nit's ) X=1\nE\n)\"",
            "f() { local X=1; }",
            "cat <<E\nX=1\n E\nE",
            "cat <<-'E F' | cat\nX=1\n\tE F",
            "cat <<\"A\" <<B\nA\nX=1\nB",
            "cat <<E &&\nX=1\nE\ntrue",
            "cat <<< E\n",
            "echo $((1<<2)) # X=1",
            "((Y=1<<2)) && true",
            "A=$'\\'X=1\n' B='\nX=1'",
            "A=`echo \\`X=1\\``",
            "[[ $a =~ ^(a|b)$ && $a < $b ]]",
            "export X Y",
            "f() { echo; } 2>&1\nf 2>/dev/null",
            "for ((i=0; i<2; i++)); do echo $i; done",
            "if ! true; then echo } fi; fi",
            "(cd /; (true)) || exit",
            "X=0 2>/dev/null",
            "case $A in (a) echo;; b) ;; esac",
        ] {
            assert_eq!(x(&format!("X=0\n{text}\n")), Ok("0".into()), "{text}");
            assert_eq!(x(&format!("{text}\nX=2\n")), Ok("2".into()), "{text}");
        }
    }

    #[test]
    fn defaults_are_expanded_in_turn() {
        assert_eq!(x("X=${X:-$HOME/x}"), Ok("/root/x".into()));
        assert_eq!(x("X=\"${X:-\"$(dirname \"$0\")\"/x y}\""), Ok("/srv/task3/x y".into()));
        assert_eq!(x("A=1 X=${NONE:-${A}2}"), Ok("12".into()));
        assert_eq!(x("\nX=${NONE:-$(id)}"), Err("line 2: '$(id)' needs a shell".into()));
        assert_eq!(x("X=\"a\\b\\$\""), Ok("a\\b$".into()));
        assert_eq!(x("X=$\"a\""), Ok("a".into()));
        assert_eq!(x("X=$$"), Err("line 1: '$$' needs a shell".into()));
    }

    #[test]
    fn deep_nesting_does_not_overflow_the_stack() {
        for part in ["$(", "${A:-", "\"$(", "(", "{ ", "X=(", "`"] {
            parse(&format!("X={}", part.repeat(10_000)));
            parse(&part.repeat(10_000));
        }
    }

    /// Pieces of shell syntax that random characters rarely form.
    fn pieces() -> impl Strategy<Value = String> {
        let piece = prop::sample::select(vec![
            "X=",
            "X+=",
            "X[a]=",
            "(",
            ")",
            "((",
            "))",
            "$(",
            "${X:-",
            "}",
            "{ ",
            "'",
            "\"",
            "`",
            "\\",
            "$'",
            "~",
            "<<E",
            "<<-E",
            "\nE\n",
            "\n",
            " ",
            ";",
            ";;",
            "&",
            "&&",
            "|",
            "||",
            "<",
            ">",
            "#",
            "if ",
            "fi ",
            "case ",
            "esac ",
            "do ",
            "done ",
            "function f ",
            "export ",
            "read ",
            "é",
        ]);
        prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC*") {
            parse(&text);
        }

        #[test]
        fn no_arrangement_of_shell_characters_makes_it_panic(text in "[A=+~$(){}\\[\\]\"'`\\\\ \n#0é;&|<>:-]*") {
            parse(&text);
        }

        #[test]
        fn no_arrangement_of_shell_words_makes_it_panic(text in pieces()) {
            let _ = parse(&text).get("X");
        }

        #[test]
        fn here_documents_do_not_assign(text in "[A=$(){}\"'`\\\\ \n#;&|<>]*") {
            let read = parse(&format!("A=1\ncat <<'END'\n{text}\nEND\nB=1\n"));
            prop_assert_eq!(read.get("A"), Ok(Some("1")));
            prop_assert_eq!(read.get("B"), Ok(Some("1")));
        }

        #[test]
        fn single_quoted_text_is_read_as_it_stands(text in "[^'\0]*") {
            let read = parse(&format!("A='{text}'\nB=1\n"));
            prop_assert_eq!(read.get("A"), Ok(Some(text.as_str())));
            prop_assert_eq!(read.get("B"), Ok(Some("1")));
        }
    }
}
