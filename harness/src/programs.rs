//! The programs that this project starts, and the packages of Debian and Ubuntu that provide them.
//!
//! This is the only such list: `ci/packages/*` are generated from it, `harness doctor` reads it,
//! and error texts name packages from it. After a change, run `WRITE_PACKAGES=1 cargo test -p
//! harness --lib programs`.

use std::path::Path;

use vm::Program;

/// The command that needs a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Building from source, as all commands of `make` do. An installed harness needs none of it.
    Build,
    /// `harness grade` and the other commands of an installed harness.
    Grade,
    /// `harness grade --here`: what a virtual machine would have. Lists only programs that
    /// other grades do not need.
    Here,
    /// `make test`. Lists only programs that grading does not need.
    Test,
    /// `make bench`. Lists only programs that grading does not need.
    Bench,
    /// The tests of `make test-all` that need a browser or a cluster.
    TestAll,
}

const fn program(name: &'static str, package: &'static str, purpose: &'static str) -> Program {
    Program::new(name, package, purpose)
}

/// The programs that the build starts.
const BUILD: [Program; 2] = [
    program("gcc", "build-essential", "links the programs when they are built"),
    program("ldd", "libc-bin", "finds the libraries of a program"),
];

/// The programs that grading starts, without those of the crate `vm`.
const GRADE: [Program; 7] = [
    program("git", "git", "fetches submissions, and makes the git history of the reference"),
    program("debootstrap", "debootstrap", "makes the base systems that submissions build on"),
    program("setpriv", "util-linux", "stops debootstrap when a grade ends"),
    program("tar", "tar", "packs base systems"),
    program("cp", "coreutils", "copies submissions"),
    program("/etc/ssl/certs/ca-certificates.crt", "ca-certificates", "verifies the certificates of servers"),
    program(
        "/usr/share/keyrings/debian-archive-keyring.gpg",
        "debian-archive-keyring",
        "verifies the signatures of Debian's packages",
    ),
];

/// The programs that `harness grade --here` starts, and those without which no submission can work.
const HERE: [Program; 6] = [
    program("gcc", "build-essential", "compiles submissions"),
    program("ip", "iproute2", "sets up the networks of machines and containers"),
    program("iptables", "iptables", "sets up the firewalls of submissions"),
    program("ps", "procps", "lists the processes of containers"),
    program("sh", "dash", "runs submissions"),
    program("unshare", "util-linux", "makes the namespaces of containers"),
];

/// The programs that the tests start.
const TEST: [Program; 21] = [
    program("bash", "bash", "runs the scripts"),
    program("busybox", "busybox-static", "runs in the containers of the tests"),
    program("curl", "curl", "sends requests to the servers of the tests"),
    program("find", "findutils", "lists files"),
    program("ip", "iproute2", "sets up networks"),
    program("iptables", "iptables", "sets up firewalls"),
    program("iptables-save", "iptables", "lists the rules of firewalls"),
    program("kill", "procps", "ends containers"),
    program("make", "make", "runs the Makefile"),
    program("nft", "nftables", "sets up firewalls"),
    program("nsenter", "util-linux", "enters the namespaces of containers"),
    program("ping", "iputils-ping", "tests network connections"),
    program("ps", "procps", "lists processes"),
    program("python3", "python3", "makes unusual archives"),
    program("rm", "coreutils", "removes files of the tests"),
    program("shellcheck", "shellcheck", "checks the shell scripts"),
    program("sleep", "coreutils", "runs in the containers of the tests"),
    program("strace", "strace", "lists system calls, and lets them fail"),
    program("stty", "coreutils", "sets up terminals"),
    program("true", "coreutils", "runs in the containers of the tests"),
    program("xz", "xz-utils", "makes archives"),
];

/// The programs that conductor is compared with, and those that set up the comparison.
const BENCH: [Program; 12] = [
    program("busybox", "busybox-static", "runs in the containers"),
    program("bwrap", "bubblewrap", "is compared with conductor"),
    program("buildah", "buildah", "is compared with conductor"),
    program("crun", "crun", "is compared with conductor"),
    program("ip", "iproute2", "sets up networks"),
    program("iptables", "iptables", "sets up firewalls"),
    program("mount", "mount", "mounts an ext4 disk"),
    program("nft", "nftables", "sets up firewalls"),
    program("nsenter", "util-linux", "is compared with conductor"),
    program("podman", "podman", "is compared with conductor"),
    program("runc", "runc", "is compared with conductor"),
    program("unshare", "util-linux", "makes the namespaces of the measurement"),
];

/// The programs that the long tests start: a browser for the report, a cluster for a class.
const TEST_ALL: [Program; 8] = [
    program("chromium", "chromium", "opens the report"),
    program("node", "nodejs", "controls chromium"),
    program("npm", "npm", "gets puppeteer-core and axe-core"),
    program("munged", "munge", "authenticates the parts of a cluster"),
    program("parallel", "parallel", "grades a class on several machines"),
    program("slurmctld", "slurm-wlm", "grades a class on several machines"),
    program("ssh-keygen", "openssh-client", "makes the keys of a test server"),
    program("sshd", "openssh-server", "is the other machine of a test"),
];

impl Verb {
    /// All commands.
    pub const ALL: [Verb; 6] = [Verb::Build, Verb::Grade, Verb::Here, Verb::Test, Verb::Bench, Verb::TestAll];

    /// The name of its list in `ci/packages`.
    pub fn name(self) -> &'static str {
        match self {
            Verb::Build => "build",
            Verb::Grade => "grade",
            Verb::Here => "here",
            Verb::Test => "test",
            Verb::Bench => "bench",
            Verb::TestAll => "test-all",
        }
    }

    /// The programs that the command needs. All but [`Verb::Grade`] leave out those of a grade.
    pub fn programs(self) -> Vec<Program> {
        match self {
            Verb::Build => BUILD.to_vec(),
            Verb::Grade => vm::PROGRAMS.into_iter().chain(GRADE).collect(),
            Verb::Here => HERE.to_vec(),
            Verb::Test => TEST.to_vec(),
            Verb::Bench => BENCH.to_vec(),
            Verb::TestAll => TEST_ALL.to_vec(),
        }
    }

    /// The needed programs that are not installed.
    pub fn missing(self) -> Vec<Program> {
        self.programs().into_iter().filter(|program| !is_here(*program)).collect()
    }
}

fn is_here(program: Program) -> bool {
    if program.name.starts_with('/') { Path::new(program.name).exists() } else { program.find().is_some() }
}

/// The packages that provide these programs, without duplicates, as arguments of `apt install`.
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

    /// The expected content of `ci/packages/VERB`.
    fn file(verb: Verb) -> String {
        let command = match verb {
            Verb::Here => "harness grade --here".to_owned(),
            verb => format!("make {}", verb.name()),
        };
        let head = format!(
            "# What `{command}` needs, one per line: package, program or file, purpose.\n\
             # Generated from harness/src/programs.rs, which says how.\n"
        );
        let line = |program: &Program| format!("{} {} {}\n", program.package, program.name, program.purpose);
        let mut lines: Vec<String> = verb.programs().iter().map(line).collect();
        lines.sort();
        head + &lines.concat()
    }

    #[test]
    fn ci_packages_match_the_list() {
        for verb in Verb::ALL {
            let path = workspace().join("ci/packages").join(verb.name());
            if std::env::var_os("WRITE_PACKAGES").is_some() {
                fs::write(&path, file(verb)).unwrap();
            }
            let there = fs::read_to_string(&path).unwrap();
            assert_eq!(there, file(verb), "WRITE_PACKAGES=1 cargo test -p harness --lib programs updates it");
        }
    }

    /// The Rust files of the workspace's crates.
    fn sources() -> Vec<(PathBuf, String)> {
        let crates = ["bench", "conductor", "harness", "vm"].map(|name| workspace().join(name));
        let files = crates.iter().flat_map(walkdir::WalkDir::new).map(|entry| entry.unwrap().into_path());
        let sources = files.filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
        sources.map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect()
    }

    /// The names, without folders, that the code passes to a function that starts programs.
    fn started<'a>(text: &'a str, function: &'a str) -> impl Iterator<Item = &'a str> {
        let after = text.split(function).skip(1);
        after.filter_map(|rest| rest.split('"').next()?.rsplit('/').next())
    }

    const NEW: &str = "Command::new(\"";

    #[test]
    fn every_program_that_the_benchmarks_start_is_on_the_list() {
        let listed: Vec<Program> =
            [Verb::Build, Verb::Grade, Verb::Bench].iter().flat_map(|verb| verb.programs()).collect();
        let mut sources = sources();
        sources.retain(|(path, _)| path.starts_with(workspace().join("bench")));
        let texts = sources.iter().map(|(_, text)| text);
        let started: Vec<&str> =
            texts.flat_map(|text| started(text, "command(\"").chain(started(text, ".program(\""))).collect();
        assert!(started.len() > 5, "only {started:?} were found in the sources");
        for name in started {
            assert!(
                listed.iter().any(|program| program.name == name),
                "not in harness/src/programs.rs: {name}"
            );
        }
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
            let code = started(code, NEW).map(|name| (name, &[Verb::Build, Verb::Grade, Verb::Here][..]));
            let tests = started(tests, NEW)
                .map(|name| (name, &[Verb::Build, Verb::Grade, Verb::Here, Verb::Test, Verb::TestAll][..]));
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
