//! What is known of a container's network, in its folder.

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::Error;
use super::firewall::Member;
use super::links::Network;
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
    /// Address of the host's end.
    pub gateway: Ipv4Addr,
    /// Address of the container's end.
    pub address: Ipv4Addr,
    /// Prefix length of their network.
    pub prefix: u8,
    /// Interface that leads to the Internet, with `-i`.
    pub internet: Option<String>,
    /// Exposed ports, as given: INNER-OUTER.
    pub ports: Vec<String>,
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

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn a_record_is_replaced_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let mut record = Record {
            outside: "eg-outside".into(),
            inside: "eg-inside".into(),
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
}
