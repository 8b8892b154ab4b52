//! Decides whether a difference between the assignment's line and the run's line is fine. Each rule gives its reason.

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
const OTHER_LINK: &str = "another interface, which has nothing to do with this container";

/// The lines of one step side by side.
pub fn rows(command: &str, asked: &[String], seen: &[String], names: &Names) -> Vec<Row> {
    let kind = Kind::of(command);
    match kind {
        Kind::Processes => return processes(asked, seen),
        Kind::Links => return links(asked, seen, names),
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
            // If the table lists other containers of the grader, it does not say `No containers found`.
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

/// The command in a line of `ps`: what comes after the time.
fn command(line: &str) -> Option<&str> {
    let at = line.split_whitespace().find(|word| token::fits("[time]", word) || *word == "[time]")?;
    let rest = line[line.find(at)? + at.len()..].trim_start();
    Some(rest.trim_start_matches(['\\', '_', '|', ' ']).trim_end())
}

/// Processes are told apart by their command; the order of the trees depends on the PIDs.
fn processes(asked: &[String], seen: &[String]) -> Vec<Row> {
    let mut left: Vec<&String> = seen.iter().collect();
    let mut rows = Vec::new();
    for asked in asked {
        let wanted = command(asked);
        let is_it = |seen: &str| match wanted {
            // `e` of `ps aef` appends the environment.
            Some(wanted) => command(seen).is_some_and(|command| {
                command.strip_prefix(wanted).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
            }),
            None => command(seen).is_none() && seen.contains("PID"),
        };
        let found = left.iter().position(|seen| token::same(asked, seen) && is_it(seen));
        let found = found.or_else(|| left.iter().position(|seen| is_it(seen)));
        let Some(seen) = found.map(|at| left.remove(at)) else {
            rows.push(Row::of(Some(asked), None, None));
            continue;
        };
        if token::same(asked, seen) {
            rows.push(Row::new(Some(asked), Some(seen), Likeness::Same, ""));
        } else {
            rows.push(Row::of(Some(asked), Some(seen), Some(of_process(asked, seen))));
        }
    }
    let extra = |seen: &&String| {
        let starts = ["sh", "bash", "unshare", "nsenter", "chroot", "init"];
        // The first word: what follows the command may be its environment, with SHELL=/bin/bash.
        let program = command(seen).and_then(|command| command.split_whitespace().next());
        let program = program.map(|program| program.rsplit('/').next().unwrap_or(program));
        let is_wrapper = program.is_some_and(|program| starts.contains(&program));
        let why = if is_wrapper {
            Some("a program that starts the command, in the container itself")
        } else {
            command(seen).is_none().then_some(IN_ADDITION)
        };
        Row::of(None, Some(seen), why)
    };
    rows.extend(left.iter().map(extra));
    rows
}

fn of_process(asked: &str, seen: &str) -> &'static str {
    let first = |line: &str| line.split_whitespace().next().map(str::to_owned);
    if command(asked).is_none() {
        "another version of ps"
    } else if first(asked) != first(seen) && !first(asked).is_some_and(|pid| pid.starts_with('[')) {
        "another PID: the program that started it is PID 1"
    } else {
        "`e` of `ps aef` appends the environment, and terminals have other names"
    }
}

/// `ip a` of one interface.
struct Block<'a> {
    name: &'a str,
    lines: Vec<&'a String>,
}

/// The name in `2: eg-inside@if5: <…>`.
fn header(line: &str) -> Option<&str> {
    let (number, rest) = line.split_once(": ")?;
    let is_number = number == "[number]" || number.bytes().all(|byte| byte.is_ascii_digit());
    let name = rest.split_once(": <")?.0;
    is_number.then(|| name.split('@').next().unwrap_or(name))
}

fn blocks(lines: &[String]) -> Vec<Block<'_>> {
    let mut blocks: Vec<Block> = vec![Block { name: "", lines: Vec::new() }];
    for line in lines {
        if let Some(name) = header(line) {
            blocks.push(Block { name, lines: Vec::new() });
        }
        if let Some(last) = blocks.last_mut() {
            last.lines.push(line);
        }
    }
    blocks.retain(|block| !block.lines.is_empty());
    blocks
}

/// Interfaces are told apart by their names.
fn links(asked: &[String], seen: &[String], names: &Names) -> Vec<Row> {
    let mut left = blocks(seen);
    let mut rows = Vec::new();
    for block in blocks(asked) {
        let by_name = left.iter().position(|seen| token::fits(block.name, seen.name));
        // A pair's end under another name stands beside the one that was asked for.
        let is_end = |seen: &Block| {
            let of_other = |name: &String| seen.name.contains(name.as_str());
            seen.lines[0].contains("@if") && !names.others.iter().any(of_other)
        };
        let by_kind = || left.iter().position(is_end).filter(|_| block.lines[0].contains("@if"));
        let Some(at) = by_name.or_else(by_kind) else {
            rows.extend(block.lines.iter().map(|line| Row::of(Some(line), None, None)));
            continue;
        };
        let found = left.remove(at);
        let (asked, seen): (Vec<String>, Vec<String>) = (
            block.lines.iter().map(|line| (*line).clone()).collect(),
            found.lines.iter().map(|line| (*line).clone()).collect(),
        );
        rows.extend(
            align(&asked, &seen).into_iter().map(|(asked_at, seen_at)| {
                of_link(asked_at.map(|at| &asked[at]), seen_at.map(|at| &seen[at]))
            }),
        );
    }
    for block in left {
        // A second pair of the container's own needs a reason, so it is not fine.
        let own = names.own().any(|name| block.name.starts_with(&format!("{name}-")));
        let why = if block.name.is_empty() { Some(IN_ADDITION) } else { (!own).then_some(OTHER_LINK) };
        rows.extend(block.lines.iter().map(|line| Row::of(None, Some(line), why)));
    }
    rows
}

/// A line of an interface that the assignment shows.
fn of_link(asked: Option<&String>, seen: Option<&String>) -> Row {
    let (asked_line, seen_line) = (asked.map_or("", |line| line.trim()), seen.map_or("", |line| line.trim()));
    if asked.is_some() && seen.is_some() && token::same(asked_line, seen_line) {
        return Row::new(asked, seen, Likeness::Same, "");
    }
    let begins = |word: &str| {
        let of = |line: &str| line.is_empty() || line.starts_with(word);
        of(asked_line) && of(seen_line)
    };
    let is_up = |line: &str| {
        let flags = line.split_once('<').and_then(|(_, rest)| rest.split_once('>')).map(|(flags, _)| flags);
        flags.is_some_and(|flags| flags.split(',').any(|flag| flag == "UP"))
    };
    let why = if let (Some(wanted), Some(found)) = (header(asked_line), header(seen_line)) {
        match (is_up(asked_line), is_up(seen_line)) {
            _ if !token::fits(wanted, found) => None,
            (true, false) => None,
            (false, true) => Some("it is up earlier than shown"),
            _ => Some("details that the kernel chooses"),
        }
    } else if begins("inet6 ") {
        Some("IPv6, which is not asked for")
    } else if begins("valid_lft ") {
        Some("how long the address above is valid")
    } else if begins("link/") {
        Some("details that the kernel chooses")
    } else if begins("inet ") {
        of_address(asked_line, seen_line)
    } else {
        asked.is_none().then_some(IN_ADDITION)
    };
    Row::of(asked, seen, why)
}

fn of_address(asked: &str, seen: &str) -> Option<&'static str> {
    match (asked.is_empty(), seen.is_empty()) {
        (true, false) => Some("an extra address, or one that comes earlier than shown"),
        (false, false) => Some("another prefix, or details beside the address"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
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

    fn differing(command: &str, asked: &str, seen: &str) -> Vec<Row> {
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
    fn ps_may_show_a_wrapper_and_no_foreign_process() {
        let asked = "PID TTY TIME CMD\n1 [tty] [time] bash\n[pid] [tty] [time] ps";
        let differing = |seen: &str| differing("ps", asked, seen);
        assert_eq!(differing("PID TTY TIME CMD\n1 ? 00:00:00 bash\n9 pts/0 00:00:00 ps"), []);
        assert_eq!(differing("PID TTY TIME CMD\n1 ? 00:00:00 sh\n4 ? 00:00:00 bash\n9 ? 00:00:00 ps"), []);
        assert_eq!(
            differing("PID TTY TIME CMD\n1 ? 00:00:00 bash\n7 ? 00:00:00 sleep\n9 ? 00:00:00 ps").len(),
            1
        );
        assert_eq!(differing("bash: ps: command not found").len(), 3);
    }

    #[test]
    fn the_trees_of_ps_may_come_in_another_order_and_with_an_environment() {
        let asked = "[pid] [tty] [stat] [time] /bin/bash\n[pid] [tty] [stat] [time]  \\_ ps aef\n\
                     1 [tty] [stat] [time] /bin/bash\n[pid] [tty] [stat] [time]  \\_ sleep inf";
        let seen = "1 pts/1 Ss 0:00 /bin/bash PATH=/bin\n7 pts/1 S+ 0:00  \\_ sleep inf PATH=/bin\n\
                    8 ? S 0:00 /bin/bash\n9 ? R+ 0:00  \\_ ps aef HOME=/";
        assert_eq!(differing("ps aef", asked, seen), []);
        let left = format!("{seen}\n5 ? S 0:00 sleep 86400 SHELL=/bin/bash");
        assert_eq!(differing("ps aef", asked, &left).len(), 1);
    }

    #[test]
    fn an_interface_must_be_there_be_up_and_have_an_address() {
        let asked = "[number]: eg-1-inside@if[number]: <UP,LOWER_UP> mtu 1500 qdisc noqueue state UP\n    inet [address]/24 scope global eg-1-inside\n       valid_lft forever preferred_lft forever";
        let differing = |seen: &str| differing("ip a", asked, seen).len();
        let head = "2: eg-1-inside@if9: <UP,LOWER_UP> mtu 1500 qdisc fq state UP";
        assert_eq!(differing(&format!("{head}\n inet 10.0.0.2/30 scope global eg-1-inside")), 0);
        assert_eq!(
            differing(&format!(
                "3: tunl0@NONE: <NOARP> mtu 1480\n{head}\n inet 10.0.0.2/24 scope global eg-1-inside"
            )),
            0
        );
        assert_eq!(differing(head), 1);
        assert_eq!(
            differing(
                "2: eg-1-inside@if9: <BROADCAST> mtu 1500 qdisc noop state DOWN\n inet 10.0.0.2/24 scope global eg-1-inside"
            ),
            1
        );
        // Another name, beside what was asked for.
        assert_eq!(differing("2: veth0@if9: <UP> mtu 1500\n inet 10.0.0.2/24 scope global veth0"), 1);
        assert_eq!(differing("2: dummy0: <UP> mtu 1500"), 3);
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
