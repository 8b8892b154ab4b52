#!/bin/bash
# What root can try by way of control groups against a process: cgroups.sh PID. Says ALLOWED or DENIED for each.
victim=$1
groups=/sys/fs/cgroup
try() {
    local why
    if why=$(bash -c "$1" 2>&1); then echo "ALLOWED $1"; else echo "DENIED $1: ${why##*: }"; fi
}
mkdir -p $groups/evil /mnt/groups
try "echo $victim > $groups/evil/cgroup.procs"
try "echo $victim > $groups/cgroup.procs"
try "echo threaded > $groups/evil/cgroup.type && echo $victim > $groups/evil/cgroup.threads"
try "mkdir $groups/keep/agent/deeper"
try "mkdir $groups/keep/deeper"
try "rmdir $groups/keep/agent"
for file in cgroup.kill cgroup.freeze memory.max pids.max cpu.max cpuset.cpus cgroup.procs; do
    try "echo 1 > $groups/keep/$file"
    try "echo 1 > $groups/keep/agent/$file"
done
try "echo threaded > $groups/keep/agent/cgroup.type"
try "echo -cpuset > $groups/keep/cgroup.subtree_control"
try "echo -cpuset > $groups/cgroup.subtree_control"
try "mount -t cgroup2 none /mnt/groups && echo 1 > /mnt/groups/keep/cgroup.kill"
umount /mnt/groups 2>/dev/null
try "unshare -Cm sh -c 'mount -t cgroup2 none /mnt/groups && echo 1 > /mnt/groups/keep/agent/cgroup.freeze'"
try "mount -t cgroup -o cpuset cpuset /mnt/groups"
try "mount -t cgroup -o freezer freezer /mnt/groups"
try "echo 0 > /proc/sys/kernel/ftrace_enabled"
try "mkdir -p /mnt/proc && mount -t proc proc /mnt/proc && echo 0 > /mnt/proc/sys/kernel/ftrace_enabled"
umount /mnt/proc 2>/dev/null
try "sysctl -q -w kernel.sched_rt_runtime_us=-1"
try "chrt -f 99 true"
try "rmmod -f virtio_console"
try "gdb -p $victim -batch || strace -p $victim -o /dev/null & sleep 1; kill \$!; wait \$!"
try "nsenter -t $victim -n true"
