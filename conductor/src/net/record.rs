//! The record of a container's network, in the container's folder.

use std::fs::{self, File};
use std::io::Read;
use std::net::Ipv4Addr;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::error::{Error, at};
use super::firewall::Member;
use super::links::{Link, Mac, Network};
use crate::net::port_mapping::PortMapping;
use crate::state;

const RECORD_FILE: &str = "network.json";
const NEW_RECORD_FILE: &str = "network.json.new";

/// The network of a container, as recorded in its folder.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record {
    /// The host's end of the veth pair.
    pub outside: String,
    /// The container's end of the veth pair.
    pub inside: String,
    /// The hardware address of the host's end, chosen at random beforehand. It tells this interface
    /// from others with the same name, of another `CONTAINERDIR` or boot. Records of earlier
    /// versions have none.
    pub mac: Option<Mac>,
    /// The address of the host's end.
    pub gateway: Ipv4Addr,
    /// The address of the container's end.
    pub address: Ipv4Addr,
    /// The prefix length of their network.
    pub prefix: u8,
    /// The interface that leads to the Internet, with `-i`.
    pub internet: Option<String>,
    /// The published ports.
    #[serde(with = "as_given")]
    pub ports: Vec<PortMapping>,
    /// Whether the network was completed.
    pub(super) ready: bool,
}

impl Record {
    pub(super) fn member(&self) -> Member<'_> {
        Member { link: &self.outside, address: self.address }
    }

    pub(super) fn network(&self) -> Network {
        Network { address: self.gateway, prefix: self.prefix }
    }

    /// Whether an interface is the one in the record: same name, and same hardware address if the
    /// record has one.
    pub(super) fn names(&self, link: &Link) -> bool {
        link.name == self.outside && self.mac.is_none_or(|mac| link.mac == mac)
    }

    /// Replaces the record atomically: after a kill, either the old or the new record is there.
    pub(super) fn save(&self, folder: &Path) -> Result<(), Error> {
        let (path, new) = (folder.join(RECORD_FILE), folder.join(NEW_RECORD_FILE));
        let json = serde_json::to_vec(self).unwrap_or_default();
        state::at(fs::write(&new, json), "write", &new)?;
        Ok(state::at(fs::rename(&new, &path), "replace", &path)?)
    }

    /// Deletes the record of the container in `folder`, which must have no network any more.
    pub(super) fn forget(folder: &Path) -> Result<(), Error> {
        let path = folder.join(RECORD_FILE);
        Ok(state::at(fs::remove_file(&path), "delete", &path)?)
    }

    /// The record of the container in `folder`, if it has a network.
    pub fn load(folder: &Path) -> Result<Option<Self>, state::Error> {
        let path = folder.join(RECORD_FILE);
        let json = state::if_there(fs::read(&path), "read", &path)?;
        Ok(json.and_then(|json| serde_json::from_slice(&json).ok()))
    }
}

/// A random hardware address from the range that manufacturers do not use.
pub(super) fn new_mac() -> Result<Mac, Error> {
    let mut mac = Mac::default();
    at(
        "read random bytes from /dev/urandom",
        File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut mac)),
    )?;
    // IEEE 802: the two lowest bits of the first byte mean "local" and "of one interface".
    mac[0] = mac[0] & 0b1111_1100 | 0b10;
    Ok(mac)
}

/// Ports as strings, INNER-OUTER.
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
        assert!(Record::load(folder.path()).unwrap().unwrap().ready);
        // A process that has the former record open still reads all of it.
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
        let record = Record::load(folder.path()).unwrap().unwrap();
        assert_eq!((record.mac, record.ports), (None, vec![PortMapping { inner: 80, outer: 3000 }]));
    }
}
