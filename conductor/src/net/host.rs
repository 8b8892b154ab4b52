//! The host's side of all networks: what is shared by the containers, and changed by one command at a time.

use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;

use nix::libc;
use rustix::fs::FlockOperation;

use super::error::{Error, at};
use super::firewall::{self, Member};
use super::links::{self, Link};
use super::netlink::{self, Inside, Netlink};
use super::nftables::{self, Transaction};
use super::{Record, foreign};
use crate::container::Container;

const IP_FORWARD: &str = "/proc/sys/net/ipv4/ip_forward";

/// Who has the interface that a container's record names.
pub(super) enum Holder {
    /// The container.
    Container(Link),
    /// Somebody else: a container of another `CONTAINERDIR`, say.
    Stranger,
    /// There is no such interface.
    Nobody,
}

/// The host's network, locked: who changes links or rules holds this. The lock is on the network namespace itself, so
/// it is shared by all who share the namespace, whatever their folders, and vanishes with its holder.
pub(super) struct Host {
    namespace: File,
    /// Its links, addresses and routes.
    pub(super) links: Netlink,
    /// Its packet filter.
    pub(super) filter: Netlink,
}

impl Host {
    /// Waits for the lock.
    pub(super) fn lock() -> Result<Self, Error> {
        let namespace = at("open our network namespace", File::open("/proc/self/ns/net"))?;
        loop {
            match rustix::fs::flock(&namespace, FlockOperation::LockExclusive) {
                Err(rustix::io::Errno::INTR) => {}
                locked => break at("lock our network namespace", locked.map_err(Into::into))?,
            }
        }
        Ok(Self {
            namespace,
            links: Netlink::open(libc::NETLINK_ROUTE)?,
            filter: Netlink::open(libc::NETLINK_NETFILTER)?,
        })
    }

    /// Goes to the network of the process that `pidfd` refers to, for a socket in it.
    pub(super) fn enter(&self, pidfd: &OwnedFd) -> Result<Inside, Error> {
        Ok(netlink::open_inside(pidfd, &self.namespace)?)
    }

    /// What the packet filter knows of containers.
    pub(super) fn filter_state(&mut self) -> Result<firewall::State, Error> {
        let chains = nftables::chains(&mut self.filter)?;
        Ok(firewall::look(&mut self.filter, &chains)?)
    }

    /// Who has the interface of a container's record.
    pub(super) fn holder(&mut self, container: &Container, record: &Record) -> Result<Holder, Error> {
        let Some(link) = links::find(&mut self.links, &record.outside)? else { return Ok(Holder::Nobody) };
        // Where the record does not tell, only a container that runs can have one.
        let known = record.mac.is_some() || container.first_process()?.is_some();
        Ok(if known && record.names(&link) { Holder::Container(link) } else { Holder::Stranger })
    }

    /// Whether all that was made for a container is there: nobody deleted its link, or flushed our table.
    pub(super) fn has(&mut self, container: &Container, record: &Record) -> Result<bool, Error> {
        let linked = matches!(self.holder(container, record)?, Holder::Container(_));
        Ok(linked && self.filter_state()?.knows(record.member()))
    }

    /// Takes away the rules of a container that goes, and of those that went without `stop`: whose links the table
    /// knows and the host does not have. With the last one everything goes that the host was changed in.
    pub(super) fn dismiss(&mut self, going: Option<Member<'_>>) -> Result<(), Error> {
        let chains = nftables::chains(&mut self.filter)?;
        let state = firewall::look(&mut self.filter, &chains)?;
        let mut gone = Vec::from_iter(going);
        for member in state.members() {
            if links::find(&mut self.links, member.link)?.is_none() && !gone.contains(&member) {
                gone.push(member);
            }
        }
        if gone.is_empty() {
            return Ok(());
        }
        if state.forwarding_was_off() && state.are_last(&gone) {
            stop_forwarding()?;
        }
        let names: Vec<&str> = gone.iter().map(|member| member.link).collect();
        let mut transaction = Transaction::default();
        firewall::dismiss(&mut self.filter, &mut transaction, &state, &gone)?;
        foreign::close(&mut self.filter, &mut transaction, &chains, &names)?;
        transaction.commit(&mut self.filter)?;
        names.iter().try_for_each(|link| Ok(foreign::close_legacy(link)?))
    }

    /// Makes a transaction in the packet filter, with our table in place. Where it `forwards`, the host does so from
    /// then on, and it is noted if it did not before. Others' chains are opened for `new_link`, and for every other
    /// container that they have been closed to since: by a firewall that came, or came again, after it.
    pub(super) fn change_filter(
        &mut self,
        forwards: bool,
        new_link: Option<&str>,
        change: impl FnOnce(&mut Transaction),
    ) -> Result<(), Error> {
        let chains = nftables::chains(&mut self.filter)?;
        let state = firewall::look(&mut self.filter, &chains)?;
        let turn_on = forwards && !at("read ip_forward", is_forwarding())?;
        let mut transaction = Transaction::default();
        state.ensure_table(&mut transaction);
        if turn_on {
            state.note_forwarding_was_off(&mut transaction);
        }
        change(&mut transaction);
        let links: Vec<&str> = state.members().map(|member| member.link).chain(new_link).collect();
        foreign::open(&mut self.filter, &mut transaction, &chains, &links)?;
        transaction.commit(&mut self.filter)?;
        if turn_on {
            at("turn on ip_forward", fs::write(IP_FORWARD, "1"))?;
        }
        Ok(foreign::open_legacy(&links)?)
    }
}

fn is_forwarding() -> io::Result<bool> {
    Ok(fs::read(IP_FORWARD)?.first() != Some(&b'0'))
}

/// Puts the host back to not forwarding packets.
fn stop_forwarding() -> Result<(), Error> {
    at("turn off ip_forward", fs::write(IP_FORWARD, "0"))
}
