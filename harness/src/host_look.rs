//! The real host's own look at a page in the machine, through a port that QEMU forwards: how a person would see it.

use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};
use std::time::Duration;

use serde_json::Value;

use crate::guest::world::{FROM_HOST, Page};
use crate::task::matrix::{self, Shown};

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
        let url = format!("http://{}/", self.listen);
        let get = async {
            vm::use_ring();
            let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build()?;
            let answer = client.get(&url).send().await?;
            Ok::<_, reqwest::Error>(Page { status: answer.status().as_u16(), body: answer.text().await? })
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let page = runtime.and_then(|runtime| runtime.block_on(get).map_err(std::io::Error::other));
        matrix::shown("host", "host", self.listen, "/", page)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

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
}
