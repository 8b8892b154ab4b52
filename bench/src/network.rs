//! `addnetwork -i -e`.

use std::cell::RefCell;
use std::process::Child;
use std::time::Duration;

use crate::host::INTERFACE;
use crate::measure::{Contender, Trouble, command, compare, finish};
use crate::place::{Place, Places, State, start};
use crate::report::{Bound, Report};

/// The containers of all rounds, which have ended.
pub type Ended = RefCell<Vec<Child>>;

/// A veth pair, addresses, routes, NAT and one port, for a container that has just started.
pub fn connect(places: &Places, report: &mut Report) -> Result<(), Trouble> {
    let ended = Ended::default();
    let contenders = places.contenders(|place| connectors(place, &ended))?;
    let limit = Duration::from_secs(20);
    let task = compare("veth pair, addresses, NAT and one port", 30, limit, contenders);
    report.bounds.push(Bound::between(&task, "conductor", "floor", 4.0));
    report.bounds.push(Bound::between(&task, "conductor", "bash tool", 1.0 / 6.0));
    report.tasks.push(task);
    for mut child in ended.into_inner() {
        child.wait()?;
    }
    Ok(())
}

fn connectors<'a>(place: &'a Place, ended: &'a Ended) -> Result<Vec<Contender<'a>>, Trouble> {
    let state = place.state("net")?;
    state.build_base()?;
    let bash_state = place.state("net-bash")?;
    bash_state.build_base()?;
    let other = state.clone();
    Ok(vec![
        place.contender("floor", move |round| {
            let name = format!("f{round}");
            ended.borrow_mut().push(state.sleeper(&name)?);
            let took = floor(place, &state, &name, 100 + round);
            stop(&state, &name)?;
            took
        }),
        place.contender("conductor", move |round| {
            let name = format!("c{round}");
            ended.borrow_mut().push(other.sleeper(&name)?);
            let mut connect = other.conductor(&["-q", "addnetwork", &name, "-i", "-e", "80-8080"]);
            let took = place.time(|| finish(&mut connect));
            stop(&other, &name)?;
            took
        }),
        place.contender("bash tool", move |round| {
            let name = format!("b{round}");
            let run = bash_state.bash(&["run", "img", &name, "--", "sleep", "9999"]);
            let check = || bash_state.bash(&["exec", &name, "--", "/bin/true"]);
            ended.borrow_mut().push(start(run, check)?);
            let mut connect = bash_state.bash(&["addnetwork", &name, "-i", "-e", "80-8080"]);
            let took = place.time(|| finish(&mut connect));
            finish(&mut bash_state.bash(&["stop", &name]))?;
            took
        }),
    ])
}

/// The floor's network 192.168.`number`.0 for a running container of `conductor`. Its rules are
/// deleted afterwards.
pub fn floor(place: &Place, state: &State, name: &str, number: usize) -> Result<Duration, Trouble> {
    let words = ["net", &state.first_pid(name)?, name, &number.to_string(), INTERFACE];
    let took = place.time(|| finish(&mut place.floor(&words)));
    finish(&mut command("nft", &["delete", "table", "inet", &format!("floor_{name}")]))?;
    took
}

/// Stops a container of `conductor`.
pub fn stop(state: &State, name: &str) -> Result<(), Trouble> {
    finish(&mut state.conductor(&["-q", "stop", name]))
}
