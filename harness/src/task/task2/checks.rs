//! What is checked in task 2.

use super::timeline::ScriptTimeline;
use super::{filesystem, isolation, provisioning, script};
use crate::task::check::{CheckSpec, Row, Verdicts, specs};
use crate::task::finding::Question;
use crate::verdict::Finding;

/// How a check of task 2 is judged.
pub type Judge = fn(&ScriptTimeline, Question, &Verdicts) -> Finding;

const QUOTA: &str = "In this subtask, you are required to set the utilization limit to 50% of single core and not 50% \
                     utilization limit of all cores.";

/// One row for each check of 2a.
pub static ROWS_2A: [Row<Judge>; 4] = [
    Row {
        check: CheckSpec {
            id: "2a/root-isolated",
            title: "container_root is the root directory",
            requirement: "Run the program container_prog by assigning the provided directory container_root as its \
                      root directory.",
            hint: "Compare `ls -di /` with `ls -di /proc/PID/root/.` of container_prog while it runs, and look at what is \
               mounted below container_root.",
            see: &["strace -f -e trace=mount,chroot,pivot_root,execve ./simple_container.sh"],
            informational: false,
            needs: &["2a/libraries-from-script"],
            considers: &[],
            how: "The grader reads the root directory of container_prog at its first instruction, by inode, and all mounts below this directory. A file with a random name in the machine's /, /etc, /root and /home must not be seen there.",
            causes: &[
                "the working directory is changed instead of the root",
                "a folder of the machine is mounted below container_root",
                "the root is another folder, which may have the same name",
            ],
            man: &["chroot(1)", "chroot(2)"],
        },
        judge: filesystem::root_isolated,
    },
    Row {
        check: CheckSpec {
            id: "2a/libraries-from-script",
            title: "the script provides the libraries",
            requirement: "All required dependencies should be copied/linked from within the script. The script should \
                      execute correctly given an empty container_root directory.",
            hint: "Empty container_root and run the script again. `ldd container_prog` lists the libraries and their paths. The loader is one of these files.",
            see: &["ldd container_prog; find container_root -ls"],
            informational: false,
            needs: &[],
            considers: &[],
            how: "The script runs with an empty container_root. container_prog must start in it, or at least be able to.",
            causes: &[
                "the loader is missing",
                "the libraries are in a folder that the loader does not search",
                "they were copied by hand before the script ran",
            ],
            man: &["ldd(1)", "ld.so(8)", "cp(1)"],
        },
        judge: filesystem::libraries,
    },
    Row {
        check: CheckSpec {
            id: "2a/transcript",
            title: "output as shown",
            requirement: "Output Subtask 2a: Process PID, Child Process PID, Files/Directories in root directory",
            hint: "Lines with `-` are missing or in another place. Extra lines, with `+`, cost no marks. What does \
               container_prog see as its root?",
            see: &["script -qec ./simple_container.sh /dev/null | cat -A"],
            informational: false,
            needs: &["2a/root-isolated", "2a/libraries-from-script"],
            considers: &[],
            how: "The script runs on a terminal. All lines that the assignment shows for 2a must appear, in this order.",
            causes: &[
                "container_prog does not start",
                "its root is not container_root, so it lists other names",
            ],
            man: &["chroot(1)"],
        },
        judge: filesystem::transcript,
    },
    Row {
        check: CheckSpec {
            id: "2a/as-shown",
            title: "as the sample output",
            requirement: "Sample output on running simple-container.sh",
            hint: "`harness show REPORT 2a/as-shown` and the report's page show both sides. Look at the lines that are marked as different.",
            see: &[],
            informational: true,
            needs: &["2a/transcript"],
            considers: &[],
            how: "The grader compares the script's lines with the assignment's. Extra lines are fine, but no line may appear more often than in the assignment.",
            causes: &["container_prog runs twice"],
            man: &["unshare(1)"],
        },
        judge: script::as_shown,
    },
];

/// The checks of 2a.
pub static CHECKS_2A: [&CheckSpec; 4] = specs(&ROWS_2A);

/// One row for each check of 2b.
pub static ROWS_2B: [Row<Judge>; 6] = [
    Row {
        check: CheckSpec {
            id: "2b/pid-namespace",
            title: "a new PID namespace that starts with 1",
            requirement: "Within the new PID namespace, the PID of processes launched within the container should start \
                      with 1.",
            hint: "A new PID namespace begins with the next child of the process that asked for it: which process is \
               that here?",
            see: &["strace -f -e trace=unshare,clone,clone3,fork,vfork,execve ./simple_container.sh"],
            informational: false,
            needs: &[],
            considers: &[],
            how: "The grader reads the PID of container_prog in its own PID namespace at its first instruction.",
            causes: &[
                "the program that asked for the namespace becomes container_prog itself",
                "only the child of container_prog is in the namespace",
            ],
            man: &["unshare(1)", "pid_namespaces(7)"],
        },
        judge: isolation::pid_namespace,
    },
    Row {
        check: CheckSpec {
            id: "2b/uts-namespace",
            title: "a new UTS namespace",
            requirement: "In this subtask, attach a new PID and UTS namespace to the container.",
            hint: "Compare /proc/PID/ns/uts of container_prog with /proc/self/ns/uts of your shell.",
            see: &["strace -f -e trace=unshare,clone,clone3,sethostname,execve ./simple_container.sh"],
            informational: false,
            needs: &[],
            considers: &[],
            how: "The grader compares the UTS namespace of container_prog with the machine's.",
            causes: &["an option of unshare is missing"],
            man: &["unshare(1)", "uts_namespaces(7)"],
        },
        judge: isolation::uts_namespace,
    },
    Row {
        check: CheckSpec {
            id: "2b/host-hostname-kept",
            title: "the machine keeps its name",
            requirement: "Hostname within container: new_hostname, Hostname in the host: cs695",
            hint: "container_prog calls sethostname: whose name does that change? Watch `hostname` in another terminal.",
            see: &["hostname; ./simple_container.sh; hostname"],
            informational: false,
            needs: &[],
            considers: &[],
            how: "The grader sees every change of the machine's host name that lasts, also where the script sets the name back.",
            causes: &[
                "container_prog sets the name in the machine's own UTS namespace",
                "the script sets the name back afterwards",
            ],
            man: &["hostname(1)", "uts_namespaces(7)"],
        },
        judge: isolation::hostname_kept,
    },
    Row {
        check: CheckSpec {
            id: "2b/root-isolated",
            title: "the same root directory as in 2a",
            requirement: "Note that this is an incremental change, and the container running within the same chrooted \
                      environment as in subtask 2a.",
            hint: "Compare `ls -di /` with `ls -di /proc/PID/root/.` of container_prog while it runs.",
            see: &["strace -f -e trace=unshare,mount,chroot,pivot_root,execve ./simple_container.sh"],
            informational: false,
            needs: &[],
            considers: &[],
            how: "As in 2a/root-isolated, for the run of 2b.",
            causes: &["chroot is missing in this part of the script"],
            man: &["chroot(1)"],
        },
        judge: isolation::root_isolated,
    },
    Row {
        check: CheckSpec {
            id: "2b/transcript",
            title: "output as shown",
            requirement: "Output Subtask 2b: Process PID: 1, Child Process PID: 2, …, Hostname within container: \
                      new_hostname, Computation Benchmark, Hostname in the host",
            hint: "Lines with `-` are missing or in another place. Extra lines, with `+`, cost no marks.",
            see: &["script -qec ./simple_container.sh /dev/null | cat -A"],
            informational: false,
            needs: &["2b/pid-namespace", "2b/uts-namespace", "2b/host-hostname-kept", "2b/root-isolated"],
            considers: &[],
            how: "All lines that the assignment shows for 2b must appear, in this order, and the facts in them must be true.",
            causes: &["the PIDs are not 1 and 2", "container_prog is stopped before its benchmark ends"],
            man: &["unshare(1)"],
        },
        judge: isolation::transcript,
    },
    Row {
        check: CheckSpec {
            id: "2b/as-shown",
            title: "as the sample output",
            requirement: "Sample output on running simple-container.sh",
            hint: "`harness show REPORT 2b/as-shown` and the report's page show both sides. Look at the lines that are marked as different.",
            see: &[],
            informational: true,
            needs: &["2b/transcript"],
            considers: &[],
            how: "The grader compares the script's lines with the assignment's. Extra lines are fine, but no line may appear more often than in the assignment.",
            causes: &["container_prog runs twice"],
            man: &["unshare(1)"],
        },
        judge: script::as_shown,
    },
];

/// The checks of 2b.
pub static CHECKS_2B: [&CheckSpec; 6] = specs(&ROWS_2B);

/// One row for each check of 2c.
pub static ROWS_2C: [Row<Judge>; 8] = [
    Row {
        check: CheckSpec {
            id: "2c/cpu-quota",
            title: "50 % of one core",
            requirement: QUOTA,
            hint: "While container_prog runs, read cpu.max of every group on the path in /proc/PID/cgroup. Does each group have this file? What is quota divided by period?",
            see: &[
                "./simple_container.sh & while sleep 0.2; [ -d /proc/$! ]; do find /sys/fs/cgroup -name cpu.max -exec grep -Hv max {} +; done",
            ],
            informational: false,
            needs: &[],
            considers: &[],
            how: "While container_prog runs, the grader reads cpu.max of the container's group and of all groups above it. The tightest cap counts.",
            causes: &[
                "the cpu controller is not enabled in the parent group",
                "quota and period make another share than half",
                "the cap is on another group",
            ],
            man: &["cgroups(7)"],
        },
        judge: provisioning::quota,
    },
    Row {
        check: CheckSpec {
            id: "2c/processes-in-cgroup",
            title: "every process of the container, all the time",
            requirement: "This cgroup should be assigned to all processes running within the container.",
            hint: "A new process starts in the group of the process that creates it. Which process must enter the group, and when, so that no process of the container ever runs outside?",
            see: &[
                "./simple_container.sh & while sleep 0.1; [ -d /proc/$! ]; do ps -wwC container_prog,unshare --no-headers -o pid,cgroup:40,args; done",
            ],
            informational: false,
            needs: &["2c/cpu-quota"],
            considers: &[],
            how: "The grader reads the group of every process of the container at its first instruction, while the process runs, and at its end.",
            causes: &[
                "a process is moved into the group after it has started",
                "only the process that calls unshare is in the group",
            ],
            man: &["cgroups(7)"],
        },
        judge: provisioning::members,
    },
    Row {
        check: CheckSpec {
            id: "2c/throttled",
            title: "the CPU cap takes effect",
            requirement: "create a new cgroup that restricts the maximum CPU utilization to 50%",
            hint: "nr_throttled in cpu.stat of the group counts the periods in which it was stopped; the benchmark should \
               take about twice the time of 2b.",
            see: &[
                "./simple_container.sh & while sleep 1; [ -d /proc/$! ]; do grep -rs nr_throttled /sys/fs/cgroup --include=cpu.stat | grep -v ' 0$'; done",
            ],
            informational: false,
            needs: &["2c/cpu-quota", "2c/processes-in-cgroup"],
            considers: &[],
            how: "nr_throttled of the group must have grown between the start and the end of container_prog.",
            causes: &["the cap is lifted while the benchmark runs"],
            man: &["cgroups(7)"],
        },
        judge: provisioning::throttled,
    },
    Row {
        check: CheckSpec {
            id: "2c/namespaces",
            title: "PID and UTS namespaces as in 2b",
            requirement: "The task is divided into 3 subtasks, each contributing new features to the container.",
            hint: "2c adds to 2b: compare /proc/PID/ns of container_prog with those of your shell.",
            see: &["strace -f -e trace=unshare,clone,clone3,execve ./simple_container.sh"],
            informational: false,
            needs: &[],
            considers: &[],
            how: "As in 2b: container_prog must be PID 1 of a new PID namespace, in a new UTS namespace.",
            causes: &["this part of the script does not repeat the options of 2b"],
            man: &["unshare(1)"],
        },
        judge: provisioning::namespaces,
    },
    Row {
        check: CheckSpec {
            id: "2c/root-isolated",
            title: "the same root directory as in 2a",
            requirement: "Output Subtask 2c: Files/Directories in root directory: lib64, container_prog, ., .., lib",
            hint: "2c adds to 2b, which adds to 2a: compare `ls -di /` with `ls -di /proc/PID/root/.` of container_prog \
               while it runs.",
            see: &["strace -f -e trace=unshare,mount,chroot,pivot_root,execve ./simple_container.sh"],
            informational: false,
            needs: &[],
            considers: &[],
            how: "As in 2a/root-isolated, for the run of 2c.",
            causes: &["chroot is missing in this part of the script"],
            man: &["chroot(1)"],
        },
        judge: provisioning::root_isolated,
    },
    Row {
        check: CheckSpec {
            id: "2c/transcript",
            title: "output as shown",
            requirement: "Output Subtask 2c: Process PID: 1, Child Process PID: 2, …, Computation Benchmark, Time Taken, \
                      Value",
            hint: "Lines with `-` are missing or in another place. Extra lines, with `+`, cost no marks. Does \
               container_prog run to its end?",
            see: &["script -qec ./simple_container.sh /dev/null | cat -A"],
            informational: false,
            needs: &["2c/namespaces", "2c/root-isolated"],
            considers: &[],
            how: "All lines that the assignment shows for 2c must appear, in this order, and the facts in them must be true.",
            causes: &["container_prog is stopped before its benchmark ends"],
            man: &["cgroups(7)"],
        },
        judge: provisioning::transcript,
    },
    Row {
        check: CheckSpec {
            id: "2c/cgroup-removed",
            title: "the cgroup is removed",
            requirement: "Read comments and fill in commands at marked portions in simple-container.sh script.",
            hint: "A group can be removed when it has no process and no group below it. Which process is still in the group?",
            see: &[
                "b=$(find /sys/fs/cgroup -type d | sort); ./simple_container.sh; find /sys/fs/cgroup -type d | sort | diff <(echo \"$b\") -",
            ],
            informational: false,
            needs: &[],
            considers: &[],
            how: "The grader sees every group that the script makes. A moment after the script's end, none of them may be left.",
            causes: &[
                "a process is still in the group when it is removed",
                "a group below it is still there",
            ],
            man: &["cgroups(7)", "rmdir(1)"],
        },
        judge: provisioning::removed,
    },
    Row {
        check: CheckSpec {
            id: "2c/as-shown",
            title: "as the sample output",
            requirement: "Sample output on running simple-container.sh",
            hint: "`harness show REPORT 2c/as-shown` and the report's page show both sides. Look at the lines that are marked as different.",
            see: &[],
            informational: true,
            needs: &["2c/transcript"],
            considers: &[],
            how: "The grader compares the script's lines with the assignment's. Extra lines are fine, but no line may appear more often than in the assignment.",
            causes: &["container_prog runs twice"],
            man: &["unshare(1)"],
        },
        judge: script::as_shown,
    },
];

/// The checks of 2c.
pub static CHECKS_2C: [&CheckSpec; 8] = specs(&ROWS_2C);
