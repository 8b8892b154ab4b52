//! `harness doctor`: can this machine grade, how fast, and what to fix.

use vm::{Cache, Facts, Kvm};

use super::{Failure, Status};

/// What a first run writes: the image, a template, downloads.
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
        anstream::println!("{mark}  {}", line.what);
        if let Some(remedy) = &line.remedy {
            anstream::println!("         {remedy}");
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
    for tool in &facts.tools {
        match &tool.found {
            Some(path) => {
                lines.push(line(
                    Mark::Good,
                    format!("{} {}: {}", tool.program, tool.purpose, path.display()),
                    None,
                ));
            }
            None => lines.push(line(
                Mark::Missing,
                format!("{}, which {}", tool.program, tool.purpose),
                Some(format!("on Debian and Ubuntu: apt install {}", tool.package)),
            )),
        }
    }
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

fn room(what: &str, place: &str, free: u64, needed: u64) -> Line {
    let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
    let (mark, remedy) = if free >= needed {
        (Mark::Good, None)
    } else {
        (
            Mark::Weak,
            Some(format!(
                "a first run wants {:.0} GiB: free some, or set HARNESS_CACHE to another place",
                gib(needed)
            )),
        )
    };
    Line { mark, what: format!("{what}: {:.1} GiB free {place}", gib(free)), remedy }
}
