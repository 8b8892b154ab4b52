//! Transactions: create and delete tables, chains, sets and rules, all at once or not at all.

use nix::libc;

use super::super::netlink::{Batch, Error, Netlink};
use super::{
    Attributes, Chain, DEL_ELEMENT, DEL_RULE, DEL_TABLE, Field, INET, NEW_CHAIN, NEW_ELEMENT, NEW_RULE,
    NEW_SET, NEW_TABLE, Rule, Set, UNSPEC, Verdict, header, message,
};

/// A transaction that has not been committed.
pub struct Transaction {
    batch: Batch,
    changes: u32,
    sets: u32,
}

impl Default for Transaction {
    fn default() -> Self {
        let mut batch = Batch::default();
        let resource = header(UNSPEC, libc::NFNL_SUBSYS_NFTABLES as u16);
        batch.push_bytes("change the packet filter", libc::NFNL_MSG_BATCH_BEGIN as u16, 0, &resource);
        Self { batch, changes: 0, sets: 0 }
    }
}

const CREATE: u16 = libc::NLM_F_CREATE as u16;
const EXCLUSIVE: u16 = libc::NLM_F_EXCL as u16;
const APPEND: u16 = libc::NLM_F_APPEND as u16;

impl Transaction {
    fn push(&mut self, action: String, kind: u16, flags: u16, family: u8, attributes: &Attributes) {
        let mut body = header(family, 0).to_vec();
        body.extend_from_slice(&attributes.0);
        self.batch.push_bytes(action, message(kind), flags, &body);
        self.changes += 1;
    }

    /// Creates a table.
    pub fn add_table(&mut self, table: &str) {
        let attributes = Attributes::default().text(1, table).number(2, 0);
        self.push(format!("create the table {table}"), NEW_TABLE, CREATE, INET, &attributes);
    }

    /// Deletes a table with its content.
    pub fn delete_table(&mut self, table: &str) {
        let action = format!("delete the table {table}");
        self.push(action, DEL_TABLE, 0, INET, &Attributes::default().text(1, table));
    }

    /// Creates a chain that sees packets at `hook` (`NF_INET_*`) and accepts them by default.
    pub fn add_chain(&mut self, table: &str, chain: &str, kind: &str, hook: u32, priority: i32) {
        let place = Attributes::default().number(1, hook).bytes(2, &priority.to_be_bytes());
        let attributes = Attributes::default().text(1, table).text(3, chain).text(7, kind);
        let attributes = attributes.number(5, Verdict::Accept as u32).nested(4, &place);
        self.push(format!("create the chain {chain}"), NEW_CHAIN, CREATE, INET, &attributes);
    }

    /// Creates a set or a map.
    pub fn add_set(&mut self, table: &str, set: &Set) {
        self.sets += 1;
        let types = |fields: &[Field]| fields.iter().fold(0, |types, field| (types << 6) | *field as u32);
        let length = |fields: &[Field]| match fields {
            [Field::Port] => 2,
            fields => fields.iter().map(|field| field.length() as u32).sum(),
        };
        let map = if set.value.is_empty() { 0 } else { 8 };
        let mut attributes = Attributes::default().text(1, table).text(2, set.name).number(3, map);
        attributes = attributes.number(4, types(set.key)).number(5, length(set.key));
        if map != 0 {
            attributes = attributes.number(6, types(set.value)).number(7, length(set.value));
        }
        // For the `nft` program: the byte order in which it shows keys, 1 the machine's and 2 the
        // network's.
        let order = match set.key {
            [Field::Interface] => 1,
            [_] => 2,
            _ => 0,
        };
        attributes = attributes.number(10, self.sets).bytes(13, &[0, 4, order, 0, 0, 0]);
        self.push(format!("create the set {}", set.name), NEW_SET, CREATE, INET, &attributes);
    }

    /// Appends a rule to a chain.
    pub fn append_rule(&mut self, table: &str, chain: &str, rule: &Rule) {
        let attributes = Attributes::default().text(1, table).text(2, chain).nested(4, &rule.0);
        self.push(format!("add a rule to {chain}"), NEW_RULE, CREATE | APPEND, INET, &attributes);
    }

    /// Inserts a rule with a comment at the head of a chain of another program.
    pub fn insert_rule(&mut self, chain: &Chain, rule: &Rule, comment: &str) {
        let attributes = Attributes::default().text(1, &chain.table).text(2, &chain.name).nested(4, &rule.0);
        let attributes = attributes.bytes(7, &comment_bytes(comment));
        self.push(format!("add a rule to {chain}"), NEW_RULE, CREATE, chain.family, &attributes);
    }

    /// Deletes one rule.
    pub fn delete_rule(&mut self, chain: &Chain, handle: u64) {
        let attributes = Attributes::default().text(1, &chain.table).text(2, &chain.name);
        let attributes = attributes.bytes(3, &handle.to_be_bytes());
        self.push(format!("delete a rule from {chain}"), DEL_RULE, 0, chain.family, &attributes);
    }

    /// Adds a key, and its value if the set is a map. `exclusive`: fail with `EEXIST` if the key
    /// exists.
    pub fn add_element(&mut self, table: &str, set: &str, key: &[u8], value: Option<&[u8]>, exclusive: bool) {
        let flags = CREATE | if exclusive { EXCLUSIVE } else { 0 };
        self.element(NEW_ELEMENT, flags, table, set, key, value);
    }

    /// Deletes an existing key.
    pub fn delete_element(&mut self, table: &str, set: &str, key: &[u8]) {
        self.element(DEL_ELEMENT, 0, table, set, key, None);
    }

    fn element(&mut self, kind: u16, flags: u16, table: &str, set: &str, key: &[u8], value: Option<&[u8]>) {
        let data = |bytes: &[u8]| Attributes::default().bytes(1, bytes);
        let mut element = Attributes::default().nested(1, &data(key));
        if let Some(value) = value {
            element = element.nested(2, &data(value));
        }
        let attributes = Attributes::default().text(1, table).text(2, set);
        let attributes = attributes.nested(3, &Attributes::default().nested(1, &element));
        self.push(format!("change the set {set}"), kind, flags, INET, &attributes);
    }

    /// Whether it contains no change.
    pub fn is_empty(&self) -> bool {
        self.changes == 0
    }

    /// Commits the transaction.
    pub fn commit(mut self, netlink: &mut Netlink) -> Result<(), Error> {
        if self.is_empty() {
            return Ok(());
        }
        // Kernels before 6.10 do not answer the message that ends a batch.
        self.batch.ask_for_answer();
        let resource = header(UNSPEC, libc::NFNL_SUBSYS_NFTABLES as u16);
        let action = "change the packet filter";
        self.batch.push_bytes(action, libc::NFNL_MSG_BATCH_END as u16, 0, &resource);
        netlink.change(self.batch)
    }
}

/// A comment as the `nft` program stores it: a type-length-value record in the rule's user data.
fn comment_bytes(comment: &str) -> Vec<u8> {
    let mut bytes = vec![0, comment.len() as u8 + 1];
    bytes.extend_from_slice(comment.as_bytes());
    bytes.push(0);
    bytes
}
