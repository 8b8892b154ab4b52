//! The world's web servers: a page that proves the Internet was reached, and every
//! package mirror there is.
//!
//! Which requests are for packages is told by the path (`…/dists/…`, `…/pool/…`, as every
//! Debian-like archive has them), never by a list of hosts. They go on to the cache on the host,
//! with the name that they were sent to.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddrV4;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::{Body, Bytes, Frame, Incoming};
use hyper::client::conn::http1::handshake;
use hyper::header::{CONTENT_TYPE, HOST, HeaderValue};
use hyper::http::uri::Authority;
use hyper::rt::{Read, Write};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};

use super::link::Link;
use super::plan::{WorldPlan, is_public};
use super::traffic::{Passed, Traffic, cut};
use crate::guest::observe::served::SERVED;

type Answer = Response<BoxBody<Bytes, hyper::Error>>;

/// What a web server said.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Page {
    /// The HTTP status.
    pub status: u16,
    /// The body, cut at 64 KiB, with what is no UTF-8 replaced.
    pub body: String,
}

/// The longest body that [`get`] keeps.
const PAGE_LIMIT: usize = 64 << 10;
/// The package server refuses longer paths, and would be taken for one that cannot be reached.
const LONGEST_PATH: usize = 1 << 10;

/// Answers the requests of one connection.
pub(super) async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    from: SocketAddrV4,
    to: SocketAddrV4,
    plan: Arc<WorldPlan>,
    traffic: Arc<Traffic>,
    host_link: Arc<Link>,
) -> io::Result<()> {
    if !is_public(*to.ip()) {
        return Ok(());
    }
    let service = service_fn(|request: Request<Incoming>| async {
        let host = host(&request);
        let method = request.method().to_string();
        let path = cut(request.uri().path());
        let packages = is_for_packages(&path);
        let answer = if packages { from_cache(&host_link, request, &host).await } else { page(&plan, &host) };
        let bytes = answer.body().size_hint().exact();
        let status = answer.status().as_u16();
        traffic.note(Passed::Http { from, to, method, host: cut(&host), path, status, packages, bytes });
        Ok::<_, Infallible>(answer)
    });
    hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(120))
        .serve_connection(TokioIo::new(stream), service)
        .await
        .map_err(io::Error::other)
}

/// Asks a web server for a page over a connection that exists.
///
/// # Errors
/// When the other side is gone, or does not speak HTTP.
pub async fn get(
    stream: impl Read + Write + Unpin + Send + 'static,
    host: &str,
    path: &str,
) -> io::Result<Page> {
    let (mut sender, connection) = handshake(stream).await.map_err(io::Error::other)?;
    tokio::spawn(connection);
    let request = Request::get(path)
        .header(HOST, host)
        .body(Empty::<Bytes>::new())
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    let answer = sender.send_request(request).await.map_err(io::Error::other)?;
    let status = answer.status().as_u16();
    let mut body = answer.into_body();
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.map_err(io::Error::other)?.into_data() {
            bytes.extend_from_slice(&data[..data.len().min(PAGE_LIMIT - bytes.len())]);
        }
        if bytes.len() == PAGE_LIMIT {
            break;
        }
    }
    Ok(Page { status, body: String::from_utf8_lossy(&bytes).into_owned() })
}

fn is_for_packages(path: &str) -> bool {
    ["/dists/", "/pool/"].iter().any(|part| path.contains(part))
}

/// The host a request names, in its Host header or, to a proxy, in its target.
fn host(request: &Request<Incoming>) -> String {
    let header = || Some(request.headers().get(HOST)?.to_str().ok()?.to_owned());
    request.uri().authority().map(ToString::to_string).or_else(header).unwrap_or_default()
}

fn page(plan: &WorldPlan, host: &str) -> Answer {
    let shown: String = host.chars().filter(|c| c.is_ascii_alphanumeric() || ".-:".contains(*c)).collect();
    text(
        StatusCode::OK,
        "text/html",
        format!("<!DOCTYPE html>\n<title>{shown}</title>\n<p>{}</p>\n", plan.page_word),
    )
}

fn text(status: StatusCode, kind: &'static str, text: String) -> Answer {
    let mut answer = Response::new(Full::from(text).map_err(|never| match never {}).boxed());
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    answer
}

/// Passes a request on to the package cache.
async fn from_cache(host_link: &Link, request: Request<Incoming>, host: &str) -> Answer {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return text(StatusCode::METHOD_NOT_ALLOWED, "text/plain", "GET and HEAD only\n".to_owned());
    }
    if request.uri().path().len() > LONGEST_PATH {
        return text(StatusCode::URI_TOO_LONG, "text/plain", "no package has such a long path\n".to_owned());
    }
    match pass_on(host_link, &request, host).await {
        Ok(answer) => answer,
        Err(error) => {
            text(StatusCode::SERVICE_UNAVAILABLE, "text/plain", format!("no package mirror: {error}\n"))
        }
    }
}

async fn pass_on(host_link: &Link, request: &Request<Incoming>, host: &str) -> io::Result<Answer> {
    let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
    let host = if host.parse::<Authority>().is_ok() { host } else { "unknown" };
    let onward = Request::builder()
        .method(request.method())
        .uri(format!("http://{host}{target}"))
        .body(())
        .map_err(io::Error::other)?;
    let asked = SERVED.asked(request.uri().path());
    let answer = host_link.ask(onward).await?;
    let counts = asked.answered(answer.status().as_u16());
    let count = move |frame: Frame<Bytes>| {
        SERVED.sent(frame.data_ref().map_or(0, |data| data.len() as u64), counts);
        frame
    };
    Ok(answer.map(|body| body.map_frame(count).boxed()))
}
