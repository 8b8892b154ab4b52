//! Rules: sequences of expressions that work on a packet and on registers.

use super::{Attributes, IPV4};

/// A register of the packet filter. [`Register::One`] and [`Register::Two`] hold 16 bytes.
/// [`Register::SecondWord`] holds 4 bytes and is part of `One`.
#[derive(Debug, Clone, Copy)]
pub enum Register {
    /// 16 bytes.
    One = 1,
    /// 16 bytes, right after `One`.
    Two = 2,
    /// The second 4 bytes of `One`.
    SecondWord = 9,
}

/// A property of a packet (`NFT_META_*`).
#[derive(Debug, Clone, Copy)]
pub enum Meta {
    /// The name of the interface it arrived on, 16 bytes.
    InName = 6,
    /// The name of the interface it leaves on, 16 bytes.
    OutName = 7,
    /// IPv4 or IPv6, one byte.
    Family = 15,
    /// TCP or another protocol, one byte.
    Protocol = 16,
}

/// A property of a connection (`NFT_CT_*`).
#[derive(Debug, Clone, Copy)]
pub enum Connection {
    /// New, established, related: bits.
    State = 0,
    /// Which addresses were translated: bits.
    Status = 2,
}

/// The decision about a packet.
#[derive(Debug, Clone, Copy)]
pub enum Verdict {
    /// Discard it.
    Drop = 0,
    /// Let it pass this chain.
    Accept = 1,
}

/// A rule: expressions that are evaluated in order until one does not match.
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

    /// Matches if register one equals `value`; with `equal` false, if it differs.
    #[must_use]
    pub fn compare(self, equal: bool, value: &[u8]) -> Self {
        let data = Attributes::default().number(1, Register::One as u32).number(2, u32::from(!equal));
        self.expression("cmp", &data.nested(3, &Attributes::default().bytes(1, value)))
    }

    /// Matches if the destination address is one of the host's own (`fib daddr type local`).
    #[must_use]
    pub fn for_this_host(self) -> Self {
        let data = Attributes::default().number(3, 2).number(2, 3).number(1, Register::One as u32);
        self.expression("fib", &data).compare(true, &2_u32.to_ne_bytes())
    }

    /// Matches if the connection has one of the bits.
    #[must_use]
    pub fn connection(self, key: Connection, bits: u32) -> Self {
        let one = Register::One as u32;
        let value = |value: u32| Attributes::default().bytes(1, &value.to_ne_bytes());
        let mask = Attributes::default().number(1, one).number(2, one).number(3, 4);
        self.expression("ct", &Attributes::default().number(2, key as u32).number(1, one))
            .expression("bitwise", &mask.nested(4, &value(bits)).nested(5, &value(0)))
            .compare(false, &[0; 4])
    }

    /// Matches if the value at register one is in a set; with `found` false, if it is not.
    #[must_use]
    pub fn lookup(self, set: &str, found: bool) -> Self {
        let data = Attributes::default().number(2, Register::One as u32).text(1, set);
        self.expression("lookup", &if found { data } else { data.number(5, 1) })
    }

    /// Replaces register one by its value in a map. Matches if the map has a value.
    #[must_use]
    pub fn map(self, map: &str) -> Self {
        let one = Register::One as u32;
        self.expression("lookup", &Attributes::default().number(2, one).number(3, one).text(1, map))
    }

    /// Redirects the connection to the IPv4 address in register one and the port in its second
    /// word.
    #[must_use]
    pub fn redirect(self) -> Self {
        let data = Attributes::default().number(1, 1).number(2, u32::from(IPV4));
        self.expression("nat", &data.number(3, Register::One as u32).number(5, Register::SecondWord as u32))
    }

    /// Gives the connection the source address of the interface it leaves on.
    #[must_use]
    pub fn masquerade(self) -> Self {
        self.expression("masq", &Attributes::default())
    }

    /// Counts packets, like every rule of iptables.
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
