//! The world's name servers: whatever address is asked, it answers, and every name has an address.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::AsRawFd;
use std::sync::Arc;

use hickory_proto::op::{Message, MessageType, Metadata, OpCode, ResponseCode};
use hickory_proto::rr::rdata::A;
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use nix::libc;
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrIn, recvmsg, sendmsg, setsockopt, sockopt,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::{TcpStream, UdpSocket};

use super::plan::WorldPlan;
use super::traffic::{Passed, Traffic};

/// Seconds that an answer may be kept.
const TTL: u32 = 300;

/// Answers queries on a UDP socket bound to every address, each from the address that
/// was asked, for ever.
pub(super) async fn serve_udp(
    socket: UdpSocket,
    plan: Arc<WorldPlan>,
    traffic: Arc<Traffic>,
) -> io::Result<()> {
    setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?;
    loop {
        let (query, from, server) = socket.async_io(Interest::READABLE, || receive(&socket)).await?;
        if let Some((answer, question)) = answer(&query, &plan) {
            traffic.note(question.passed(from, server, "udp"));
            // A client that is gone already has no use for its answer.
            let _ = socket.async_io(Interest::WRITABLE, || send(&socket, &answer, from, server)).await;
        }
    }
}

/// Answers the queries that come over one TCP connection (RFC 7766) until the client closes it.
pub(super) async fn serve_tcp(
    mut stream: TcpStream,
    from: SocketAddrV4,
    server: SocketAddrV4,
    plan: Arc<WorldPlan>,
    traffic: Arc<Traffic>,
) -> io::Result<()> {
    loop {
        let mut query = vec![0; stream.read_u16().await?.into()];
        stream.read_exact(&mut query).await?;
        let Some((answer, question)) = answer(&query, &plan) else { return Ok(()) };
        traffic.note(question.passed(from, *server.ip(), "tcp"));
        let length = u16::try_from(answer.len()).map_err(io::Error::other)?;
        stream.write_all(&[&length.to_be_bytes(), answer.as_slice()].concat()).await?;
    }
}

/// What was asked and what was said.
struct Question {
    name: String,
    kind: String,
    address: Option<Ipv4Addr>,
}

impl Question {
    fn passed(self, from: SocketAddrV4, server: Ipv4Addr, over: &str) -> Passed {
        let Self { name, kind, address } = self;
        Passed::Dns { from: *from.ip(), server, over: over.to_owned(), name, kind, address }
    }
}

/// The answer to one query, or nothing where it is none. Names of one label do not exist, as on the
/// Internet; every other has one A record and nothing else.
fn answer(query: &[u8], plan: &WorldPlan) -> Option<(Vec<u8>, Question)> {
    let query = Message::from_vec(query).ok()?;
    if query.metadata.message_type != MessageType::Query {
        return None;
    }
    let asked = query.queries.first()?.clone();
    let mut message = Message::response(query.metadata.id, query.metadata.op_code);
    message.metadata = Metadata::response_from_request(&query.metadata);
    message.metadata.recursion_available = true;
    let exists = asked.name().num_labels() > 1 && !Name::from_ascii("arpa.").ok()?.zone_of(asked.name());
    let mut address = None;
    if query.metadata.op_code != OpCode::Query {
        message.metadata.response_code = ResponseCode::NotImp;
    } else if !exists {
        message.metadata.response_code = ResponseCode::NXDomain;
    } else if asked.query_type() == RecordType::A && asked.query_class() == DNSClass::IN {
        let found = plan.address_of(&asked.name().to_ascii());
        message.add_answer(Record::from_rdata(asked.name().clone(), TTL, RData::A(A(found))));
        address = Some(found);
    }
    let question = Question { name: asked.name().to_ascii(), kind: asked.query_type().to_string(), address };
    message.add_query(asked);
    if let Some(mut edns) = query.edns {
        edns.set_max_payload(1232);
        edns.options_mut().options.clear();
        message.set_edns(edns);
    }
    Some((message.to_vec().ok()?, question))
}

/// One datagram, who sent it, and to which address (`IP_PKTINFO`, ip(7)).
fn receive(socket: &UdpSocket) -> io::Result<(Vec<u8>, SocketAddrV4, Ipv4Addr)> {
    let mut bytes = vec![0; 4096];
    let mut space = nix::cmsg_space!(libc::in_pktinfo);
    let (length, from, server) = {
        let mut slices = [io::IoSliceMut::new(&mut bytes)];
        let message =
            recvmsg::<SockaddrIn>(socket.as_raw_fd(), &mut slices, Some(&mut space), MsgFlags::MSG_DONTWAIT)?;
        let server = message.cmsgs()?.find_map(|control| match control {
            ControlMessageOwned::Ipv4PacketInfo(info) => {
                Some(Ipv4Addr::from(u32::from_be(info.ipi_addr.s_addr)))
            }
            _ => None,
        });
        (message.bytes, message.address, server)
    };
    bytes.truncate(length);
    let (Some(from), Some(server)) = (from, server) else {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a datagram without its addresses"));
    };
    Ok((bytes, SocketAddrV4::from(from), server))
}

fn send(socket: &UdpSocket, answer: &[u8], to: SocketAddrV4, server: Ipv4Addr) -> io::Result<usize> {
    let source = libc::in_pktinfo {
        ipi_ifindex: 0,
        ipi_spec_dst: libc::in_addr { s_addr: u32::from(server).to_be() },
        ipi_addr: libc::in_addr { s_addr: 0 },
    };
    let control = [ControlMessage::Ipv4PacketInfo(&source)];
    let slices = [io::IoSlice::new(answer)];
    Ok(sendmsg(socket.as_raw_fd(), &slices, &control, MsgFlags::MSG_DONTWAIT, Some(&SockaddrIn::from(to)))?)
}

/// The IPv4 side of an address; the world has no other.
pub(super) fn v4(address: SocketAddr) -> io::Result<SocketAddrV4> {
    match address {
        SocketAddr::V4(address) => Ok(address),
        SocketAddr::V6(_) => Err(io::Error::new(io::ErrorKind::AddrNotAvailable, "the world speaks IPv4")),
    }
}

#[cfg(test)]
mod tests {
    use hickory_proto::op::Query;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    fn ask(name: &str, kind: RecordType) -> (Message, WorldPlan) {
        let plan = WorldPlan::draw(&mut StdRng::seed_from_u64(1));
        let mut query = Message::query();
        query.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
        let (bytes, _) = answer(&query.to_vec().unwrap(), &plan).unwrap();
        (Message::from_vec(&bytes).unwrap(), plan)
    }

    #[test]
    fn every_name_has_the_address_the_plan_says() {
        let (message, plan) = ask("mirror.example.net.", RecordType::A);
        assert_eq!(message.metadata.response_code, ResponseCode::NoError);
        assert_eq!(message.answers.len(), 1);
        assert_eq!(message.answers[0].data, RData::A(A(plan.address_of("mirror.example.net"))));
    }

    #[test]
    fn there_is_no_ipv6_and_no_service_record() {
        for kind in [RecordType::AAAA, RecordType::SRV, RecordType::MX] {
            let (message, _) = ask("mirror.example.net.", kind);
            assert_eq!(message.metadata.response_code, ResponseCode::NoError);
            assert!(message.answers.is_empty());
        }
    }

    #[test]
    fn a_bare_host_name_and_a_reverse_lookup_do_not_exist() {
        for name in ["somehost.", "4.3.2.10.in-addr.arpa."] {
            let (message, _) = ask(name, RecordType::A);
            assert_eq!(message.metadata.response_code, ResponseCode::NXDomain, "{name}");
        }
    }

    #[test]
    fn what_is_no_query_gets_no_answer() {
        let plan = WorldPlan::draw(&mut StdRng::seed_from_u64(1));
        assert!(answer(b"", &plan).is_none());
        assert!(answer(&[0xff; 40], &plan).is_none());
    }
}
