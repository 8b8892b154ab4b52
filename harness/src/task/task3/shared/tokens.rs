//! Random names, tokens and sleep times. Names are short: an interface `<container>-outside` may
//! have at most 15 characters. The names of containers contain `-`, as in the assignment, and never
//! `_`: a tool may make them host names, and hostname(1) refuses `_`.

use rand::RngExt;
use rand::rngs::StdRng;

/// A name of six characters.
pub fn name(random: &mut StdRng, separator: char) -> String {
    let mut letter = || char::from(random.random_range(b'a'..=b'z'));
    let start = [letter(), letter()];
    let digits = random.random_range(100..=999);
    format!("{}{}{separator}{digits}", start[0], start[1])
}

/// Twelve letters.
pub fn token(random: &mut StdRng) -> String {
    (0..12).map(|_| char::from(random.random_range(b'a'..=b'z'))).collect()
}

/// Seconds that a `sleep` of this run is to take: by them it is recognised.
pub fn sleep_seconds(random: &mut StdRng) -> String {
    random.random_range(100_000..=999_999).to_string()
}
