//! How times grow with the number of containers, networks and images. All containers sleep. Each
//! has an image of its own, and the first 250 have a network.

use std::process::Child;
use std::time::{Duration, Instant};

use crate::curve::{self, Curve};
use crate::measure::{Contender, Trouble, command, compare, finish};
use crate::network::{self, Ended};
use crate::place::{Place, Places, State, text_of};
use crate::pods::Pods;
use crate::report::{Bound, Report};

/// The numbers of containers.
const POINTS: [usize; 5] = [2, 10, 50, 250, 1000];
const FEW: usize = POINTS[0];
const MANY: usize = POINTS[4];
/// The most networks. The assignment's range has 255.
const NETWORKS: usize = 250;
/// The most containers of podman, which takes long to start one.
const PODS: usize = 50;
/// The floor's network, which no container of `conductor` has.
const FREE_NETWORK: usize = 254;

const ROUNDS: usize = 20;
/// Podman has rounds of its own: in those of the others, it would leave them few.
const POD_ROUNDS: usize = 6;
/// How long one task may take beside one number of containers.
const LIMIT: Duration = Duration::from_secs(6);

const RUN: &str = "run of /bin/true, and stop";
const EXEC: &str = "exec of /bin/true";
const PS: &str = "ps";
const IMAGES: &str = "images";
const ADDNETWORK: &str = "addnetwork -i -e";
const PEER: &str = "peer";

/// Measures the curves in both places.
pub fn run(places: &Places, report: &mut Report) -> Result<(), Trouble> {
    for place in places.each() {
        let mut crowd = Crowd::new(place)?;
        for containers in POINTS {
            crowd.grow(containers)?;
            crowd.measure(report)?;
        }
        crowd.end(report)?;
    }
    report.notes.extend(places.why_no_disk().map(|why| format!("No curves on ext4: {why}")));
    bound(report);
    Ok(())
}

fn bound(report: &mut Report) {
    let curve = |title| report.curves.iter().find(|curve: &&Curve| curve.title == title);
    let per_entry = |title| {
        let curve = curve(title)?;
        let added = curve.fastest("conductor", MANY)? - curve.fastest("conductor", FEW)?;
        Some(added * 1000.0 / (MANY - FEW) as f64)
    };
    let growth = || {
        let curve = curve(ADDNETWORK)?;
        Some(curve.fastest("conductor", NETWORKS)? / curve.fastest("conductor", FEW)?)
    };
    let bounds = [
        ("ps: microseconds for each entry", per_entry(PS), 15.0),
        ("images: microseconds for each entry", per_entry(IMAGES), 15.0),
        ("addnetwork -i -e beside 250 networks / beside 2", growth(), 1.5),
    ]
    .map(|(claim, ratio, at_most)| Bound { claim: claim.into(), ratio, at_most });
    report.bounds.extend(bounds);
}

/// Containers of `conductor` and podman in one place.
struct Crowd<'a> {
    place: &'a Place,
    state: State,
    running: Vec<Child>,
    /// How long the start of all containers took.
    started: Duration,
    pods: Pods<'a>,
}

impl<'a> Crowd<'a> {
    fn new(place: &'a Place) -> Result<Self, Trouble> {
        let state = place.state("crowd")?;
        state.build_base()?;
        Ok(Self { place, state, running: Vec::new(), started: Duration::ZERO, pods: Pods::new(place)? })
    }

    fn grow(&mut self, containers: usize) -> Result<(), Trouble> {
        eprintln!("{containers} containers{} ...", self.place.suffix());
        if containers <= PODS {
            self.pods.grow(containers);
        }
        for number in self.running.len()..containers {
            let name = format!("c{number}");
            self.state.build(&name, &format!("RUN [\"busybox\", \"mkdir\", \"/{name}\"]\n"))?;
            let began = Instant::now();
            self.running.push(self.state.sleeper(&name)?);
            if number < NETWORKS {
                finish(&mut self.state.conductor(&["-q", "addnetwork", &name, "-i"]))?;
            }
            self.started += began.elapsed();
        }
        Ok(())
    }

    fn measure(&self, report: &mut Report) -> Result<(), Trouble> {
        let beside = self.running.len();
        let ended = Ended::default();
        let [run, exec] = [self.run(beside), self.exec()?];
        let [ps, images] =
            [self.listing("ps", ".containers", "process.json"), self.listing("images", ".images", "layers")];
        let [connect, peer] = [self.connect(beside, &ended), self.peer(beside, &ended)];
        let tasks = [
            (RUN, run, self.pods.run()),
            (EXEC, exec, self.pods.simple(&["exec", "p0", "/bin/true"])),
            (PS, ps, self.pods.simple(&["ps"])),
            (IMAGES, images, self.pods.simple(&["images"])),
            (ADDNETWORK, connect, self.pods.connect(beside)),
            (PEER, peer, self.pods.peer(beside)),
        ];
        for (title, ours, pods) in tasks {
            if beside > NETWORKS && [ADDNETWORK, PEER].contains(&title) {
                continue;
            }
            let mut rows = compare(title, ROUNDS, LIMIT, ours.into()).rows;
            if beside <= PODS {
                rows.extend(compare(title, POD_ROUNDS, LIMIT, vec![pods]).rows);
            }
            curve::add(&mut report.curves, title, beside, rows);
        }
        for mut child in ended.into_inner() {
            child.wait()?;
        }
        Ok(())
    }

    fn run(&self, beside: usize) -> [Contender<'_>; 2] {
        let (place, state) = (self.place, &self.state);
        [
            place.contender("floor", move |round| {
                let (base, dir) = (place.base(), place.path(&format!("floor-beside-{beside}-{round}")));
                let words = ["run", text_of(&base), text_of(&dir), "/bin/true"];
                place.time(|| finish(&mut place.floor(&words)))
            }),
            place.contender("conductor", move |round| {
                let name = format!("r{beside}-{round}");
                place.time(|| {
                    finish(&mut state.conductor(&["-q", "run", "img", &name, "--", "/bin/true"]))?;
                    network::stop(state, &name)
                })
            }),
        ]
    }

    fn exec(&self) -> Result<[Contender<'_>; 2], Trouble> {
        let (place, state) = (self.place, &self.state);
        let first = state.first_pid("c0")?;
        Ok([
            place.contender("floor", move |_| {
                place.time(|| finish(&mut place.floor(&["exec", &first, "/bin/true"])))
            }),
            place.contender("conductor", move |_| {
                place.time(|| finish(&mut state.conductor(&["-q", "exec", "c0", "--", "/bin/true"])))
            }),
        ])
    }

    fn listing(&self, command: &'static str, folder: &str, file: &'static str) -> [Contender<'_>; 2] {
        let (place, state) = (self.place, &self.state);
        let folder = state.path(folder);
        [
            place.contender("floor", move |_| {
                place.time(|| finish(&mut place.floor(&["list", text_of(&folder), file])))
            }),
            place.contender("conductor", move |_| {
                place.time(|| finish(&mut state.conductor(&["-q", command])))
            }),
        ]
    }

    fn connect<'b>(&'b self, beside: usize, ended: &'b Ended) -> [Contender<'b>; 2] {
        let (place, state) = (self.place, &self.state);
        [
            place.contender("floor", move |round| {
                let name = format!("f{beside}-{round}");
                ended.borrow_mut().push(state.sleeper(&name)?);
                let took = network::floor(place, state, &name, FREE_NETWORK);
                network::stop(state, &name)?;
                took
            }),
            place.contender("conductor", move |round| {
                let name = format!("n{beside}-{round}");
                ended.borrow_mut().push(state.sleeper(&name)?);
                let mut connect = state.conductor(&["-q", "addnetwork", &name, "-i", "-e", "80-8080"]);
                let took = place.time(|| finish(&mut connect));
                network::stop(state, &name)?;
                took
            }),
        ]
    }

    fn peer<'b>(&'b self, beside: usize, ended: &'b Ended) -> [Contender<'b>; 2] {
        let (place, state) = (self.place, &self.state);
        [
            place.contender("floor", move |_| {
                let took =
                    place.time(|| finish(&mut place.floor(&["peer", "floor_peers", "one-o", "two-o"])));
                finish(&mut command("nft", &["delete", "table", "inet", "floor_peers"]))?;
                took
            }),
            place.contender("conductor", move |round| {
                let name = format!("q{beside}-{round}");
                ended.borrow_mut().push(state.sleeper(&name)?);
                finish(&mut state.conductor(&["-q", "addnetwork", &name, "-i"]))?;
                let took = place.time(|| finish(&mut state.conductor(&["-q", "peer", "c0", &name])));
                network::stop(state, &name)?;
                took
            }),
        ]
    }

    /// Ends all containers, and says why podman has fewer points.
    fn end(self, report: &mut Report) -> Result<(), Trouble> {
        if let Some(each) = self.pods.each() {
            let ours = self.started / MANY as u32;
            report.notes.push(format!(
                "podman{} ends at {PODS} containers: the start of one with a network took it {} ms, conductor {} ms.",
                self.place.suffix(),
                each.as_millis(),
                ours.as_millis()
            ));
        }
        for number in 0..self.running.len() {
            network::stop(&self.state, &format!("c{number}"))?;
        }
        for mut child in self.running {
            child.wait()?;
        }
        Ok(())
    }
}
