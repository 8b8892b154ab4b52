//! Divides the paths of layers at their colons. As overlayfs does, it takes a colon behind a
//! backslash for a part of a name.

/// Stands for such a colon. No path has it.
const ESCAPED: &str = "\0";

/// The paths between the colons of a text, without backslashes before colons.
pub fn split(text: &str) -> Vec<String> {
    let divided = text.replace("\\:", ESCAPED);
    divided.split(':').map(|part| part.replace(ESCAPED, ":")).collect()
}

/// A path without backslashes before its colons.
pub fn without_escapes(path: &str) -> String {
    path.replace("\\:", ":")
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn a_colon_behind_a_backslash_belongs_to_the_name() {
        assert_eq!(split(r"/top:/base/debian\:bookworm"), ["/top", "/base/debian:bookworm"]);
        assert_eq!(split("/base"), ["/base"]);
    }
}
