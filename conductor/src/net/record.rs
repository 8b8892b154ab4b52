//! What is known of a container's network, in its folder.

use std::fs::{self, File};
use std::io::Read;
use std::net::Ipv4Addr;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::error::{Error, at};
use super::firewall::Member;
use super::links::{Link, Mac, Network};
use crate::port_mapping::PortMapping;
use crate::store;

const RECORD_FILE: &str = "network.json";
const NEW_RECORD_FILE: &str = "network.json.new";

/// What a container's network is; kept in its folder.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record {
    /// Host's end of the veth pair.
    pub outside: String,
    /// Container's end.
    pub inside: String,
    /// Hardware address of the host's end: chosen at random before that is made, and so what tells it from every
    /// other interface of its name, of another `CONTAINERDIR` or boot. Earlier versions let the kernel choose.
    pub mac: Option<Mac>,
    /// Address of the host's end.
    pub gateway: Ipv4Addr,
    /// Address of the container's end.
    pub address: Ipv4Addr,
    /// Prefix length of their network.
    pub prefix: u8,
    /// Interface that leads to the Internet, with `-i`.
    pub internet: Option<String>,
    /// Exposed ports.
    #[serde(with = "as_given")]
    pub ports: Vec<PortMapping>,
    /// Whether it was made to the end.
    pub(super) ready: bool,
}

impl Record {
    pub(super) fn member(&self) -> Member<'_> {
        Member { link: &self.outside, address: self.address }
    }

    pub(super) fn network(&self) -> Network {
        Network { address: self.gateway, prefix: self.prefix }
    }

    /// Whether an interface is the one that the record speaks of, as far as it can tell.
    pub(super) fn names(&self, link: &Link) -> bool {
        link.name == self.outside && self.mac.is_none_or(|mac| link.mac == mac)
    }

    /// Writes the record in place of the former one, at once: killed half-way, we leave one of the two.
    pub(super) fn save(&self, folder: &Path) -> Result<(), Error> {
        let (path, new) = (folder.join(RECORD_FILE), folder.join(NEW_RECORD_FILE));
        let json = serde_json::to_vec(self).unwrap_or_default();
        store::at(fs::write(&new, json), "write", &new)?;
        Ok(store::at(fs::rename(&new, &path), "replace", &path)?)
    }

    /// Deletes the record of the container in `folder`: nothing of its network is there.
    pub(super) fn forget(folder: &Path) -> Result<(), Error> {
        let path = folder.join(RECORD_FILE);
        Ok(store::at(fs::remove_file(&path), "delete", &path)?)
    }

    /// The record of the container in `folder`.
    pub fn load(folder: &Path) -> Option<Self> {
        fs::read(folder.join(RECORD_FILE)).ok().and_then(|json| serde_json::from_slice(&json).ok())
    }
}

/// A hardware address that no interface has: a random one, of those that are not given to manufacturers.
pub(super) fn new_mac() -> Result<Mac, Error> {
    let mut mac = Mac::default();
    at(
        "read random bytes from /dev/urandom",
        File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut mac)),
    )?;
    // Local and of one interface: IEEE 802, the two lowest bits of the first byte.
    mac[0] = mac[0] & 0b1111_1100 | 0b10;
    Ok(mac)
}

/// Ports as words, INNER-OUTER.
mod as_given {
    use serde::de::{Deserialize, Deserializer, Error};
    use serde::ser::Serializer;

    use super::PortMapping;

    pub fn serialize<S: Serializer>(ports: &[PortMapping], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(ports.iter().map(ToString::to_string))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<PortMapping>, D::Error> {
        let words = Vec::<String>::deserialize(deserializer)?;
        words.iter().map(|word| word.parse().map_err(D::Error::custom)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_replaced_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let mut record = Record {
            outside: "eg-outside".into(),
            inside: "eg-inside".into(),
            mac: Some(new_mac().unwrap()),
            gateway: [192, 168, 1, 1].into(),
            address: [192, 168, 1, 2].into(),
            prefix: 24,
            internet: None,
            ports: Vec::new(),
            ready: false,
        };
        record.save(folder.path()).unwrap();
        let mut former = fs::File::open(folder.path().join(RECORD_FILE)).unwrap();
        record.ready = true;
        record.save(folder.path()).unwrap();
        assert!(Record::load(folder.path()).unwrap().ready);
        // Whoever has opened the former one has all of it.
        let mut text = String::new();
        former.read_to_string(&mut text).unwrap();
        assert!(text.contains("\"ready\":false"), "{text}");
    }

    #[test]
    fn a_record_of_an_earlier_version_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let json = r#"{"outside":"eg-outside","inside":"eg-inside","gateway":"192.168.1.1","address":"192.168.1.2",
            "prefix":24,"internet":"eth0","ports":["80-3000"],"ready":true}"#;
        fs::write(folder.path().join(RECORD_FILE), json).unwrap();
        let record = Record::load(folder.path()).unwrap();
        assert_eq!((record.mac, record.ports), (None, vec![PortMapping { inner: 80, outer: 3000 }]));
    }
}
