//! Names derived from contents.

use sha2::{Digest, Sha256};

/// The first 16 hexadecimal digits of a digest: enough to distinguish recipes.
pub(crate) fn short(digest: &[u8]) -> String {
    hex(&digest[..8])
}

/// A digest in hexadecimal digits.
pub(crate) fn hex(digest: &[u8]) -> String {
    digest.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

/// A name for a list of texts.
pub(crate) fn of<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    let mut hash = Sha256::new();
    for text in texts {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text);
    }
    short(&hash.finalize())
}
