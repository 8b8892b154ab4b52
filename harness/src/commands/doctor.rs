//! `harness doctor`: can this machine grade, how fast, and what to fix.

use harness::programs::{Verb, packages};
use vm::{Cache, Facts, Kvm, UserNamespaces};

use super::{Failure, Status};

/// What a first run of everything writes: the image, a template, packages, base systems and what guests write.
const DISK_NEEDED: u64 = 8 << 30;
/// What a machine of the default size takes, with room for the host.
const MEMORY_NEEDED: u64 = 3 << 30;

/// How a line of the list is marked.
#[derive(Clone, Copy, PartialEq)]
enum Mark {
    Good,
    /// It works, but not as well as it could.
    Weak,
    /// Nothing can be graded before this is mended.
    Missing,
}

/// One thing that was looked at.
struct Line {
    mark: Mark,
    what: String,
    remedy: Option<String>,
}

/// Looks, and prints a list. Status 1 where something that is needed is missing.
pub fn run() -> Result<Status, Failure> {
    let cache = Cache::from_env().map_err(Failure::infrastructure)?;
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
        Kvm::Works => line(Mark::Good, "KVM: a guest's kernel ran under it".to_owned(), None),
        Kvm::Untried => {
            line(Mark::Good, "KVM: /dev/kvm opens; the first grade tries it for real".to_owned(), None)
        }
        Kvm::Unusable { why, remedy } => {
            line(Mark::Weak, format!("no KVM, so machines are emulated and slower: {why}"), remedy.clone())
        }
    });
    lines.push(match facts.calibration {
        Some(calibration) => line(
            Mark::Good,
            format!(
                "speed: {:.1} times slower than the reference; arithmetic {:.2} s, processes {:.2} s; time limits follow",
                calibration.factor(),
                calibration.compute.as_secs_f64(),
                calibration.spawn.as_secs_f64()
            ),
            None,
        ),
        None => line(Mark::Good, "speed: measured when the template is made".to_owned(), Some("harness vm build".to_owned())),
    });
    lines.push(match &facts.user_namespaces {
        UserNamespaces::NotNeeded => line(Mark::Good, "user namespaces: root needs none".to_owned(), None),
        UserNamespaces::Allowed => line(Mark::Good, "user namespaces: allowed".to_owned(), None),
        UserNamespaces::Refused(why) => {
            line(Mark::Good, format!("user namespaces: refused, and nothing needs one ({why})"), None)
        }
    });
    lines.push(room("disk", "where the cache is", facts.free_disk, DISK_NEEDED));
    lines.push(room("memory", "for machines", facts.free_memory, MEMORY_NEEDED));
    lines.push(line(Mark::Good, format!("{} processors", facts.cpus), None));
    lines.push(line(
        Mark::Good,
        format!("cache {}: {} MiB", facts.cache.display(), facts.cache_bytes.div_ceil(1 << 20)),
        None,
    ));
    lines
}

/// What is missing of the programs, by verb.
fn programs() -> Vec<Line> {
    let install =
        |missing: &[vm::Program]| Some(format!("on Debian and Ubuntu: apt install {}", packages(missing)));
    let is_root = nix::unistd::geteuid().is_root();
    let missing = Verb::Grade.missing();
    let mut lines: Vec<Line> = missing
        .iter()
        .map(|program| Line {
            mark: if is_root && program.is_only_for_users() { Mark::Weak } else { Mark::Missing },
            what: format!("{} is missing, which {}", program.name, program.purpose),
            remedy: install(&[*program]),
        })
        .collect();
    if missing.is_empty() {
        let what = format!("all {} programs and files that a grade needs", Verb::Grade.programs().len());
        lines.push(Line { mark: Mark::Good, what, remedy: None });
    }
    for verb in [Verb::Test, Verb::Bench] {
        let missing = verb.missing();
        if !missing.is_empty() {
            let names: Vec<_> = missing.iter().map(|program| program.name).collect();
            let what = format!("`make {}` will install {}", verb.name(), names.join(", "));
            lines.push(Line { mark: Mark::Good, what, remedy: install(&missing) });
        }
    }
    lines
}

fn room(what: &str, place: &str, free: u64, needed: u64) -> Line {
    let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
    let (mark, remedy) = if free >= needed {
        (Mark::Good, None)
    } else {
        (
            Mark::Weak,
            Some(format!(
                "a first run needs {:.0} GiB: free disk space, or set HARNESS_CACHE to another folder",
                gib(needed)
            )),
        )
    };
    let what = format!("{what}: {:.1} GiB free {place}, {:.0} GiB needed", gib(free), gib(needed));
    Line { mark, what, remedy }
}
