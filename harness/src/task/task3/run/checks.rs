//! What is checked in 3a.

use super::judge::{
    RunContext, as_shown, command, default_shell, mode, namespaces, pid_one, proc_sys_dev, ps, root,
};
use super::lifetime::{listed, machine_unchanged, stop, stop_rules, twice};
use crate::task::check::{CheckSpec, Row, Verdicts, specs};
use crate::task::finding::Question;
use crate::verdict::Finding;

/// How a check of this subtask is judged.
pub type Judge = fn(&RunContext, Question, &Verdicts) -> Finding;

/// One row for each check.
pub static ROWS: [Row<Judge>; 14] = [
    Row {
        check: CheckSpec {
            id: "3a/namespaces",
            title: "five namespaces of its own",
            requirement: "The container will have isolated UTS, PID, NET, MOUNT and IPC namespaces.",
            hint: "Compare the links in /proc/PID/ns of a process in the container with those of your shell.",
            see: &["ls -l /proc/{pid}/ns /proc/self/ns"],
            informational: false,
            needs: &[],
            considers: &[],
            how: "The five namespaces of the container's first command are compared with the machine's, and with those of another container that runs at the same time.",
            causes: &[
                "an option of unshare is missing",
                "containers join a namespace that was made once for all",
            ],
            man: &["unshare(1)", "namespaces(7)"],
        },
        judge: namespaces,
    },
    Row {
        check: CheckSpec {
            id: "3a/pid-one",
            title: "PID 1",
            requirement: "The first process will have pid = 1 in the container.",
            hint: "`man 1 unshare`, --fork: who is the first process in a new PID namespace?",
            see: &["grep NSpid /proc/{pid}/status"],
            informational: false,
            needs: &[],
            considers: &[],
            how: "A process with PID 1 must be in the container's PID namespace, and the command must be that process or its descendant.",
            causes: &[
                "the program that asks for the namespace does not fork",
                "the namespace's first process has ended",
            ],
            man: &["unshare(1)", "pid_namespaces(7)"],
        },
        judge: pid_one,
    },
    Row {
        check: CheckSpec {
            id: "3a/root",
            title: "a root of its own",
            requirement: "container-name will have a subdirectory named rootfs which will be mounted as root directory \
                      for the container.",
            hint: "What does /proc/PID/root of the container's process point to?",
            see: &["ls -di / /proc/{pid}/root/."],
            informational: false,
            needs: &[],
            considers: &[],
            how: "The root directory of the container's command is compared with the machine's, by inode. A file with a random name in the machine's /, /etc, /root and /home must not be seen below it.",
            causes: &[
                "chroot is missing, or comes before another program that leaves it",
                "the overlay has a folder of the machine as a layer",
            ],
            man: &["chroot(1)", "unshare(1)"],
        },
        judge: root,
    },
    Row {
        check: CheckSpec {
            id: "3a/proc-sys-dev",
            title: "/proc, /sys and /dev",
            requirement: "It will also mount the following file systems within the container: procfs, sysfs, /dev (in \
                      host) bind mount to container-rootfs/dev",
            hint: "A procfs shows the PID namespace of the process that mounts it, and a sysfs shows its network namespace. \
               Which process mounts them, and in which namespaces is it then?",
            see: &["grep -E ' /(proc|sys|dev) ' /proc/{pid}/mounts"],
            informational: false,
            needs: &["3a/root"],
            considers: &[],
            how: "The container's /proc must belong to its PID namespace, its /sys to its network namespace, and its /dev must have the machine's devices.",
            causes: &[
                "a file system is mounted before the namespace is there",
                "a file system is not mounted at all",
            ],
            man: &["mount(8)", "proc(5)", "sysfs(5)"],
        },
        judge: proc_sys_dev,
    },
    Row {
        check: CheckSpec {
            id: "3a/machine-unchanged",
            title: "the machine's own mounts and host name stay",
            requirement: "You also need to mount appropriate filesystems to the rootfs within the container to enable \
                      tools that utilize those filesystems to be confined within the container isolation.",
            hint: "Compare `findmnt` and `hostname` on the machine before run, while the container runs, and after stop. A \
               mount below a bind mount of /dev may show in the machine's own /dev too (mount_namespaces(7), shared).",
            see: &[
                "(findmnt -l; hostname) >/tmp/before; ./conductor.sh run {image} probe sleep 60 & sleep 10; (findmnt -l; hostname) | diff /tmp/before -",
            ],
            informational: false,
            needs: &[],
            considers: &[],
            how: "The machine's own mounts and its host name are compared before run, while containers run, and after stop.",
            causes: &[
                "a mount below a bind mount of /dev shows in the machine's /dev",
                "unmounting a shared mount unmounts the machine's, too",
                "the host name is set before the container has its UTS namespace",
            ],
            man: &["mount_namespaces(7)", "findmnt(8)"],
        },
        judge: machine_unchanged,
    },
    Row {
        check: CheckSpec {
            id: "3a/ps-sees-only-container",
            title: "ps lists the container's processes",
            requirement: "procfs for tools dependent on it like ps, top etc. to work correctly",
            hint: "ps reads /proc. Which PID namespace does the container's /proc show?",
            see: &["./conductor.sh run {image} probe ps -ef"],
            informational: false,
            needs: &[],
            considers: &[],
            how: "`ps -e` is typed at the container's shell. It must list the container's processes and no others.",
            causes: &["the container's /proc is the machine's"],
            man: &["ps(1)", "proc(5)"],
        },
        judge: ps,
    },
    Row {
        check: CheckSpec {
            id: "3a/default-shell",
            title: "bash without a command",
            requirement: "If no command is given, it will execute /bin/bash by default.",
            hint: "Run it by hand without a command: is there a prompt, and which program wrote it?",
            see: &["./conductor.sh run {image} probe # without a command"],
            informational: false,
            needs: &[],
            considers: &[],
            how: "`run IMAGE NAME` is called on a terminal. bash must show its prompt there.",
            causes: &["another shell is the default", "the terminal is not handed on to the shell"],
            man: &["bash(1)"],
        },
        judge: default_shell,
    },
    Row {
        check: CheckSpec {
            id: "3a/command-and-args",
            title: "the command and its arguments",
            requirement: "command <args> is the program and its arguments (if any) that will be executed within the \
                      container as the first process.",
            hint: "Look at /proc/PID/cmdline of what runs in the container: are all words there, and no others?",
            see: &["tr '\\0' '\\n' </proc/{pid}/cmdline"],
            informational: false,
            needs: &[],
            considers: &[],
            how: "`run IMAGE NAME sleep N M` is called with a random number N and a small number M. A process with exactly these words must run.",
            causes: &[
                "only the first word is passed on",
                "only the first argument is passed on",
                "`--` is taken for the command",
            ],
            man: &["bash(1)"],
        },
        judge: command,
    },
    Row {
        check: CheckSpec {
            id: "3a/root-mode-755",
            title: "permissions of the root directory",
            requirement: "It will also set correct file permission on the container-rootfs/ so that tools like apt \
                      work correctly.",
            hint: "`stat /` inside the container. apt does some of its work as a user who is not root.",
            see: &["stat -c '%a %n' /proc/{pid}/root/."],
            informational: false,
            needs: &["3a/root"],
            considers: &[],
            how: "The mode of the container's root directory is read while the container runs.",
            causes: &["the script's umask takes the rights of others"],
            man: &["chmod(1)", "umask(2)"],
        },
        judge: mode,
    },
    Row {
        check: CheckSpec {
            id: "3a/listed-by-ps",
            title: "listed while it is there",
            requirement: "This function will show all running containers by querying entries within the configured \
                      CONTAINERDIR directory.",
            hint: "Which folder does ps look into, and which one does run make?",
            see: &["./conductor.sh ps"],
            informational: false,
            needs: &[],
            considers: &[],
            how: "`ps` is called before run, while a container runs, after its first process has ended, and after stop.",
            causes: &[
                "ps looks into another folder than run uses",
                "the folder is removed when the first process ends",
            ],
            man: &["ls(1)"],
        },
        judge: listed,
    },
    Row {
        check: CheckSpec {
            id: "3a/cannot-run-twice",
            title: "a name is taken until stop",
            requirement: "If you run a container and exit from it, you cannot run the same container again. First you \
                      will need to delete the container using stop command, then run it.",
            hint: "What does run do when the container's folder is there already?",
            see: &["./conductor.sh run {image} {container} true; echo $?"],
            informational: false,
            needs: &[],
            considers: &[],
            how: "The grader types `exit` in a container's shell and calls run again with the same name. No process in a container may start and stay.",
            causes: &["run does not look whether the folder is there"],
            man: &["test(1)"],
        },
        judge: twice,
    },
    Row {
        check: CheckSpec {
            id: "3a/stop-cleans-up",
            title: "stop leaves nothing",
            requirement: "Killing the unshare process that started the container; killing all processes running within \
                      the container; unmounting any remaining mount point within the container rootfs; deleting \
                      container-name",
            hint: "After stop, look for the container's processes, mounts, interfaces and folder.",
            see: &["findmnt -l; ps -ef; ip link; ip netns; ls -la"],
            informational: false,
            needs: &[],
            considers: &[],
            how: "After stop, the container's processes, mounts, interfaces, folder and a file that was written in it are looked for. No program may listen on its exposed port, and its neighbour must still run.",
            causes: &[
                "processes ignore the signal",
                "a mount is still busy",
                "a folder that the overlay needs is left",
                "a proxy of an exposed port still runs",
            ],
            man: &["kill(1)", "umount(8)"],
        },
        judge: stop,
    },
    Row {
        check: CheckSpec {
            id: "3a/stop-removes-rules",
            title: "stop removes the container's firewall rules",
            requirement: "Stopping a container will delete all state of the container",
            hint: "After stop, look for rules that still name the container's address or interface while another container runs.",
            see: &["iptables-save; nft list ruleset"],
            informational: true,
            needs: &[],
            considers: &[],
            how: "The machine's firewall rules are compared before a container gets its network and after stop, while others run.",
            causes: &["rules are removed only when no container is left"],
            man: &["iptables(8)"],
        },
        judge: stop_rules,
    },
    Row {
        check: CheckSpec {
            id: "3a/as-shown",
            title: "as the sample session",
            requirement: "the sample outputs of the tool if you have set up everything properly is shown below",
            hint: "`harness show REPORT 3a/as-shown` and the report's page show both sides. Look at the lines that are marked as different.",
            see: &[],
            informational: true,
            needs: &[
                "3a/default-shell",
                "3a/pid-one",
                "3a/ps-sees-only-container",
                "3a/listed-by-ps",
                "3a/stop-cleans-up",
            ],
            considers: &[],
            how: "The commands of the sample session are typed on terminals, and their output is compared with the assignment's. A table must list the same names; the tool's own messages may differ.",
            causes: &["a table lacks the image or the container", "ps at the prompt lists an extra process"],
            man: &["ps(1)"],
        },
        judge: as_shown,
    },
];

/// The rows without their judges.
pub static CHECKS: [&CheckSpec; 14] = specs(&ROWS);
