//! Rules that we add to chains of other programs.
//!
//! An accept in our table does not overrule another table: every base chain at a hook must accept a
//! packet. Hosts with Docker, ufw or the course's tool drop unknown packets in the FORWARD chain of
//! `iptables`. So, like Docker, we insert two rules for each container at the head of such chains
//! and change nothing else there. Our own table still sees the same packets and drops what it
//! forbids. The kernel does not report new or restarted chains, so every command that changes the
//! packet filter checks them for all containers.
//!
//! Our rules carry a comment, by which they are found and deleted. They have the form that
//! `iptables` writes, so that `iptables -S` can show them.

use std::collections::HashMap;
use std::io::{self, Write};
use std::process::{Command, ExitStatus, Stdio};
use std::{fs, path};

use nix::libc;

use super::netlink::{Error, Netlink};
use super::nftables::{self, Chain, Meta, Register, Rule, Transaction, Verdict};

fn comment(link: &str) -> String {
    format!("conductor {link}")
}

/// How many rules a link has in a chain: one for each direction.
const RULES: usize = 2;

/// Adds rules to a transaction: packets from and to `links` pass the forward chains of other
/// programs that may drop them. Existing rules are kept. Returns the chains that only their owner
/// may change.
pub fn open(
    netlink: &mut Netlink,
    transaction: &mut Transaction,
    chains: &[Chain],
    links: &[&str],
) -> Result<Vec<String>, Error> {
    let mut closed = Vec::new();
    let chains: Vec<&Chain> = chains.iter().filter(|chain| filters_forwarded(chain)).collect();
    let owned = if chains.is_empty() { Vec::new() } else { nftables::owned_tables(netlink)? };
    for chain in chains {
        let rules = nftables::rules(netlink, chain)?;
        // An empty chain that accepts everything needs no rule.
        if !chain.drops && rules.is_empty() {
            continue;
        }
        if owned.iter().any(|(family, table)| *family == chain.family && *table == chain.table) {
            closed.push(chain.to_string());
            continue;
        }
        let mut ours: HashMap<&str, Vec<u64>> = HashMap::new();
        for (handle, comment) in &rules {
            ours.entry(comment).or_default().push(*handle);
        }
        for link in links {
            let comment = comment(link);
            let ours = ours.remove(comment.as_str()).unwrap_or_default();
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
    Ok(closed)
}

/// Adds to a transaction: deletes the rules that [`open`] made for `links`.
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

/// Whether a chain of another program filters forwarded IPv4 packets. Chains with a negative
/// priority change packets before they are filtered, and must see them.
fn filters_forwarded(chain: &Chain) -> bool {
    let at_hook =
        chain.hook.is_some_and(|(hook, priority)| hook == libc::NF_INET_FORWARD as u32 && priority >= 0);
    let family = matches!(chain.family, nftables::INET | nftables::IPV4);
    at_hook && family && chain.kind == "filter" && chain.table != super::firewall::TABLE
}

/// Whether the legacy packet filter (`x_tables`, `iptables-legacy`) has a filter table here.
fn has_legacy_filter() -> bool {
    let tables = fs::read_to_string("/proc/self/net/ip_tables_names").unwrap_or_default();
    tables.lines().any(|table| table == "filter")
}

/// Like [`open`], for the legacy packet filter if the host uses it.
pub fn open_legacy(links: &[&str]) -> Result<(), Error> {
    if links.is_empty() || !has_legacy_filter() {
        return Ok(());
    }
    let mut list = legacy("iptables-legacy");
    let list = list.args(["-S", "FORWARD"]).args(WAIT).output().map_err(|error| no_start(&error))?;
    if !list.status.success() {
        return Err(failed("list the rules of iptables-legacy", list.status));
    }
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
        .arg("--noflush")
        .args(WAIT)
        .stdin(Stdio::piped())
        .spawn()
        .map_err(|error| no_start(&error))?;
    let written = child.stdin.take().map_or(Ok(()), |mut stdin| stdin.write_all(restore.as_bytes()));
    let status = child.wait();
    match written.and(status) {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(failed("add rules to iptables-legacy", status)),
        Err(error) => Err(Error::new("add rules to iptables-legacy", error)),
    }
}

/// Like [`close`], for the legacy packet filter if the host uses it. Without the program there are
/// no rules of ours.
pub fn close_legacy(link: &str) -> Result<(), Error> {
    if !has_legacy_filter() {
        return Ok(());
    }
    for side in ["-i", "-o"] {
        let rule = ["FORWARD", side, link, "-m", "comment", "--comment", &comment(link), "-j", "ACCEPT"];
        let run = |verb| {
            legacy("iptables-legacy").args([verb]).args(rule).args(WAIT).stderr(Stdio::null()).status()
        };
        loop {
            match run("-C") {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                Err(error) => return Err(no_start(&error)),
                Ok(status) if status.code() == Some(NO_SUCH_RULE) => break,
                Ok(status) if !status.success() => {
                    return Err(failed("look for rules of iptables-legacy", status));
                }
                Ok(_) => {}
            }
            let deleted = run("-D").map_err(|error| no_start(&error))?;
            if !deleted.success() {
                return Err(failed("delete rules of iptables-legacy", deleted));
            }
        }
    }
    Ok(())
}

/// How long iptables waits for its lock, /run/xtables.lock.
const WAIT: [&str; 2] = ["--wait", "10"];

/// The exit status of `iptables -C` if there is no such rule.
const NO_SUCH_RULE: i32 = 1;

/// The exit status of iptables if another program holds its lock, and in a few other cases.
const NO_RESOURCE: i32 = 4;

fn failed(action: &'static str, status: ExitStatus) -> Error {
    let reason = match status.code() {
        Some(NO_RESOURCE) => format!("{status}: another program may hold /run/xtables.lock"),
        _ => status.to_string(),
    };
    Error::new(action, io::Error::other(reason))
}

fn no_start(error: &io::Error) -> Error {
    let remedy = "this host uses the old packet filter: install iptables, or unload ip_tables";
    Error::new("start iptables-legacy", io::Error::new(error.kind(), format!("{error}: {remedy}")))
}

fn tag(link: &str) -> String {
    format!("-m comment --comment \"{}\"", comment(link))
}

/// Finds a program of the legacy packet filter, which is often outside a user's `PATH`.
fn legacy(program: &str) -> Command {
    let full = path::Path::new("/usr/sbin").join(program);
    Command::new(if full.exists() { full } else { program.into() })
}
