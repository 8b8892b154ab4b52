//! Everything beyond the machine: a network namespace that stands for the LAN and the Internet.
//!
//! The machine's default interface leads here and nowhere else. The [`World`] answers ping, DNS,
//! HTTP and HTTPS for every public address, serves packages under whatever name a tool asks for,
//! and holds another machine on the LAN from which a scenario connects in. It is one thread in a
//! namespace without a name, so nothing that a submission does to named namespaces, to the
//! machine's firewall or to its resolv.conf ends it, and no rule of ours is in the machine's
//! tables. `docs/world.md` tells the whole.
//!
//! ```no_run
//! # use harness::guest::world::{World, WorldPlan};
//! # use harness::guest::recorder::Recorder;
//! # use std::error::Error;
//! # fn drive(plan: &WorldPlan, recorder: &Recorder) -> Result<(), Box<dyn Error>> {
//! use std::{net::SocketAddrV4, time::Duration};
//! let world = World::start(plan)?;
//! // … the submission forwards port 3000 to a container …
//! let exposed = SocketAddrV4::new(plan.machine, 3000);
//! let page = world.http_get_from_lan(exposed, "/", Duration::from_secs(10));
//! recorder.record("page-from-lan", &page.map_err(|error| error.to_string()))?;
//! world.record(recorder)?;
//! # Ok(())
//! # }
//! ```

mod capture;
mod dns;
mod http;
mod lan;
mod link;
mod netlink;
mod network;
mod plan;
mod services;
mod tls;
mod traffic;

use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::path::Path;
use std::process::ChildStdout;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::net::unix::pipe;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

use super::recorder::Recorder;
use capture::Capture;
pub use capture::{FRAMES, Frames, pcap_header};
use dns::v4;
pub use http::{Page, get};
use link::Link;
pub use network::{LAN, UPLINK, WORLD};
pub use plan::{PREFIX, Packages, WorldPlan, is_public};
use services::{Services, accept, echo, live};
use tls::Authority;
pub use tls::NAME as AUTHORITY;
use traffic::Traffic;
pub use traffic::{Moment, Passed, RECORD};

/// How long a client may take for what it says to an echo service.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why there is no world. Always the infrastructure's doing.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what}: {why}")]
pub struct WorldError {
    what: &'static str,
    // Not called `source`: this error travels inside an `io::Error`, whose readers take only the
    // text.
    why: io::Error,
}

impl WorldError {
    fn at(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |why| Self { what, why }
    }
}

/// A running world. It ends when dropped.
pub struct World {
    plan: Arc<WorldPlan>,
    traffic: Arc<Traffic>,
    capture: Arc<Capture>,
    authority: Arc<Authority>,
    host_link: Arc<Link>,
    tasks: Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl World {
    /// Starts the world and connects the machine to it: the calling thread's network namespace is
    /// the machine, and must hold `lan0` and `world0`, two ends of one cable. Afterwards `lan0` has
    /// its address, the default route leads to the world, /etc/resolv.conf names a server in it,
    /// and everything answers.
    ///
    /// # Errors
    /// When an interface is missing, or the kernel refuses (not root).
    pub fn start(plan: &WorldPlan) -> Result<Self, WorldError> {
        let plan = Arc::new(plan.clone());
        let (traffic, capture) = (Arc::new(Traffic::new()), Arc::new(Capture::default()));
        let authority = Authority::new().map_err(WorldError::at("make the world's certificate authority"))?;
        let (authority, host_link) = (Arc::new(authority), Arc::new(Link::new(&plan.packages)));
        let (namespace_made, namespace) = mpsc::channel();
        let (cards_moved, cards) = mpsc::channel();
        let (ready, started) = mpsc::channel();
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("world".to_owned())
            .spawn({
                let services = Services {
                    plan: Arc::clone(&plan),
                    traffic: Arc::clone(&traffic),
                    authority: Arc::clone(&authority),
                    host_link: Arc::clone(&host_link),
                };
                let capture = Arc::clone(&capture);
                move || {
                    // Where the other end is gone, `start` has failed already.
                    let _ = namespace_made.send(network::enter_new_namespace());
                    if cards.recv().is_ok() {
                        live(&services, &capture, &ready, stopped);
                    }
                }
            })
            .map_err(WorldError::at("start the world's thread"))?;
        let gone = |_| io::Error::other("its thread ended");
        let namespace = namespace
            .recv()
            .map_err(gone)
            .and_then(|made| made)
            .map_err(WorldError::at("make the world's network namespace"))?;
        network::hand_over_cards(&namespace)
            .map_err(WorldError::at("move the world's cards into its namespace"))?;
        let _ = cards_moved.send(());
        let tasks = started
            .recv()
            .map_err(gone)
            .and_then(|tasks| tasks)
            .map_err(WorldError::at("set up the world"))?;
        network::configure_machine(&plan, Path::new("/etc/resolv.conf"))
            .map_err(WorldError::at("connect the machine to the world"))?;
        let (stop, thread) = (Some(stop), Some(thread));
        Ok(Self { plan, traffic, capture, authority, host_link, tasks, stop, thread })
    }

    /// What the world is like.
    pub fn plan(&self) -> &WorldPlan {
        &self.plan
    }

    /// The certificate of the authority that signs for every server of this world, in PEM.
    pub fn certificate(&self) -> String {
        self.authority.certificate()
    }

    /// Opens an echo service on a TCP port of every address in the world: it reads one line and
    /// answers with the plan's `echo_word`, a space, and that line.
    pub fn listen(&self, port: u16) -> io::Result<()> {
        let (plan, traffic) = (Arc::clone(&self.plan), Arc::clone(&self.traffic));
        self.inside(async move {
            let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await?;
            tokio::spawn(accept(listener, move |stream, from, to| {
                echo(stream, from, to, Arc::clone(&plan), Arc::clone(&traffic))
            }));
            Ok(())
        })
    }

    /// Connects from the other machine on the LAN. Addresses outside the LAN are tried through the
    /// machine, as if it were a router, to learn whether it lets anyone in.
    pub fn connect_from_lan(&self, to: SocketAddrV4, within: Duration) -> io::Result<TcpStream> {
        let stream = self.inside(self.dial(to, within))?.into_std()?;
        stream.set_nonblocking(false)?;
        Ok(stream)
    }

    /// Gets a page from the other machine on the LAN.
    pub fn http_get_from_lan(&self, to: SocketAddrV4, path: &str, within: Duration) -> io::Result<Page> {
        let (dial, path) = (self.dial(to, within), path.to_owned());
        self.inside(in_time(within, async move {
            http::get(TokioIo::new(dial.await?), &to.to_string(), &path).await
        }))
    }

    /// Pings from the other machine on the LAN until there is an answer; says how long that took.
    pub fn ping_from_lan(&self, to: Ipv4Addr, within: Duration) -> io::Result<Duration> {
        self.inside(in_time(within, lan::ping(self.plan.neighbour, to)))
    }

    /// Lets the real host look at a page in the machine, once: what the host says goes on to
    /// `page`, from the other machine on the LAN. Returns at once; the host may not want to look.
    pub fn show_to_host(&self, page: SocketAddrV4) {
        let (neighbour, traffic) = (self.plan.neighbour, Arc::clone(&self.traffic));
        let host_link = Arc::clone(&self.host_link);
        self.tasks.spawn(async move {
            if let Ok(stream) = host_link.offer(page).await {
                relay(stream, neighbour, page, &traffic).await;
            }
        });
    }

    /// Sends everything that a child writes to its standard output to the host. Returns when
    /// the host has all of it.
    ///
    /// # Errors
    /// If the host does not take a file from this machine, or the connection breaks.
    pub fn give_to_host(&self, output: ChildStdout) -> io::Result<()> {
        let host_link = Arc::clone(&self.host_link);
        self.inside(async move { host_link.give(pipe::Receiver::from_owned_fd(output.into())?).await })
    }

    /// Everything that passed since the last call, or since the start.
    pub fn passed(&self) -> Vec<Moment> {
        self.traffic.take()
    }

    /// Records everything that passed since the last call as evidence, one [`Moment`] a record of
    /// kind [`RECORD`]; and, where the plan asks for them, the [`Frames`].
    pub fn record(&self, recorder: &Recorder) -> io::Result<()> {
        self.passed().iter().try_for_each(|moment| recorder.record(RECORD, moment))?;
        self.capture.take().map_or(Ok(()), |frames| recorder.record(FRAMES, &frames))
    }

    fn dial(
        &self,
        to: SocketAddrV4,
        within: Duration,
    ) -> impl Future<Output = io::Result<tokio::net::TcpStream>> + Send + use<> {
        let (neighbour, traffic) = (self.plan.neighbour, Arc::clone(&self.traffic));
        async move {
            let dialled = in_time(within, lan::connect(neighbour, to)).await;
            let from = dialled.as_ref().ok().and_then(|stream| v4(stream.local_addr().ok()?).ok());
            traffic.note(Passed::FromLan {
                to,
                from,
                error: dialled.as_ref().err().map(ToString::to_string),
            });
            dialled
        }
    }

    /// Runs a task on the world's thread, in its namespace, and waits for it.
    fn inside<T: Send + 'static>(
        &self,
        task: impl Future<Output = io::Result<T>> + Send + 'static,
    ) -> io::Result<T> {
        let (done, result) = mpsc::channel();
        self.tasks.spawn(async move {
            let _ = done.send(task.await);
        });
        result.recv().map_err(|_| io::Error::other("the world has ended"))?
    }
}

/// Gets a page over a connection that exists, from whatever network namespace it was made in.
///
/// # Errors
/// When the other side is gone or silent, or does not speak HTTP.
pub fn get_page(stream: TcpStream, host: SocketAddrV4, path: &str, within: Duration) -> io::Result<Page> {
    stream.set_nonblocking(true)?;
    Builder::new_current_thread().enable_all().build()?.block_on(in_time(within, async {
        get(TokioIo::new(tokio::net::TcpStream::from_std(stream)?), &host.to_string(), path).await
    }))
}

impl Drop for World {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn relay(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    neighbour: Ipv4Addr,
    to: SocketAddrV4,
    traffic: &Traffic,
) {
    // The page sees a connection when the host has something to say to it.
    let mut first = Vec::with_capacity(4096);
    let relayed = async {
        stream.read_buf(&mut first).await?;
        let mut machine = in_time(PATIENCE, lan::connect(neighbour, to)).await?;
        machine.write_all(&first).await?;
        tokio::io::copy_bidirectional(&mut stream, &mut machine).await
    };
    let (counts, error) = match relayed.await {
        Ok((sent, received)) => ((sent + first.len() as u64, received), None),
        Err(error) => ((0, 0), Some(error.to_string())),
    };
    traffic.note(Passed::FromHost { to, sent: counts.0, received: counts.1, error });
}

/// Waits for a task, no longer than this.
///
/// # Errors
/// The task's own, or that it took too long.
pub async fn in_time<T>(within: Duration, task: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::time::timeout(within, task).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}
