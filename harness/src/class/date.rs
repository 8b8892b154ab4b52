//! Times as course systems write them: RFC 3339, Ruby's form, and the forms of Moodle in six
//! languages. A text is read only if every word of it is understood: a word that is passed over
//! may be the one that moves the time by hours.

pub mod names;

use std::fmt;

use time::{Date, Month, OffsetDateTime, PrimitiveDateTime, Time, UtcOffset, Weekday};

use names::{folded, is_filler, month, weekday};

/// A time, with its zone where the text says one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stated {
    at: PrimitiveDateTime,
    offset: Option<UtcOffset>,
}

impl Stated {
    /// The moment, in the zone given where none is stated.
    pub fn in_zone(self, zone: UtcOffset) -> OffsetDateTime {
        self.at.assume_offset(self.offset.unwrap_or(zone))
    }
}

/// The form of RFC 3339, without the zone where none is stated.
impl fmt::Display for Stated {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        let (date, (hour, minute, second)) = (self.at.date(), self.at.as_hms());
        write!(out, "{date}T{hour:02}:{minute:02}:{second:02}")?;
        let Some(offset) = self.offset else { return Ok(()) };
        let (hours, minutes, _) = offset.as_hms();
        let sign = if offset.is_negative() { '-' } else { '+' };
        write!(out, "{sign}{:02}:{:02}", hours.abs(), minutes.abs())
    }
}

/// Reads a time. `None` where the text is none, where a word of it is not known, or where day and
/// month could be taken for each other.
pub fn parse(text: &str) -> Option<Stated> {
    let parts = Parts::of(text)?;
    Some(Stated { at: PrimitiveDateTime::new(parts.date()?, parts.time?), offset: parts.zone })
}

/// Whether a text names a day, with or without the time of day.
pub fn is_day(text: &str) -> bool {
    Parts::of(text).is_some_and(|parts| parts.date().is_some())
}

/// What the words of a text say.
#[derive(Default)]
struct Parts {
    /// A date in one word.
    whole: Option<Date>,
    year: Option<i32>,
    day: Option<u8>,
    /// Words that name a month or a day of the week. `mar` is a month in one language and
    /// a Tuesday in others.
    named: Vec<(Option<Month>, Option<Weekday>)>,
    time: Option<Time>,
    zone: Option<UtcOffset>,
}

impl Parts {
    fn of(text: &str) -> Option<Self> {
        let text = folded(text).replace('\u{2212}', "-");
        let words: Vec<&str> =
            text.split(|c: char| c.is_whitespace() || c == ',').filter(|word| !word.is_empty()).collect();
        let mut parts = Self::default();
        let mut rest = &words[..];
        while let [word, following @ ..] = rest {
            let used = parts.take(word, following)?;
            rest = following.get(used..)?;
        }
        Some(parts)
    }

    /// Takes a word, and returns how many of those behind it belong to it.
    fn take(&mut self, word: &str, following: &[&str]) -> Option<usize> {
        if let Some(date) = dotted_date(word) {
            return set(&mut self.whole, date).map(|()| 0);
        }
        if let Some(date) = iso_date(word.get(..10).unwrap_or_default()) {
            set(&mut self.whole, date)?;
            return match word[10..].strip_prefix('t') {
                Some(time) => self.take_time(time, following),
                None => word[10..].is_empty().then_some(0),
            };
        }
        if word.contains(':') && word.starts_with(|c: char| c.is_ascii_digit()) {
            return self.take_time(word, following);
        }
        if let Some(number) = day_or_year(word) {
            return match number.len() {
                4 => set(&mut self.year, number.parse().ok()?),
                1 | 2 => set(&mut self.day, number.parse().ok()?),
                _ => None,
            }
            .map(|()| 0);
        }
        let name = word.trim_end_matches('.');
        let named = (month(name), weekday(name));
        if named != (None, None) {
            self.named.push(named);
            return Some(0);
        }
        if is_filler(name) {
            return Some(0);
        }
        self.take_zone(word, following)
    }

    /// `9:00`, with its half of the day and its zone where they are attached or follow.
    fn take_time(&mut self, word: &str, following: &[&str]) -> Option<usize> {
        let end = word.find(|c: char| !(c.is_ascii_digit() || c == ':' || c == '.')).unwrap_or(word.len());
        // `9:00p.m.` has no dot before its letters, `9:00.` has one that ends a sentence.
        let (digits, attached) = (word[..end].trim_end_matches('.'), &word[end..]);
        let joined = |words: &[&str]| half(&words.concat());
        let (after_noon, attached, used) = match (attached, following) {
            (attached, _) if half(attached).is_some() => (half(attached), "", 0),
            ("", [next, ..]) if half(next).is_some() => (half(next), "", 1),
            ("", [a, m, ..]) if joined(&[a, m]).is_some() => (joined(&[a, m]), "", 2),
            (attached, [m, ..]) if joined(&[attached, m]).is_some() => (joined(&[attached, m]), "", 1),
            (attached, _) => (None, attached, 0),
        };
        set(&mut self.time, clock(digits, after_noon)?)?;
        if attached.is_empty() { Some(used) } else { self.take_zone(attached, &following[used..]) }
    }

    fn take_zone(&mut self, word: &str, following: &[&str]) -> Option<usize> {
        // `UTC +01:00` is one zone.
        let next = following.first().filter(|next| next.starts_with(['+', '-']));
        if let (true, Some(next)) = (is_utc(word), next) {
            set(&mut self.zone, offset(next)?)?;
            return Some(1);
        }
        set(&mut self.zone, zone(word)?)?;
        Some(0)
    }

    fn date(&self) -> Option<Date> {
        let (date, weekdays) = match self.whole {
            Some(date) if (self.year, self.day) == (None, None) => (date, self.named.clone()),
            Some(_) => return None,
            None => {
                let mut named = self.named.clone();
                // The month is the word that can be nothing else, or else the last that can be one.
                let month = named.iter().rposition(|(month, weekday)| month.is_some() && weekday.is_none());
                let month = month.or_else(|| named.iter().rposition(|(month, _)| month.is_some()))?;
                let month = named.remove(month).0?;
                (Date::from_calendar_date(self.year?, month, self.day?).ok()?, named)
            }
        };
        let agrees = |(_, weekday): &(Option<Month>, Option<Weekday>)| *weekday == Some(date.weekday());
        (weekdays.len() <= 1 && weekdays.iter().all(agrees)).then_some(date)
    }
}

/// Sets what nothing has set before.
fn set<T>(place: &mut Option<T>, value: T) -> Option<()> {
    place.replace(value).is_none().then_some(())
}

/// `2020-09-23`
fn iso_date(text: &str) -> Option<Date> {
    let mut parts = text.split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    let is_form = (year.len(), month.len(), day.len()) == (4, 2, 2) && parts.next().is_none();
    let is_number = |text: &&str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_form || ![year, month, day].iter().all(is_number) {
        return None;
    }
    let month = Month::try_from(month.parse::<u8>().ok()?).ok()?;
    Date::from_calendar_date(year.parse().ok()?, month, day.parse().ok()?).ok()
}

/// `23.9.2020`. Where dots stand between the numbers, the day comes first.
fn dotted_date(text: &str) -> Option<Date> {
    let mut parts = text.split('.');
    let (day, month, year) = (parts.next()?, parts.next()?, parts.next()?);
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let is_form = [day, month].iter().all(|part| (1..=2).contains(&part.len())) && year.len() == 4;
    if !is_form || ![day, month, year].into_iter().all(is_number) || parts.next().is_some() {
        return None;
    }
    let month = Month::try_from(month.parse::<u8>().ok()?).ok()?;
    Date::from_calendar_date(year.parse().ok()?, month, day.parse().ok()?).ok()
}

/// The digits of `2020`, `23`, `1.`, `1st` or `1er`.
fn day_or_year(word: &str) -> Option<&str> {
    let digits = word.trim_end_matches(|c: char| !c.is_ascii_digit());
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let suffixes: &[&str] =
        if digits.len() > 2 { &[""] } else { &["", ".", "st", "nd", "rd", "th", "er", "º"] };
    (is_number && suffixes.contains(&&word[digits.len()..])).then_some(digits)
}

/// Whether `am`, `p.m.` and the like say that it is after noon.
fn half(word: &str) -> Option<bool> {
    match word.replace('.', "").as_str() {
        "am" => Some(false),
        "pm" => Some(true),
        _ => None,
    }
}

/// `9:00`, `21:00`, `21:00:05.123`
fn clock(digits: &str, after_noon: Option<bool>) -> Option<Time> {
    let mut parts = digits.split(':');
    let (hour, minute) = (parts.next()?.parse::<u8>().ok()?, parts.next()?);
    if minute.len() != 2 {
        return None;
    }
    let second = match parts.next() {
        None => 0,
        Some(text) => text.split_once('.').map_or(text, |(whole, _)| whole).parse().ok()?,
    };
    let hour = match after_noon {
        Some(after) if (1..=12).contains(&hour) => hour % 12 + if after { 12 } else { 0 },
        Some(_) => return None,
        None => hour,
    };
    Time::from_hms(hour, minute.parse().ok()?, second).ok().filter(|_| parts.next().is_none())
}

fn is_utc(word: &str) -> bool {
    ["z", "utc", "gmt"].contains(&word)
}

/// `Z`, `UTC`, `GMT`, `+05:30`, `+0530`, `+5`, `UTC+01:00`. Other letters stand for several zones.
fn zone(word: &str) -> Option<UtcOffset> {
    if is_utc(word) {
        return Some(UtcOffset::UTC);
    }
    offset(word.strip_prefix("utc").or_else(|| word.strip_prefix("gmt")).unwrap_or(word))
}

fn offset(word: &str) -> Option<UtcOffset> {
    let sign: i8 = if word.starts_with('-') { -1 } else { 1 };
    let digits = word.strip_prefix(['+', '-'])?;
    let (hours, minutes) = match digits.split_once(':') {
        Some((hours, minutes)) if minutes.len() == 2 => (hours, minutes),
        Some(_) => return None,
        None if digits.len() == 4 && digits.is_ascii() => digits.split_at(2),
        None => (digits, "0"),
    };
    let (hours, minutes): (i8, i8) = match hours.len() {
        1 | 2 if !minutes.starts_with('+') => (hours.parse().ok()?, minutes.parse().ok()?),
        _ => return None,
    };
    let is_zone = (0..=14).contains(&hours) && (0..60).contains(&minutes);
    is_zone.then(|| UtcOffset::from_hms(sign * hours, sign * minutes, 0).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::format_description::well_known::Rfc3339;

    fn read(text: &str) -> Option<String> {
        let read = parse(text).map(|at| at.in_zone(UtcOffset::UTC).to_offset(UtcOffset::UTC));
        read.and_then(|at| at.format(&Rfc3339).ok())
    }

    #[test]
    fn the_forms_of_moodle_and_gradescope_are_read() {
        for (text, expected) in [
            ("Wednesday, 23 September 2020, 9:00 PM", "2020-09-23T21:00:00Z"),
            ("Wednesday, 23 September 2020, 21:00", "2020-09-23T21:00:00Z"),
            ("Wednesday, September 23, 2020, 12:05 AM", "2020-09-23T00:05:00Z"),
            ("23 Sep 2020, 12:05 PM", "2020-09-23T12:05:00Z"),
            ("2020-09-23 21:00", "2020-09-23T21:00:00Z"),
            ("23.09.2020, 21:00", "2020-09-23T21:00:00Z"),
            ("Mi, 3.2.2021 21:00", "2021-02-03T21:00:00Z"),
            ("2020-09-23 21:00:07.549494000 Z", "2020-09-23T21:00:07Z"),
            ("2020-09-23 21:00:07.5 -07:00", "2020-09-24T04:00:07Z"),
            ("2020-09-23T21:00:00+05:30", "2020-09-23T15:30:00Z"),
            ("2020-09-23T21:00:00", "2020-09-23T21:00:00Z"),
            ("2020-09-23T21:00+05:30", "2020-09-23T15:30:00Z"),
            ("2020-09-23T21:00Z", "2020-09-23T21:00:00Z"),
        ] {
            assert_eq!(read(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn the_half_of_the_day_is_read_however_it_is_written() {
        for half in ["PM", "pm", "p.m.", "P.M.", "p.\u{a0}m.", "p. m.", "pm."] {
            for space in ["", " ", "\u{a0}", "\u{202f}"] {
                let text = format!("Sunday, 1 February 2026, 11:50{space}{half}");
                assert_eq!(read(&text).as_deref(), Some("2026-02-01T23:50:00Z"), "{text}");
            }
        }
        assert_eq!(read("1 February 2026, 12:10 a.m.").as_deref(), Some("2026-02-01T00:10:00Z"));
        assert_eq!(read("1 February 2026, 11:50 p.m. +05:30").as_deref(), Some("2026-02-01T18:20:00Z"));
    }

    #[test]
    fn every_zone_is_either_read_or_makes_the_time_unread() {
        for (zone, hour) in [
            ("UTC", "23:50"),
            ("GMT", "23:50"),
            ("Z", "23:50"),
            ("+05", "18:50"),
            ("+05:30", "18:20"),
            ("+0530", "18:20"),
            ("GMT+5:30", "18:20"),
            ("UTC+01:00", "22:50"),
            ("UTC +01:00", "22:50"),
            ("\u{2212}00:10", "00:00"),
        ] {
            let day = if hour == "00:00" { 2 } else { 1 };
            let expected = format!("2026-02-0{day}T{hour}:00Z");
            assert_eq!(read(&format!("2026-02-01 23:50 {zone}")), Some(expected), "{zone}");
        }
        for zone in ["IST", "CET", "(IST)", "+25:00", "+5:3", "Asia/Kolkata", "+", "UTC UTC", "+05:30 IST"] {
            assert_eq!(read(&format!("2026-02-01 23:50 {zone}")), None, "{zone}");
        }
    }

    #[test]
    fn six_languages_are_read() {
        for text in [
            "Sunday, 1st February 2026, 23:50",
            "Sonntag, 1. Februar 2026, 23:50",
            "So., 1. Feb. 2026, 23:50 Uhr",
            "dimanche 1 février 2026, 23:50",
            "dimanche 1er févr. 2026, 23:50",
            "domingo, 1 de febrero de 2026, 23:50",
            "Domingo, 1 de fevereiro de 2026 às 23:50",
            "domenica, 1 febbraio 2026, 23:50",
            "dom, 1 fe\u{301}v 2026, 23:50",
        ] {
            assert_eq!(read(text).as_deref(), Some("2026-02-01T23:50:00Z"), "{text}");
        }
        assert_eq!(read("Mittwoch, 4. März 2026, 23:50").as_deref(), Some("2026-03-04T23:50:00Z"));
        assert_eq!(read("mar, 3 mar 2026, 23:50").as_deref(), Some("2026-03-03T23:50:00Z"));
        assert_eq!(read("mar, 3 feb 2026, 23:50").as_deref(), Some("2026-02-03T23:50:00Z"));
    }

    #[test]
    fn what_could_be_two_days_or_has_an_unknown_word_is_no_time() {
        for text in [
            "",
            "-",
            "03/04/2020, 9:00 PM",
            "23.13.2020, 21:00",
            "3.4.20, 21:00",
            "3.4.2020 2020, 21:00",
            "23 September 2020",
            "Mittwoch, 23. Oktober 2020, 21:00",
            "mar, 2 feb 2026, 23:50",
            "13:00 PM",
            "1 February 2026, 13:00 PM",
            "1 February 2026, 23:50 or so",
            "1 February 2026, 23:50, 23:51",
            "1 February March 2026, 23:50",
            "1 helmikuuta 2026, 23:50",
            "2026-02-01 1 23:50",
            "2026-02-30 23:50",
            "1 February 2026, 1:2",
            "1 February 2026, 23:50:00:00",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_time_is_written_as_it_is_read_with_or_without_its_zone() {
        for text in ["2026-02-01T23:50:00", "2026-02-01T23:50:07+05:30", "2026-02-01T23:50:00-00:30"] {
            assert_eq!(parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_day_needs_no_time() {
        assert!(is_day("2026-02-10") && is_day("10 February 2026") && is_day("10.02.2026"));
        assert!(!is_day("31.02.2026") && !is_day("next week") && !is_day("2026-02-31") && !is_day(""));
    }
}
