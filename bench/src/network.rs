//! `addnetwork -i -e`.

use std::cell::RefCell;
use std::process::Child;
use std::time::Duration;

use crate::measure::{Contender, Trouble, command, compare, finish, time};
use crate::place::{INTERFACE, Place, State, start};
use crate::report::{Bound, Report};

/// A veth pair, addresses, routes, NAT and one port, for a container that has just started.
pub fn connect(place: &Place, report: &mut Report) -> Result<(), Trouble> {
    let state = place.state("net")?;
    state.build_base()?;
    let bash_state = place.state("net-bash")?;
    bash_state.build_base()?;
    let ended: RefCell<Vec<Child>> = RefCell::default();
    let begin = |name: &str| -> Result<(), Trouble> {
        let run = state.conductor(&["-q", "run", "img", name, "--", "sleep", "9999"]);
        let child = start(run, || state.conductor(&["-q", "exec", name, "--", "/bin/true"]))?;
        ended.borrow_mut().push(child);
        Ok(())
    };
    let stop = |state: &State, name: &str| finish(&mut state.conductor(&["-q", "stop", name]));
    let task = compare(
        "veth pair, addresses, NAT and one port",
        30,
        Duration::from_secs(20),
        vec![
            Contender::new("floor", |round| {
                let name = format!("f{round}");
                begin(&name)?;
                let number = (100 + round).to_string();
                let mut floor = place.floor(&["net", &state.first_pid(&name)?, &name, &number, INTERFACE]);
                let took = time(|| finish(&mut floor));
                finish(&mut command("nft", &["delete", "table", "inet", &format!("floor_{name}")]))?;
                stop(&state, &name)?;
                took
            }),
            Contender::new("conductor", |round| {
                let name = format!("c{round}");
                begin(&name)?;
                let mut connect = state.conductor(&["-q", "addnetwork", &name, "-i", "-e", "80-8080"]);
                let took = time(|| finish(&mut connect));
                stop(&state, &name)?;
                took
            }),
            Contender::new("bash tool", |round| {
                let name = format!("b{round}");
                let run = bash_state.bash(&["run", "img", &name, "--", "sleep", "9999"]);
                let check = || bash_state.bash(&["exec", &name, "--", "/bin/true"]);
                ended.borrow_mut().push(start(run, check)?);
                let mut connect = bash_state.bash(&["addnetwork", &name, "-i", "-e", "80-8080"]);
                let took = time(|| finish(&mut connect));
                finish(&mut bash_state.bash(&["stop", &name]))?;
                took
            }),
        ],
    );
    for mut child in ended.into_inner() {
        child.wait()?;
    }
    report.bounds.push(Bound::between(&task, "conductor", "floor", 4.0));
    report.bounds.push(Bound::between(&task, "conductor", "bash tool", 1.0 / 6.0));
    report.tasks.push(task);
    Ok(())
}
