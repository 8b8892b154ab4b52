//! The command lines of debootstrap(8) whose result is known.

use crate::packages::base::{Base, components};

/// A command line that a tree may stand for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub arch: Option<String>,
    pub variant: Option<String>,
    pub components: String,
    pub suite: String,
    pub target: String,
    /// Without a final slash.
    pub mirror: Option<String>,
}

impl Request {
    /// Nothing for a command line with anything in it that changes the result in a
    /// way no tree stands for.
    pub fn parse(arguments: &[String]) -> Option<Self> {
        let mut request = Self {
            arch: None,
            variant: None,
            components: "main".to_owned(),
            suite: String::new(),
            target: String::new(),
            mirror: None,
        };
        let mut rest = arguments.iter().map(String::as_str);
        let mut words = Vec::new();
        while let Some(argument) = rest.next() {
            let (option, mut value) = match argument.split_once('=') {
                Some((option, value)) if option.starts_with("--") => (option, Some(value)),
                _ => (argument, None),
            };
            let mut valued = || value.take().or_else(|| rest.next()).map(ToOwned::to_owned);
            match option {
                "--arch" => request.arch = Some(valued()?),
                "--variant" => request.variant = Some(valued()?).filter(|variant| variant != "-"),
                "--components" => request.components = valued()?,
                "--keyring" => drop(valued()?),
                "--no-check-gpg" | "--force-check-gpg" | "--verbose" | "--resolve-deps" | "--merged-usr" => {}
                option if option.starts_with('-') => return None,
                word => words.push(word.to_owned()),
            }
        }
        // A fourth word is a script.
        let mut words = words.into_iter();
        (request.suite, request.target) = (words.next()?, words.next()?);
        request.mirror = words.next().map(|mirror| mirror.trim_end_matches('/').to_owned());
        let is_web =
            |mirror: &String| ["http://", "https://"].iter().any(|scheme| mirror.starts_with(scheme));
        (request.mirror.as_ref().is_none_or(is_web) && words.next().is_none()).then_some(request)
    }

    /// Whether the mirror is one of https: debootstrap installs ca-certificates then.
    fn is_https(&self) -> bool {
        self.mirror.as_ref().is_some_and(|mirror| mirror.starts_with("https://"))
    }

    pub fn is_for(&self, base: &Base) -> bool {
        self.suite == base.suite
            && self.arch.as_ref().is_none_or(|arch| *arch == base.arch)
            && self.variant == base.variant
            && (self.components == base.components
                || components(&self.components).is_some_and(|list| list == base.components))
            && self.is_https() == base.https
    }

    /// Whether the request names the base's suite and nothing else.
    pub fn is_for_suite(&self, base: &Base) -> bool {
        let plain = self.mirror.is_none()
            && self.arch.is_none()
            && self.variant.is_none()
            && self.components == "main";
        plain && self.suite == base.suite
    }
}

/// The directory of any command line that makes a whole tree.
pub(super) fn target(arguments: &[String]) -> Option<&str> {
    const VALUED: [&str; 12] = [
        "--arch",
        "--variant",
        "--components",
        "--keyring",
        "--include",
        "--exclude",
        "--extractor",
        "--script",
        "--extra-suites",
        "--private-key",
        "--certificate",
        "--cache-dir",
    ];
    const OTHERS: [&str; 8] = [
        "--help",
        "--version",
        "--foreign",
        "--second-stage",
        "--print-debs",
        "--download-only",
        "--make-tarball",
        "--unpack-tarball",
    ];
    let mut words = Vec::new();
    let mut rest = arguments.iter().map(String::as_str);
    while let Some(word) = rest.next() {
        if VALUED.contains(&word) {
            rest.next();
        } else if OTHERS.contains(&word.split('=').next().unwrap_or_default()) {
            return None;
        } else if !word.starts_with('-') {
            words.push(word);
        }
    }
    words.get(1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Option<Request> {
        Request::parse(&line.split_whitespace().map(ToOwned::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn the_usual_command_lines_are_known() {
        let plain = parse("bookworm .cache/base/debian-bookworm http://deb.example/debian/").unwrap();
        assert_eq!(plain.suite, "bookworm");
        assert_eq!(plain.target, ".cache/base/debian-bookworm");
        assert_eq!(plain.mirror.as_deref(), Some("http://deb.example/debian"));
        for line in ["--arch amd64 bookworm d", "--arch=amd64 --no-check-gpg bookworm d", "bookworm d"] {
            let request = parse(line).unwrap();
            assert_eq!((request.suite.as_str(), request.target.as_str()), ("bookworm", "d"), "{line}");
        }
        let mirror = "https://mirror.example/debian";
        for line in [
            "bookworm d https://mirror.example/debian",
            "bookworm d https://mirror.example/debian//",
            "--arch amd64 bookworm d https://mirror.example/debian",
            "bookworm --arch=amd64 d https://mirror.example/debian/",
            "bookworm d https://mirror.example/debian/ --verbose --no-check-gpg",
        ] {
            let request = parse(line).unwrap();
            assert_eq!((request.target.as_str(), request.mirror.as_deref()), ("d", Some(mirror)), "{line}");
            assert!(request.is_https());
        }
        assert_eq!(parse("--variant=minbase bookworm d").unwrap().variant.as_deref(), Some("minbase"));
    }

    #[test]
    fn what_changes_the_result_is_left_to_the_real_program() {
        for line in [
            "",
            "bookworm",
            "--include=curl bookworm d",
            "--exclude nano bookworm d",
            "--no-merged-usr bookworm d",
            "--foreign bookworm d",
            "--help",
            "bookworm d file:///srv/debian",
            "bookworm d http://deb.example/debian script",
            "--variant",
        ] {
            assert_eq!(parse(line), None, "{line}");
        }
    }

    #[test]
    fn the_target_is_found_among_options() {
        let target_of = |line: &str| {
            let words: Vec<_> = line.split_whitespace().map(ToOwned::to_owned).collect();
            target(&words).map(ToOwned::to_owned)
        };
        assert_eq!(
            target_of("--include curl,wget bookworm d https://m.example/debian").as_deref(),
            Some("d")
        );
        assert_eq!(target_of("bookworm --include=curl d --verbose").as_deref(), Some("d"));
        for line in ["--foreign bookworm d", "--print-debs bookworm d", "bookworm", "--version"] {
            assert_eq!(target_of(line), None, "{line}");
        }
    }

    #[test]
    fn a_tree_stands_for_its_own_suite_arch_and_variant() {
        let base = Base {
            suite: "bookworm".to_owned(),
            arch: "amd64".to_owned(),
            variant: None,
            components: "main".to_owned(),
            https: false,
            mirror: String::new(),
            default_mirror: String::new(),
        };
        let stands = |line: &str, base: &Base| parse(line).unwrap().is_for(base);
        assert!(stands("bookworm d", &base));
        assert!(!stands("bullseye d", &base));
        assert!(!stands("--arch=i386 bookworm d", &base));
        assert!(!stands("--variant=minbase bookworm d", &base));
        assert!(!stands("--components=main,contrib bookworm d", &base));
        assert!(!stands("bookworm d https://deb.example/debian", &base));
        let more = Base { components: "main,contrib".to_owned(), ..base.clone() };
        assert!(stands("--components=contrib,main,contrib bookworm d", &more));
        assert!(!stands("--components=contrib,nonesuch bookworm d", &more));
        assert!(!stands("--components=main bookworm d", &more));
        let https = Base { https: true, ..base };
        assert!(stands("bookworm d https://deb.example/debian", &https));
        assert!(!stands("bookworm d http://deb.example/debian", &https));
    }
}
