//! The real host's own look at a page in the machine, as a person would see it.
//!
//! The guest's world offers the host one tunnel to the page (see `guest/world/link.rs`). What
//! answers there is the submission's. The host makes one request through the tunnel and none
//! anywhere else: a redirect is what was answered, not an order; a body is cut at 64 KiB; and all
//! of it has one time limit.

use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use hyper::upgrade::OnUpgrade;
use serde_json::Value;

use crate::guest::world::{Page, get, in_time};
use crate::task::Visit;

/// How long the page may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where the package server puts the tunnel that the guest offers: there is room for one.
pub type Tunnels = SyncSender<OnUpgrade>;

/// The host's end of a tunnel to a guest's page.
#[derive(Debug)]
pub struct HostLook {
    page: SocketAddrV4,
    record: fn(SocketAddrV4, io::Result<Page>) -> Value,
    offered: Receiver<OnUpgrade>,
}

impl HostLook {
    /// For a visit in a scenario with this plan.
    pub fn of(visit: &Visit, plan: &Value) -> (Self, Tunnels) {
        let machine = plan["world"]["machine"].as_str().and_then(|text| text.parse().ok());
        let page = SocketAddrV4::new(machine.unwrap_or(Ipv4Addr::UNSPECIFIED), visit.port);
        let (tunnels, offered) = sync_channel(1);
        (Self { page, record: visit.page, offered }, tunnels)
    }

    /// Gets the page; the data of its record.
    pub fn look(self) -> Value {
        (self.record)(self.page, self.page())
    }

    fn page(&self) -> io::Result<Page> {
        let began = Instant::now();
        let no_tunnel =
            |_| io::Error::new(io::ErrorKind::NotConnected, "the machine has not opened the tunnel");
        let tunnel = self.offered.recv_timeout(PATIENCE).map_err(no_tunnel)?;
        let left = PATIENCE.saturating_sub(began.elapsed());
        waiting(left, async {
            get(tunnel.await.map_err(io::Error::other)?, &self.page.to_string(), "/").await
        })
    }
}

fn waiting(patience: Duration, page: impl Future<Output = io::Result<Page>>) -> io::Result<Page> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(in_time(patience, page))
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{SocketAddr, TcpListener};

    use hyper_util::rt::TokioIo;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_page_that_the_machine_does_not_offer_is_recorded_with_its_address() {
        let visit = crate::task::task4::SCENARIO.visit.as_ref().unwrap();
        let (look, tunnels) = HostLook::of(visit, &json!({ "world": { "machine": "10.20.30.40" } }));
        drop(tunnels);
        let shown = look.look();
        assert_eq!(shown["url"], "http://10.20.30.40:3000/");
        assert!(shown["error"].as_str().unwrap().contains("has not opened the tunnel"));
    }

    /// The page of a server that sends a head, and then the same piece again and again with pauses
    /// in between; how long that took, too.
    fn page_of(head: &str, piece: &'static [u8], pause: Duration) -> (io::Result<Page>, Duration) {
        let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let SocketAddr::V4(address) = server.local_addr().unwrap() else { unreachable!("bound to IPv4") };
        let head = head.to_owned();
        std::thread::spawn(move || {
            let (mut stream, _) = server.accept().unwrap();
            let _ = stream.read(&mut [0; 1024]).unwrap();
            stream.write_all(head.as_bytes()).unwrap();
            while !piece.is_empty() && stream.write_all(piece).is_ok() {
                std::thread::sleep(pause);
            }
        });
        let began = Instant::now();
        let page = waiting(Duration::from_secs(2), async {
            let stream = tokio::net::TcpStream::connect(address).await?;
            get(TokioIo::new(stream), &address.to_string(), "/").await
        });
        (page, began.elapsed())
    }

    #[test]
    fn a_redirect_is_not_followed() {
        let elsewhere = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        elsewhere.set_nonblocking(true).unwrap();
        let to = elsewhere.local_addr().unwrap();
        let head = format!("HTTP/1.1 302 Found\r\nLocation: http://{to}/\r\nContent-Length: 0\r\n\r\n");
        let page = page_of(&head, b"", Duration::ZERO).0.unwrap();
        assert_eq!((page.status, page.body.as_str()), (302, ""));
        assert_eq!(elsewhere.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn an_endless_body_is_cut() {
        let (page, _) = page_of("HTTP/1.1 200 OK\r\n\r\n", &[b'x'; 4096], Duration::ZERO);
        assert_eq!(page.unwrap().body.len(), 64 << 10);
    }

    #[test]
    fn a_body_that_drips_and_a_head_without_end_have_a_time_limit() {
        let pause = Duration::from_millis(50);
        for head in ["HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\nX-Drip: "] {
            let (page, took) = page_of(head, b"x", pause);
            assert_eq!(page.unwrap_err().kind(), io::ErrorKind::TimedOut);
            assert!(took < Duration::from_secs(4), "{took:?}");
        }
    }
}
