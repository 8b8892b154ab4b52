//! Our own clients and servers in any network namespace: a thread joins it and speaks TCP or ICMP
//! there. No program of the guest has a part in it.
//!
//! Nothing here may hold a container's network namespace open for longer than the probe: a
//! namespace lives as long as a socket in it, and with it the links that `stop` has to remove.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, setns};
use socket2::{Domain, Protocol, Socket, Type};

use crate::evidence::network::Answer;
use crate::guest::world::{self, Page};

/// Time between two looks at whether a server is to end.
const PAUSE: Duration = Duration::from_millis(10);
/// How long a client may take for its line.
const PATIENCE: Duration = Duration::from_secs(5);

/// A place from which to speak: a process's network namespace, or the machine's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Where the guest half is.
    Machine,
    /// Where this process is.
    Process(i32),
}

impl Place {
    /// Runs `work` on a thread in this place.
    ///
    /// # Errors
    /// When the process is gone, or the kernel refuses.
    pub fn run<T: Send>(self, work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                self.enter()?;
                work()
            });
            thread.join().unwrap_or_else(|_| Err(io::Error::other("a probe broke")))
        })
    }

    /// Puts the calling thread there.
    fn enter(self) -> io::Result<()> {
        if let Self::Process(pid) = self {
            setns(
                File::open(super::handles::proc(format!("{pid}/ns/net")))?.as_fd(),
                CloneFlags::CLONE_NEWNET,
            )?;
        }
        Ok(())
    }
}

/// A thread that serves until this is dropped.
#[derive(Debug)]
pub struct Serving {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Serving {
    /// Calls `turn` again and again. Each call should return soon.
    pub fn start(mut turn: impl FnMut() + Send + 'static) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&over);
        let thread = std::thread::spawn(move || {
            while !ended.load(Ordering::Relaxed) {
                turn();
            }
        });
        Self { over, thread: Some(thread) }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Starts a server on a TCP port, at every address of a place. It answers each line with its own
/// word and that line.
///
/// # Errors
/// When the port is taken, or the place is gone.
pub fn echo(place: Place, port: u16, word: &str) -> io::Result<Serving> {
    let listener = place.run(|| {
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port))?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    })?;
    let word = word.to_owned();
    Ok(Serving::start(move || match listener.accept() {
        Ok((stream, _)) => {
            // What goes wrong on a connection is that client's affair.
            let _ = answer(&stream, &word);
        }
        Err(_) => std::thread::sleep(PAUSE),
    }))
}

fn answer(mut stream: &TcpStream, word: &str) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    stream.write_all(format!("{word} {line}").as_bytes())
}

/// Connects from a place, says a word, and returns what came back.
pub fn ask(from: Place, to: SocketAddrV4, word: &str, within: Duration) -> Answer {
    told(from.run(|| {
        let stream = TcpStream::connect_timeout(&SocketAddr::V4(to), within)?;
        say(&stream, word, within)
    }))
}

/// Gets a web page from a place.
///
/// # Errors
/// When nobody answers in time, or what comes is not HTTP.
pub fn page(from: Place, to: SocketAddrV4, path: &str, within: Duration) -> io::Result<Page> {
    let stream = from.run(|| TcpStream::connect_timeout(&SocketAddr::V4(to), within))?;
    world::get_page(stream, to, path, within)
}

/// Says a word on a connection and returns the line that comes back.
///
/// # Errors
/// When the other side is gone or silent.
pub fn say(mut stream: &TcpStream, word: &str, within: Duration) -> io::Result<String> {
    stream.set_read_timeout(Some(within))?;
    stream.write_all(format!("{word}\n").as_bytes())?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    if line.is_empty() { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(line.trim_end().to_owned()) }
}

/// A result in the form of evidence.
pub fn told(result: io::Result<String>) -> Answer {
    match result {
        Ok(line) => Answer { line: Some(line), error: None },
        Err(error) => Answer { line: None, error: Some(error.to_string()) },
    }
}

/// Sends echo requests from a place, one every half second, until one is answered.
pub fn ping(from: Place, to: Ipv4Addr, within: Duration) -> Answer {
    told(ping_with(rand::random(), from, to, within))
}

/// As [`ping`], and whether a request arrived in `meant`: any machine on the way may answer in
/// its place. `None` where nobody could listen there.
pub fn ping_into(meant: Place, from: Place, to: Ipv4Addr, within: Duration) -> (Answer, Option<bool>) {
    let token = rand::random();
    let listener = meant.run(|| {
        let socket = raw_icmp()?;
        socket.set_nonblocking(true)?;
        Ok(socket)
    });
    let answer = told(ping_with(token, from, to, within));
    let arrived = listener.ok().map(|socket| {
        let heard = || read_icmp(&socket).ok();
        std::iter::from_fn(heard).any(|message| message.first() == Some(&8) && message.ends_with(&token))
    });
    (answer, arrived)
}

/// `token` is what the requests hold: address translation may change their identifier.
fn ping_with(token: [u8; 8], from: Place, to: Ipv4Addr, within: Duration) -> io::Result<String> {
    from.run(|| {
        let socket = raw_icmp()?;
        socket.set_read_timeout(Some(Duration::from_millis(500)))?;
        let [high, low] = rand::random::<u16>().to_be_bytes();
        let deadline = Instant::now() + within;
        // icmp(7): type 8, code 0, checksum, identifier, sequence number.
        let mut request = [[8, 0, 0, 0, high, low, 0, 1], token].concat();
        let sum = (!ones_sum(&request)).to_be_bytes();
        request[2..4].copy_from_slice(&sum);
        while Instant::now() < deadline {
            socket.send_to(&request, &SocketAddrV4::new(to, 0).into())?;
            let until = Instant::now() + Duration::from_millis(500);
            while Instant::now() < until {
                let Ok(reply) = read_icmp(&socket) else { break };
                if reply.len() >= 8 && reply[0] == 0 && reply[4..6] == [high, low] {
                    return Ok("echo reply".to_owned());
                }
            }
        }
        Err(io::ErrorKind::TimedOut.into())
    })
}

fn raw_icmp() -> io::Result<Socket> {
    Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::ICMPV4))
}

/// The next message that a raw socket holds, without the IP header, whose length is in words of
/// four bytes.
fn read_icmp(socket: &Socket) -> io::Result<Vec<u8>> {
    let mut packet = [0_u8; 128];
    let length = io::Read::read(&mut &*socket, &mut packet)?;
    let start = usize::from(packet[0] & 15) * 4;
    Ok(packet[..length].get(start..).unwrap_or_default().to_vec())
}

/// The checksum's sum (RFC 1071) over an even number of bytes.
fn ones_sum(bytes: &[u8]) -> u16 {
    let sum: u32 = bytes.chunks_exact(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    ((folded & 0xffff) + (folded >> 16)) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(20);

    #[test]
    fn a_word_comes_back_with_the_servers_own() {
        let echo = echo(Place::Machine, 0, "here");
        // Port 0 is any port, and nobody is told which: that a server starts and ends is
        // all there is to see.
        drop(echo.unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let SocketAddr::V4(address) = listener.local_addr().unwrap() else { panic!("an IPv6 address") };
        let server = std::thread::spawn(move || answer(&listener.accept().unwrap().0, "here").unwrap());
        let heard = ask(Place::Machine, address, "there", SOON);
        assert_eq!(heard.line.as_deref(), Some("here there"));
        server.join().unwrap();
    }

    #[test]
    fn a_port_where_nobody_listens_says_why() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let SocketAddr::V4(address) = listener.local_addr().unwrap() else { panic!("an IPv6 address") };
        drop(listener);
        let heard = ask(Place::Machine, address, "there", SOON);
        assert!(heard.line.is_none() && heard.error.is_some());
    }
}
