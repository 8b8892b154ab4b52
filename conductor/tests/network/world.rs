//! The network of a test: a host in its own namespaces, and another machine behind its interface
//! `wan0`.

use super::*;

/// The host's address on the network it shares with the other machine.
pub const HOST: &str = "10.9.0.2";

/// The address of the other machine.
pub const OTHER: &str = "10.9.0.1";

/// A playground whose host has an interface `wan0` and, behind it, another machine.
pub struct Network {
    pub place: Playground,
    pub other: Child,
}

impl Network {
    /// Creates a network with the policy `DROP` or `ACCEPT` in the FORWARD chain of iptables.
    pub fn new(policy: &str) -> Option<Self> {
        let place = Playground::new()?;
        place.build("").success();
        let mut other = Command::new("unshare");
        other.args(["-n", "sleep", "infinity"]).stdin(Stdio::null());
        let network = Self { place, other: other.spawn().unwrap() };
        let pid = network.other.id();
        let namespace = |pid: u32| fs::read_link(format!("/proc/{pid}/ns/net")).unwrap();
        wait_for(|| namespace(pid) != namespace(std::process::id()));
        network.host(&format!(
            "set -e; ip link set lo up; ip link add wan0 type veth peer name wan0 netns {pid}; \
             ip addr add {HOST}/24 dev wan0; ip link set wan0 up; ip route add default via {OTHER}; \
             echo 0 > /proc/sys/net/ipv4/ip_forward; iptables -P FORWARD {policy}"
        ));
        network.beyond(&format!(
            "set -e; ip link set lo up; ip addr add {OTHER}/24 dev wan0; ip link set wan0 up; \
             ip route add 192.168.0.0/16 via {HOST}"
        ));
        // The kernel reports a moment later that the other end is up, and `state` would see the
        // difference.
        wait_for(|| {
            let link = network.host("ip -o link show wan0; ip route");
            link.contains("state UP") && !link.contains("linkdown")
        });
        Some(network)
    }

    /// Runs a shell on the host and returns its output.
    pub fn host(&self, script: &str) -> String {
        output(self.place.command("/bin/sh").args(["-c", script]))
    }

    /// Runs a shell on the other machine and returns its output.
    pub fn beyond(&self, script: &str) -> String {
        output(&mut self.on_other(script))
    }

    pub fn on_other(&self, script: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/proc/{}/ns/net", self.other.id())).args(["sh", "-c", script]);
        command
    }

    /// Starts a container with a server on a port that says `hello from NAME`, and calls
    /// `addnetwork`.
    pub fn add(&self, name: &str, options: &[&str], port: u16) {
        let serve = format!("while :; do echo hello from {name} | nc -l -p {port} > /dev/null; done");
        self.place.keep_running(name, &["sh", "-c", &serve]);
        self.place
            .conductor(["addnetwork", name].into_iter().chain(options.iter().copied()))
            .assert()
            .success();
    }

    /// What a container receives from an address.
    pub fn heard_in(&self, name: &str, address: &str, port: u16) -> String {
        self.place.exec(name, ["sh", "-c", &hear("nc", address, port)])
    }

    pub fn heard_by_host(&self, address: &str, port: u16) -> String {
        self.host(&hear("busybox nc", address, port))
    }

    pub fn heard_by_other(&self, address: &str, port: u16) -> String {
        self.beyond(&hear("busybox nc", address, port))
    }

    /// Everything on the host that a network may change.
    pub fn state(&self) -> String {
        let all = "nft list ruleset; iptables-save; grep . /proc/sys/net/ipv4/conf/*/forwarding; ip -o link; ip route";
        // The comments of iptables-save contain the time.
        self.host(all).lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let _ = self.other.kill();
        let _ = self.other.wait();
    }
}

/// A shell command that connects and prints the answer. It tries again if the server is not ready,
/// or closes without an answer because it saw the end of our input first. Silence is an answer.
fn hear(nc: &str, address: &str, port: u16) -> String {
    format!(
        "for i in $(seq 200); do heard=$(timeout 2 {nc} {address} {port} < /dev/null 2>&1); status=$?; \
         case $status:$heard in *:hello*) echo \"$heard\"; exit;; *refused*|*reset*|0:) sleep 0.05;; *) exit;; \
         esac; done"
    )
}

/// The standard output alone: `ip` complains on standard error about every file in /run/netns that
/// is no namespace here, for instance one that another mount namespace left behind.
fn output(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap();
    eprint!("{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A server on the other machine that says `hello from beyond`.
pub struct Server(pub Child);

impl Server {
    pub fn on_other(network: &Network, port: u16) -> Self {
        let serve = format!("while :; do echo hello from beyond | busybox nc -l -p {port} > /dev/null; done");
        let mut command = network.on_other(&serve);
        Self(command.stdin(Stdio::null()).process_group(0).spawn().unwrap())
    }
}

/// A container in another CONTAINERDIR, with a server on port 80 that says `hello from elsewhere`.
pub struct Elsewhere<'a> {
    pub network: &'a Network,
    pub name: &'static str,
    pub run: Child,
}

impl<'a> Elsewhere<'a> {
    pub fn run(network: &'a Network, name: &'static str) -> Self {
        let serve = "while :; do echo hello from elsewhere | nc -l -p 80 > /dev/null; done";
        let mut run = network.place.command(env!("CARGO_BIN_EXE_conductor"));
        run.args(["run", "--containerdir", "elsewhere", "img", name, "--", "sh", "-c", serve]);
        let run = run.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
        wait_for(|| network.place.path().join("elsewhere").join(name).join("process.json").exists());
        Self { network, name, run }
    }

    pub fn conductor(&self, args: &[&'static str]) -> assert_cmd::assert::Assert {
        let args = args.iter().copied().chain(["--containerdir", "elsewhere"]);
        self.network.place.conductor(args).assert()
    }
}

impl Drop for Elsewhere<'_> {
    fn drop(&mut self) {
        let _ = self.network.place.conductor(["stop", self.name, "--containerdir", "elsewhere"]).ok();
        let _ = self.run.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The shell and its current nc.
        let _ = killpg(Pid::from_raw(self.0.id().cast_signed()), Signal::SIGKILL);
        let _ = self.0.wait();
    }
}
