//! What a package cache has done: counters, and lists of what it could not serve that do
//! not grow without bound.

/// How many entries a list keeps, and how many characters of each.
const KEPT: usize = 100;
const LENGTH: usize = 400;

/// What one cache object has done so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Requests that guests made.
    pub requests: u64,
    /// Requests that were made to mirrors, revalidations included.
    pub upstream_requests: u64,
    /// Bytes of bodies that came from mirrors.
    pub upstream_bytes: u64,
    /// Requests that a mirror answered with 404.
    pub upstream_absent: u64,
    /// What could not be served: the address, and why.
    pub missing: Listed,
    /// What of it is our failure: a signed index names the file, or the mirror gave no answer.
    pub lacking: Listed,
}

/// The first hundred different texts of a list, and how many more there were.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listed {
    kept: Vec<String>,
    more: u64,
}

impl Listed {
    /// Adds a text, which a guest may have chosen: control characters are replaced, and
    /// what is long is cut.
    pub fn add(&mut self, text: &str) {
        let shown = |c: char| if c.is_ascii_graphic() || c == ' ' { c } else { '\u{fffd}' };
        let mut kept: String = text.chars().take(LENGTH).map(shown).collect();
        if text.chars().nth(LENGTH).is_some() {
            kept.push('…');
        }
        if self.kept.contains(&kept) {
            return;
        }
        if self.kept.len() < KEPT {
            self.kept.push(kept);
        } else {
            self.more += 1;
        }
    }

    /// How many different texts were added; beyond those that are kept, repetitions count too.
    pub fn count(&self) -> u64 {
        self.kept.len() as u64 + self.more
    }

    /// The texts, and a last one that says how many more there were.
    pub fn texts(&self) -> Vec<String> {
        let more = (self.more > 0).then(|| format!("and {} more", self.more));
        self.kept.iter().cloned().chain(more).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_stays_small_whatever_is_added() {
        let mut list = Listed::default();
        list.add("bell \x07 and esc\u{9b}");
        for number in 0..100_000 {
            list.add(&format!("{number} {}", "x".repeat(1000)));
            list.add("again");
        }
        let texts = list.texts();
        assert_eq!(texts.len(), KEPT + 1);
        assert_eq!(texts[0], "bell \u{fffd} and esc\u{fffd}");
        assert!(texts.iter().all(|text| text.chars().count() <= LENGTH + 1));
        assert!(texts[KEPT].starts_with("and 99"), "{}", texts[KEPT]);
    }
}
