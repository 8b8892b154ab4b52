//! What is checked in task 4.

use super::counter::{address_discovered, counter_hidden, counter_reachable, counts, exec_beside};
use super::judge::{MatrixContext, as_shown, containers_running, images_built, internet, reachable};
use crate::task::check::{CheckSpec, Row, Verdicts, specs};
use crate::task::finding::Question;
use crate::verdict::Finding;

const HIDDEN: &str = "Only the external-service is accessible from the outside world (other hosts on the network), \
                      whereas the counter-service should only be accessible from the host.";

/// How a check of this subtask is judged.
pub type Judge = fn(&MatrixContext, Question, &Verdicts) -> Finding;

/// One row for each check.
pub static ROWS: [Row<Judge>; 10] = [
    Row {
        check: CheckSpec {
            id: "4/images-built",
            title: "both images",
            requirement: "Build the images for the containers using the appropriate Conductorfiles. [cs-image: apt \
                      install -y build-essential, make; es-image: apt install -y python3 python3-flask \
                      python3-requests]",
            hint: "Build each image by hand with your Conductorfile and look into a container of it: is everything there?",
            see: &[
                "../task3/conductor.sh images; find ../task3 -xdev -type f -name layers -exec tail -vn +1 {} +",
            ],
            informational: false,
            needs: &[],
            considers: &[],
            how: "The grader searches images and running containers for the services' files, and for the files that apt and make create.",
            causes: &["an apt or make in a RUN failed", "COPY put the folder elsewhere than RUN looks"],
            man: &["make(1)", "apt-get(8)"],
        },
        judge: images_built,
    },
    Row {
        check: CheckSpec {
            id: "4/containers-running",
            title: "both containers run",
            requirement: "Run two containers, say cs-cont and es-cont which should run in the background.",
            hint: "Which process is the first of each container? When does this process end, and does your script wait for its end?",
            see: &["./service-orchestrator.sh; ../task3/conductor.sh ps; ps -ef"],
            informational: false,
            needs: &["4/images-built"],
            considers: &[],
            how: "Two containers with their own namespaces must each run one service until the last page request.",
            causes: &[
                "the first process ends at once",
                "the script waits for the first process in the foreground",
            ],
            man: &["sleep(1)"],
        },
        judge: containers_running,
    },
    Row {
        check: CheckSpec {
            id: "4/internet",
            title: "both containers have Internet",
            requirement: "4.a. es-cont is connected to the internet and es-cont has its port 8080 forwarded to port 3000 \
                      of the host 4.b: cs-cont is connected to the internet and does not have any port exposed",
            hint: "With which options does your script call addnetwork for each of the two?",
            see: &[
                "./service-orchestrator.sh; ../task3/conductor.sh exec es-cont ip route; ../task3/conductor.sh exec cs-cont ip route; iptables-save",
            ],
            informational: false,
            needs: &["4/containers-running"],
            considers: &[],
            how: "Each container exchanges a random token with a server in the Internet.",
            causes: &["addnetwork without -i"],
            man: &[],
        },
        judge: internet,
    },
    Row {
        check: CheckSpec {
            id: "4/reachable-from-lan",
            title: "the page from another machine",
            requirement: "On any system which can ping the host system open/curl the url: http://<host-ip>:3000 to verify \
                      output of the service",
            hint: "Is app.py running, on which address does it listen, and to which port of which container does port \
               3000 of the machine lead?",
            see: &[
                "./service-orchestrator.sh; iptables-save -t nat; ../task3/conductor.sh exec es-cont ps -ef",
            ],
            informational: false,
            needs: &["4/containers-running", "4/images-built"],
            considers: &[],
            how: "Another machine connects to port 3000 of the machine. The connection must end in the container of the external-service, at a process of python below the container's root directory.",
            causes: &["app.py does not run", "the ports are swapped"],
            man: &["curl(1)", "iptables(8)"],
        },
        judge: reachable,
    },
    Row {
        check: CheckSpec {
            id: "4/counts",
            title: "the page counts",
            requirement: "Within the host system open/curl the url: http://<host-ip>:3000 to verify output of the service.",
            hint: "For each visit, app.py calls the counter-service at the URL in its argument. Can es-cont reach this URL?",
            see: &[
                "./service-orchestrator.sh; curl http://$(hostname -I | cut -d' ' -f1):3000; ../task3/conductor.sh exec es-cont ps -ef",
            ],
            informational: false,
            needs: &["4/reachable-from-lan", "4/counter-reachable-from-host"],
            considers: &[],
            how: "The grader requests the page many times, one after the other and at once. Each visit must add one to the counter-service's own count.",
            causes: &["the page counts by itself", "no peer network"],
            man: &["curl(1)"],
        },
        judge: counts,
    },
    Row {
        check: CheckSpec {
            id: "4/counter-hidden-from-lan",
            title: "the counter is hidden from other machines",
            requirement: HIDDEN,
            hint: "Which ports of the machine lead to cs-cont?",
            see: &["./service-orchestrator.sh; iptables-save -t nat; ss -tlnp"],
            informational: false,
            needs: &["4/counter-reachable-from-host"],
            considers: &[],
            how: "Another machine tries all open ports of the machine. None may answer as the counter-service does.",
            causes: &["a port of cs-cont is exposed, too"],
            man: &["iptables(8)"],
        },
        judge: counter_hidden,
    },
    Row {
        check: CheckSpec {
            id: "4/counter-reachable-from-host",
            title: "the counter from the machine",
            requirement: HIDDEN,
            hint: "From the machine, curl the address of cs-cont at port 8080; then look for the program in cs-cont's ps.",
            see: &[
                "./service-orchestrator.sh; ../task3/conductor.sh exec cs-cont ip address; curl http://ADDRESS:8080 # ADDRESS: that of cs-cont",
            ],
            informational: false,
            needs: &["4/containers-running", "4/images-built"],
            considers: &[],
            how: "The machine asks the counter-service for its count, at the address of its container. The process that listens there must have the container's root directory.",
            causes: &[
                "the program does not run",
                "the program was made on the machine and cannot start in the container",
            ],
            man: &["curl(1)", "make(1)"],
        },
        judge: counter_reachable,
    },
    Row {
        check: CheckSpec {
            id: "4/address-discovered",
            title: "the counter's address is looked up",
            requirement: "Get IP address of cs-cont. You should use script to get the IP address – can use ip interface \
                      configuration within the host to get IP address of cs-cont or can exec any command within \
                      cs-cont to get it's IP address",
            hint: "Run your script while other containers have a network already: does everything still fit together?",
            see: &[
                "./service-orchestrator.sh; ../task3/conductor.sh exec es-cont ps -ef; ../task3/conductor.sh exec cs-cont ip address",
            ],
            informational: false,
            needs: &["4/counts"],
            considers: &[],
            how: "The script runs again while other containers have the first subnets. The page must count as before.",
            causes: &["the script contains a fixed address"],
            man: &["ip-address(8)"],
        },
        judge: address_discovered,
    },
    Row {
        check: CheckSpec {
            id: "4/exec-beside-services",
            title: "exec while the services run",
            requirement: "This function executes the given program along with its arguments within the specified running \
                      container.",
            hint: "How does exec find the container's process, and what does exec find while another exec runs?",
            see: &[
                "./service-orchestrator.sh; ../task3/conductor.sh exec cs-cont ps -ef; ../task3/conductor.sh exec es-cont ps -ef",
            ],
            informational: true,
            needs: &[],
            considers: &[],
            how: "While the services run, exec installs curl in es-cont and requests the page from there.",
            causes: &["exec finds the container's process by a line of ps, and two lines match"],
            man: &["ps(1)"],
        },
        judge: exec_beside,
    },
    Row {
        check: CheckSpec {
            id: "4/as-shown",
            title: "as the sample session",
            requirement: "Within the host system open/curl the url: http://<host-ip>:3000 to verify output of the service.",
            hint: "`harness show REPORT 4/as-shown` and the report's page show both sides. Look at the lines that are marked as different.",
            see: &[],
            informational: true,
            needs: &["4/reachable-from-lan", "4/counts"],
            considers: &[],
            how: "The grader requests the page on the machine and on another one, and compares it with the answer of the handed-out app.py.",
            causes: &["the page is not that of the handed-out app.py"],
            man: &["curl(1)"],
        },
        judge: as_shown,
    },
];

/// The rows without their judges.
pub static CHECKS: [&CheckSpec; 10] = specs(&ROWS);
