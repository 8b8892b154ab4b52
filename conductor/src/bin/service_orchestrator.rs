//! Task 4: creates the matrix. Two containers run two services: the external-service on port 3000
//! of this machine, and the counter-service behind it, which only this machine can reach.
//!
//! The program calls `conductor` like a person would, and returns when the service answers.
//! Containers and services keep running; `conductor stop es-cont` and `conductor stop cs-cont` end
//! them.

use std::error::Error;
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use clap::Parser;
use serde_json::Value;

/// The port of the external-service on this machine.
const PORT: u16 = 3000;
/// The port of both services in their containers.
const INNER: u16 = 8080;
/// How long to wait for a container to run, and for a service to answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// Builds, runs and connects the two services of the assignment's task 4
#[derive(Parser)]
struct Arguments {
    /// The folder with csfile, esfile, counter-service and external-service
    #[arg(default_value = ".")]
    folder: PathBuf,
    /// The conductor program [default: beside this program]
    #[arg(long)]
    conductor: Option<PathBuf>,
    /// The folder of the services in their containers
    #[arg(long, default_value = "/opt")]
    services: String,
}

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("service_orchestrator: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Outcome<()> {
    let conductor = Conductor::find(arguments)?;
    // An earlier run may have left its containers.
    for container in ["es-cont", "cs-cont"] {
        if conductor.container(container)?.is_some() {
            conductor.call(&["stop", container])?;
        }
    }
    conductor.call(&["build", "cs-image", "csfile"])?;
    conductor.call(&["build", "es-image", "esfile"])?;

    for (image, container) in [("cs-image", "cs-cont"), ("es-image", "es-cont")] {
        let mut run = conductor.background(&["run", image, container, "--", "sleep", "infinity"])?;
        conductor.wait_until_running(container, &mut run)?;
    }
    conductor.call(&["addnetwork", "es-cont", "-i", "-e", &format!("{INNER}-{PORT}")])?;
    conductor.call(&["addnetwork", "cs-cont", "-i"])?;
    conductor.call(&["peer", "es-cont", "cs-cont"])?;

    let container = conductor.container("cs-cont")?.ok_or("cs-cont is gone")?;
    let address = container["address"].as_str().ok_or("cs-cont has no address")?;
    let counter = format!("{}/counter-service/counter-service", arguments.services);
    let counter = conductor.background(&["exec", "cs-cont", "--", &counter, &INNER.to_string(), "1"])?;
    let app = format!("{}/external-service/app.py", arguments.services);
    let url = format!("http://{address}:{INNER}/");
    let external = conductor.background(&["exec", "es-cont", "--", "python3", &app, &url])?;

    let host = own_address()?;
    let answer = first_answer(SocketAddr::from((host, PORT)), &mut [counter, external])?;
    writeln!(io::stdout(), "{}", answer.trim_end())?;
    writeln!(io::stdout(), "The service runs at http://{host}:{PORT}")?;
    Ok(())
}

/// The `conductor` program, called in the folder of the services.
struct Conductor {
    program: PathBuf,
    folder: PathBuf,
}

impl Conductor {
    fn find(arguments: &Arguments) -> Outcome<Self> {
        let beside = || Ok(std::env::current_exe()?.with_file_name("conductor"));
        let program = arguments.conductor.clone().map_or_else(beside, std::path::absolute)?;
        Ok(Self { program, folder: arguments.folder.clone() })
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(args).current_dir(&self.folder).stdin(Stdio::null());
        command
    }

    fn call(&self, args: &[&str]) -> Outcome<()> {
        let status = self.command(args).status()?;
        if status.success() { Ok(()) } else { Err(format!("conductor {}: {status}", args.join(" ")).into()) }
    }

    /// Starts a command that keeps running when this program ends.
    fn background(&self, args: &[&str]) -> Outcome<Background> {
        let complaints = tempfile::tempfile()?;
        let command = format!("conductor {}", args.join(" "));
        let started = self.command(args).stdout(Stdio::null()).stderr(complaints.try_clone()?).spawn()?;
        Ok(Background { command, started, complaints })
    }

    /// The container's entry in `ps --json`.
    fn container(&self, name: &str) -> Outcome<Option<Value>> {
        let output = self.command(&["ps", "--json"]).stderr(Stdio::inherit()).output()?;
        let list: Vec<Value> = serde_json::from_slice(&output.stdout)?;
        Ok(list.into_iter().find(|container| container["name"] == name))
    }

    fn wait_until_running(&self, name: &str, run: &mut Background) -> Outcome<()> {
        let begin = Instant::now();
        while begin.elapsed() < PATIENCE {
            match self.container(name)? {
                Some(container) if container["status"] == "running" => return Ok(()),
                _ => std::thread::sleep(Duration::from_millis(20)),
            }
            run.must_go_on()?;
        }
        Err(format!("{name} does not run").into())
    }
}

/// A command in the background.
struct Background {
    command: String,
    started: Child,
    /// Its standard error.
    complaints: File,
}

impl Background {
    /// Fails with its error output if it has ended.
    fn must_go_on(&mut self) -> Outcome<()> {
        let Some(status) = self.started.try_wait()? else { return Ok(()) };
        let mut said = String::new();
        self.complaints.rewind()?;
        self.complaints.read_to_string(&mut said)?;
        Err(format!("{}: {status}\n{}", self.command, said.trim_end()).into())
    }
}

/// The address of this machine in the network. Connecting a datagram socket sends nothing; it only
/// looks up the route.
fn own_address() -> Outcome<Ipv4Addr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9))?;
    match socket.local_addr()? {
        SocketAddr::V4(address) => Ok(*address.ip()),
        SocketAddr::V6(_) => Err("this machine has no IPv4 address".into()),
    }
}

/// Waits for the first answer of the service. Fails if one of `makers`, on which it depends, has
/// ended.
fn first_answer(service: SocketAddr, makers: &mut [Background]) -> Outcome<String> {
    let begin = Instant::now();
    loop {
        match get(service) {
            Ok(answer) => return Ok(answer),
            Err(error) if begin.elapsed() > PATIENCE => {
                return Err(format!("the service does not answer at {service}: {error}").into());
            }
            Err(_) => std::thread::sleep(Duration::from_millis(100)),
        }
        for maker in &mut *makers {
            maker.must_go_on()?;
        }
    }
}

/// Sends `GET /` by HTTP/1.0 and returns the body of a successful answer.
fn get(service: SocketAddr) -> Outcome<String> {
    let mut stream = TcpStream::connect_timeout(&service, Duration::from_secs(5))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    write!(stream, "GET / HTTP/1.0\r\nHost: {service}\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(1 << 20).read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("no HTTP answer")?;
    if head.split(' ').nth(1) == Some("200") { Ok(body.to_owned()) } else { Err(head.to_owned().into()) }
}
