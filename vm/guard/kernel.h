/* What guard.bpf.c needs of the kernel's types, by name: the loader looks up where each field is in the running
 * kernel (CO-RE), so this file is right for all kernels that have these fields. */
#pragma once
typedef unsigned char __u8;
typedef unsigned short __u16;
typedef unsigned int __u32;
typedef unsigned long long __u64;
typedef _Bool bool;
#define true 1
#define false 0

#define KERNEL __attribute__((preserve_access_index))

struct hlist_node {
	struct hlist_node *next;
} KERNEL;
struct hlist_head {
	struct hlist_node *first;
} KERNEL;
struct task_struct {
	unsigned int flags;
	int pid;
	int tgid;
	struct task_struct *real_parent;
	__u64 parent_exec_id;
	__u64 self_exec_id;
	struct hlist_node pid_links[4];
} KERNEL;
struct pt_regs {
	unsigned long cx;
	unsigned long si;
	unsigned long orig_ax;
} KERNEL;
struct pid {
	struct hlist_head tasks[4];
} KERNEL;
struct super_block {
	unsigned long s_magic;
} KERNEL;
struct inode {
	unsigned short i_mode;
	struct super_block *i_sb;
	unsigned long i_ino;
	__u32 i_rdev;
} KERNEL;
struct dentry {
	struct dentry *d_parent;
	struct inode *d_inode;
	unsigned char d_iname[32];
} KERNEL;
struct path {
	struct dentry *dentry;
} KERNEL;
struct file {
	struct path f_path;
	struct inode *f_inode;
	unsigned int f_mode;
} KERNEL;
struct proc_inode {
	struct pid *pid;
	struct inode vfs_inode;
} KERNEL;
struct bpf_load_attr {
	__u32 prog_type;
};

/* bpf(2) commands and kinds of programs, as in linux/bpf.h. */
enum {
	BPF_PROG_LOAD = 5,
	BPF_PROG_GET_NEXT_ID = 11,
	BPF_MAP_GET_NEXT_ID = 12,
	BPF_PROG_GET_FD_BY_ID = 13,
	BPF_MAP_GET_FD_BY_ID = 14,
	BPF_RAW_TRACEPOINT_OPEN = 17,
	BPF_TASK_FD_QUERY = 20,
	BPF_BTF_GET_NEXT_ID = 23,
	BPF_LINK_GET_FD_BY_ID = 30,
	BPF_LINK_GET_NEXT_ID = 31,
	BPF_ENABLE_STATS = 32,
	BPF_ITER_CREATE = 33,
};
enum {
	BPF_PROG_TYPE_SOCKET_FILTER = 1,
	BPF_PROG_TYPE_SCHED_CLS = 3,
	BPF_PROG_TYPE_SCHED_ACT = 4,
	BPF_PROG_TYPE_XDP = 6,
	BPF_PROG_TYPE_CGROUP_SKB = 8,
	BPF_PROG_TYPE_CGROUP_SOCK = 9,
	BPF_PROG_TYPE_CGROUP_DEVICE = 15,
};

/* Helpers of the kernel, by their numbers in linux/bpf.h. */
static long (*const bpf_probe_read_kernel)(void *to, __u32 size, const void *from) = (void *)113;
static long (*const bpf_probe_read_kernel_str)(void *to, __u32 size, const void *from) = (void *)115;
static struct task_struct *(*const bpf_get_current_task_btf)(void) = (void *)158;
static long (*const bpf_task_pt_regs)(struct task_struct *) = (void *)175;

/* A field behind a pointer that the verifier does not know: read by a helper. */
#define READ(p, field)                                                                                                 \
	({                                                                                                             \
		typeof((p)->field) _value = (typeof((p)->field))0;                                                     \
		bpf_probe_read_kernel(&_value, sizeof(_value), __builtin_preserve_access_index(&(p)->field));          \
		_value;                                                                                                \
	})
/* Where a field is in its struct, in the running kernel. */
#define OFFSET(type, field) __builtin_preserve_field_info(((type *)0)->field, 0)

#define SEC(name) __attribute__((section(name), used))
