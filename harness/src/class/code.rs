//! Codes in place of ids: the same person has the same code as long as the key is the same, and
//! without the key no code leads back.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::results::Member;
use crate::verdict::Report;

/// The shortest key, in bytes.
const SHORTEST: usize = 16;

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be read.
    #[error("cannot read the key {} (make one with: head -c 32 /dev/urandom > FILE)", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// Anybody could guess it.
    #[error("the key {} has less than {SHORTEST} bytes; make one with: head -c 32 /dev/urandom > FILE", path.display())]
    Short {
        /// The file.
        path: PathBuf,
    },
}

/// The key.
#[derive(Debug)]
pub struct Key(Vec<u8>);

impl Key {
    /// Reads a key from a file.
    ///
    /// # Errors
    /// When it cannot be read, or is too short.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let key = fs::read(path).map_err(|source| Error::Io { path: path.to_owned(), source })?;
        if key.len() < SHORTEST {
            return Err(Error::Short { path: path.to_owned() });
        }
        Ok(Self(key))
    }

    /// The code for an id.
    pub fn code(&self, id: &str) -> String {
        // A key of any length is one for HMAC.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) else { return "anonymous".to_owned() };
        mac.update(id.as_bytes());
        let digest = mac.finalize().into_bytes();
        digest.iter().take(6).fold("anon-".to_owned(), |code, byte| format!("{code}{byte:02x}"))
    }

    /// The report with the code in place of everything that says whose it is.
    pub fn mask(&self, report: Report, member: &Member) -> Report {
        let code = self.code(&member.id);
        let mut words = vec![member.id.clone()];
        words.extend(stem(&report.submission.source));
        for person in &member.people {
            words.extend([person.name.clone(), person.number.clone(), person.email.clone()]);
        }
        // Numbers of a course system stand in no report, but the same digits may.
        words.retain(|word| word.len() > 3 && !word.bytes().all(|byte| byte.is_ascii_digit()));
        words.sort_by_key(|word| std::cmp::Reverse(word.len()));
        let mut report = report;
        report.submission.source.clone_from(&code);
        report.submission.id.clone_from(&code);
        // The same archive has the same digest for everybody who has it.
        report.submission.sha256.clear();
        // Submissions are graded in the order of their ids, and a course system shows when each was
        // handed in.
        report.environment.started.clear();
        if let Some(late) = &mut report.late {
            late.submitted.clear();
            late.deadline.clear();
            late.seconds = late.days * 86_400;
        }
        // A reason is in staff's own words, and may name somebody.
        for adjustment in &mut report.adjustments {
            "not shown".clone_into(&mut adjustment.reason);
            "staff".clone_into(&mut adjustment.who);
            adjustment.when.clear();
        }
        let Ok(mut value) = serde_json::to_value(&report) else { return report };
        roll_numbers(&value, &mut words);
        mask_value(&mut value, &words, &code);
        serde_json::from_value(value).unwrap_or(report)
    }
}

/// What the file's name begins with: often a roll number.
fn stem(source: &str) -> Option<String> {
    let name = Path::new(source).file_name()?.to_str()?;
    let end = name.to_ascii_lowercase().find("_assignment3").or_else(|| name.find('.'))?;
    name.get(..end).map(str::to_owned)
}

/// The roll numbers in names of folders that a report quotes: what stands before `_assignment3`.
fn roll_numbers(value: &serde_json::Value, words: &mut Vec<String>) {
    match value {
        serde_json::Value::String(text) => {
            let lower = text.to_ascii_lowercase();
            for (at, _) in lower.match_indices("_assignment3") {
                let is_part = |c: char| c.is_alphanumeric() || c == '-' || c == '.';
                let before = lower[..at].trim_end_matches(is_part).len();
                if at - before > 3 {
                    words.push(lower[before..at].to_owned());
                }
            }
        }
        serde_json::Value::Array(all) => all.iter().for_each(|one| roll_numbers(one, words)),
        serde_json::Value::Object(all) => all.values().for_each(|one| roll_numbers(one, words)),
        _ => {}
    }
}

fn mask_value(value: &mut serde_json::Value, words: &[String], code: &str) {
    match value {
        serde_json::Value::String(text) => {
            for word in words {
                if let Some(masked) = masked(text, word, code) {
                    *text = masked;
                }
            }
        }
        serde_json::Value::Array(all) => all.iter_mut().for_each(|one| mask_value(one, words, code)),
        serde_json::Value::Object(all) => all.values_mut().for_each(|one| mask_value(one, words, code)),
        _ => {}
    }
}

/// The text with a word replaced, in whatever case; `None` where it has none.
fn masked(text: &str, word: &str, code: &str) -> Option<String> {
    let (lower, word) = (text.to_ascii_lowercase(), word.to_ascii_lowercase());
    let mut at = 0;
    let mut out = String::new();
    while let Some(found) = lower[at..].find(&word) {
        out.push_str(&text[at..at + found]);
        out.push_str(code);
        at += found + word.len();
    }
    (at > 0).then(|| out + &text[at..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::class::Person;
    use crate::class::late::Late;
    use crate::verdict::Adjustment;

    fn key(bytes: &[u8]) -> Key {
        Key(bytes.to_vec())
    }

    #[test]
    fn a_code_depends_on_key_and_id() {
        let (one, two) = (key(&[1; 32]), key(&[2; 32]));
        assert_eq!(one.code("23m0001"), one.code("23m0001"));
        assert_ne!(one.code("23m0001"), one.code("23m0002"));
        assert_ne!(one.code("23m0001"), two.code("23m0001"));
    }

    #[test]
    fn nothing_in_a_masked_report_says_whose_it_is() {
        let mut report = Report::default();
        report.submission.id = "77".into();
        report.submission.source = "in/23M0001_assignment3.zip".into();
        report.environment.notes = vec!["the folder 23m0001_assignment3 of Zoë Łoś, PID 77".into()];
        report.environment.started = "2026-02-03T04:05:06Z".into();
        report.late = Some(Late {
            submitted: "2026-02-03T01:00:07Z".into(),
            deadline: "2026-02-01T23:59:00Z".into(),
            seconds: 90_067,
            days: 2,
            percent: 20.0,
            penalty: 1.0,
        });
        report.adjustments.push(Adjustment {
            of: "1".into(),
            delta: 1.0,
            applied: 1.0,
            reason: "as Zoë's partner Jan".into(),
            who: "Ann".into(),
            when: "2026-02-10".into(),
        });
        let person = Person { name: "Zoë Łoś".into(), number: "77".into(), email: "z@example.org".into() };
        let member = Member {
            id: "77".into(),
            people: vec![person],
            submitted: None,
            folder: None,
            handed_in: None,
            problems: vec![],
        };
        let masked = key(&[1; 32]).mask(report, &member);
        let text = serde_json::to_string(&masked).unwrap();
        assert!(!text.to_lowercase().contains("23m0001") && !text.contains("Zoë"), "{text}");
        assert!(!text.contains("Jan") && !text.contains("Ann"), "{text}");
        assert!(text.contains("PID 77"), "{text}");
        // Times tell the order of ids, or what a course system shows beside the name.
        assert!(!text.contains("2026-02") && !text.contains("90067"), "{text}");
        assert_eq!(masked.late.unwrap().by(), "2 d 0 h");
        assert_eq!(masked.submission.id, key(&[1; 32]).code("77"));
    }

    #[test]
    fn a_short_key_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "short").unwrap();
        assert!(matches!(Key::read(file.path()), Err(Error::Short { .. })));
    }
}
