//! Updates a machine after its restore, before any program runs: the time, new randomness, and
//! the disks in its slots.

use std::fs::{self, File};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::time::Duration;

use nix::mount::{MsFlags, mount};
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_settime};

nix::ioctl_none!(
    /// Makes the kernel's generator take up what is in the pool now: random(4).
    reseed,
    b'R',
    0x07
);
nix::ioctl_none_bad!(
    /// Forgets what is cached of a block device: `BLKFLSBUF`.
    forget_blocks,
    nix::request_code_none!(0x12, 97)
);

/// Does all of this. The error is a sentence.
pub(super) fn up(unix_time: u64, entropy: &[u8], payload: bool, store: bool) -> Result<(), String> {
    clock_settime(ClockId::CLOCK_REALTIME, TimeSpec::from_duration(Duration::from_nanos(unix_time)))
        .map_err(|error| format!("the clock cannot be set: {error}"))?;
    stir(entropy).map_err(|error| format!("/dev/urandom: {error}"))?;
    for (slot, present) in [("payload", payload), ("store", store)] {
        if present {
            mount_slot(slot).map_err(|error| format!("the {slot} disk cannot be mounted: {error}"))?;
        }
    }
    Ok(())
}

fn stir(entropy: &[u8]) -> std::io::Result<()> {
    let mut pool = File::options().write(true).open("/dev/urandom")?;
    pool.write_all(entropy)?;
    // SAFETY: the request takes no argument, and the descriptor is open.
    unsafe { reseed(pool.as_raw_fd()) }?;
    Ok(())
}

fn mount_slot(slot: &str) -> std::io::Result<()> {
    let device = format!("/dev/disk/by-id/virtio-{slot}");
    // SAFETY: the request takes no argument, and the descriptor is open.
    unsafe { forget_blocks(File::open(&device)?.as_raw_fd()) }?;
    let target = format!("/run/vm/{slot}");
    fs::create_dir_all(&target)?;
    mount(Some(device.as_str()), target.as_str(), Some("ext4"), MsFlags::MS_RDONLY, Some("noload"))?;
    Ok(())
}
