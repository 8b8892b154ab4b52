//! The machine as its guest sees it, as arguments for QEMU.
//!
//! A template and the guests restored from it must be the same machine: the same arguments, the
//! same ids, the same PCI addresses. What lies behind the devices on the host differs from one
//! start to the next: see `arguments.rs`.

use crate::Kind;
use crate::arguments::Arguments;

/// The guests' memory, in MiB.
pub(crate) const MEMORY_MIB: u64 = 2048;

/// The size of the two slots for read-only disks, in bytes: a guest that wakes up
/// does not look again.
pub(crate) const SLOT_SIZE: u64 = 16 << 30;

/// The disks of a guest, in the order in which it sees them.
pub(crate) const SLOTS: [&str; 3] = ["root", "payload", "store"];

/// The id of the port on which the agent speaks, in QEMU's events.
pub(crate) const AGENT_PORT: &str = "port0";

/// The name of the port that carries the caller's own bytes:
/// `/dev/virtio-ports/vm.stream` in a guest.
pub const STREAM: &str = "vm.stream";

/// The processors every guest has.
const CPUS: u32 = 2;

/// `qemu64` is the smallest model there is, which every host's KVM can offer; under TCG
/// it boots and runs faster than `max` (docs/performance.md). `svm` would only make the
/// guest load its own KVM.
const CPU: &str = "qemu64,-svm";

/// Always on the guest's kernel command line.
const CMDLINE: &str = "rw console=ttyS0 quiet loglevel=4 panic=-1 mitigations=off no_timer_check net.ifnames=0 \
    cgroup_no_v1=all systemd.unified_cgroup_hierarchy=1 random.trust_cpu=on";

/// Under TCG, too: programs at the same addresses each time. QEMU translates code again for each
/// address it runs at, so with randomised addresses every `execve` begins with a translation of the
/// loader and the libraries; without, a fork and exec takes a third of the time
/// (docs/performance.md).
const CMDLINE_TCG: &str = "norandmaps";

/// The machine's network cards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cards {
    /// The three of a guest: two ends of one cable, and one that leads nowhere.
    Guest,
    /// One that reaches the Internet, only while an image is made.
    Provisioning,
}

/// The address of a card: by it the guest gives the card its name.
pub(crate) fn mac_address(number: u8) -> String {
    format!("52:54:00:c5:69:{number:02x}")
}

/// What the hardware of a machine depends on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hardware<'a> {
    /// QEMU's name for the machine, with its version.
    pub(crate) model: &'a str,
    pub(crate) accel: Kind,
    pub(crate) cards: Cards,
    /// Whether it must be possible to freeze the machine.
    pub(crate) freezable: bool,
}

impl Hardware<'_> {
    /// Writes processor, memory and devices; `slots` are the names of the disks in order.
    pub(crate) fn write<'a>(&self, slots: impl IntoIterator<Item = &'a str>, to: &mut Arguments) {
        let accel = match self.accel {
            Kind::Tcg => "tcg,thread=multi,tb-size=256",
            Kind::Kvm => "kvm",
        };
        to.word("-nodefaults").word("-no-user-config").word("-no-reboot");
        to.pair("-display", "none").pair("-rtc", "base=utc").pair("-accel", accel);
        to.pair("-machine", format!("{},usb=off,memory-backend=ram0", self.model));
        to.pair("-cpu", CPU).pair("-smp", format!("{CPUS}")).pair("-m", format!("{MEMORY_MIB}M"));
        if self.freezable {
            to.word("-only-migratable");
        }
        to.pair("-device", "isa-serial,id=serial0,chardev=console0");
        to.pair("-device", "virtio-serial-pci,id=ports0,addr=0x3");
        let agent = format!("virtserialport,id={AGENT_PORT},bus=ports0.0,nr=1,chardev=agent0,name=vm.agent");
        to.pair("-device", agent);
        to.pair(
            "-device",
            format!("virtserialport,id=port1,bus=ports0.0,nr=2,chardev=stream0,name={STREAM}"),
        );
        to.pair("-object", "rng-builtin,id=random0");
        to.pair("-device", "virtio-rng-pci,id=rng0,rng=random0,addr=0x4");
        to.pair("-device", "vmgenid,id=generation0,guid=auto");
        for (address, slot) in (0x5..).zip(slots) {
            to.pair(
                "-device",
                format!("virtio-blk-pci,id=disk-{slot},drive={slot},serial={slot},addr={address:#x}"),
            );
        }
        let cards: &[(&str, u8, u8)] = match self.cards {
            Cards::Guest => &[("cable0", 1, 0x10), ("cable1", 2, 0x11), ("uplink0", 3, 0x12)],
            Cards::Provisioning => &[("provisioning", 0xff, 0x10)],
        };
        for (id, number, address) in cards {
            let mac = mac_address(*number);
            let card = format!("virtio-net-pci,id={id},netdev=net-{id},mac={mac},romfile=,addr={address:#x}");
            to.pair("-device", card);
        }
    }

    /// The kernel command line: where the root is, and what every guest has.
    pub(crate) fn command_line(&self, root: &str) -> String {
        let own = match self.accel {
            Kind::Tcg => CMDLINE_TCG,
            Kind::Kvm => "",
        };
        format!("{root} {CMDLINE} {own}")
    }

    /// What the guests of a template are, for its name.
    pub(crate) fn fingerprint(model: &str, accel: Kind) -> String {
        let hardware = Hardware { model, accel, cards: Cards::Guest, freezable: true };
        let mut arguments = Arguments::default();
        hardware.write(SLOTS, &mut arguments);
        format!("{} {} {SLOT_SIZE}", arguments.words.join(" "), hardware.command_line(""))
    }
}
