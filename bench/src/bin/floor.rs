//! The floor: each task in the fewest system calls. It decides, checks, locks and records nothing,
//! and a crash may leave anything behind. No tool can be much faster.
//!
//! ```text
//! floor run LOWER DIR PROGRAM            a container on a fresh overlay in DIR, torn down
//! floor exec PID PROGRAM                 a process in the namespaces of PID
//! floor net PID NAME N INTERFACE         veth pair, addresses 192.168.N.1 and .2, NAT, port 8000+N
//!                                        to 80
//! floor peer TABLE ONE OTHER             allows two interfaces to exchange packets
//! floor build LOWER CONTEXT DIR COMMAND  COPY of CONTEXT and RUN of COMMAND, each into its own
//!                                        layer in DIR
//! floor stack LOWER DIR COUNT            RUN of /bin/touch, COUNT times, each into its own layer
//!                                        in DIR
//! floor list FOLDER FILE                 reads the file FILE of each folder in FOLDER
//! floor stat FOLDER                      calls stat for every file
//! floor hash FOLDER                      reads and hashes every file
//! ```

use std::error::Error;
use std::ffi::CString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use conductor::net::links::{self, LOOPBACK, Network};
use conductor::net::netlink::{self, Batch, Netlink};
use conductor::net::nftables::{
    Field, IPV4, Meta, Register, Rule, Set, Transaction, Verdict, interface_bytes,
};
use conductor::sandbox::namespaces::{self, Fork};
use conductor::sandbox::process::Child;
use nix::libc;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::CloneFlags;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use sha2::{Digest, Sha256};

type Done = Result<(), Box<dyn Error>>;

fn main() -> Done {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["run", lower, dir, program] => run(lower, Path::new(dir), program),
        ["exec", pid, program] => exec(pid.parse()?, program),
        ["net", pid, name, number, interface] => network(pid.parse()?, name, number.parse()?, interface),
        ["peer", table, one, other] => peer(table, one, other),
        ["build", lower, context, dir, command] => {
            build(Path::new(lower), Path::new(context), Path::new(dir), command)
        }
        ["stack", lower, dir, count] => stack(lower, Path::new(dir), count.parse()?),
        ["list", folder, file] => list(Path::new(folder), file),
        ["stat", folder] => stat(Path::new(folder)),
        ["hash", folder] => {
            let mut sum = Sha256::new();
            hash(Path::new(folder), &mut sum)?;
            println!("{:02x}", sum.finalize()[0]);
            Ok(())
        }
        _ => Err("usage: floor run|exec|net|peer|build|stack|list|stat|hash ...".into()),
    }
}

/// Runs a process in new namespaces whose root is an overlay on `root`, and waits for it.
fn contain(flags: CloneFlags, lower: &str, dir: &Path, argv: &[&str]) -> Done {
    let [upper, work, root] = ["upper", "work", "root"].map(|part| dir.join(part));
    let options =
        format!("lowerdir={lower},upperdir={},workdir={},volatile", upper.display(), work.display());
    let argv = argv.iter().map(|word| CString::new(*word)).collect::<Result<Vec<_>, _>>()?;
    // SAFETY: this program has one thread.
    match unsafe { namespaces::fork_into(flags) }? {
        Fork::Parent(child) => ended_well(child),
        Fork::Child => {
            let none = None::<&str>;
            mount(none, "/", none, MsFlags::MS_PRIVATE | MsFlags::MS_REC, none)?;
            mount(Some("overlay"), &root, Some("overlay"), MsFlags::empty(), Some(&*options))?;
            nix::unistd::chdir(&root)?;
            mount(Some("/dev"), "dev", none, MsFlags::MS_BIND | MsFlags::MS_REC, none)?;
            nix::unistd::pivot_root(".", ".")?;
            umount2(".", MntFlags::MNT_DETACH)?;
            mount(Some("proc"), "/proc", Some("proc"), MsFlags::empty(), none)?;
            mount(Some("sysfs"), "/sys", Some("sysfs"), MsFlags::empty(), none)?;
            nix::unistd::sethostname("floor")?;
            nix::unistd::execve::<_, CString>(&argv[0], &argv, &[])?;
            Ok(())
        }
    }
}

fn ended_well(child: Child) -> Done {
    if child.wait()?.success() { Ok(()) } else { Err("the program failed".into()) }
}

fn run(lower: &str, dir: &Path, program: &str) -> Done {
    fs::create_dir(dir)?;
    for part in ["upper", "work", "root"] {
        fs::create_dir(dir.join(part))?;
    }
    contain(namespaces::CONTAINER, lower, dir, &[program])?;
    fs::remove_file(dir.join("work/work/incompat/volatile/dirty"))?;
    for part in
        ["work/work/incompat/volatile", "work/work/incompat", "work/work", "work", "upper", "root", ""]
    {
        fs::remove_dir(dir.join(part))?;
    }
    Ok(())
}

fn exec(pid: i32, program: &str) -> Done {
    let pidfd = process(pid)?;
    let argv = [CString::new(program)?];
    namespaces::join(&pidfd, namespaces::CONTAINER)?;
    // SAFETY: this program has one thread.
    match unsafe { namespaces::fork_into(CloneFlags::empty()) }? {
        Fork::Parent(child) => ended_well(child),
        Fork::Child => {
            nix::unistd::execve::<_, CString>(&argv[0], &argv, &[])?;
            Ok(())
        }
    }
}

fn process(pid: i32) -> io::Result<OwnedFd> {
    let pid = Pid::from_raw(pid).ok_or(io::ErrorKind::InvalidInput)?;
    Ok(pidfd_open(pid, PidfdFlags::empty())?)
}

fn network(pid: i32, name: &str, number: u8, interface: &str) -> Done {
    let first = process(pid)?;
    let ours = File::open("/proc/self/ns/net")?;
    let mut host = Netlink::open(libc::NETLINK_ROUTE)?;
    let mut inside = netlink::open_inside(&first, &ours)?;
    let [gateway, address] = [1, 2].map(|last| std::net::Ipv4Addr::new(192, 168, number, last));
    let (here, there) = (format!("{name}-o"), format!("{name}-i"));
    links::add_veth(&mut host, &here, None, None, &there, &inside.namespace)?;
    let index = links::find(&mut host, &here)?.ok_or("no interface")?.index;
    let mut batch = Batch::default();
    links::add_address(&mut batch, index, Network { address: gateway, prefix: 24 });
    links::set_up(&mut batch, index);
    host.change(batch)?;
    let index = links::find(&mut inside.netlink, &there)?.ok_or("no interface")?.index;
    let mut batch = Batch::default();
    links::set_up(&mut batch, LOOPBACK);
    links::add_address(&mut batch, index, Network { address, prefix: 24 });
    links::set_up(&mut batch, index);
    links::add_route(&mut batch, Network { address: [0; 4].into(), prefix: 0 }, gateway);
    inside.netlink.change(batch)?;

    let (table, port) = (format!("floor_{name}"), 8000 + u16::from(number));
    let exposed = Set { name: "exposed", key: &[Field::Port], value: &[Field::Address, Field::Port] };
    let mut filter = Transaction::default();
    filter.add_table(&table);
    filter.add_set(&table, &exposed);
    filter.add_chain(&table, "prerouting", "nat", libc::NF_INET_PRE_ROUTING as u32, -100);
    let redirect = Rule::default().meta(Meta::Family, Register::One).compare(true, &[IPV4]);
    let redirect = redirect.for_this_host().meta(Meta::Protocol, Register::One);
    let redirect = redirect.compare(true, &[libc::IPPROTO_TCP as u8]).tcp_header(2, 2, Register::One);
    filter.append_rule(&table, "prerouting", &redirect.map("exposed").redirect());
    filter.add_chain(&table, "postrouting", "nat", libc::NF_INET_POST_ROUTING as u32, 100);
    let leaving =
        Rule::default().meta(Meta::OutName, Register::One).compare(true, &interface_bytes(interface));
    let leaving = leaving.ip_header(12, 4, Register::One).compare(true, &address.octets());
    filter.append_rule(&table, "postrouting", &leaving.masquerade());
    filter.add_chain(&table, "forward", "filter", libc::NF_INET_FORWARD as u32, 0);
    let entering = Rule::default().meta(Meta::OutName, Register::One).compare(true, &interface_bytes(&here));
    filter.append_rule(&table, "forward", &entering.verdict(Verdict::Accept));
    let value = [&address.octets()[..], &80_u16.to_be_bytes(), &[0; 2]].concat();
    filter.add_element(&table, "exposed", &port.to_be_bytes(), Some(&value), true);
    filter.commit(&mut Netlink::open(libc::NETLINK_NETFILTER)?)?;
    Ok(fs::write("/proc/sys/net/ipv4/ip_forward", "1")?)
}

fn peer(table: &str, one: &str, other: &str) -> Done {
    let allowed = Set { name: "allowed", key: &[Field::Interface, Field::Interface], value: &[] };
    let mut filter = Transaction::default();
    filter.add_table(table);
    filter.add_set(table, &allowed);
    for (from, to) in [(one, other), (other, one)] {
        let pair = [interface_bytes(from), interface_bytes(to)].concat();
        filter.add_element(table, "allowed", &pair, None, false);
    }
    filter.commit(&mut Netlink::open(libc::NETLINK_NETFILTER)?)?;
    Ok(())
}

fn build(lower: &Path, context: &Path, dir: &Path, command: &str) -> Done {
    let (copied, ran) = (dir.join("copied"), dir.join("ran"));
    fs::create_dir_all(copied.join("upper"))?;
    copy(context, &copied.join("upper/data"))?;
    for part in ["upper", "work", "root"] {
        fs::create_dir_all(ran.join(part))?;
    }
    let lowers = format!("{}:{}", copied.join("upper").display(), lower.display());
    contain(namespaces::BUILD, &lowers, &ran, &["/bin/sh", "-c", command])?;
    Ok(fs::write(dir.join("layers"), format!("{}:{lowers}\n", ran.join("upper").display()))?)
}

/// The layer of step N is `N/upper`. Paths are relative to `dir`, because 200 longer ones do not
/// fit into the options of a mount.
fn stack(lower: &str, dir: &Path, count: usize) -> Done {
    fs::create_dir(dir)?;
    nix::unistd::chdir(dir)?;
    let mut lowers = lower.to_owned();
    for number in 1..=count {
        let layer = Path::new(&number.to_string()).to_owned();
        for part in ["", "upper", "work", "root"] {
            fs::create_dir(layer.join(part))?;
        }
        contain(namespaces::BUILD, &lowers, &layer, &["/bin/touch", &format!("/file{number}")])?;
        lowers = format!("{number}/upper:{lowers}");
    }
    Ok(fs::write("layers", lowers)?)
}

fn list(folder: &Path, file: &str) -> Done {
    let mut text = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        // A container that is being deleted has none.
        if let Ok(content) = fs::read(entry.path().join(file)) {
            text.extend([entry.file_name().as_bytes(), &content, b"\n"].concat());
        }
    }
    Ok(io::stdout().write_all(&text)?)
}

fn copy(from: &Path, to: &Path) -> Done {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

fn stat(folder: &Path) -> Done {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        if entry.metadata()?.is_dir() {
            stat(&path)?;
        }
    }
    Ok(())
}

fn hash(folder: &Path, sum: &mut Sha256) -> Done {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        sum.update(path.as_os_str().as_bytes());
        if path.is_dir() {
            hash(&path, sum)?;
        } else {
            sum.update(fs::read(path)?);
        }
    }
    Ok(())
}
