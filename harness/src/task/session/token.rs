//! Compares two lines word by word. A word of the assignment may contain placeholders such as
//! `[pid]`. Blanks do not count, because the assignment does not prescribe the width of columns.

/// Most words of a line that are compared. What comes after them counts as one word.
const WORDS: usize = 48;

/// A piece of a line, and whether the other line lacks it.
pub type Piece = (String, bool);

/// Whether all words of both lines fit.
pub fn same(asked: &str, seen: &str) -> bool {
    let (asked, seen) = (words(asked), words(seen));
    asked.len() == seen.len() && asked.iter().zip(&seen).all(|(asked, seen)| fits(asked, seen))
}

/// How much of the longer line fits, from 0 to 1.
pub fn likeness(asked: &str, seen: &str) -> f64 {
    let (asked, seen) = (words(asked), words(seen));
    let longer = asked.len().max(seen.len());
    if longer == 0 { 1.0 } else { pairs(&asked, &seen).len() as f64 / longer as f64 }
}

/// Both lines in pieces, with a mark on what the other one lacks.
pub fn marked(asked: &str, seen: &str) -> (Vec<Piece>, Vec<Piece>) {
    let (asked_words, seen_words) = (words(asked), words(seen));
    let pairs = pairs(&asked_words, &seen_words);
    let is_lost = |index: usize| !pairs.iter().any(|(asked, _)| *asked == index);
    let is_new = |index: usize| !pairs.iter().any(|(_, seen)| *seen == index);
    (pieces(asked, &asked_words, is_lost), pieces(seen, &seen_words, is_new))
}

fn words(line: &str) -> Vec<&str> {
    let mut words: Vec<&str> = Vec::new();
    let mut rest = line.trim_start();
    while !rest.is_empty() {
        // A placeholder with blanks, such as `[value of this run]`, is one word.
        let end = match rest.find(']').filter(|_| rest.starts_with('[')) {
            Some(end) => end + rest[end..].find(char::is_whitespace).unwrap_or(rest.len() - end),
            None => rest.find(char::is_whitespace).unwrap_or(rest.len()),
        };
        if words.len() + 1 == WORDS {
            words.push(rest);
            break;
        }
        words.push(&rest[..end]);
        rest = rest[end..].trim_start();
    }
    words
}

/// The longest common sequence of words, as pairs of indexes.
fn pairs(asked: &[&str], seen: &[&str]) -> Vec<(usize, usize)> {
    let mut lengths = vec![vec![0_usize; seen.len() + 1]; asked.len() + 1];
    let fit: Vec<Vec<bool>> =
        asked.iter().map(|asked| seen.iter().map(|seen| fits(asked, seen)).collect()).collect();
    for one in (0..asked.len()).rev() {
        for other in (0..seen.len()).rev() {
            lengths[one][other] = if fit[one][other] {
                lengths[one + 1][other + 1] + 1
            } else {
                lengths[one + 1][other].max(lengths[one][other + 1])
            };
        }
    }
    let (mut one, mut other, mut pairs) = (0, 0, Vec::new());
    while one < asked.len() && other < seen.len() {
        if fit[one][other] && lengths[one][other] == lengths[one + 1][other + 1] + 1 {
            pairs.push((one, other));
            one += 1;
            other += 1;
        } else if lengths[one + 1][other] >= lengths[one][other + 1] {
            one += 1;
        } else {
            other += 1;
        }
    }
    pairs
}

fn pieces(line: &str, words: &[&str], is_marked: impl Fn(usize) -> bool) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    let mut add = |text: &str, marked: bool| match pieces.last_mut() {
        Some((last, mark)) if *mark == marked => last.push_str(text),
        _ if text.is_empty() => {}
        _ => pieces.push((text.to_owned(), marked)),
    };
    let mut at = 0;
    for (index, word) in words.iter().enumerate() {
        let start = at + line[at..].find(word).unwrap_or(0);
        add(&line[at..start], false);
        add(word, is_marked(index));
        at = start + word.len();
    }
    add(&line[at..], false);
    pieces
}

/// Whether a word is what the assignment's word says.
pub fn fits(asked: &str, seen: &str) -> bool {
    if asked == seen {
        return true;
    }
    let Some(start) = asked.find('[') else { return false };
    let Some(end) = asked[start..].find(']').map(|end| start + end) else { return false };
    let (before, name, after) = (&asked[..start], &asked[start + 1..end], &asked[end + 1..]);
    let Some(rest) = seen.strip_prefix(before) else { return false };
    // The longest value first; each value is a run of the characters that its kind has.
    let most = rest.find(|c: char| !belongs(name, c)).unwrap_or(rest.len());
    let ends = (1..=most).rev().filter(|end| rest.is_char_boundary(*end));
    ends.into_iter().any(|end| is_a(name, &rest[..end]) && fits(after, &rest[end..]))
}

fn belongs(name: &str, c: char) -> bool {
    match name {
        "pid" | "number" => c.is_ascii_digit(),
        "time" => c.is_ascii_digit() || c == ':',
        "ms" | "address" | "gateway" | "host-ip" => c.is_ascii_digit() || c == '.',
        "date" => c.is_ascii_digit() || c == '-',
        "size" => c.is_ascii_alphanumeric() || c == '.' || c == ',',
        "mac" | "address6" => c.is_ascii_hexdigit() || c == ':',
        "stat" => c.is_ascii_alphabetic() || "+<".contains(c),
        _ => !c.is_whitespace(),
    }
}

fn is_a(name: &str, value: &str) -> bool {
    let parts = |sign| value.split(sign).count();
    match name {
        "time" => parts(':') >= 2,
        "address" | "gateway" | "host-ip" => value.parse::<std::net::Ipv4Addr>().is_ok(),
        "mac" => parts(':') == 6,
        "address6" => value.parse::<std::net::Ipv6Addr>().is_ok(),
        "date" => parts('-') == 3,
        "size" => value.starts_with(|c: char| c.is_ascii_digit()),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_placeholder_takes_what_is_of_its_kind() {
        for (asked, seen) in [
            ("[pid]", "4711"),
            ("[number]:", "12:"),
            ("eg-inside@if[number]:", "eg-inside@if17:"),
            ("[ms]/[ms]/[ms]/[ms]", "0.085/0.118/0.151/0.033"),
            ("[address]/24", "10.1.2.3/24"),
            ("[address6]/64", "fe80::c809:b2ff:fe0c:beee/64"),
            ("[mac]", "ca:09:b2:0c:be:ee"),
            ("[value of this run]", "[value of this run]"),
            ("[time]", "00:00:01"),
        ] {
            assert!(fits(asked, seen), "{asked} {seen}");
        }
        for (asked, seen) in [
            ("[pid]", "x1"),
            ("[pid]", ""),
            ("[address]/24", "10.1.2/24"),
            ("[mac]", "fe80::1"),
            ("[date]", "20-3"),
        ] {
            assert!(!fits(asked, seen), "{asked} {seen}");
        }
    }

    #[test]
    fn the_width_of_columns_does_not_count() {
        assert!(same("  1 ?        [time] bash", "1 ?  00:00:00   bash"));
        assert!(!same("1 ? [time] bash", "1 ? 00:00:00 bash extra"));
    }

    #[test]
    fn what_the_other_line_lacks_is_marked() {
        let (asked, seen) = marked("mtu 1500 state UP", "mtu 1500 group x state DOWN");
        assert_eq!(asked, [("mtu 1500 state ".to_owned(), false), ("UP".to_owned(), true)]);
        let marked: Vec<&str> =
            seen.iter().filter(|(_, mark)| *mark).map(|(text, _)| text.as_str()).collect();
        assert_eq!(marked, ["group", "x", "DOWN"]);
    }

    #[test]
    fn a_word_is_compared_with_one_other_word_only() {
        assert_eq!(pairs(&["a", "a", "a", "b"], &["a", "b", "a", "a"]), [(0, 0), (1, 2), (2, 3)]);
    }

    #[test]
    fn a_long_line_is_compared_up_to_a_limit() {
        let long = "a ".repeat(100_000);
        assert!(words(&long).len() <= WORDS);
        assert!(likeness(&long, "b") < 0.1);
    }
}
