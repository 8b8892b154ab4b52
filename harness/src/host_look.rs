//! The real host's own look at a page in the machine, through a port that QEMU forwards: how a person would see it.
//!
//! What answers there is the submission's. One request is made, to that port and nowhere else: a redirect is what was
//! answered, not an order; a body is cut at 64 KiB; and all of it has one time limit.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::time::Duration;

use serde_json::Value;

use crate::guest::world::{FROM_HOST, Page, get_page};
use crate::task::task4::{self, Shown};

/// How long the page may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A port of this host that leads to a guest's page.
#[derive(Clone, Copy, Debug)]
pub struct HostLook {
    listen: SocketAddrV4,
}

impl HostLook {
    /// For a scenario whose plan asks for it by `from_host`; a port that is free now.
    pub fn of(plan: &Value) -> Option<Self> {
        plan.get("from_host").filter(|wanted| **wanted == true)?;
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).ok()?.local_addr().ok()?.port();
        Some(Self { listen: SocketAddrV4::new(Ipv4Addr::LOCALHOST, free) })
    }

    /// For the guest's network.
    pub fn forward(&self) -> vm::HostForward {
        vm::HostForward { listen: self.listen, guest_port: FROM_HOST }
    }

    /// Gets the page.
    pub fn look(&self) -> Shown {
        task4::shown("host", "host", self.listen, "/", get(self.listen, PATIENCE))
    }
}

fn get(from: SocketAddrV4, patience: Duration) -> io::Result<Page> {
    let stream = TcpStream::connect_timeout(&from.into(), patience)?;
    get_page(stream, from, "/", patience)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::SocketAddr;
    use std::time::Instant;

    use serde_json::json;

    use super::*;

    #[test]
    fn the_host_sees_what_the_port_leads_to() {
        assert!(HostLook::of(&json!({ "from_host": false })).is_none());
        let look = HostLook::of(&json!({ "from_host": true })).unwrap();
        assert!(look.look().error.is_some());
        let server = TcpListener::bind(look.listen).unwrap();
        let serving = std::thread::spawn(move || {
            let (mut stream, _) = server.accept().unwrap();
            let _ = stream.read(&mut [0; 1024]).unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n7 now").unwrap();
        });
        let page = look.look();
        serving.join().unwrap();
        assert_eq!((page.status, page.body.as_str()), (Some(200), "7 now"));
    }

    /// The page of a server that sends a head, and then the same piece again and again with pauses in between; how
    /// long that took, too.
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
        (get(address, Duration::from_secs(2)), began.elapsed())
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
