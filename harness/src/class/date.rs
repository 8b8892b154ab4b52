//! Times as course systems write them: RFC 3339, Ruby's form, and the English forms of Moodle.

use time::format_description::well_known::Rfc3339;
use time::{Date, Month, OffsetDateTime, PrimitiveDateTime, Time, UtcOffset};

/// A time, with its zone where the text says one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stated {
    at: PrimitiveDateTime,
    offset: Option<UtcOffset>,
}

impl Stated {
    /// The moment, in UTC where no zone is stated.
    pub fn assume_utc_unless_stated(self) -> OffsetDateTime {
        self.in_zone(UtcOffset::UTC)
    }

    /// The moment, in the zone given where none is stated.
    pub fn in_zone(self, zone: UtcOffset) -> OffsetDateTime {
        self.at.assume_offset(self.offset.unwrap_or(zone))
    }
}

/// Reads a time. `None` where the text is none, or where day and month could be
/// taken for each other.
pub fn parse(text: &str) -> Option<Stated> {
    let text = text.trim();
    if let Ok(at) = OffsetDateTime::parse(text, &Rfc3339) {
        return Some(Stated { at: PrimitiveDateTime::new(at.date(), at.time()), offset: Some(at.offset()) });
    }
    let words: Vec<&str> =
        text.split([' ', ',', '\u{a0}', '\u{202f}']).filter(|word| !word.is_empty()).collect();
    let date = iso_date(&words).or_else(|| words_date(&words))?;
    let time = words.iter().enumerate().find_map(|(at, word)| clock(word, words.get(at + 1).copied()));
    let offset = words.last().and_then(|word| zone(word));
    Some(Stated { at: PrimitiveDateTime::new(date, time?), offset })
}

/// `2020-09-23`
fn iso_date(words: &[&str]) -> Option<Date> {
    let mut parts = words.first()?.split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    let month = Month::try_from(month.parse::<u8>().ok()?).ok()?;
    Date::from_calendar_date(year.parse().ok()?, month, day.parse().ok()?).ok()
}

/// `Wednesday, 23 September 2020` or `September 23, 2020`
fn words_date(words: &[&str]) -> Option<Date> {
    let month = words.iter().find_map(|word| month(word))?;
    let numbers = || words.iter().filter(|word| word.bytes().all(|byte| byte.is_ascii_digit()));
    let year = numbers().find(|word| word.len() == 4)?.parse().ok()?;
    let day = numbers().find(|word| word.len() <= 2)?.parse().ok()?;
    Date::from_calendar_date(year, month, day).ok()
}

fn month(word: &str) -> Option<Month> {
    let word = word.trim_end_matches('.');
    (1..=12).filter_map(|number| Month::try_from(number).ok()).find(|month| {
        let name = month.to_string();
        name.eq_ignore_ascii_case(word) || word.len() == 3 && name[..3].eq_ignore_ascii_case(word)
    })
}

/// `9:00 PM`, `9:00PM`, `21:00`, `21:00:05.123`
fn clock(word: &str, next: Option<&str>) -> Option<Time> {
    let is_after_noon = |word: &str| match word.to_ascii_lowercase().as_str() {
        "am" => Some(false),
        "pm" => Some(true),
        _ => None,
    };
    let at = word.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(word.len());
    let (digits, suffix) = word.split_at(at);
    let mut parts = digits.split(':');
    let (hour, minute) = (parts.next()?.parse::<u8>().ok()?, parts.next()?.parse().ok()?);
    let second = parts.next().and_then(|text| text.split('.').next()?.parse().ok()).unwrap_or(0);
    let hour = match is_after_noon(if suffix.is_empty() { next.unwrap_or_default() } else { suffix }) {
        Some(after) if (1..=12).contains(&hour) => hour % 12 + if after { 12 } else { 0 },
        Some(_) => return None,
        None => hour,
    };
    Time::from_hms(hour, minute, second).ok()
}

/// `Z`, `UTC`, `+05:30` or `+0530`
fn zone(word: &str) -> Option<UtcOffset> {
    if ["Z", "UTC"].contains(&word) {
        return Some(UtcOffset::UTC);
    }
    let sign: i8 = if word.starts_with('-') { -1 } else { 1 };
    let digits = word.strip_prefix(['+', '-'])?.replace(':', "");
    let number: u16 = digits.parse().ok().filter(|_| digits.len() == 4)?;
    UtcOffset::from_hms(sign * (number / 100) as i8, sign * (number % 100) as i8, 0).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_of_moodle_and_gradescope_are_read() {
        for (text, expected) in [
            ("Wednesday, 23 September 2020, 9:00 PM", "2020-09-23T21:00:00Z"),
            ("Wednesday, 23 September 2020, 21:00", "2020-09-23T21:00:00Z"),
            ("Wednesday, September 23, 2020, 12:05 AM", "2020-09-23T00:05:00Z"),
            ("23 Sep 2020, 12:05 PM", "2020-09-23T12:05:00Z"),
            ("2020-09-23 21:00", "2020-09-23T21:00:00Z"),
            ("2020-09-23 21:00:07.549494000 Z", "2020-09-23T21:00:07Z"),
            ("2020-09-23 21:00:07.5 -07:00", "2020-09-24T04:00:07Z"),
            ("2020-09-23T21:00:00+05:30", "2020-09-23T15:30:00Z"),
        ] {
            let read = parse(text).map(|at| at.assume_utc_unless_stated().to_offset(UtcOffset::UTC));
            assert_eq!(read.and_then(|at| at.format(&Rfc3339).ok()).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_could_be_two_days_is_no_time() {
        for text in [
            "",
            "-",
            "03/04/2020, 9:00 PM",
            "23 September 2020",
            "Mittwoch, 23. Oktober 2020, 21:00",
            "13:00 PM",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
