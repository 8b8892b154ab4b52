//! The host's side of all networks. All containers share it, and one command at a time changes it.

use std::fs::File;
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use nix::libc;
use rustix::fs::FlockOperation;

use super::error::{Error, at};
use super::firewall::{self, Member};
use super::links::{self, Link, Network};
use super::netlink::{self, Inside, Netlink};
use super::nftables::{self, Transaction};
use super::{Record, foreign, forwarding, subnet};
use crate::state::container::Container;

/// The holder of the interface that a container's record names.
pub(super) enum Holder {
    /// The container.
    Container(Link),
    /// Another holder, for example a container of another `CONTAINERDIR`.
    Stranger,
    /// There is no such interface.
    Nobody,
}

/// The host's network, locked against other commands that change links or rules. The lock is on the
/// network namespace itself: all processes in the namespace share it whatever their folders, and it
/// vanishes with its holder.
pub(super) struct Host {
    namespace: File,
    /// The host's links, addresses and routes.
    pub(super) links: Netlink,
    /// The host's packet filter.
    filter: Netlink,
    view: Option<FilterView>,
    networks: Option<Rc<[Network]>>,
    /// A socket for looking up the names of interfaces.
    names: OwnedFd,
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
            view: None,
            networks: None,
            names: at("open a socket", links::name_socket())?,
        })
    }

    /// Enters the network namespace of the process `pidfd` and opens a socket in it.
    pub(super) fn enter(&self, pidfd: &OwnedFd) -> Result<Inside, Error> {
        Ok(netlink::open_inside(pidfd, &self.namespace)?)
    }

    /// The containers that the packet filter knows.
    pub(super) fn filter_state(&mut self) -> Result<Rc<firewall::State>, Error> {
        Ok(Rc::clone(&self.filter_view()?.state))
    }

    /// The packet filter as it is since our last change. It is read once: no other conductor
    /// changes it while we hold the lock, and with many containers reading takes longer than
    /// everything else.
    fn filter_view(&mut self) -> Result<FilterView, Error> {
        if let Some(view) = &self.view {
            return Ok(view.clone());
        }
        let chains = nftables::chains(&mut self.filter)?;
        let state = firewall::look(&mut self.filter, &chains)?;
        Ok(self.view.insert(FilterView { chains: chains.into(), state: state.into() }).clone())
    }

    fn commit(&mut self, transaction: Transaction) -> Result<(), Error> {
        self.view = None;
        Ok(transaction.commit(&mut self.filter)?)
    }

    /// The published ports of the host and the addresses that they lead to.
    pub(super) fn published_ports(&mut self) -> Result<Vec<(u16, Ipv4Addr)>, Error> {
        let state = self.filter_state()?;
        Ok(state.exposed(&mut self.filter)?)
    }

    /// The holder of the interface in a container's record.
    pub(super) fn holder(&mut self, container: &Container, record: &Record) -> Result<Holder, Error> {
        let Some(link) = links::find(&mut self.links, &record.outside)? else { return Ok(Holder::Nobody) };
        // An old record has no hardware address: then only a running container can hold the
        // interface.
        let known = record.mac.is_some() || container.first_process()?.is_some();
        Ok(if known && record.names(&link) { Holder::Container(link) } else { Holder::Stranger })
    }

    /// Whether the network of a container is complete: its link exists and our table knows it.
    pub(super) fn has(&mut self, container: &Container, record: &Record) -> Result<bool, Error> {
        let linked = matches!(self.holder(container, record)?, Holder::Container(_));
        Ok(linked && self.filter_state()?.knows(record.member()))
    }

    /// The networks that the host knows, as they are since we last deleted a link.
    pub(super) fn networks(&mut self) -> Result<Rc<[Network]>, Error> {
        if let Some(networks) = &self.networks {
            return Ok(Rc::clone(networks));
        }
        let networks = links::known_networks(&mut self.links)?;
        Ok(Rc::clone(self.networks.insert(networks.into())))
    }

    /// Deletes a link.
    pub(super) fn delete(&mut self, link: &Link) -> Result<(), Error> {
        self.networks = None;
        Ok(links::delete(&mut self.links, link)?)
    }

    /// Deletes the rules of containers that ended without `stop`: those whose links no longer
    /// exist. Where the host has the gateway's address, the link that has it exists. Only other
    /// links are looked up, and those with a name in `wanted`, which a new link needs.
    pub(super) fn dismiss_dead(&mut self, wanted: &[&str]) -> Result<(), Error> {
        let (view, networks) = (self.filter_view()?, self.networks()?);
        let mut gone = Vec::new();
        for member in view.state.members() {
            let address = Network { address: subnet::gateway(member.address), prefix: 32 };
            let there = networks.binary_search(&address).is_ok() && !wanted.contains(&member.link);
            if !there && !links::exists(&self.names, member.link)? {
                gone.push(member);
            }
        }
        self.delete_rules(&view, &gone)
    }

    /// Deletes the rules of `going`, and of containers that ended without `stop`. With the last
    /// container, all changes to the host are undone.
    pub(super) fn dismiss(&mut self, going: Member<'_>) -> Result<(), Error> {
        let view = self.filter_view()?;
        let mut gone = vec![going];
        for member in view.state.members() {
            if member != going && !links::exists(&self.names, member.link)? {
                gone.push(member);
            }
        }
        self.delete_rules(&view, &gone)
    }

    fn delete_rules(&mut self, view: &FilterView, gone: &[Member<'_>]) -> Result<(), Error> {
        if gone.is_empty() {
            return Ok(());
        }
        if view.state.are_last(gone) {
            forwarding::stop()?;
        }
        let names: Vec<&str> = gone.iter().map(|member| member.link).collect();
        let mut transaction = Transaction::default();
        firewall::dismiss(&mut self.filter, &mut transaction, &view.state, gone)?;
        foreign::close(&mut self.filter, &mut transaction, &view.chains, &names)?;
        // Our table goes last. What could not be undone is found by it the next time.
        names.iter().try_for_each(|link| foreign::close_legacy(link))?;
        self.commit(transaction)
    }

    /// Commits a transaction to the packet filter, after adding our table if it is missing. If it
    /// `forwards`, the host forwards packets from then on. The chains of other programs admit
    /// `new_link`, and again every container that a restarted firewall has cut off. Returns the
    /// chains that only their owner may change.
    pub(super) fn change_filter(
        &mut self,
        forwards: bool,
        new_link: Option<&str>,
        change: impl FnOnce(&mut Transaction),
    ) -> Result<Vec<String>, Error> {
        let FilterView { chains, state } = self.filter_view()?;
        let mut transaction = Transaction::default();
        state.ensure_table(&mut transaction);
        change(&mut transaction);
        let links: Vec<&str> = state.members().map(|member| member.link).chain(new_link).collect();
        let closed = foreign::open(&mut self.filter, &mut transaction, &chains, &links)?;
        self.commit(transaction)?;
        if forwards {
            forwarding::start()?;
        }
        foreign::open_legacy(&links)?;
        Ok(closed)
    }
}

/// The packet filter at one moment.
#[derive(Clone)]
struct FilterView {
    /// The chains of all programs.
    chains: Rc<[nftables::Chain]>,
    /// Our own table.
    state: Rc<firewall::State>,
}
