//! Rules: expressions that work on a packet and on registers, one after the other.

use super::{Attributes, IPV4};

/// A register of the packet filter's machine. [`Register::One`] and [`Register::Two`] hold 16 bytes, the others 4: the
/// first two of the four that make up `One`.
#[derive(Debug, Clone, Copy)]
pub enum Register {
    /// 16 bytes.
    One = 1,
    /// 16 bytes, right after `One`.
    Two = 2,
    /// The second 4 bytes of `One`.
    SecondWord = 9,
}

/// What a packet is asked for (`NFT_META_*`).
#[derive(Debug, Clone, Copy)]
pub enum Meta {
    /// Name of the interface it came in by, 16 bytes.
    InName = 6,
    /// Name of the interface it goes out by, 16 bytes.
    OutName = 7,
    /// IPv4 or IPv6, one byte.
    Family = 15,
    /// TCP or another protocol, one byte.
    Protocol = 16,
}

/// What a connection is asked for (`NFT_CT_*`).
#[derive(Debug, Clone, Copy)]
pub enum Connection {
    /// New, established, related: bits.
    State = 0,
    /// What was translated: bits.
    Status = 2,
}

/// What becomes of a packet.
#[derive(Debug, Clone, Copy)]
pub enum Verdict {
    /// It is thrown away.
    Drop = 0,
    /// It passes this chain.
    Accept = 1,
}

/// A rule, being written: expressions that are evaluated in order until one does not match.
#[derive(Debug, Default, Clone)]
pub struct Rule(pub(super) Attributes);

impl Rule {
    fn expression(self, name: &str, data: &Attributes) -> Self {
        let expression = Attributes::default().text(1, name).nested(2, data);
        Self(self.0.nested(1, &expression))
    }

    /// Loads a property of the packet.
    #[must_use]
    pub fn meta(self, key: Meta, to: Register) -> Self {
        self.expression("meta", &Attributes::default().number(2, key as u32).number(1, to as u32))
    }

    /// Loads bytes of the IP header.
    #[must_use]
    pub fn ip_header(self, offset: u32, length: u32, to: Register) -> Self {
        self.payload(1, offset, length, to)
    }

    /// Loads bytes of the TCP header.
    #[must_use]
    pub fn tcp_header(self, offset: u32, length: u32, to: Register) -> Self {
        self.payload(2, offset, length, to)
    }

    fn payload(self, base: u32, offset: u32, length: u32, to: Register) -> Self {
        let data = Attributes::default().number(1, to as u32).number(2, base).number(3, offset);
        self.expression("payload", &data.number(4, length))
    }

    /// Goes on if register one equals `value`, or if it does not, as told.
    #[must_use]
    pub fn compare(self, equal: bool, value: &[u8]) -> Self {
        let data = Attributes::default().number(1, Register::One as u32).number(2, u32::from(!equal));
        self.expression("cmp", &data.nested(3, &Attributes::default().bytes(1, value)))
    }

    /// Goes on if the destination address is one of this host's own (`fib daddr type local`).
    #[must_use]
    pub fn for_this_host(self) -> Self {
        let data = Attributes::default().number(3, 2).number(2, 3).number(1, Register::One as u32);
        self.expression("fib", &data).compare(true, &2_u32.to_ne_bytes())
    }

    /// Goes on if the connection has one of the bits.
    #[must_use]
    pub fn connection(self, key: Connection, bits: u32) -> Self {
        let one = Register::One as u32;
        let value = |value: u32| Attributes::default().bytes(1, &value.to_ne_bytes());
        let mask = Attributes::default().number(1, one).number(2, one).number(3, 4);
        self.expression("ct", &Attributes::default().number(2, key as u32).number(1, one))
            .expression("bitwise", &mask.nested(4, &value(bits)).nested(5, &value(0)))
            .compare(false, &[0; 4])
    }

    /// Goes on if what begins at register one is in a set, or if it is not, as told.
    #[must_use]
    pub fn lookup(self, set: &str, found: bool) -> Self {
        let data = Attributes::default().number(2, Register::One as u32).text(1, set);
        self.expression("lookup", &if found { data } else { data.number(5, 1) })
    }

    /// Replaces register one by what a map has for it; goes on if it has something.
    #[must_use]
    pub fn map(self, map: &str) -> Self {
        let one = Register::One as u32;
        self.expression("lookup", &Attributes::default().number(2, one).number(3, one).text(1, map))
    }

    /// Sends the connection to the IPv4 address in register one and the port in its second word instead.
    #[must_use]
    pub fn redirect(self) -> Self {
        let data = Attributes::default().number(1, 1).number(2, u32::from(IPV4));
        self.expression("nat", &data.number(3, Register::One as u32).number(5, Register::SecondWord as u32))
    }

    /// Gives the connection the source address of the interface it leaves by.
    #[must_use]
    pub fn masquerade(self) -> Self {
        self.expression("masq", &Attributes::default())
    }

    /// Counts packets, as every rule of iptables does.
    #[must_use]
    pub fn counter(self) -> Self {
        self.expression("counter", &Attributes::default())
    }

    /// Ends with a verdict.
    #[must_use]
    pub fn verdict(self, verdict: Verdict) -> Self {
        let verdict = Attributes::default().number(1, verdict as u32);
        let data = Attributes::default().number(1, 0);
        self.expression("immediate", &data.nested(2, &Attributes::default().nested(2, &verdict)))
    }
}
