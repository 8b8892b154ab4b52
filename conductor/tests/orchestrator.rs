//! Task 4: the two services in their containers, with stand-ins for the services themselves.

#![allow(clippy::unwrap_used)]

mod support;

use predicates::prelude::*;
use predicates::str::{contains, ends_with};
use support::Playground;

/// Answers by HTTP with its arguments, forever.
const COUNTER: &str = "#!/bin/sh\nwhile :; do printf 'HTTP/1.0 200 OK\\r\\n\\r\\ncounted on %s' \"$1\" | nc -l -p \
                       \"$1\" > /dev/null; done\n";

/// Replaces python3: requests the URL in its arguments and answers with the result.
const PYTHON: &str = "#!/bin/sh\nwhile :; do until heard=$(wget -qO- \"$2\") && [ -n \"$heard\" ]; do sleep 0.05; \
                      done; printf 'HTTP/1.0 200 OK\\r\\n\\r\\n%s' \"$heard\" | nc -l -p 8080 > /dev/null; done\n";

/// A machine with both services. `python` runs the second one.
fn place(python: &str) -> Option<Playground> {
    let place = Playground::new()?;
    place.write_program("counter-service/counter-service", COUNTER);
    place.write("external-service/app.py", "");
    place.write_program("python3", python);
    place.write("csfile", "FROM debian:bookworm\nCOPY counter-service /opt/counter-service\n");
    let steps =
        "FROM debian:bookworm\nCOPY external-service /opt/external-service\nCOPY python3 /bin/python3\n";
    place.write("esfile", steps);
    let host = "ip link add wan0 type veth peer name wan1; ip link set wan1 up; ip addr add 10.9.0.2/24 dev wan0; \
                ip link set wan0 up; ip link set lo up; ip route add default via 10.9.0.1; iptables -P FORWARD DROP";
    assert!(place.command("/bin/sh").args(["-c", host]).status().unwrap().success());
    Some(place)
}

fn orchestrate(place: &Playground) -> assert_cmd::assert::Assert {
    let mut command = place.command(env!("CARGO_BIN_EXE_service_orchestrator"));
    command.arg(".");
    assert_cmd::Command::from_std(command).assert()
}

#[test]
fn the_orchestrator_builds_runs_and_connects_both_services_even_twice() {
    let Some(place) = place(PYTHON) else { return };
    for _ in 0..2 {
        orchestrate(&place)
            .success()
            .stdout(contains("counted on 8080\n"))
            .stdout(ends_with("The service runs at http://10.9.0.2:3000\n"));
    }
    for name in ["es-cont", "cs-cont"] {
        place.conductor(["stop", name]).assert().success();
    }
}

#[test]
fn a_service_that_ends_is_named_with_what_it_said() {
    let Some(place) = place("#!/bin/sh\necho no module named flask >&2; exit 3\n") else { return };
    orchestrate(&place).failure().stderr(
        contains("exec es-cont").and(contains("exit status: 3")).and(contains("no module named flask")),
    );
}
