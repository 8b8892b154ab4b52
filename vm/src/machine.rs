//! The machine that guests are, as arguments for QEMU.
//!
//! A template and the guests restored from it must be the same machine: same arguments in the same order, same
//! ids. So there is one function that writes them, and what may differ is a parameter of it.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::accel::Kind;
use crate::arguments::{Arguments, escaped};
use crate::console::Record;
use crate::qmp::Qmp;
use crate::{Error, Network, tool};

/// The guests' memory, in MiB.
pub(crate) const MEMORY_MIB: u64 = 2048;

/// The size of the two slots for read-only disks, in bytes: a guest that wakes up does not look again.
pub(crate) const SLOT_SIZE: u64 = 16 << 30;

/// The disks of a guest, in the order in which it sees them.
pub(crate) const SLOTS: [&str; 3] = ["root", "payload", "store"];

/// How many happenings wait at most: those with something said have 64 KiB.
const WAITING: usize = 256;

/// The processors every guest has.
const CPUS: u32 = 2;

/// `qemu64` is the smallest model there is, which every host's KVM can offer; under TCG it boots and runs faster than
/// `max` (docs/performance.md). `svm` would only make the guest load its own KVM.
const CPU: &str = "qemu64,-svm";

/// Always on the guest's kernel command line.
const CMDLINE: &str = "rw console=ttyS0 quiet loglevel=4 panic=-1 mitigations=off no_timer_check net.ifnames=0 \
    cgroup_no_v1=all systemd.unified_cgroup_hierarchy=1 random.trust_cpu=on";

/// Under TCG, too: programs at the same addresses each time. QEMU translates code anew for each address it runs at, so
/// with randomised addresses every `execve` begins with a translation of the loader and the libraries; without, a
/// fork and exec takes a third of the time (docs/performance.md).
const CMDLINE_TCG: &str = "norandmaps";

/// Where the guest's memory is.
#[derive(Debug, Clone)]
pub(crate) enum Memory {
    /// In a file that keeps what is written: the template's.
    Shared(PathBuf),
    /// On such a file, what is written being this guest's own.
    Private(PathBuf),
    /// In QEMU.
    Own,
}

/// A disk of the guest.
#[derive(Debug)]
pub(crate) enum Disk {
    /// A qcow2 file, written to.
    Layer(PathBuf),
    /// An open, empty qcow2 file over a qcow2 file that is only read.
    Over { top: File, base: PathBuf },
    /// An open raw file that is only read.
    ReadOnly(File),
    /// A raw file, written to.
    Raw(PathBuf),
    /// A directory as a FAT file system labelled CIDATA, which is what cloud-init looks for.
    Seed(PathBuf),
}

/// What differs between one machine and the next.
pub(crate) struct Machine<'a> {
    /// QEMU's name for the machine, with its version.
    pub(crate) model: &'a str,
    pub(crate) accel: Kind,
    /// Kernel, initial RAM disk and where the root is; without, the firmware boots the first disk.
    pub(crate) kernel: Option<Kernel<'a>>,
    pub(crate) memory: Memory,
    /// By slot, in the order in which the guest sees them.
    pub(crate) disks: Vec<(&'static str, Disk)>,
    pub(crate) cards: Cards<'a>,
    /// What the machine wakes up from, instead of booting.
    pub(crate) incoming: bool,
    /// Whether it must be possible to freeze the machine.
    pub(crate) freezable: bool,
}

/// A kernel that QEMU loads by itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kernel<'a> {
    pub(crate) image: &'a Path,
    pub(crate) initrd: &'a Path,
    /// `root=…`, and more if need be.
    pub(crate) root: &'a str,
}

/// The machine's network cards.
pub(crate) enum Cards<'a> {
    /// The three of a guest: two ends of one cable, and one to the host as far as the network says, by way of a
    /// program that takes `relay SOCKET`.
    Guest { network: &'a Network, relay: &'a Path },
    /// One that reaches the world, for nothing but building an image.
    Provisioning,
}

/// Something that happened to a running machine.
#[derive(Debug)]
pub(crate) enum Happening {
    /// Bytes from the guest half.
    Said(Vec<u8>),
    /// The guest half's port was opened or closed, from inside.
    Port { open: bool },
    /// The machine ended: QEMU's reason.
    Shutdown { reason: String },
    /// The machine was stopped because the host has no room for what it wrote.
    NoRoom,
    /// A migration got to this status.
    Migration { status: String },
    /// QEMU is gone.
    Gone,
}

/// A running QEMU.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    pub(crate) qmp: Qmp,
    agent: UnixStream,
    pub(crate) console: Record,
    /// The console's other direction.
    pub(crate) keyboard: UnixStream,
    pub(crate) happenings: Receiver<Happening>,
    errors: Record,
}

impl Machine<'_> {
    /// Starts QEMU with this machine.
    pub(crate) fn start(self) -> Result<Running, Error> {
        let failed = |what: &str| {
            let what = what.to_owned();
            move |error: io::Error| Error::Qemu { what, why: error.to_string() }
        };
        let pair = || UnixStream::pair().map_err(failed("cannot be reached"));
        let (qmp, qmp_theirs) = pair()?;
        let (console, console_theirs) = pair()?;
        let (agent, agent_theirs) = pair()?;

        let mut arguments = Arguments::default();
        self.write(&mut arguments, [&qmp_theirs, &console_theirs, &agent_theirs].map(AsRawFd::as_raw_fd));
        arguments.keep.extend([qmp_theirs.into(), console_theirs.into(), agent_theirs.into()]);
        let mut command: Command = tool::QEMU.command()?;
        command.args(&arguments.words).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = crate::spawn::spawn(command, arguments.keep, Signal::SIGKILL)
            .map_err(failed("does not start"))?;

        // Who says more than is listened to has to wait.
        let (sender, happenings) = sync_channel(WAITING);
        let errors = Record::default();
        if let Some(stderr) = child.stderr.take() {
            errors.follow(stderr);
        }
        let record = Record::default();
        record.follow(console.try_clone().map_err(failed("cannot be read"))?);
        listen(agent.try_clone().map_err(failed("cannot be read"))?, sender.clone());
        let qmp = Qmp::new(qmp, move |event, data| {
            if let Some(happening) = happening(event, data) {
                let _ = sender.send(happening);
            }
        })
        .map_err(failed("cannot be read"))?;
        let mut running =
            Running { child, qmp, agent, console: record, keyboard: console, happenings, errors };
        match running.qmp.execute("qmp_capabilities", &Value::Object(serde_json::Map::default())) {
            Ok(_) => Ok(running),
            Err(_) => Err(Error::Qemu { what: "does not start".to_owned(), why: running.bury() }),
        }
    }

    /// What the guests of a template are, for its name: the arguments without what may differ.
    pub(crate) fn fingerprint(model: &str, accel: Kind) -> String {
        let mut arguments = Arguments::default();
        let nowhere = Path::new("");
        Machine {
            model,
            accel,
            kernel: Some(Kernel { image: nowhere, initrd: nowhere, root: "" }),
            memory: Memory::Own,
            disks: SLOTS.into_iter().map(|slot| (slot, Disk::Raw(PathBuf::new()))).collect(),
            cards: Cards::Guest { network: &Network::default(), relay: nowhere },
            incoming: false,
            freezable: true,
        }
        .write(&mut arguments, [0; 3]);
        format!("{} {SLOT_SIZE}", arguments.words.join(" "))
    }

    fn write(&self, to: &mut Arguments, [qmp, console, agent]: [RawFd; 3]) {
        let accel = match self.accel {
            Kind::Tcg => "tcg,thread=multi,tb-size=256",
            Kind::Kvm => "kvm",
        };
        to.word("-nodefaults").word("-no-user-config").word("-no-reboot");
        to.pair("-display", "none").pair("-rtc", "base=utc").pair("-accel", accel);
        to.pair("-machine", format!("{},usb=off,memory-backend=ram0", self.model));
        to.pair("-cpu", CPU).pair("-smp", format!("{CPUS}")).pair("-m", format!("{MEMORY_MIB}M"));
        let size = format!("id=ram0,size={MEMORY_MIB}M");
        to.pair(
            "-object",
            match &self.memory {
                Memory::Shared(file) => {
                    format!("memory-backend-file,{size},share=on,mem-path={}", escaped(file))
                }
                Memory::Private(file) => {
                    format!("memory-backend-file,{size},share=off,mem-path={}", escaped(file))
                }
                Memory::Own => format!("memory-backend-ram,{size}"),
            },
        );
        if let Some(kernel) = &self.kernel {
            to.pair("-kernel", kernel.image.display().to_string());
            to.pair("-initrd", kernel.initrd.display().to_string());
            let own = match self.accel {
                Kind::Tcg => CMDLINE_TCG,
                Kind::Kvm => "",
            };
            to.pair("-append", format!("{} {CMDLINE} {own}", kernel.root));
        }
        if self.freezable {
            to.word("-only-migratable");
        }
        if self.incoming {
            to.pair("-incoming", "defer");
        }

        to.pair("-chardev", format!("socket,id=qmp0,fd={qmp}"));
        to.pair("-mon", "chardev=qmp0,mode=control");
        to.pair("-chardev", format!("socket,id=console0,fd={console}"));
        to.pair("-device", "isa-serial,id=serial0,chardev=console0");
        to.pair("-chardev", format!("socket,id=agent0,fd={agent}"));
        to.pair("-device", "virtio-serial-pci,id=ports0,addr=0x3");
        to.pair("-device", "virtserialport,id=port0,bus=ports0.0,nr=1,chardev=agent0,name=vm.agent");
        to.pair("-object", "rng-builtin,id=random0");
        to.pair("-device", "virtio-rng-pci,id=rng0,rng=random0,addr=0x4");
        to.pair("-device", "vmgenid,id=generation0,guid=auto");
        for (index, (slot, disk)) in self.disks.iter().enumerate() {
            let address = 0x5 + index;
            to.disk(slot, disk);
            to.pair(
                "-device",
                format!("virtio-blk-pci,id=disk-{slot},drive={slot},serial={slot},addr={address:#x}"),
            );
        }
        self.cards.write(to);
    }
}

impl Cards<'_> {
    fn write(&self, to: &mut Arguments) {
        let card = |id: &str, last: u8, address: u8| {
            format!(
                "virtio-net-pci,id={id},netdev=net-{id},mac=52:54:00:c5:69:{last:02x},romfile=,addr={address:#x}"
            )
        };
        match self {
            Cards::Provisioning => {
                to.pair("-netdev", "user,id=net-provisioning");
                to.pair("-device", card("provisioning", 0xff, 0x10));
            }
            Cards::Guest { network, relay } => {
                to.pair("-netdev", "hubport,id=net-lan0,hubid=0");
                to.pair("-netdev", "hubport,id=net-world0,hubid=0");
                to.pair("-netdev", uplink(network, relay));
                to.pair("-device", card("lan0", 1, 0x10));
                to.pair("-device", card("world0", 2, 0x11));
                to.pair("-device", card("uplink0", 3, 0x12));
            }
        }
    }
}

fn uplink(network: &Network, relay: &Path) -> String {
    let mut words = vec!["user,id=net-uplink0,restrict=on,ipv6=off".to_owned()];
    for forward in &network.host_forwards {
        words.push(format!("hostfwd=tcp:{}-:{}", forward.listen, forward.guest_port));
    }
    for forward in &network.guest_forwards {
        // QEMU 7.2 can connect to a socket by itself, but once; a command is run for each connection.
        let command = format!("{} relay {}", quoted(relay), quoted(&forward.socket));
        words.push(format!("guestfwd=tcp:{}-cmd:{}", forward.address, command.replace(',', ",,")));
    }
    words.join(",")
}

/// A path as one word of a shell's.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}

fn listen(mut agent: UnixStream, to: SyncSender<Happening>) {
    std::thread::spawn(move || {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(count @ 1..) = agent.read(&mut buffer) {
            if to.send(Happening::Said(buffer[..count].to_vec())).is_err() {
                return;
            }
        }
        let _ = to.send(Happening::Gone);
    });
}

fn happening(event: &str, data: &Value) -> Option<Happening> {
    let text = |name: &str| data[name].as_str().unwrap_or_default().to_owned();
    match event {
        "VSERPORT_CHANGE" => Some(Happening::Port { open: data["open"].as_bool().unwrap_or(false) }),
        "SHUTDOWN" => Some(Happening::Shutdown { reason: text("reason") }),
        "BLOCK_IO_ERROR" if data["nospace"].as_bool() == Some(true) => Some(Happening::NoRoom),
        "MIGRATION" => Some(Happening::Migration { status: text("status") }),
        _ => None,
    }
}

impl Running {
    /// Writes to the guest half.
    pub(crate) fn say(&mut self, line: &[u8]) -> io::Result<()> {
        self.agent.write_all(line)
    }

    /// Waits for QEMU's end, no longer than this, and says whether it came. What else happens is not told.
    pub(crate) fn ended_within(&mut self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        loop {
            match self.happenings.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(_) => {}
                Err(RecvTimeoutError::Disconnected) => return true,
                Err(RecvTimeoutError::Timeout) => return false,
            }
        }
    }

    /// Waits for QEMU's end, after [`Happening::Gone`] or a failure, and says how it was.
    pub(crate) fn bury(&mut self) -> String {
        // Its sockets close a moment before it ends; only its own end has a status worth telling.
        for _ in 0..200 {
            if !matches!(self.child.try_wait(), Ok(None)) {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let status = self.child.wait().map_or_else(|error| error.to_string(), |status| status.to_string());
        let said = self.errors.tail().to_string();
        if said.is_empty() { status } else { format!("{said} ({status})") }
    }

    /// Ends it at once.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
    }

    /// QEMU's process id, as tests look for it.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
