//! Which part of a class one process grades: `--take 2/8` is the second of eight parts.

use std::str::FromStr;

/// A part of a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Take {
    part: usize,
    of: usize,
}

impl Take {
    /// Everything.
    pub const ALL: Self = Self { part: 1, of: 1 };

    /// Whether the entry at this place, counted from 0, is of this part. Parts differ
    /// by one entry at most.
    pub fn has(self, place: usize) -> bool {
        place % self.of == self.part - 1
    }
}

impl FromStr for Take {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = || {
            let (part, of) = text.split_once('/')?;
            let (part, of) = (part.parse().ok()?, of.parse().ok()?);
            (1..=of).contains(&part).then_some(Self { part, of })
        };
        parse().ok_or_else(|| "expected K/N with K from 1 to N, such as 2/8".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_are_the_whole_and_do_not_overlap() {
        let parts: Vec<Take> = (1..=3).map(|part| format!("{part}/3").parse().unwrap()).collect();
        for place in 0..10 {
            assert_eq!(parts.iter().filter(|part| part.has(place)).count(), 1, "{place}");
        }
        assert!(Take::ALL.has(7));
        for bad in ["0/3", "4/3", "1", "1/0", "a/b", ""] {
            assert!(bad.parse::<Take>().is_err(), "{bad}");
        }
    }
}
