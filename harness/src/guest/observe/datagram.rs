//! Our own clients and servers over UDP, in any network namespace, as [`probe`](super::probe) has
//! them for TCP.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::time::{Duration, Instant};

use super::probe::{Place, Serving, told};
use crate::evidence::network::Answer;

/// The port of name servers.
pub const NAME_SERVER: u16 = 53;
/// Time between two looks at whether a server is to end.
const PAUSE: Duration = Duration::from_millis(50);
/// Time after which a client sends again.
const AGAIN: Duration = Duration::from_millis(500);
/// A query for the address of public.example, without its number (RFC 1035, section 4.1).
const QUERY: &[u8] = b"\x01\0\0\x01\0\0\0\0\0\0\x06public\x07example\0\0\x01\0\x01";

/// Starts a server on a UDP port, at every address of a place. It answers each datagram with its
/// own word and that datagram.
///
/// # Errors
/// When the port is taken, or the place is gone.
pub fn echo(place: Place, port: u16, word: &str) -> io::Result<Serving> {
    serve(place.run(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)))?, word)
}

fn serve(socket: UdpSocket, word: &str) -> io::Result<Serving> {
    socket.set_read_timeout(Some(PAUSE))?;
    let word = format!("{word} ").into_bytes();
    Ok(Serving::start(move || {
        let mut datagram = [0; 512];
        if let Ok((length, from)) = socket.recv_from(&mut datagram) {
            // A client that is gone already has no use for its answer.
            let _ = socket.send_to(&[&word, &datagram[..length]].concat(), from);
        }
    }))
}

/// Sends a word from a place, and returns what came back.
pub fn ask(from: Place, to: SocketAddrV4, word: &str, within: Duration) -> Answer {
    let answer = from.run(|| exchange(to, word.as_bytes(), within));
    told(answer.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}

/// Sends a query to a name server from a place; whatever comes back is an answer.
pub fn ask_name_server(from: Place, to: SocketAddrV4, within: Duration) -> Answer {
    let query = [&rand::random::<[u8; 2]>(), QUERY].concat();
    told(from.run(|| exchange(to, &query, within)).map(|bytes| format!("{} bytes of DNS", bytes.len())))
}

/// Sends a datagram, again and again, until one comes back from there.
fn exchange(to: SocketAddrV4, datagram: &[u8], within: Duration) -> io::Result<Vec<u8>> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.connect(to)?;
    socket.set_read_timeout(Some(AGAIN))?;
    let deadline = Instant::now() + within;
    while Instant::now() < deadline {
        socket.send(datagram)?;
        let mut answer = [0; 1024];
        match socket.recv(&mut answer) {
            Ok(length) => return Ok(answer[..length].to_vec()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::TimedOut.into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use std::net::SocketAddr;

    use super::*;

    fn bound() -> (UdpSocket, SocketAddrV4) {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let SocketAddr::V4(address) = socket.local_addr().unwrap() else { panic!("an IPv6 address") };
        (socket, address)
    }

    #[test]
    fn a_word_comes_back_with_the_servers_own() {
        let (socket, address) = bound();
        let echo = serve(socket, "here").unwrap();
        let heard = ask(Place::Machine, address, "there", Duration::from_secs(20));
        assert_eq!(heard.line.as_deref(), Some("here there"));
        drop(echo);
        assert!(ask(Place::Machine, address, "there", AGAIN).line.is_none());
    }

    #[test]
    fn a_query_has_a_number_and_asks_for_one_address() {
        let (socket, address) = bound();
        let client = std::thread::spawn(move || ask_name_server(Place::Machine, address, AGAIN));
        let mut query = [0; 512];
        let (length, from) = socket.recv_from(&mut query).unwrap();
        let query = hickory_proto::op::Message::from_vec(&query[..length]).unwrap();
        assert_eq!(query.queries.first().unwrap().name().to_ascii(), "public.example.");
        socket.send_to(b"any", from).unwrap();
        assert!(client.join().unwrap().line.is_some());
    }
}
