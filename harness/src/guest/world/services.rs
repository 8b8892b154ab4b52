//! The servers of the world, in the world's thread and network namespace: DNS, HTTP, HTTPS
//! and the echo services.

use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use tokio::runtime::{Builder, Handle};
use tokio::sync::{Semaphore, oneshot};

use super::capture::Capture;
use super::dns::v4;
use super::link::Link;
use super::plan::WorldPlan;
use super::tls::Authority;
use super::traffic::{Passed, Traffic, cut};
use super::{PATIENCE, dns, http, in_time, network};

/// Connections that one listener serves at once; further ones wait.
const AT_ONCE: usize = 256;

/// What the world's services share.
pub(super) struct Services {
    pub plan: Arc<WorldPlan>,
    pub traffic: Arc<Traffic>,
    pub authority: Arc<Authority>,
    pub host_link: Arc<Link>,
}

/// The world's thread: sets up its namespace, serves, and ends when told to.
pub(super) fn live(
    services: &Services,
    capture: &Arc<Capture>,
    ready: &mpsc::Sender<io::Result<Handle>>,
    stopped: oneshot::Receiver<()>,
) {
    let set_up = || {
        let cable = network::configure_world(&services.plan)?;
        let runtime = Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            if services.plan.pcap {
                capture.start(cable)?;
            }
            services.host_link.hold().await?;
            serve(services).await
        })?;
        Ok(runtime)
    };
    match set_up() {
        Ok(runtime) => {
            let _ = ready.send(Ok(runtime.handle().clone()));
            let _ = runtime.block_on(stopped);
        }
        Err(error) => {
            let _ = ready.send(Err(error));
        }
    }
}

/// Opens the services that are always there.
async fn serve(services: &Services) -> io::Result<()> {
    let everywhere = |port| (Ipv4Addr::UNSPECIFIED, port);
    let shared = || (Arc::clone(&services.plan), Arc::clone(&services.traffic));
    let (plan, traffic) = shared();
    tokio::spawn(dns::serve_udp(UdpSocket::bind(everywhere(53)).await?, plan, traffic));
    let (plan, traffic) = shared();
    tokio::spawn(accept(TcpListener::bind(everywhere(53)).await?, move |stream, from, to| {
        dns::serve_tcp(stream, from, to, Arc::clone(&plan), Arc::clone(&traffic))
    }));
    let ((plan, traffic), link) = (shared(), Arc::clone(&services.host_link));
    tokio::spawn(accept(TcpListener::bind(everywhere(80)).await?, move |stream, from, to| {
        http::serve(stream, from, to, Arc::clone(&plan), Arc::clone(&traffic), Arc::clone(&link))
    }));
    let ((plan, traffic), link) = (shared(), Arc::clone(&services.host_link));
    let authority = Arc::clone(&services.authority);
    tokio::spawn(accept(TcpListener::bind(everywhere(443)).await?, move |stream, from, to| {
        let (plan, traffic, link) = (Arc::clone(&plan), Arc::clone(&traffic), Arc::clone(&link));
        let authority = Arc::clone(&authority);
        async move { http::serve(authority.accept(stream, to).await?, from, to, plan, traffic, link).await }
    }));
    Ok(())
}

/// Serves each connection in a task of its own. An error on one connection does
/// not affect the others.
pub(super) async fn accept<F>(
    listener: TcpListener,
    serve: impl Fn(tokio::net::TcpStream, SocketAddrV4, SocketAddrV4) -> F,
) where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    let places = Arc::new(Semaphore::new(AT_ONCE));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let Ok((stream, SocketAddr::V4(from))) = listener.accept().await else {
            // Perhaps there are no descriptors left: let other connections finish first.
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        let Ok(to) = stream.local_addr().and_then(v4) else { continue };
        let serving = serve(stream, from, to);
        tokio::spawn(async move {
            let _ = serving.await;
            drop(place);
        });
    }
}

pub(super) async fn echo(
    mut stream: tokio::net::TcpStream,
    from: SocketAddrV4,
    to: SocketAddrV4,
    plan: Arc<WorldPlan>,
    traffic: Arc<Traffic>,
) -> io::Result<()> {
    let mut line = Vec::new();
    let read = in_time(PATIENCE, async {
        while line.len() < 4096 && !line.ends_with(b"\n") {
            if stream.read_buf(&mut line).await? == 0 {
                break;
            }
        }
        Ok(())
    })
    .await;
    let heard = String::from_utf8_lossy(&line);
    traffic.note(Passed::Listened { from, to, heard: cut(heard.trim_end()) });
    read?;
    stream.write_all(format!("{} {}\n", plan.echo_word, heard.trim_end()).as_bytes()).await?;
    stream.shutdown().await
}
