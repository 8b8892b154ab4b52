//! The requests to both services: for the page and for the count, from the LAN, from the machine,
//! from inside a container and from the real host.

use std::collections::BTreeSet;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::{Duration, Instant};

use super::container::Container;
use super::drive::MatrixScenario;
use super::{COUNTER_PORT, Count, Landed, PAGE_PORT, Port, Shown};
use crate::guest::observe::probe::{self, Place};
use crate::guest::observe::sockets;
use crate::guest::world::Page;

/// Requests of the other LAN machine, one after the other.
pub const IN_A_ROW: usize = 20;
/// Clients of the other LAN machine that ask at the same time, and the requests of each.
const CLIENTS: usize = 6;
const EACH: usize = 5;
/// Requests of the machine itself, by its own address.
const BY_MACHINE: usize = 3;
/// The most ports of the machine that are tried from the LAN.
const PORTS_CAP: usize = 40;
/// How much of a page is kept, in characters.
const PAGE_CAP: usize = 400;
/// The path at which the counter-service answers with its count and does not add to it.
pub const COUNT_PATH: &str = "/get_counter";
/// The record of a page that was asked for as the sample session shows it.
pub const AS_SHOWN: &str = "as-shown";
/// The record that tells the host to look at the page.
pub const HOST_MAY_LOOK: &str = "host-may-look";

impl MatrixScenario<'_, '_> {
    /// Asks for the page from everywhere, and for the count before and after. Returns where each
    /// answer had a number: on the LAN, or else on the machine itself.
    pub(super) fn count_pages(
        &self,
        seen: &[Container],
        counter: Option<&Container>,
    ) -> io::Result<Option<&'static str>> {
        self.land(seen)?;
        self.count("before", counter)?;
        let from = if self.ask_in_a_row("lan")? {
            self.ask_at_once()?;
            for _ in 0..BY_MACHINE {
                self.ask("in-a-row", "machine")?;
            }
            if let Some(counter) = counter.filter(|_| self.plan.from_host) {
                self.let_the_host_look(counter)?;
            }
            Some("lan")
        } else {
            self.ask_in_a_row("machine")?.then_some("machine")
        };
        self.count("after", counter)?;
        Ok(from)
    }

    /// Asks for the page several times in a row, up to the first answer without a number. Returns
    /// whether each answer had one.
    fn ask_in_a_row(&self, from: &str) -> io::Result<bool> {
        for _ in 0..IN_A_ROW {
            if self.ask("in-a-row", from)?.number().is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Records the containers in which a connection to the page's port ends.
    fn land(&self, seen: &[Container]) -> io::Result<()> {
        let now = |container: &Container| sockets::connections(container.pid);
        let before: Vec<_> = seen.iter().map(now).collect();
        let connected = self.world.connect_from_lan(self.page_address(), self.within);
        let mut landed = Landed { step: "first".to_owned(), ..Landed::default() };
        match &connected {
            // The connection stays open. A program that forwards it may need a moment.
            Ok(_) => {
                std::thread::sleep(Duration::from_millis(500));
                let ends = seen.iter().zip(&before).filter(|(container, old)| {
                    now(container).difference(old).any(|(own, _)| container.listening.contains(&own.port()))
                });
                landed.roots = ends.map(|(container, _)| container.root.clone()).collect();
            }
            Err(error) => landed.error = Some(error.to_string()),
        }
        self.record("landed", &landed)
    }

    /// Asks for the count at the container's address, and from inside the container.
    fn count(&self, step: &str, counter: Option<&Container>) -> io::Result<()> {
        let Some(counter) = counter else { return Ok(()) };
        let (place, itself) = Self::inside(counter);
        let by_address = counter.address.map(|address| SocketAddrV4::new(address, itself.port()));
        let ways = [("itself", place, Some(itself)), ("machine", Place::Machine, by_address)];
        for (from, place, to) in ways {
            let Some(to) = to else { continue };
            let answer = shown(step, from, to, COUNT_PATH, probe::page(place, to, COUNT_PATH, self.within));
            let count = Count {
                step: step.to_owned(),
                from: from.to_owned(),
                address: *to.ip(),
                port: to.port(),
                answer: answer.number().filter(|_| answer.is_bare_number()),
                error: (!answer.is_bare_number()).then(|| answer.told()),
            };
            self.record("count", &count)?;
        }
        Ok(())
    }

    /// The assignment's last two steps: the page, asked on the machine and on another one.
    pub(super) fn ask_as_shown(&self) -> io::Result<()> {
        for from in ["machine", "lan"] {
            self.record(AS_SHOWN, &self.get(AS_SHOWN, from))?;
        }
        Ok(())
    }

    fn ask_at_once(&self) -> io::Result<()> {
        let ask = || {
            let requests = (0..EACH).map(|_| self.get("at-once", "lan"));
            requests.collect::<Vec<_>>()
        };
        let pages: Vec<Shown> = std::thread::scope(|scope| {
            let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(ask)).collect();
            clients.into_iter().filter_map(|client| client.join().ok()).flatten().collect()
        });
        pages.iter().try_for_each(|page| self.record("page", page))
    }

    /// Lets the real host ask for the page, and waits until its visit is counted. The host records
    /// the page itself.
    fn let_the_host_look(&self, counter: &Container) -> io::Result<()> {
        let (place, to) = Self::inside(counter);
        let count =
            || shown("", "", to, COUNT_PATH, probe::page(place, to, COUNT_PATH, self.within)).number();
        let before = count();
        self.world.show_to_host(self.page_address());
        self.record(HOST_MAY_LOOK, &self.page_address())?;
        let deadline = Instant::now() + self.session.tool.limit(10.0, 1.0);
        while before.is_some() && count() == before && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(200));
        }
        Ok(())
    }

    /// The place and the address at which the container itself reaches its counter-service.
    fn inside(counter: &Container) -> (Place, SocketAddrV4) {
        (Place::Process(counter.pid), SocketAddrV4::new(Ipv4Addr::LOCALHOST, counter_port(counter)))
    }

    /// Asks each port of the machine that may lead to the counter-service for the count, from the
    /// LAN.
    pub(super) fn try_ports(&self, counter: &Container) -> io::Result<()> {
        let mut ports: BTreeSet<u16> = sockets::listening(std::process::id() as i32);
        // Ports that the rules of the firewall name.
        let rules = self.firewall.rules();
        let numbers = rules.iter().flat_map(|rule| rule.split(|char: char| !char.is_ascii_digit()));
        ports.extend(numbers.filter_map(|number| number.parse::<u16>().ok()).filter(|port| *port > 20));
        let likely = [COUNTER_PORT, counter_port(counter), PAGE_PORT];
        let others = ports.into_iter().filter(|port| !likely.contains(port));
        let ports: BTreeSet<u16> = likely.into_iter().chain(others).take(PORTS_CAP).collect();
        let ask = |port: u16| {
            let to = SocketAddrV4::new(self.plan.world.machine, port);
            let page = self.world.http_get_from_lan(to, COUNT_PATH, self.within);
            Port { port, page: shown("ports", "lan", to, COUNT_PATH, page) }
        };
        let answers: Vec<Port> = std::thread::scope(|scope| {
            let ask = &ask;
            let asked: Vec<_> = ports.into_iter().map(|port| scope.spawn(move || ask(port))).collect();
            asked.into_iter().filter_map(|answer| answer.join().ok()).collect()
        });
        answers.iter().try_for_each(|answer| self.record("port", answer))
    }

    /// Asks for the page once and records it.
    pub(super) fn ask(&self, step: &str, from: &str) -> io::Result<Shown> {
        let page = self.get(step, from);
        self.record("page", &page)?;
        Ok(page)
    }

    fn get(&self, step: &str, from: &str) -> Shown {
        let to = self.page_address();
        let page = match from {
            "lan" => self.world.http_get_from_lan(to, "/", self.page_within),
            _ => probe::page(Place::Machine, to, "/", self.page_within),
        };
        shown(step, from, to, "/", page)
    }

    pub(super) fn page_address(&self) -> SocketAddrV4 {
        SocketAddrV4::new(self.plan.world.machine, PAGE_PORT)
    }
}

/// The port of the counter-service: its usual one, or else the first port with a listener.
fn counter_port(counter: &Container) -> u16 {
    let ports = &counter.listening;
    if ports.contains(&COUNTER_PORT) { COUNTER_PORT } else { ports.first().copied().unwrap_or(COUNTER_PORT) }
}

/// An answer in the form of evidence.
pub fn shown(step: &str, from: &str, to: SocketAddrV4, path: &str, page: io::Result<Page>) -> Shown {
    let (step, from, url) = (step.to_owned(), from.to_owned(), format!("http://{to}{path}"));
    match page {
        Ok(Page { status, body }) => {
            let body = body.chars().take(PAGE_CAP).collect();
            Shown { step, from, url, status: Some(status), body, error: None }
        }
        Err(error) => Shown { step, from, url, error: Some(error.to_string()), ..Shown::default() },
    }
}
