//! Text that students' programs printed, made safe to show, and numbers as people write them.

use std::fmt::Write;

/// Control characters, escape sequences and invisible spaces in a visible form; newlines and tabs
/// stay. Nothing that is shown can move a cursor, colour a line or hide.
pub fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\t' => shown.push(c),
            '\r' => shown.push('␍'),
            '\0'..='\x1f' => shown.push(char::from_u32(0x2400 + u32::from(c)).unwrap_or('�')),
            '\x7f' => shown.push('␡'),
            // C1 controls, fillers, zero-width characters, joiners, bidirectional marks and
            // overrides, byte order mark, annotations, tags.
            '\u{80}'..='\u{9f}'
            | '\u{ad}'
            | '\u{61c}'
            | '\u{115f}'
            | '\u{1160}'
            | '\u{180e}'
            | '\u{3164}'
            | '\u{ffa0}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{e0000}'..='\u{e007f}' => {
                let _ = write!(shown, "<U+{:04X}>", u32::from(c));
            }
            '\u{a0}' => shown.push_str("<NBSP>"),
            _ => shown.push(c),
        }
    }
    shown
}

/// Points without needless zeros: `8`, `2.5`.
pub fn points(points: f64) -> String {
    let text = format!("{points:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// At most so many characters and lines, with a word on what was left out.
pub fn shortened(text: &str, characters: usize, lines: usize) -> String {
    let total = text.lines().count();
    let mut short: String = text.lines().take(lines).collect::<Vec<_>>().join("\n");
    if let Some((at, _)) = short.char_indices().nth(characters) {
        short.truncate(at);
        let left = text.chars().count() - characters;
        let _ = write!(short, " … ({left} more characters in the report)");
    } else if total > lines {
        let _ = write!(short, "\n… ({} more lines in the report)", total - lines);
    }
    short
}

/// The beginning of a text from a guest, visible: at most so many characters and lines, with a word
/// on what was left out. Only that much is read, however long the text is.
pub fn start_of(text: &str, characters: usize, lines: usize) -> String {
    let end = text.char_indices().nth(characters).map_or(text.len(), |(at, _)| at);
    let mut short = shortened(&visible(&text[..end]), characters, lines);
    if end < text.len() && !short.contains('…') {
        let _ = write!(short, " … ({} more bytes in the report)", text.len() - end);
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_act_on_a_terminal_is_shown_instead() {
        assert_eq!(visible("a\x1b[2Jb\r\n\0\u{202e}c\u{a0}\x7f"), "a␛[2Jb␍\n␀<U+202E>c<NBSP>␡");
    }

    #[test]
    fn text_is_cut_with_a_word_on_what_is_missing() {
        assert_eq!(shortened("a\nb\nc", 100, 2), "a\nb\n… (1 more lines in the report)");
        assert_eq!(shortened("abcdef", 4, 2), "abcd … (2 more characters in the report)");
        assert_eq!(shortened("abcd", 4, 2), "abcd");
    }

    #[test]
    fn the_start_of_a_text_says_what_it_leaves_out() {
        assert_eq!(start_of("abc\u{7}", 10, 2), "abc␇");
        assert_eq!(start_of("abcdef", 4, 2), "abcd … (2 more bytes in the report)");
        assert_eq!(start_of("a\nb\nc", 100, 2), "a\nb\n… (1 more lines in the report)");
    }

    #[test]
    fn points_have_no_needless_zeros() {
        assert_eq!([points(8.0), points(2.5), points(0.0), points(10.0)], ["8", "2.5", "0", "10"]);
    }
}
