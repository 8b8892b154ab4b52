//! How times grow with the number of containers, networks and images.

use std::process::Child;
use std::time::Duration;

use crate::measure::{Contender, Task, Trouble, compare, finish, time};
use crate::place::{Place, State, start};
use crate::report::{Bound, Report};

/// The smaller number of containers and images.
const FEW: usize = 2;
/// The larger number of containers, images and networks.
const MANY: usize = 250;

/// Measures listings and a new network, with few and with many.
pub fn run(place: &Place, report: &mut Report) -> Result<(), Trouble> {
    let few = place.state("few")?;
    let many = place.state("many")?;
    let mut running = Vec::new();
    let both = [(&few, "few", FEW), (&many, "many", MANY)];
    for (state, prefix, number) in both {
        state.build("img", "")?;
        for entry in 0..number {
            let name = format!("{prefix}{entry}");
            state.build(&name, &format!("RUN [\"busybox\", \"mkdir\", \"/{name}\"]\n"))?;
            running.push(sleeper(state, &name)?);
        }
    }
    let mut curve = |title: &'static str, listing: &'static str| {
        let list = |state: &State| time(|| finish(&mut state.conductor(&["-q", listing])));
        let task = compare(
            title,
            40,
            Duration::from_secs(20),
            vec![Contender::new("2", |_| list(&few)), Contender::new("250", |_| list(&many))],
        );
        report.bounds.push(per_entry(&task, listing));
        report.tasks.push(task);
    };
    curve("ps with so many containers", "ps");
    curve("images with so many images", "images");

    let alone = network("a network beside no other", &few, &mut running);
    for container in 0..MANY {
        finish(&mut many.conductor(&["-q", "addnetwork", &format!("many{container}"), "-i"]))?;
    }
    let with_many = network("a network beside 250 others", &few, &mut running);
    let ratio = with_many.median("conductor").zip(alone.median("conductor")).map(|(many, few)| many / few);
    let claim = "addnetwork -i -e beside 250 networks / beside none".into();
    report.bounds.push(Bound { claim, ratio, at_most: 1.5 });
    report.tasks.extend([alone, with_many]);

    for (state, prefix, number) in both {
        for entry in 0..number {
            finish(&mut state.conductor(&["-q", "stop", &format!("{prefix}{entry}")]))?;
        }
    }
    for mut child in running {
        child.wait()?;
    }
    Ok(())
}

/// The microseconds that each entry adds to a listing.
fn per_entry(task: &Task, listing: &str) -> Bound {
    let medians = task.median("250").zip(task.median("2"));
    let ratio = medians.map(|(many, few)| (many - few) * 1000.0 / (MANY - FEW) as f64);
    Bound { claim: format!("{listing}: microseconds for each entry"), ratio, at_most: 15.0 }
}

fn sleeper(state: &State, name: &str) -> Result<Child, Trouble> {
    let run = state.conductor(&["-q", "run", "img", name, "--", "sleep", "9999"]);
    start(run, || state.conductor(&["-q", "exec", name, "--", "/bin/true"]))
}

/// Times `addnetwork -i -e` for a new container, beside the networks that exist.
fn network(title: &'static str, state: &State, running: &mut Vec<Child>) -> Task {
    let connect = |round: usize| {
        let name = format!("n{round}");
        running.push(sleeper(state, &name)?);
        let mut connect = state.conductor(&["-q", "addnetwork", &name, "-i", "-e", "80-8080"]);
        let took = time(|| finish(&mut connect));
        finish(&mut state.conductor(&["-q", "stop", &name]))?;
        took
    };
    compare(title, 30, Duration::from_secs(20), vec![Contender::new("conductor", connect)])
}
