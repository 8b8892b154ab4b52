//! Rules of ours in chains of others.
//!
//! An accept in our own table does not outvote another table: a packet has to be accepted by every base chain at
//! a hook. Hosts with Docker, ufw or the course's own tool drop what they do not know in `iptables`'s FORWARD chain. So,
//! as Docker does, we put two rules for each container at the head of such chains, and nothing else of
//! theirs is touched. What our own table forbids stays forbidden: it looks at the same packets. Nobody tells us when
//! such a chain appears or is made anew: every command that changes the packet filter looks for all containers.
//!
//! The rules carry a comment, by which exactly they are found and removed again. They are written as `iptables`
//! writes them, so that `iptables -S` shows them as its own.

use std::io::{self, Write};
use std::process::{Command, Stdio};
use std::{fs, path};

use nix::libc;

use super::netlink::{Error, Netlink};
use super::nftables::{self, Chain, Meta, Register, Rule, Transaction, Verdict};

fn comment(link: &str) -> String {
    format!("conductor {link}")
}

/// How many rules a link has in a chain: one for each direction.
const RULES: usize = 2;

/// Adds to a transaction: packets from and to `links` pass the forward chains of others that may drop them. Where they
/// do already, nothing changes.
pub fn open(
    netlink: &mut Netlink,
    transaction: &mut Transaction,
    chains: &[Chain],
    links: &[&str],
) -> Result<(), Error> {
    for chain in chains.iter().filter(|chain| filters_forwarded(chain)) {
        let rules = nftables::rules(netlink, chain)?;
        // An empty chain that accepts everything needs nothing.
        if !chain.drops && rules.is_empty() {
            continue;
        }
        for link in links {
            let comment = comment(link);
            let ours: Vec<u64> =
                rules.iter().filter(|(_, found)| *found == comment).map(|(handle, _)| *handle).collect();
            if ours.len() == RULES {
                continue;
            }
            for handle in ours {
                transaction.delete_rule(chain, handle);
            }
            for side in [Meta::OutName, Meta::InName] {
                let mut name = link.as_bytes().to_vec();
                name.push(0);
                let rule = Rule::default().meta(side, Register::One).compare(true, &name).counter();
                transaction.insert_rule(chain, &rule.verdict(Verdict::Accept), &comment);
            }
        }
    }
    Ok(())
}

/// Adds to a transaction: the rules that [`open`] made for `links` go.
pub fn close(
    netlink: &mut Netlink,
    transaction: &mut Transaction,
    chains: &[Chain],
    links: &[&str],
) -> Result<(), Error> {
    let comments: Vec<String> = links.iter().map(|link| comment(link)).collect();
    for chain in chains.iter().filter(|chain| filters_forwarded(chain)) {
        for (handle, found) in nftables::rules(netlink, chain)? {
            if comments.contains(&found) {
                transaction.delete_rule(chain, handle);
            }
        }
    }
    Ok(())
}

/// Whether a chain is one of others that decides about forwarded IPv4 packets: at that hook, and not before the
/// place where filtering is done (those change packets, and must see them).
fn filters_forwarded(chain: &Chain) -> bool {
    let at_hook =
        chain.hook.is_some_and(|(hook, priority)| hook == libc::NF_INET_FORWARD as u32 && priority >= 0);
    let family = matches!(chain.family, nftables::INET | nftables::IPV4);
    at_hook && family && chain.kind == "filter" && chain.table != super::firewall::TABLE
}

/// Whether the old packet filter (`x_tables`, `iptables-legacy`) has a filter table here.
fn has_legacy_filter() -> bool {
    let tables = fs::read_to_string("/proc/self/net/ip_tables_names").unwrap_or_default();
    tables.lines().any(|table| table == "filter")
}

/// As [`open`], for the old packet filter where the host uses it.
pub fn open_legacy(links: &[&str]) -> Result<(), Error> {
    if links.is_empty() || !has_legacy_filter() {
        return Ok(());
    }
    let list = legacy("iptables-legacy").args(["--wait", "-S", "FORWARD"]).output();
    let list = list.map_err(|error| Error::new("start iptables-legacy", error))?;
    let list = String::from_utf8_lossy(&list.stdout);
    let mut rules = String::new();
    for link in links {
        let tag = tag(link);
        let ours = list.lines().filter(|line| line.contains(&tag)).count();
        if ours == RULES {
            continue;
        }
        if ours > 0 {
            close_legacy(link)?;
        }
        rules.extend(["-i", "-o"].map(|side| format!("-I FORWARD {side} {link} {tag} -j ACCEPT\n")));
    }
    if rules.is_empty() {
        return Ok(());
    }
    let restore = format!("*filter\n{rules}COMMIT\n");
    let mut child = legacy("iptables-legacy-restore")
        .args(["--noflush", "--wait"])
        .stdin(Stdio::piped())
        .spawn()
        .map_err(|error| Error::new("start iptables-legacy-restore", error))?;
    let written = child.stdin.take().map_or(Ok(()), |mut stdin| stdin.write_all(restore.as_bytes()));
    let status = child.wait();
    match written.and(status) {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Error::new("add rules to iptables-legacy", io::Error::other(status.to_string()))),
        Err(error) => Err(Error::new("add rules to iptables-legacy", error)),
    }
}

/// As [`close`], for the old packet filter where the host uses it.
pub fn close_legacy(link: &str) -> Result<(), Error> {
    if !has_legacy_filter() {
        return Ok(());
    }
    for side in ["-i", "-o"] {
        let rule = ["FORWARD", side, link, "-m", "comment", "--comment", &comment(link), "-j", "ACCEPT"];
        let run = |verb| {
            let mut command = legacy("iptables-legacy");
            let status = command.args(["--wait", verb]).args(rule).stderr(Stdio::null()).status();
            status.map_err(|error| Error::new("start iptables-legacy", error))
        };
        while run("-C")?.success() {
            run("-D")?;
        }
    }
    Ok(())
}

fn tag(link: &str) -> String {
    format!("-m comment --comment \"{}\"", comment(link))
}

/// A program that is often not in a user's path.
fn legacy(program: &str) -> Command {
    let full = path::Path::new("/usr/sbin").join(program);
    Command::new(if full.exists() { full } else { program.into() })
}
