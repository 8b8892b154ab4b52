//! Files that `COPY` skips: they match a pattern of an ignore file, in the syntax of Docker.
//!
//! The first file that exists counts: `NAME.dockerignore` beside a Conductorfile with this name, as
//! in Docker; in the context `.conductorignore`, `.containerignore` of podman, or
//! `.dockerignore`.
//!
//! Each line is a pattern for paths in the context. A pattern also covers everything below a
//! directory that it matches. `!` before a pattern makes an exception, and the last matching line
//! decides. These rules differ from those of `.gitignore`, where a pattern without a slash matches
//! at every depth.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use regex::bytes::{RegexSet, RegexSetBuilder};

mod pattern;

/// The names of the file in the context, the preferred one first.
const FILES: [&str; 3] = [".conductorignore", ".containerignore", ".dockerignore"];

/// Why an ignore file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// A line is not a pattern.
    #[error("{path}:{line}: '{pattern}' is not a pattern")]
    Pattern {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The text of the line.
        pattern: String,
        /// The reason.
        source: pattern::Error,
    },
    /// The patterns together take too much memory.
    #[error("{path} cannot be used")]
    TooMany {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: regex::Error,
    },
}

/// The patterns of an ignore file.
#[derive(Debug, Default)]
pub struct Ignore {
    patterns: RegexSet,
    /// Whether each pattern is an exception.
    exceptions: Vec<bool>,
    /// The name of the file.
    file: String,
}

impl Ignore {
    /// Reads the ignore file of a Conductorfile, or else of a context. Without one, nothing is
    /// ignored. A Conductorfile from a pipe has no file of its own.
    pub fn load(context: &Path, conductorfile: Option<&Path>) -> Result<Self, Error> {
        let beside = conductorfile.map(|path| {
            let mut name = path.as_os_str().to_owned();
            name.push(".dockerignore");
            PathBuf::from(name)
        });
        for path in beside.into_iter().chain(FILES.map(|file| context.join(file))) {
            match fs::read_to_string(&path) {
                Ok(text) => return Self::parse(&path, &text),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(Error::Read { path, source }),
            }
        }
        Ok(Self::default())
    }

    fn parse(path: &Path, text: &str) -> Result<Self, Error> {
        let mut patterns = Vec::new();
        let mut exceptions = Vec::new();
        for (number, line) in (1..).zip(text.trim_start_matches('\u{feff}').lines()) {
            if line.starts_with('#') || line.trim().is_empty() {
                continue;
            }
            let fail =
                |source| Error::Pattern { path: path.into(), line: number, pattern: line.into(), source };
            let (is_exception, pattern) = match line.trim().strip_prefix('!') {
                Some(pattern) if pattern.trim().is_empty() => return Err(fail(pattern::Error::Exception)),
                Some(pattern) => (true, pattern::clean(pattern)),
                None => (false, pattern::clean(line)),
            };
            if !pattern.is_empty() {
                patterns.push(pattern::regex(&pattern).map_err(fail)?);
                exceptions.push(is_exception);
            }
        }
        let patterns = RegexSetBuilder::new(patterns).size_limit(usize::MAX).build();
        let patterns = patterns.map_err(|source| Error::TooMany { path: path.into(), source })?;
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Self { patterns, exceptions, file })
    }

    /// The name of the ignore file, for messages.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Whether `path`, relative to the context, is ignored.
    pub fn ignores(&self, path: &Path) -> bool {
        if self.exceptions.is_empty() {
            return false;
        }
        let covering = path.ancestors().filter(|path| !path.as_os_str().is_empty());
        let last =
            covering.filter_map(|path| self.patterns.matches(path.as_os_str().as_bytes()).iter().max()).max();
        last.is_some_and(|last| !self.exceptions[last])
    }

    /// Whether an ignored directory may contain files that are not ignored.
    pub fn has_exceptions(&self) -> bool {
        self.exceptions.contains(&true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ignored(text: &str, path: &str) -> bool {
        Ignore::parse(Path::new(".dockerignore"), text).unwrap().ignores(Path::new(path))
    }

    #[test]
    fn patterns_mean_what_they_mean_in_docker() {
        for (text, path, expected) in [
            ("temp", "temp", true),
            ("temp", "temp/file", true),
            ("temp", "a/temp", false),
            ("/temp/", "temp/file", true),
            ("**/temp", "a/b/temp/x", true),
            ("**/temp", "temp", true),
            ("*/temp*", "a/temporary.txt", true),
            ("*/temp*", "a/b/temp", false),
            ("temp?", "tempa", true),
            ("*.log", "a/x.log", false),
            ("**/*.log", "a/x.log", true),
            ("# comment\n\n .git \n", ".git/config", true),
            ("a{b}", "a{b}", true),
            ("*.md\n!README.md", "README.md", false),
            ("*.md\n!README.md", "NOTES.md", true),
            ("!README.md\n*.md", "README.md", true),
            ("dir\n!dir/keep", "dir/keep/x", false),
            ("dir\n!dir/keep", "dir/other", true),
            ("", "anything", false),
            ("**file", "file", true),
            ("**file", "dir/dir/file", true),
            ("**file", "dir/myfile", true),
            ("**file", "dir/files", false),
            ("**.log", "a/b/x.log", true),
            ("**.log", "x.log.gz", false),
            ("**f[i]le", "dir/file", true),
            ("**f[i]le", "dir/myfile", false),
            ("**", "a/b", true),
            ("a**/*.txt", "a/dir/file.txt", true),
            ("a**/*.txt", "a/dir/dir/file.txt", true),
            ("a**/*.txt", "ab.txt", true),
            ("a**b", "a/x/b", true),
            ("a**b", "axb", false),
            ("a/*.txt**", "a/file.txt", true),
            ("abc/**", "abc", false),
            ("abc/**", "abc/def/ghi", true),
            ("**/dir2/**", "dir/dir2/dir3/file", true),
            ("**/**/*.txt", "file.txt", true),
            ("**/.foo", "bar.foo", false),
            ("x/../q", "q/file", true),
            ("!x/../q\n*", "q", true),
            ("*\n!x/../q", "q", false),
            ("/../q", "q", true),
            ("abc.def", "abcZdef", false),
            ("a.|)$(}+{bc", "a.|)$(}+{bc", true),
            ("a[b-d]e", "ace", true),
            ("a[^b-d]e", "ace", false),
            ("[x\\-]", "-", true),
            ("a\\*b", "a*b", true),
            ("a\\*b", "axb", false),
            ("a?b", "a☺b", true),
            ("[a-ζ]*", "α", true),
        ] {
            assert_eq!(ignored(text, path), expected, "{path} under {text:?}");
        }
    }

    #[test]
    fn a_broken_pattern_is_named_with_its_line() {
        let error = Ignore::parse(Path::new("/c/.dockerignore"), "a\n[b\n").unwrap_err();
        assert_eq!(error.to_string(), "/c/.dockerignore:2: '[b' is not a pattern");
        let error = Ignore::parse(Path::new("/c/.dockerignore"), "!\n").unwrap_err();
        assert_eq!(error.to_string(), "/c/.dockerignore:1: '!' is not a pattern");
    }

    #[test]
    fn names_that_are_no_text_are_matched() {
        let name = std::ffi::OsStr::from_bytes(b"dir/\xff.log");
        let ignore = Ignore::parse(Path::new(".dockerignore"), "*/*.log").unwrap();
        assert!(ignore.ignores(Path::new(name)));
    }
}
