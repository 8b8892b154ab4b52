//! The world's way to the host: one HTTP/2 connection, over a port of the machine that no program
//! of a submission can open.
//!
//! Requests for packages go to the host's package cache. The world offers the host a tunnel to a
//! page in the machine (`CONNECT`), and the host asks for the page through the tunnel, as if it had
//! connected itself. A machine that makes a base tree sends the tree to the host (`PUT`).

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::SocketAddrV4;
use std::os::unix::fs::OpenOptionsExt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http_body_util::channel::Channel;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper::upgrade::Upgraded;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use nix::fcntl::OFlag;
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;
use tokio::sync::Mutex;

use super::plan::Packages;

/// How much the host may send of one answer before the world has passed it on, and of all
/// answers together, in bytes.
const WINDOW: u32 = 1 << 20;
const WINDOWS: u32 = 4 << 20;

/// How much of a file is sent at once, in bytes.
const PIECE: usize = 64 << 10;

type Body = BoxBody<Bytes, io::Error>;
type Sender = SendRequest<Body>;

/// The connection, made when it is first needed. A broken one over a socket is made again.
pub(super) struct Link {
    to: Packages,
    sender: Mutex<Option<Sender>>,
}

impl Link {
    /// The link of a world whose packages come from there.
    pub fn new(to: &Packages) -> Self {
        Self { to: to.clone(), sender: Mutex::default() }
    }

    /// Takes hold of the machine's port before anything else can. Does nothing where packages
    /// do not come that way.
    pub async fn hold(&self) -> io::Result<()> {
        if self.to == Packages::Host { self.sender().await.map(drop) } else { Ok(()) }
    }

    /// Sends a request without a body and waits for the head of the answer.
    pub async fn ask(&self, request: Request<()>) -> io::Result<Response<Incoming>> {
        self.send(request.map(|()| Empty::new().map_err(|never| match never {}).boxed())).await
    }

    async fn send(&self, request: Request<Body>) -> io::Result<Response<Incoming>> {
        let mut sender = self.sender().await?;
        sender.ready().await.map_err(io::Error::other)?;
        sender.send_request(request).await.map_err(io::Error::other)
    }

    /// Offers the host a tunnel to a page of the machine; this end of it, once
    /// the host has taken it.
    pub async fn offer(&self, page: SocketAddrV4) -> io::Result<TokioIo<Upgraded>> {
        let request = Request::connect(page.to_string()).body(()).map_err(io::Error::other)?;
        let answer = self.ask(request).await?;
        if answer.status() != StatusCode::OK {
            return Err(io::Error::other(format!("the host does not want to look: {}", answer.status())));
        }
        hyper::upgrade::on(answer).await.map(TokioIo::new).map_err(io::Error::other)
    }

    /// Sends `content` to the host, to its end. Returns when the host has all of it.
    pub async fn give(&self, content: impl AsyncRead + Unpin + Send + 'static) -> io::Result<()> {
        let request = Request::put("http://host/").body(body(content)).map_err(io::Error::other)?;
        let answer = self.send(request).await?;
        if answer.status() != StatusCode::OK {
            return Err(io::Error::other(format!("the host does not take the file: {}", answer.status())));
        }
        Ok(())
    }

    async fn sender(&self) -> io::Result<Sender> {
        let mut kept = self.sender.lock().await;
        if let Some(sender) = kept.as_ref().filter(|sender| !sender.is_closed()) {
            return Ok(sender.clone());
        }
        let sender = match &self.to {
            Packages::Host => speak(Port::open()?).await?,
            Packages::Socket(path) => speak(UnixStream::connect(path).await?).await?,
            Packages::Nowhere | Packages::Uplink(_) => {
                return Err(io::Error::new(io::ErrorKind::NotConnected, "this world has none"));
            }
        };
        Ok(kept.insert(sender).clone())
    }
}

fn body(mut content: impl AsyncRead + Unpin + Send + 'static) -> Body {
    let (mut sender, body) = Channel::new(1);
    tokio::spawn(async move {
        loop {
            let mut piece = Vec::with_capacity(PIECE);
            match content.read_buf(&mut piece).await {
                Ok(0) => break,
                Ok(_) => {
                    if sender.send_data(piece.into()).await.is_err() {
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

async fn speak(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> io::Result<Sender> {
    let (sender, connection) = Builder::new(TokioExecutor::new())
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOWS)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(io::Error::other)?;
    tokio::spawn(connection);
    Ok(sender)
}

/// The machine's end of the port.
struct Port(AsyncFd<File>);

impl Port {
    fn open() -> io::Result<Self> {
        let path = format!("/dev/virtio-ports/{}", vm::STREAM);
        let flags = OFlag::O_NONBLOCK.bits();
        let file = File::options().read(true).write(true).custom_flags(flags).open(&path);
        let file = file.map_err(|error| io::Error::new(error.kind(), format!("{path}: {error}")))?;
        // SAFETY: a File returns the same open descriptor until it is dropped.
        Ok(Self(unsafe { AsyncFd::register(file) }?))
    }
}

impl AsyncRead for Port {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            let mut guard = ready!(self.0.poll_read_ready(context))?;
            if let Ok(read) = guard.try_io(|port| port.get_ref().read(buffer.initialize_unfilled())) {
                return Poll::Ready(read.map(|count| buffer.advance(count)));
            }
        }
    }
}

impl AsyncWrite for Port {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            let mut guard = ready!(self.0.poll_write_ready(context))?;
            if let Ok(written) = guard.try_io(|port| port.get_ref().write(bytes)) {
                return Poll::Ready(written);
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
