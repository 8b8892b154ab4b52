//! Compares the output of `ip a`.

use super::super::align::align;
use super::super::{Likeness, Names, Row, token};
use super::IN_ADDITION;

const OTHER_LINK: &str = "another interface, which has nothing to do with this container";

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
pub(super) fn rows(asked: &[String], seen: &[String], names: &Names) -> Vec<Row> {
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
    use super::super::tests::differing;

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
}
