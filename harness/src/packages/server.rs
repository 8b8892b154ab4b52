//! The cache's HTTP side: on a guest's port, on a Unix socket, or on the loopback for
//! programs of this host.

use std::convert::Infallible;
use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::net::{UnixListener as StdUnixListener, UnixStream as StdUnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use http_body_util::channel::Channel;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_LENGTH, HOST, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::answer::{Content, Growing};
use super::cache::PackageCache;
use crate::host_look::Tunnels;

/// Connections that are served at once, and requests of one guest; further ones wait.
const AT_ONCE: usize = 64;
/// How long a client may take for the head of a request.
const HEAD_PATIENCE: Duration = Duration::from_secs(60);
/// The longest head of a request, in bytes.
const HEAD_LIMIT: u32 = 16 << 10;
/// How much of an answer waits for a guest to take it, in bytes.
const UNSENT: usize = 256 << 10;
/// The largest file that the host takes from a guest, in bytes. A base tree has 150 to 400 MB.
const LARGEST: usize = 4 << 30;
/// Threads for work on files, of which there is little and none that waits.
const FILE_THREADS: usize = 4;

type Body = BoxBody<Bytes, io::Error>;

/// A running server. It ends when dropped, and removes its socket.
#[derive(Debug)]
pub struct Server {
    guests: UnboundedSender<Connected>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    socket: Option<PathBuf>,
}

/// What the host takes from a guest, apart from requests for packages.
#[derive(Debug)]
pub enum Takes {
    /// Nothing.
    Nothing,
    /// The first tunnel to the guest's page, through this sender.
    Tunnel(Tunnels),
    /// One file of at most 4 GiB; the host writes its content to this one.
    File(File),
}

/// A guest's port.
#[derive(Debug)]
struct Connected {
    port: Port,
    takes: Takes,
}

/// How a guest reaches the server.
#[derive(Debug)]
enum Port {
    Stream(StdUnixStream),
    /// A socket in its file system.
    Socket(StdUnixListener),
}

enum Listener {
    Unix(UnixListener),
    Tcp(TcpListener),
}

impl Server {
    /// Serves programs of this host on a Unix socket at `path`, which must not exist.
    ///
    /// # Errors
    /// When the socket cannot be made.
    pub fn on_socket(cache: &Arc<PackageCache>, path: &Path) -> io::Result<Self> {
        let at = path.to_owned();
        let (mut server, ()) =
            Self::start(cache, async move || Ok((Listener::Unix(UnixListener::bind(at)?), ())))?;
        server.socket = Some(path.to_owned());
        Ok(server)
    }

    /// Serves a guest on its port as well, until the guest ends.
    pub fn serve_guest(&self, port: StdUnixStream, takes: Takes) {
        // A server that has ended serves nobody.
        let _ = self.guests.send(Connected { port: Port::Stream(port), takes });
    }

    /// Serves a guest in the same way on a socket at `path`, until the server ends.
    ///
    /// # Errors
    /// When the socket cannot be made.
    pub fn serve_machine(&self, path: &Path, takes: Takes) -> io::Result<()> {
        let socket = StdUnixListener::bind(path)?;
        let _ = self.guests.send(Connected { port: Port::Socket(socket), takes });
        Ok(())
    }

    /// Serves programs of this host on a free port of the loopback, as a mirror and as a proxy.
    ///
    /// # Errors
    /// When there is no loopback.
    pub fn on_loopback(cache: &Arc<PackageCache>) -> io::Result<(Self, SocketAddr)> {
        Self::start(cache, async || {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
            let address = listener.local_addr()?;
            Ok((Listener::Tcp(listener), address))
        })
    }

    fn start<T: Send + 'static>(
        cache: &Arc<PackageCache>,
        listen: impl AsyncFnOnce() -> io::Result<(Listener, T)> + Send + 'static,
    ) -> io::Result<(Self, T)> {
        let cache = Arc::clone(cache);
        let (stop, stopped) = oneshot::channel();
        let (guests, connected) = unbounded_channel();
        let (ready, started) = mpsc::channel::<io::Result<T>>();
        let thread = std::thread::Builder::new().name("packages".to_owned()).spawn(move || {
            let set_up = || -> io::Result<_> {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .max_blocking_threads(FILE_THREADS)
                    .enable_all()
                    .build()?;
                let (listener, address) = runtime.block_on(listen())?;
                Ok((runtime, listener, address))
            };
            match set_up() {
                // Where the other end is gone, nobody waits for a server.
                Err(error) => drop(ready.send(Err(error))),
                Ok((runtime, listener, address)) => {
                    let _ = ready.send(Ok(address));
                    runtime.block_on(async {
                        tokio::select! {
                            () = accept(listener, &cache) => {},
                            () = attend(connected, &cache) => {},
                            _ = stopped => {},
                        }
                    });
                }
            }
        })?;
        let address = started.recv().map_err(|_| io::Error::other("the server's thread ended"))??;
        Ok((Self { guests, stop: Some(stop), thread: Some(thread), socket: None }, address))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        if let Some(socket) = &self.socket {
            let _ = std::fs::remove_file(socket);
        }
    }
}

/// Serves each guest in a task of its own. Ends with the server.
async fn attend(mut connected: UnboundedReceiver<Connected>, cache: &Arc<PackageCache>) {
    while let Some(Connected { port, takes }) = connected.recv().await {
        let (cache, takes) = (Arc::clone(cache), Arc::new(Mutex::new(takes)));
        match port {
            Port::Stream(port) => {
                let port = port.set_nonblocking(true).and_then(|()| UnixStream::from_std(port));
                let Ok(port) = port else { continue };
                tokio::spawn(serve_guest(port, takes, cache));
            }
            Port::Socket(socket) => {
                let socket = socket.set_nonblocking(true).and_then(|()| UnixListener::from_std(socket));
                let Ok(socket) = socket else { continue };
                tokio::spawn(async move {
                    while let Ok((port, _)) = socket.accept().await {
                        tokio::spawn(serve_guest(port, Arc::clone(&takes), Arc::clone(&cache)));
                    }
                });
            }
        }
    }
}

/// Answers a guest's requests for packages, and takes the tunnel or the file that it offers.
async fn serve_guest(port: UnixStream, takes: Arc<Mutex<Takes>>, cache: Arc<PackageCache>) {
    let service = service_fn(|request: Request<Incoming>| {
        let (cache, takes) = (Arc::clone(&cache), Arc::clone(&takes));
        async move {
            Ok::<_, Infallible>(match *request.method() {
                Method::CONNECT => take_tunnel(request, &takes),
                Method::PUT => take_file(request, &takes).await,
                _ => answer(&cache, &request).await,
            })
        }
    });
    let mut http = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    http.timer(TokioTimer::new())
        .max_concurrent_streams(AT_ONCE as u32)
        .max_header_list_size(HEAD_LIMIT)
        .max_send_buf_size(UNSENT);
    // A guest that breaks off needs no answer.
    let _ = http.serve_connection(TokioIo::new(port), service).await;
}

/// Takes the tunnel that a guest offers, if the host wants to see its page and has no tunnel yet.
fn take_tunnel(request: Request<Incoming>, takes: &Mutex<Takes>) -> Response<Body> {
    let accepted = match &*takes.lock().unwrap_or_else(PoisonError::into_inner) {
        Takes::Tunnel(tunnels) => tunnels.try_send(hyper::upgrade::on(request)).is_ok(),
        Takes::Nothing | Takes::File(_) => false,
    };
    plain(if accepted { StatusCode::OK } else { StatusCode::FORBIDDEN }, String::new())
}

/// Takes the file that a guest sends, if the host waits for one and has none yet.
async fn take_file(request: Request<Incoming>, takes: &Mutex<Takes>) -> Response<Body> {
    let file = {
        let mut takes = takes.lock().unwrap_or_else(PoisonError::into_inner);
        match std::mem::replace(&mut *takes, Takes::Nothing) {
            Takes::File(file) => file,
            other => {
                *takes = other;
                return plain(StatusCode::FORBIDDEN, String::new());
            }
        }
    };
    match keep(request.into_body(), file).await {
        Ok(()) => plain(StatusCode::OK, String::new()),
        Err(error) => plain(StatusCode::INSUFFICIENT_STORAGE, format!("{error}\n")),
    }
}

async fn keep(body: Incoming, file: File) -> io::Result<()> {
    let (mut body, mut file) = (Limited::new(body, LARGEST), tokio::fs::File::from_std(file));
    while let Some(frame) = body.frame().await {
        if let Ok(bytes) = frame.map_err(io::Error::other)?.into_data() {
            file.write_all(&bytes).await?;
        }
    }
    file.flush().await
}

async fn accept(listener: Listener, cache: &Arc<PackageCache>) {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let accepted = match &listener {
            Listener::Unix(listener) => {
                listener.accept().await.map(|(stream, _)| serve(stream, cache, place))
            }
            Listener::Tcp(listener) => listener.accept().await.map(|(stream, _)| serve(stream, cache, place)),
        };
        if accepted.is_err() {
            // Out of descriptors, say: let the others finish first.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Answers one connection's requests in a task of its own.
fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    cache: &Arc<PackageCache>,
    place: OwnedSemaphorePermit,
) {
    let cache = Arc::clone(cache);
    tokio::spawn(async move {
        let service = service_fn(|request| {
            let cache = Arc::clone(&cache);
            async move { Ok::<_, Infallible>(answer(&cache, &request).await) }
        });
        let mut http = auto::Builder::new(TokioExecutor::new());
        http.http1()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_PATIENCE)
            .max_buf_size(HEAD_LIMIT as usize);
        // A guest that breaks off needs no answer.
        let _ = http.serve_connection(TokioIo::new(stream), service).await;
        drop(place);
    });
}

async fn answer(cache: &Arc<PackageCache>, request: &Request<Incoming>) -> Response<Body> {
    let head = request.method() == Method::HEAD;
    if !head && request.method() != Method::GET {
        return plain(StatusCode::METHOD_NOT_ALLOWED, "GET and HEAD only\n".to_owned());
    }
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let answer = cache.answer(request.uri().host().unwrap_or(host), request.uri().path()).await;
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::BAD_GATEWAY);
    let mut response = match answer.body {
        Content::Text(text) => plain(status, text),
        Content::File(_) if head => Response::new(Empty::new().map_err(|never| match never {}).boxed()),
        Content::File(file) => Response::new(body(file)),
    };
    *response.status_mut() = status;
    for (name, value) in answer.headers {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(name, value);
        }
    }
    if let Some(size) = answer.size {
        response.headers_mut().insert(CONTENT_LENGTH, size.into());
    }
    response
}

fn plain(status: StatusCode, text: String) -> Response<Body> {
    let mut response = Response::new(Full::from(text).map_err(|never| match never {}).boxed());
    *response.status_mut() = status;
    response
}

fn body(mut file: Growing) -> Body {
    let (mut sender, body) = Channel::new(1);
    tokio::spawn(async move {
        let mut offset = 0;
        loop {
            match file.read_at(offset).await {
                Ok(bytes) if bytes.is_empty() => break,
                Ok(bytes) => {
                    offset += bytes.len() as u64;
                    if sender.send_data(bytes.into()).await.is_err() {
                        break;
                    }
                }
                Err(error) => {
                    sender.abort(error);
                    break;
                }
            }
        }
    });
    body.boxed()
}
