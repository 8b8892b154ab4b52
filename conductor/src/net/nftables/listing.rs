//! Lists chains, rules and the elements of sets.

use super::super::netlink::{Error, Netlink, attribute, attributes};
use super::{
    Attributes, Bytes, Chain, GET_CHAIN, GET_ELEMENT, GET_RULE, GET_TABLE, INET, UNSPEC, Verdict, header,
    message,
};

/// The elements of a set: keys and values.
pub fn elements(netlink: &mut Netlink, table: &str, set: &str) -> Result<Vec<(Bytes, Bytes)>, Error> {
    let mut body = header(INET, 0).to_vec();
    body.extend_from_slice(&Attributes::default().text(1, table).text(2, set).0);
    let read = |body: &[u8]| {
        let list = attribute(body.get(4..)?, 3);
        let value = |element, kind| attribute(attribute(element, kind), 1).to_vec();
        let element = |(_, element)| (value(element, 1), value(element, 2));
        Some(attributes(list).map(element).collect::<Vec<_>>())
    };
    Ok(netlink.dump("list a set", message(GET_ELEMENT), &body, read)?.concat())
}

/// The tables that only the program that made them may change, as family and name
/// (`NFT_TABLE_F_OWNER`). Recent versions of firewalld make such a table.
pub fn owned_tables(netlink: &mut Netlink) -> Result<Vec<(u8, String)>, Error> {
    const OWNER: u16 = 7;
    netlink.dump("list tables", message(GET_TABLE), &header(UNSPEC, 0), |body| {
        let (head, body) = body.split_at_checked(4)?;
        let owned = !attribute(body, OWNER).is_empty();
        owned.then(|| (head[0], text(attribute(body, 1))))
    })
}

/// All chains of all tables.
pub fn chains(netlink: &mut Netlink) -> Result<Vec<Chain>, Error> {
    netlink.dump("list chains", message(GET_CHAIN), &header(UNSPEC, 0), |body| {
        let (head, body) = body.split_at_checked(4)?;
        let hook = attribute(body, 4);
        let number = |bytes: &[u8]| bytes.first_chunk().map(|bytes| u32::from_be_bytes(*bytes));
        Some(Chain {
            family: head[0],
            table: text(attribute(body, 1)),
            name: text(attribute(body, 3)),
            hook: number(attribute(hook, 1)).zip(number(attribute(hook, 2)).map(u32::cast_signed)),
            drops: number(attribute(body, 5)) == Some(Verdict::Drop as u32),
            kind: text(attribute(body, 7)),
        })
    })
}

/// The rules of a chain: the handle and the comment of each.
pub fn rules(netlink: &mut Netlink, chain: &Chain) -> Result<Vec<(u64, String)>, Error> {
    let mut body = header(chain.family, 0).to_vec();
    body.extend_from_slice(&Attributes::default().text(1, &chain.table).text(2, &chain.name).0);
    netlink.dump("list rules", message(GET_RULE), &body, |body| {
        let body = body.get(4..)?;
        // Older kernels ignore the filter and list every rule of the family.
        if text(attribute(body, 1)) != chain.table || text(attribute(body, 2)) != chain.name {
            return None;
        }
        let handle = u64::from_be_bytes(*attribute(body, 3).first_chunk()?);
        let comment = match attribute(body, 7) {
            [0, length, rest @ ..] => text(rest.get(..usize::from(*length)).unwrap_or_default()),
            _ => String::new(),
        };
        Some((handle, comment))
    })
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.split(|byte| *byte == 0).next().unwrap_or_default()).into_owned()
}
