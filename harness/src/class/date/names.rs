//! Names of months and days of the week, in the languages that `date` reads. All names are folded:
//! lower case, without accents and dots.

use time::{Month, Weekday};

/// English, German, French, Spanish, Portuguese and Italian, and their abbreviations, from January.
const MONTHS: [&str; 12] = [
    "january jan januar janner jan janvier janv enero ene janeiro gennaio gen",
    "february feb februar feber fevrier fevr febrero fevereiro fev febbraio",
    "march mar marz mrz mars marzo marco",
    "april apr avril avr abril abr aprile",
    "may mai mayo maio maggio mag",
    "june jun juni juin junio junho giugno giu",
    "july jul juli juillet juil julio julho luglio lug",
    "august aug aout agosto ago",
    "september sep sept septembre septiembre setembro set settembre sett",
    "october oct oktober okt octobre octubre outubro out ottobre ott",
    "november nov novembre noviembre novembro",
    "december dec dezember dez decembre diciembre dic dezembro dicembre",
];

/// The same for the days of the week, from Monday.
const WEEKDAYS: [&str; 7] = [
    "monday mon montag mo lundi lun lunes segunda segunda-feira seg lunedi",
    "tuesday tue tues dienstag di mardi mar martes terca terca-feira ter martedi",
    "wednesday wed mittwoch mi mercredi mer miercoles mie quarta quarta-feira qua mercoledi",
    "thursday thu thur thurs donnerstag do jeudi jeu jueves jue quinta quinta-feira qui giovedi gio",
    "friday fri freitag fr vendredi ven viernes vie sexta sexta-feira sex venerdi",
    "saturday sat samstag sonnabend sa samedi sam sabado sab sabato",
    "sunday sun sonntag so dimanche dim domingo dom domenica",
];

/// Words that stand between the parts of a date and say nothing.
const FILLERS: [&str; 11] = ["at", "on", "um", "uhr", "a", "le", "de", "del", "las", "as", "alle"];

/// The month that a folded word names.
pub fn month(word: &str) -> Option<Month> {
    let place = MONTHS.iter().position(|names| is_among(names, word))?;
    Month::try_from(u8::try_from(place).ok()? + 1).ok()
}

/// The day of the week that a folded word names.
pub fn weekday(word: &str) -> Option<Weekday> {
    let place = WEEKDAYS.iter().position(|names| is_among(names, word))?;
    Some(Weekday::Monday.nth_next(u8::try_from(place).ok()?))
}

/// Whether a folded word says nothing.
pub fn is_filler(word: &str) -> bool {
    FILLERS.contains(&word)
}

fn is_among(names: &str, word: &str) -> bool {
    names.split(' ').any(|name| name == word)
}

/// A text in lower case and without accents, whether they are part of a letter or follow it.
pub fn folded(text: &str) -> String {
    let plain = |c: char| match c {
        'à' | 'á' | 'â' | 'ã' | 'ä' | 'å' => 'a',
        'ç' => 'c',
        'è' | 'é' | 'ê' | 'ë' => 'e',
        'ì' | 'í' | 'î' | 'ï' => 'i',
        'ñ' => 'n',
        'ò' | 'ó' | 'ô' | 'õ' | 'ö' => 'o',
        'ù' | 'ú' | 'û' | 'ü' => 'u',
        other => other,
    };
    let is_accent = |c: &char| ('\u{300}'..='\u{36f}').contains(c);
    text.to_lowercase().chars().filter(|c| !is_accent(c)).map(plain).collect()
}
