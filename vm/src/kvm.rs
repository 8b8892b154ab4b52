//! Whether KVM works here. A device that opens proves little: KVM is trusted after a guest's
//! kernel ran under it.

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::arguments::{Disk, Memory};
use crate::cache::Cache;
use crate::hardware::{Cards, Hardware};
use crate::image::Base;
use crate::machine::{Kernel, Machine, Running, Uplink};
use crate::{Accelerator, Error, Event, Kind, Requested, digest, qemu, tool};

/// The time limit for a guest's kernel under KVM to start its first program. It takes one or two
/// seconds where KVM works.
const PATIENCE: Duration = Duration::from_secs(10);

/// A kernel prints the first of these when it starts its first program; systemd prints the others.
const TOKENS: [&str; 3] = ["Run /init as init process", "systemd[1]: ", "Welcome to "];

/// The consequence of TCG, for the note to the user.
const SLOW: &str = "programs run 3 to 15 times slower, and time limits grow to match";

/// Why KVM cannot be used, and the remedy.
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

/// Chooses the accelerator that was asked for, or one that works. KVM counts as working after a
/// kernel ran under it. The result is kept for this boot of the host, this QEMU and this processor.
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

/// Whether `/dev/kvm` opens: a cheap test that comes before all others.
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

/// The result of an earlier trial of KVM in the same circumstances.
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
    // A result that is kept saves seconds. A failure to keep it must not end the run.
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
    let started = start(cache, base).map_err(|error| unusable(crate::chain(&error)))?;
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

fn start(cache: &Cache, base: &Base) -> Result<Running, Error> {
    let model = qemu::Installed::find()?.model;
    let mut disks = Vec::new();
    let kernel = base.kernel.as_ref().map(|files| {
        // The RAM disk holds a first program, and the kernel shall print that it starts.
        Kernel { root: "ignore_loglevel", ..files.kernel() }
    });
    if kernel.is_none() {
        let scratch = tempfile::tempdir_in(cache.scratch()?).map_err(Error::io("create", "a directory"))?;
        let top = scratch.path().join("top.qcow2");
        tool::QEMU_IMG.output(|command| {
            command.args(["create", "-q", "-f", "qcow2"]).arg(&top).arg("64G");
        })?;
        let top = File::options().read(true).write(true).open(&top).map_err(Error::io("open", &top))?;
        let below = File::open(&base.disk).map_err(Error::io("open", &base.disk))?;
        disks.push(("root", Disk::Layers(top, vec![below])));
    }
    Machine {
        hardware: Hardware { model: &model, accel: Kind::Kvm, cards: Cards::Provisioning, freezable: false },
        kernel,
        memory: Memory::Own,
        disks,
        uplink: Uplink::Internet,
        incoming: false,
    }
    .start()
}

#[cfg(test)]
mod tests {
    use super::*;

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
