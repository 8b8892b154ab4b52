//! The programs that this project starts, with the packages of Debian and Ubuntu that supply them. This is the only
//! list: `ci/packages/*` are written from it, `harness doctor` reads it, and error texts name packages from it.
//!
//! After a change, `WRITE_PACKAGES=1 cargo test -p harness --lib programs` writes `ci/packages/*` again.

use std::path::Path;

use vm::Program;

/// What a program is needed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// `make grade`, and all that grades.
    Grade,
    /// `make test`, besides what a grade needs.
    Test,
    /// `make bench`, besides what a grade needs.
    Bench,
}

const fn program(name: &'static str, package: &'static str, purpose: &'static str) -> Program {
    Program::new(name, package, purpose)
}

/// What a grade starts besides what the crate `vm` starts.
const GRADE: [Program; 9] = [
    program("gcc", "build-essential", "links the programs when they are built"),
    program("git", "git", "gives the reference its history"),
    program("debootstrap", "debootstrap", "makes the base systems that submissions build on"),
    program("setpriv", "util-linux", "ends debootstrap when a grade ends"),
    program("tar", "tar", "packs base systems"),
    program("cp", "coreutils", "copies submissions"),
    program("ldd", "libc-bin", "finds the libraries of a program"),
    program("/etc/ssl/certs/ca-certificates.crt", "ca-certificates", "verifies the certificates of servers"),
    program(
        "/usr/share/keyrings/debian-archive-keyring.gpg",
        "debian-archive-keyring",
        "verifies the signatures of Debian's packages",
    ),
];

/// What the tests start.
const TEST: [Program; 19] = [
    program("bash", "bash", "runs the scripts"),
    program("busybox", "busybox-static", "runs in the containers of the tests"),
    program("curl", "curl", "sends requests to the servers of the tests"),
    program("find", "findutils", "lists files"),
    program("ip", "iproute2", "sets up networks"),
    program("iptables", "iptables", "sets up firewalls"),
    program("kill", "procps", "ends containers"),
    program("make", "make", "runs the verbs"),
    program("nft", "nftables", "sets up firewalls"),
    program("nsenter", "util-linux", "looks into containers"),
    program("ping", "iputils-ping", "tries networks"),
    program("ps", "procps", "lists processes"),
    program("python3", "python3", "makes archives that are hard to read"),
    program("shellcheck", "shellcheck", "checks the shell scripts"),
    program("sleep", "coreutils", "runs in the containers of the tests"),
    program("strace", "strace", "lists system calls"),
    program("stty", "coreutils", "sets up terminals"),
    program("true", "coreutils", "runs in the containers of the tests"),
    program("xz", "xz-utils", "makes archives"),
];

/// The peers that are measured in the same run, and what the place is made of where that happens.
const BENCH: [Program; 9] = [
    program("busybox", "busybox-static", "runs in the containers"),
    program("bwrap", "bubblewrap", "is measured"),
    program("buildah", "buildah", "is measured"),
    program("crun", "crun", "is measured"),
    program("ip", "iproute2", "sets up networks"),
    program("iptables", "iptables", "sets up firewalls"),
    program("nft", "nftables", "sets up firewalls"),
    program("podman", "podman", "is measured"),
    program("runc", "runc", "is measured"),
];

impl Verb {
    /// All of them.
    pub const ALL: [Verb; 3] = [Verb::Grade, Verb::Test, Verb::Bench];

    /// Its name, as in `make grade`.
    pub fn name(self) -> &'static str {
        match self {
            Verb::Grade => "grade",
            Verb::Test => "test",
            Verb::Bench => "bench",
        }
    }

    /// The programs that it needs. For [`Verb::Test`] and [`Verb::Bench`], those that a grade does not need.
    pub fn programs(self) -> Vec<Program> {
        match self {
            Verb::Grade => vm::PROGRAMS.into_iter().chain(GRADE).collect(),
            Verb::Test => TEST.to_vec(),
            Verb::Bench => BENCH.to_vec(),
        }
    }

    /// The programs that it needs and that are not here.
    pub fn missing(self) -> Vec<Program> {
        self.programs().into_iter().filter(|program| !is_here(*program)).collect()
    }
}

fn is_here(program: Program) -> bool {
    if program.name.starts_with('/') { Path::new(program.name).exists() } else { program.find().is_some() }
}

/// The packages that supply these programs, each once, as words for `apt install`.
pub fn packages(programs: &[Program]) -> String {
    let mut packages: Vec<_> = programs.iter().map(|program| program.package).collect();
    packages.sort_unstable();
    packages.dedup();
    packages.join(" ")
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::*;

    fn workspace() -> &'static Path {
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
    }

    /// What `ci/packages/VERB` says.
    fn file(verb: Verb) -> String {
        let head = format!(
            "# What `make {}` needs, one a line: package, program or file, purpose.\n\
             # Written from harness/src/programs.rs, which says how.\n",
            verb.name()
        );
        let line = |program: &Program| format!("{} {} {}\n", program.package, program.name, program.purpose);
        let mut lines: Vec<String> = verb.programs().iter().map(line).collect();
        lines.sort();
        head + &lines.concat()
    }

    #[test]
    fn ci_packages_say_what_the_list_says() {
        for verb in Verb::ALL {
            let path = workspace().join("ci/packages").join(verb.name());
            if std::env::var_os("WRITE_PACKAGES").is_some() {
                fs::write(&path, file(verb)).unwrap();
            }
            let there = fs::read_to_string(&path).unwrap();
            assert_eq!(there, file(verb), "WRITE_PACKAGES=1 cargo test -p harness --lib programs mends it");
        }
    }

    /// The Rust files of the workspace's crates.
    fn sources() -> Vec<(PathBuf, String)> {
        let crates = ["bench", "conductor", "harness", "vm"].map(|name| workspace().join(name));
        let files = crates.iter().flat_map(walkdir::WalkDir::new).map(|entry| entry.unwrap().into_path());
        let sources = files.filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
        sources.map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect()
    }

    /// The names, without folders, that are written where a command is made.
    fn started(text: &str) -> impl Iterator<Item = &str> {
        let after = text.split("Command::new(\"").skip(1);
        after.filter_map(|rest| rest.split('"').next()?.rsplit('/').next())
    }

    #[test]
    fn every_program_that_code_starts_is_on_the_list() {
        let listed = |verbs: &[Verb], name: &str| {
            verbs.iter().flat_map(|verb| verb.programs()).any(|program| program.name == name)
        };
        let (mut seen, mut unlisted) = (0, vec![]);
        for (path, text) in sources() {
            let is_test = path.components().any(|part| part.as_os_str() == "tests");
            let end = if is_test { 0 } else { text.find("#[cfg(test)]").unwrap_or(text.len()) };
            let (code, tests) = text.split_at(end);
            let code = started(code).map(|name| (name, &[Verb::Grade][..]));
            let tests = started(tests).map(|name| (name, &[Verb::Grade, Verb::Test][..]));
            for (name, verbs) in code.chain(tests) {
                seen += 1;
                if !listed(verbs, name) {
                    unlisted.push(format!("{name} in {}", path.display()));
                }
            }
        }
        assert!(seen > 20, "only {seen} programs were found in the sources");
        assert!(unlisted.is_empty(), "not in harness/src/programs.rs: {unlisted:#?}");
    }
}
