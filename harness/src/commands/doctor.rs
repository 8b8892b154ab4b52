//! `harness doctor`: reports whether this machine can grade, how fast, and what to fix.

use harness::programs::{Verb, packages};
use vm::{Facts, Kvm, UserNamespaces};

use super::{Failure, Status};

/// Bytes that a first full run writes: an image, a template, packages, base systems, guests' disks.
const DISK_NEEDED: u64 = 8 << 30;
/// Bytes of memory for one machine of the default size, with a reserve for the host.
const MEMORY_NEEDED: u64 = 3 << 30;

const SHORT_OF_DISK: &str = "free disk space, or set HARNESS_CACHE to a folder on another disk";
const SHORT_OF_MEMORY: &str = "stop other programs, or grade with --jobs 1";

/// How serious a finding is.
#[derive(Clone, Copy, PartialEq)]
enum Mark {
    Good,
    /// Grading works, but slower or with less reserve than it could.
    Weak,
    /// Grading is impossible until this is fixed.
    Missing,
}

/// One line of the list that the command prints.
struct Line {
    mark: Mark,
    what: String,
    remedy: Option<String>,
}

/// Examines the machine and prints the findings. The exit status is 1 if a requirement is missing.
pub fn run() -> Result<Status, Failure> {
    let cache = harness::machine::cache().map_err(Failure::infrastructure)?;
    let facts = vm::doctor(&cache).map_err(Failure::infrastructure)?;
    let lines = diagnose(&facts);
    for line in &lines {
        let mark = match line.mark {
            Mark::Good => "ok     ",
            Mark::Weak => "note   ",
            Mark::Missing => "MISSING",
        };
        harness::say!("{mark}  {}", line.what);
        if let Some(remedy) = &line.remedy {
            harness::say!("         {remedy}");
        }
    }
    let lacking = lines.iter().any(|line| line.mark == Mark::Missing);
    Ok(if lacking { Status::Lacking } else { Status::Good })
}

fn diagnose(facts: &Facts) -> Vec<Line> {
    let line = |mark, what: String, remedy: Option<String>| Line { mark, what, remedy };
    let mut lines = vec![];
    if let Some(version) = &facts.qemu {
        lines.push(line(Mark::Good, format!("QEMU {version}"), None));
    }
    lines.extend(programs());
    lines.push(match &facts.kvm {
        Kvm::Works => line(Mark::Good, "KVM: works; a guest's kernel ran with it".to_owned(), None),
        Kvm::Untried => line(
            Mark::Good,
            "KVM: /dev/kvm opens; the first grade will boot a guest with it".to_owned(),
            None,
        ),
        Kvm::Unusable { why, remedy } => line(
            Mark::Weak,
            format!("KVM: not usable, so machines run under slower emulation: {why}"),
            remedy.clone(),
        ),
    });
    lines.push(match facts.calibration {
        Some(calibration) => line(
            Mark::Good,
            format!(
                "speed: {:.1} times slower than the reference machine \
                 (arithmetic {:.2} s, processes {:.2} s); time limits are scaled to match",
                calibration.factor(),
                calibration.compute.as_secs_f64(),
                calibration.spawn.as_secs_f64()
            ),
            None,
        ),
        None => line(
            Mark::Good,
            "speed: not measured yet; building the template measures it".to_owned(),
            Some("to build it now: harness vm build".to_owned()),
        ),
    });
    lines.push(match &facts.user_namespaces {
        UserNamespaces::NotNeeded => {
            line(Mark::Good, "user namespaces: not needed, because you are root".to_owned(), None)
        }
        UserNamespaces::Allowed => line(Mark::Good, "user namespaces: allowed".to_owned(), None),
        UserNamespaces::Refused(why) => line(
            Mark::Good,
            format!("user namespaces: not allowed, but grading does not need them ({why})"),
            None,
        ),
    });
    lines.push(space("disk of the cache", facts.free_disk, DISK_NEEDED, SHORT_OF_DISK));
    lines.push(space("memory", facts.free_memory, MEMORY_NEEDED, SHORT_OF_MEMORY));
    lines.push(line(Mark::Good, format!("{} processors", facts.cpus), None));
    lines.push(line(
        Mark::Good,
        format!("cache {}: {} MiB", facts.cache.display(), facts.cache_bytes.div_ceil(1 << 20)),
        None,
    ));
    lines
}

/// The missing programs: first those for grading; in a checkout also those for its other commands.
fn programs() -> Vec<Line> {
    let install =
        |missing: &[vm::Program]| Some(format!("on Debian and Ubuntu: apt install {}", packages(missing)));
    let is_root = nix::unistd::geteuid().is_root();
    let missing = Verb::Grade.missing();
    let mut lines: Vec<Line> = missing
        .iter()
        .map(|program| Line {
            mark: if is_root && program.is_only_for_users() { Mark::Weak } else { Mark::Missing },
            what: format!("{} is missing; it {}", program.name, program.purpose),
            remedy: install(&[*program]),
        })
        .collect();
    if missing.is_empty() {
        let what = format!("programs: all {} that grading needs are installed", Verb::Grade.programs().len());
        lines.push(Line { mark: Mark::Good, what, remedy: None });
    }
    let others: &[Verb] = if is_checkout() { &[Verb::Build, Verb::Test, Verb::Bench] } else { &[] };
    for verb in others {
        let missing = verb.missing();
        if !missing.is_empty() {
            let names: Vec<_> = missing.iter().map(|program| program.name).collect();
            let what = format!("`make {}` will install {}", verb.name(), names.join(", "));
            lines.push(Line { mark: Mark::Good, what, remedy: install(&missing) });
        }
    }
    lines
}

fn space(what: &str, free: u64, needed: u64, remedy: &str) -> Line {
    let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
    let (mark, remedy) =
        if free >= needed { (Mark::Good, None) } else { (Mark::Weak, Some(remedy.to_owned())) };
    let what = format!("{what}: {:.1} GiB free, {:.0} GiB needed", gib(free), gib(needed));
    Line { mark, what, remedy }
}

/// Whether this program was built in a checkout, and is not an installed one.
fn is_checkout() -> bool {
    let program = std::env::current_exe().unwrap_or_default();
    program.ancestors().any(|folder| folder.join("Cargo.toml").is_file())
}
