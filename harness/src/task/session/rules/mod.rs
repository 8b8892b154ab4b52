//! Decides whether a difference between the assignment's line and the run's line is fine. Each
//! rule gives its reason.

mod links;
mod processes;

use super::align::{Pair, align};
use super::{Likeness, Names, Row, token};

/// What kind of output a command has, which decides what may differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A program of task 1 or 2: every line counts.
    Program,
    /// A table of the tool: the names in it count.
    Table,
    /// All other messages of the tool: their wording is free.
    Words,
    /// `ps`.
    Processes,
    /// `ip a`.
    Links,
    /// `ping`.
    Ping,
    /// `exit`.
    Exit,
    /// `curl`.
    Page,
}

const OWN_WORDS: &str = "the tool's own words, which the assignment does not prescribe";
const IN_ADDITION: &str = "an extra line";
const NEIGHBOUR: &str = "another container or image of this run";

/// The lines of one step side by side.
pub fn rows(command: &str, asked: &[String], seen: &[String], names: &Names) -> Vec<Row> {
    let kind = Kind::of(command);
    match kind {
        Kind::Processes => return processes::rows(asked, seen),
        Kind::Links => return links::rows(asked, seen, names),
        _ => {}
    }
    let step = Lines { kind, asked, seen, names };
    align(asked, seen).into_iter().map(|pair| step.row(pair)).collect()
}

impl Kind {
    fn of(command: &str) -> Self {
        let words: Vec<&str> = command.split_whitespace().filter(|word| *word != "sudo").collect();
        match words.as_slice() {
            ["./conductor.sh", "images" | "ps", ..] => Self::Table,
            ["./conductor.sh", ..] => Self::Words,
            ["ps", ..] => Self::Processes,
            ["ip", ..] => Self::Links,
            ["ping", ..] => Self::Ping,
            ["exit"] => Self::Exit,
            ["curl", ..] => Self::Page,
            _ => Self::Program,
        }
    }
}

struct Lines<'a> {
    kind: Kind,
    asked: &'a [String],
    seen: &'a [String],
    names: &'a Names,
}

impl Lines<'_> {
    fn row(&self, (asked, seen): Pair) -> Row {
        let (asked, seen) = (asked.map(|at| &self.asked[at]), seen.map(|at| &self.seen[at]));
        if let (Some(asked), Some(seen)) = (asked, seen)
            && token::same(asked, seen)
        {
            return Row::new(Some(asked), Some(seen), Likeness::Same, "");
        }
        let why = match self.kind {
            Kind::Words => Some(OWN_WORDS),
            Kind::Table => self.table(asked, seen),
            Kind::Ping => self.ping(asked, seen),
            Kind::Exit => Some("the shell's own word"),
            Kind::Page => asked.is_none().then_some(IN_ADDITION),
            Kind::Program => self.program(asked, seen),
            Kind::Processes | Kind::Links => None,
        };
        Row::of(asked, seen, why)
    }

    /// A container or an image must be listed where the assignment lists it, and nowhere else.
    fn table(&self, asked: Option<&String>, seen: Option<&String>) -> Option<&'static str> {
        let has_own = |line: &String| self.names.own().any(|name| has_word(line, name));
        let shows_own = self.seen.iter().any(has_own);
        let asks_own = self.asked.iter().any(has_own);
        match (asked, seen) {
            (Some(asked), _) if has_own(asked) => shows_own.then_some("listed in another form"),
            (_, Some(seen)) if has_own(seen) && !asks_own => None,
            (None, Some(seen)) if self.names.others.iter().any(|name| has_word(seen, name)) => {
                Some(NEIGHBOUR)
            }
            (None, Some(_)) => Some(IN_ADDITION),
            // If the table lists other containers of the grader, it does not say
            // `No containers found`.
            _ => Some(OWN_WORDS),
        }
    }

    fn ping(&self, asked: Option<&String>, seen: Option<&String>) -> Option<&'static str> {
        if self.seen.iter().any(|line| line.contains("not found")) {
            return Some("the image has no ping: another check sends the packets");
        }
        match (asked, seen) {
            (None, Some(seen)) if seen.contains("bytes from") => Some("an extra answer"),
            (None, Some(_)) => Some(IN_ADDITION),
            (Some(asked), None) if asked == "^C" => Some("the terminal did not show the key"),
            (Some(asked), Some(seen)) if asked.contains("bytes from") && seen.contains("bytes from") => {
                Some("an answer, with other numbers")
            }
            _ => None,
        }
    }

    /// Extra lines are fine, unless they repeat a line that the assignment shows less often.
    fn program(&self, asked: Option<&String>, seen: Option<&String>) -> Option<&'static str> {
        let (None, Some(seen)) = (asked, seen) else { return None };
        let is_rule = seen.chars().all(|c| "-_ ".contains(c));
        let repeats = self.asked.iter().any(|asked| token::same(asked, seen));
        (is_rule || !repeats).then_some(IN_ADDITION)
    }
}

/// Whether a line has a name as a word of its own.
fn has_word(line: &str, name: &str) -> bool {
    let is_part = |c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '_');
    line.split(is_part).any(|word| word == name)
}

impl Row {
    /// Fine with a reason, and different without one.
    fn of(asked: Option<&String>, seen: Option<&String>, why: Option<&str>) -> Self {
        let is = if why.is_some() { Likeness::Fine } else { Likeness::Differs };
        Self::new(asked, seen, is, why.unwrap_or_default())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    fn names() -> Names {
        Names {
            values: BTreeMap::from([("container", "eg-1".to_owned()), ("image", "pic_1".to_owned())]),
            others: vec!["nb_2".to_owned()],
        }
    }

    pub(super) fn differing(command: &str, asked: &str, seen: &str) -> Vec<Row> {
        let rows = rows(command, &lines(asked), &lines(seen), &names());
        rows.into_iter().filter(|row| row.is == Likeness::Differs).collect()
    }

    #[test]
    fn a_table_must_list_the_container_and_only_where_it_is_listed() {
        let listed = "CS695 Conductor\nName  Date\neg-1   [date]";
        let none = "CS695 Conductor\nNo containers found";
        let command = "sudo ./conductor.sh ps";
        assert_eq!(differing(command, listed, "eg-1\nnb_2"), []);
        assert_eq!(differing(command, none, "NAME\nnb_2 2026-01-01"), []);
        assert_eq!(differing(command, listed, "NAME\nnb_2 2026-01-01").len(), 1);
        // Not a name that only begins like it.
        assert_eq!(differing(command, listed, "NAME\neg-12 2026-01-01").len(), 1);
        assert_eq!(differing(command, none, "NAME\neg-1 2026-01-01").len(), 1);
    }

    #[test]
    fn the_tools_own_words_are_its_own() {
        let command = "sudo ./conductor.sh stop eg-1";
        assert_eq!(differing(command, "eg-1 succesfully removed", "stopped\nwarning: x"), []);
    }

    #[test]
    fn a_program_may_say_more_but_not_the_same_again() {
        let asked = "---\nParent: [pid]\n---";
        assert_eq!(differing("./p", asked, "---\nParent: 7\nhello\n---\n---"), []);
        assert_eq!(differing("./p", asked, "---\nParent: 7\n---\nParent: 7").len(), 1);
        assert_eq!(differing("./p", asked, "---\n---").len(), 1);
    }

    #[test]
    fn packets_must_be_answered() {
        let asked = "64 bytes from [gateway]: icmp_seq=1\n^C\n[number] packets transmitted, [number] received, 0% packet loss";
        let good = "64 bytes from 10.0.0.1: icmp_seq=1\n64 bytes from 10.0.0.1: icmp_seq=2\n2 packets transmitted, 2 received, 0% packet loss";
        assert_eq!(differing("ping 10.0.0.1", asked, good), []);
        assert_eq!(
            differing("ping 10.0.0.1", asked, "^C\n2 packets transmitted, 0 received, 100% packet loss")
                .len(),
            2
        );
    }
}
