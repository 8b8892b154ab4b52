// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * Keeps root in the guest away from the recorder: the agent, and the programs that the agent itself starts (the guest
 * half of the harness, with all its threads). LSM hooks (Documentation/bpf/prog_lsm.rst) that say no to everybody else.
 *
 * docs/security.md lists what is refused and which test shows it. ci/guard compiles this file to guard.bpf.o, which is
 * built into the agent (vm/src/agent/guard.rs).
 */
#include "kernel.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

#define INLINE static __attribute__((always_inline))
#define CALLED static __attribute__((noinline))

#define EPERM 1
#define FMODE_WRITE 2
#define PROC_MAGIC 0x9fa0
#define SYSFS_MAGIC 0x62656572
#define CGROUP2_MAGIC 0x63677270
#define S_IFMT 0170000
#define S_IFCHR 0020000
#define S_IFBLK 0060000
#define DEVICE_MAPPER (10 << 20 | 236)
#define CAP_SYS_MODULE 16

/* Filled in before the load and read-only afterwards. */
const volatile int agent = 0;	      /* its process, by its number in the machine's PID namespace */
const volatile __u32 port_major = 0;  /* of every virtio port */
const volatile __u32 disk_major = 0;  /* of every virtio disk */
const volatile __u64 group = 0;	      /* inode of the agent's control group; 0: it has none */

/*
 * The agent, what it started, and what these forked until it becomes another program: a child has the memory and the
 * files of its parent before its exec. A fork has the exec number of its parent; an exec counts it up. So a child that a
 * submission makes with CLONE_PARENT, which also has the recorder as its parent, is not one of these.
 */
CALLED bool kept(struct task_struct *task)
{
#pragma unroll
	for (int generation = 0; generation < 4; generation++) {
		struct task_struct *parent = READ(task, real_parent);
		if (READ(task, tgid) == agent || READ(parent, tgid) == agent)
			return true;
		if (READ(task, self_exec_id) != READ(task, parent_exec_id))
			return false;
		task = parent;
	}
	return false;
}

CALLED bool ours(void)
{
	return kept(bpf_get_current_task_btf());
}

#define TASK(context) ((struct task_struct *)(context)[0])

/* Signals, from whatever system call. */
SEC("lsm/task_kill")
int task_kill(__u64 *context)
{
	return kept(TASK(context)) && (int)context[2] && !ours() ? -EPERM : 0;
}

/* Signals by a file's owner (F_SETOWN, F_SETSIG), which task_kill is not asked about. */
SEC("lsm/file_send_sigiotask")
int sigio(__u64 *context)
{
	return kept(TASK(context)) ? -EPERM : 0;
}

/* ptrace, process_vm_*, pidfd_getfd, kcmp, setns by pidfd, and most files of /proc/PID. */
SEC("lsm/ptrace_access_check")
int ptrace_check(__u64 *context)
{
	return kept(TASK(context)) && !ours() ? -EPERM : 0;
}

#define REFUSE_OTHERS(name)                                                                                            \
	int name(__u64 *context)                                                                                       \
	{                                                                                                              \
		return kept(TASK(context)) && !ours() ? -EPERM : 0;                                                    \
	}
SEC("lsm/task_setnice") REFUSE_OTHERS(setnice)
SEC("lsm/task_setioprio") REFUSE_OTHERS(setioprio)
SEC("lsm/task_setrlimit") REFUSE_OTHERS(setrlimit)
SEC("lsm/task_movememory") REFUSE_OTHERS(movememory)

INLINE bool is_real_time(__u64 policy)
{
	policy &= 0xffff;
	return policy == 1 || policy == 2 || policy == 6;
}

/*
 * Scheduler and affinity of kept processes, and their moves between control groups (cpuset asks here). And nobody else
 * becomes a real-time process: one that never sleeps would starve the recorder. sched_setattr keeps its policy in memory
 * that can change after a look at it, so it is refused as a whole.
 */
SEC("lsm/task_setscheduler")
int setscheduler(__u64 *context)
{
	if (ours())
		return 0;
	if (kept(TASK(context)))
		return -EPERM;
	struct pt_regs *regs = (struct pt_regs *)bpf_task_pt_regs(bpf_get_current_task_btf());
	unsigned long call = READ(regs, orig_ax);
	if (call == 144 && is_real_time(READ(regs, si))) /* sched_setscheduler */
		return -EPERM;
	if (call == 156 && is_real_time(READ(regs, cx))) /* the same for 32-bit programs */
		return -EPERM;
	return call == 314 || call == 351 ? -EPERM : 0; /* sched_setattr */
}

/* Kinds of programs that can neither look into the kernel nor change what this one says. */
INLINE bool is_tame(__u32 type)
{
	return type == BPF_PROG_TYPE_SOCKET_FILTER || type == BPF_PROG_TYPE_CGROUP_DEVICE ||
	       type == BPF_PROG_TYPE_CGROUP_SKB || type == BPF_PROG_TYPE_CGROUP_SOCK ||
	       type == BPF_PROG_TYPE_SCHED_CLS || type == BPF_PROG_TYPE_SCHED_ACT || type == BPF_PROG_TYPE_XDP;
}

SEC("lsm/bpf")
int bpf_call(__u64 *context)
{
	struct bpf_load_attr *attributes = (struct bpf_load_attr *)context[1];
	__u32 type = 0;
	if (ours())
		return 0;
	switch ((int)context[0]) {
	case BPF_PROG_LOAD:
		bpf_probe_read_kernel(&type, sizeof(type), attributes);
		return is_tame(type) ? 0 : -EPERM;
	case BPF_PROG_GET_NEXT_ID:
	case BPF_MAP_GET_NEXT_ID:
	case BPF_BTF_GET_NEXT_ID:
	case BPF_LINK_GET_NEXT_ID:
	case BPF_PROG_GET_FD_BY_ID:
	case BPF_MAP_GET_FD_BY_ID:
	case BPF_LINK_GET_FD_BY_ID:
	case BPF_RAW_TRACEPOINT_OPEN:
	case BPF_TASK_FD_QUERY:
	case BPF_ITER_CREATE:
	case BPF_ENABLE_STATS:
		return -EPERM;
	}
	return 0;
}

SEC("lsm/perf_event_open")
int perf_open(__u64 *context)
{
	return ours() ? 0 : -EPERM;
}

/* A listener that is asked for permission (fanotify) could hold every open of a kept process. */
SEC("lsm/path_notify")
int notify(__u64 *context)
{
	return context[1] & 0x70000 && !ours() ? -EPERM : 0;
}

CALLED bool in_group(struct dentry *entry)
{
	if (!group)
		return false;
#pragma unroll
	for (int depth = 0; depth < 8; depth++) {
		struct inode *inode = READ(entry, d_inode);
		struct dentry *parent = READ(entry, d_parent);
		if (inode && READ(inode, i_ino) == group)
			return true;
		if (!parent || parent == entry)
			return false;
		entry = parent;
	}
	return false;
}

INLINE unsigned long file_system(struct inode *inode)
{
	struct super_block *super = READ(inode, i_sb);
	return READ(super, s_magic);
}

#define REFUSE_IN_GROUP(name)                                                                                          \
	int name(__u64 *context)                                                                                       \
	{                                                                                                              \
		struct inode *directory = (struct inode *)context[0];                                                  \
		struct dentry *entry = (struct dentry *)context[1];                                                    \
		return file_system(directory) == CGROUP2_MAGIC && in_group(entry) && !ours() ? -EPERM : 0;             \
	}
SEC("lsm/inode_rmdir") REFUSE_IN_GROUP(rmdir)

SEC("lsm/inode_mkdir")
int mkdir(__u64 *context)
{
	struct inode *directory = (struct inode *)context[0];
	struct dentry *entry = (struct dentry *)context[1];
	return file_system(directory) == CGROUP2_MAGIC && in_group(READ(entry, d_parent)) && !ours() ? -EPERM : 0;
}

/* Files that are known by their names, wherever the file system is mounted. */
union name {
	char text[24];
	__u64 word[3];
};

INLINE bool is(const union name *name, union name other)
{
	return name->word[0] == other.word[0] && name->word[1] == other.word[1] && name->word[2] == other.word[2];
}
#define IS(of, literal) is(of, (union name){ .text = literal })

/* What switches these hooks off, starves who is kept, or ends the machine by a keystroke. */
INLINE bool is_closed_sysctl(const union name *name)
{
	return IS(name, "ftrace_enabled") || IS(name, "sched_rt_runtime_us") || IS(name, "sched_rt_period_us") ||
	       IS(name, "sysrq-trigger") || IS(name, "sysrq") || IS(name, "cad_pid");
}

/* What takes a device from its driver or brings it back. */
INLINE bool is_closed_attribute(const union name *name)
{
	return IS(name, "unbind") || IS(name, "bind") || IS(name, "new_id") || IS(name, "remove_id") ||
	       IS(name, "driver_override") || IS(name, "remove") || IS(name, "reset") || IS(name, "rescan") ||
	       IS(name, "enable") || IS(name, "drivers_probe");
}

/* /sys/power/state puts the whole machine to sleep. */
INLINE bool is_power(struct dentry *entry)
{
	struct dentry *folder = READ(entry, d_parent);
	union name name = {};
	bpf_probe_read_kernel_str(&name, sizeof(name), __builtin_preserve_access_index(&folder->d_iname));
	return IS(&name, "power");
}

/* /proc/PID/... and /proc/PID/task/TID/...: the inode knows whose it is. */
INLINE bool is_of_kept(struct inode *inode)
{
	struct proc_inode *of_proc = (void *)inode - OFFSET(struct proc_inode, vfs_inode);
	struct pid *pid = READ(of_proc, pid);
	if (!pid)
		return false;
	struct hlist_node *first = READ(pid, tasks[0].first);
	return first && kept((void *)first - OFFSET(struct task_struct, pid_links));
}

SEC("lsm/file_open")
int file_open(__u64 *context)
{
	struct file *file = (struct file *)context[0];
	struct inode *inode = file->f_inode;
	unsigned short kind = inode->i_mode & S_IFMT;
	if (kind == S_IFCHR)
		return (inode->i_rdev >> 20 == port_major || inode->i_rdev == DEVICE_MAPPER) && !ours() ? -EPERM : 0;
	if (kind == S_IFBLK)
		return inode->i_rdev >> 20 == disk_major && !ours() ? -EPERM : 0;
	if (!(file->f_mode & FMODE_WRITE))
		return 0;
	unsigned long magic = inode->i_sb->s_magic;
	if (magic != PROC_MAGIC && magic != SYSFS_MAGIC && magic != CGROUP2_MAGIC)
		return 0;
	struct dentry *entry = file->f_path.dentry;
	bool closed;
	union name name = {};
	bpf_probe_read_kernel_str(&name, sizeof(name), __builtin_preserve_access_index(&entry->d_iname));
	if (magic == CGROUP2_MAGIC)
		closed = in_group(entry);
	else if (magic == PROC_MAGIC)
		closed = is_closed_sysctl(&name) || is_of_kept(inode);
	else
		closed = is_closed_attribute(&name) || (IS(&name, "state") && is_power(entry));
	return closed && !ours() ? -EPERM : 0;
}

/* No hook is asked when a module is unloaded, only the capability: for delete_module nobody has it. */
SEC("lsm/capable")
int capable(__u64 *context)
{
	if ((int)context[2] != CAP_SYS_MODULE)
		return 0;
	struct pt_regs *regs = (struct pt_regs *)bpf_task_pt_regs(bpf_get_current_task_btf());
	unsigned long call = READ(regs, orig_ax);
	return (call == 176 || call == 129) && !ours() ? -EPERM : 0;
}
