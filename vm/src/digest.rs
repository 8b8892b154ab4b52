//! Names made from contents.

use sha2::{Digest, Sha256};

/// The first 16 hexadecimal digits of a digest: enough to tell recipes apart.
pub(crate) fn short(digest: &[u8]) -> String {
    hex(&digest[..8])
}

/// All of a digest.
pub(crate) fn hex(digest: &[u8]) -> String {
    digest.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

/// A name for some texts in their order.
pub(crate) fn of<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    let mut hash = Sha256::new();
    for text in texts {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text);
    }
    short(&hash.finalize())
}
