//! KVM or emulation: which one really works here.

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::str::FromStr;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::cache::Cache;
use crate::image::Base;
use crate::machine::{Cards, Disk, Kernel, Machine, Memory};
use crate::{Error, Event, digest, qemu, tool};

/// What the user asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Requested {
    /// KVM where the guest's kernel was seen to run under it, TCG otherwise.
    #[default]
    Auto,
    /// KVM or an error.
    Kvm,
    /// Emulation.
    Tcg,
}

impl FromStr for Requested {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "auto" => Ok(Requested::Auto),
            "kvm" => Ok(Requested::Kvm),
            "tcg" => Ok(Requested::Tcg),
            _ => Err(format!("no accelerator {name:?}: choose auto, kvm or tcg")),
        }
    }
}

/// What runs the guest's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The processor, through the kernel's virtualisation.
    Kvm,
    /// QEMU's translator: works everywhere, 3 to 15 times slower.
    Tcg,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Kvm => "KVM",
            Kind::Tcg => "TCG",
        })
    }
}

/// The accelerator in use and the sentence that says why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accelerator {
    /// Which.
    pub kind: Kind,
    /// Why, without a full stop: "no usable KVM here (the guest did not reach userspace in 10 s)".
    pub reason: String,
}

/// How long a guest's kernel may take under KVM from nothing to its first program. It takes one or two seconds
/// where KVM works.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a kernel prints when it starts its first program, or what that prints.
const TOKENS: [&str; 3] = ["Run /init as init process", "systemd[1]: ", "Welcome to "];

/// What to expect of TCG.
const SLOW: &str = "programs run 3 to 15 times slower, time limits follow";

/// Why KVM cannot be used, and what helps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Unusable {
    pub(crate) why: String,
    pub(crate) remedy: Option<String>,
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.remedy {
            Some(remedy) => write!(f, "{}; {remedy}", self.why),
            None => f.write_str(&self.why),
        }
    }
}

/// Chooses what was asked for, or what works. KVM is trusted only after a kernel ran under it; what came of
/// trying is remembered for this boot of the host, this QEMU and this processor.
pub(crate) fn choose(
    cache: &Cache,
    requested: Requested,
    base: &Base,
    on: &mut dyn FnMut(Event),
) -> Result<Accelerator, Error> {
    if requested == Requested::Tcg {
        return Ok(Accelerator { kind: Kind::Tcg, reason: "asked for".to_owned() });
    }
    let verdict = match device() {
        Err(unusable) => Err(unusable),
        Ok(()) => kernel_ran(cache, base, on)?,
    };
    match (verdict, requested) {
        (Ok(()), _) => {
            Ok(Accelerator { kind: Kind::Kvm, reason: "a guest's kernel ran under it".to_owned() })
        }
        (Err(unusable), Requested::Kvm) => {
            Err(Error::Accelerator(format!("KVM was asked for, but {unusable}")))
        }
        (Err(unusable), _) => {
            let reason = format!("no usable KVM here ({})", unusable.why);
            on(Event::Note(format!("TCG: {reason}; {SLOW}")));
            Ok(Accelerator { kind: Kind::Tcg, reason })
        }
    }
}

/// Whether KVM can be opened at all: cheap, and asked before anything else is done.
pub(crate) fn device() -> Result<(), Unusable> {
    match File::options().read(true).write(true).open("/dev/kvm") {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Unusable {
            why: "there is no /dev/kvm".to_owned(),
            remedy: Some(
                "enable virtualisation in the firmware, or nested virtualisation for this machine".to_owned(),
            ),
        }),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(Unusable {
            why: "this user may not open /dev/kvm".to_owned(),
            remedy: Some("join its group (sudo usermod -aG kvm $USER) and log in again".to_owned()),
        }),
        Err(error) => Err(Unusable { why: format!("/dev/kvm does not open: {error}"), remedy: None }),
    }
}

/// What trying KVM came to earlier, in the same circumstances.
pub(crate) fn remembered(cache: &Cache) -> Result<Option<Result<(), Unusable>>, Error> {
    let file = cache.verdict(&circumstances()?)?;
    Ok(fs::read(file).ok().and_then(|text| serde_json::from_slice(&text).ok()))
}

fn kernel_ran(cache: &Cache, base: &Base, on: &mut dyn FnMut(Event)) -> Result<Result<(), Unusable>, Error> {
    let _lock = cache.lock("kvm", || {})?;
    if let Some(verdict) = remembered(cache)? {
        return Ok(verdict);
    }
    on(Event::Step("trying KVM".to_owned()));
    let verdict = try_kernel(cache, base);
    let file = cache.verdict(&circumstances()?)?;
    // Remembering saves seconds; not being able to must not cost the run.
    let _ = serde_json::to_vec(&verdict).map(|text| fs::write(file, text));
    Ok(verdict)
}

/// The host's boot, QEMU and processor, as one name.
fn circumstances() -> Result<String, Error> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let qemu = qemu::Installed::find()?;
    Ok(format!("kvm-{}", digest::of([boot.as_str(), &qemu.version, &processor()])))
}

/// The host processor's name and features.
pub(crate) fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let mut lines: Vec<&str> =
        text.lines().filter(|line| line.starts_with("model name") || line.starts_with("flags")).collect();
    lines.dedup();
    lines.truncate(2);
    lines.join("\n")
}

fn try_kernel(cache: &Cache, base: &Base) -> Result<(), Unusable> {
    let unusable = |why: String| Unusable { why, remedy: None };
    let started = start(cache, base).map_err(|error| unusable(error.to_string()))?;
    let mut running = started;
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        let ended = running.ended_within(Duration::from_millis(100));
        let console = running.console.since(0);
        if TOKENS.iter().any(|token| console.contains(token)) {
            return Ok(());
        }
        if ended {
            return Err(unusable(format!("QEMU ended: {}", running.bury())));
        }
    }
    Err(unusable(format!("the guest did not reach userspace in {} s", PATIENCE.as_secs())))
}

fn start(cache: &Cache, base: &Base) -> Result<crate::machine::Running, Error> {
    let model = qemu::Installed::find()?.model;
    let mut disks = Vec::new();
    let kernel = base.kernel.as_ref().map(|files| {
        // The RAM disk alone is enough for a first program, and what it prints is wanted.
        Kernel { root: "ignore_loglevel", ..files.kernel() }
    });
    if kernel.is_none() {
        let scratch = tempfile::tempdir_in(cache.scratch()?).map_err(Error::io("create", "a directory"))?;
        let top = scratch.path().join("top.qcow2");
        tool::QEMU_IMG.output(|command| {
            command.args(["create", "-q", "-f", "qcow2"]).arg(&top).arg("64G");
        })?;
        let top = File::options().read(true).write(true).open(&top).map_err(Error::io("open", &top))?;
        disks.push(("root", Disk::Over { top, base: base.disk.clone() }));
    }
    Machine {
        model: &model,
        accel: Kind::Kvm,
        kernel,
        memory: Memory::Own,
        disks,
        cards: Cards::Provisioning,
        incoming: false,
        freezable: false,
    }
    .start()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accelerators_are_parsed_by_name() {
        assert_eq!("auto".parse(), Ok(Requested::Auto));
        assert_eq!("kvm".parse(), Ok(Requested::Kvm));
        assert_eq!("tcg".parse(), Ok(Requested::Tcg));
        assert!("xen".parse::<Requested>().unwrap_err().contains("auto, kvm or tcg"));
    }

    #[test]
    fn a_verdict_is_remembered_for_the_same_circumstances() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::at(dir.path());
        if qemu::Installed::find().is_err() {
            return;
        }
        assert_eq!(remembered(&cache).unwrap(), None);
        let verdict: Result<(), Unusable> = Err(Unusable { why: "it hangs".into(), remedy: None });
        fs::write(cache.verdict(&circumstances().unwrap()).unwrap(), serde_json::to_vec(&verdict).unwrap())
            .unwrap();
        assert_eq!(remembered(&cache).unwrap(), Some(verdict));
    }
}
