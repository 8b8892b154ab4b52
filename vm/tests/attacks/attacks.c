// What root can try against a process: attacks PID. Says ALLOWED or DENIED for each attack, by its name; the deadly
// ones come last. Run in a guest by vm/tests/guard.rs.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/perf_event.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

static pid_t victim;

static void say(const char *attack, long result)
{
	int error = errno;
	printf("%s %s%s%s\n", result < 0 ? "DENIED" : "ALLOWED", attack, result < 0 ? ": " : "",
	       result < 0 ? strerror(error) : "");
	fflush(stdout);
}

static void signals(void)
{
	siginfo_t info = { .si_code = SI_QUEUE };
	int pidfd = syscall(SYS_pidfd_open, victim, 0);
	say("kill WINCH", kill(victim, SIGWINCH));
	say("tgkill WINCH", syscall(SYS_tgkill, victim, victim, SIGWINCH));
	say("rt_sigqueueinfo WINCH", syscall(SYS_rt_sigqueueinfo, victim, SIGWINCH, &info));
	say("pidfd_send_signal WINCH", syscall(SYS_pidfd_send_signal, pidfd, SIGWINCH, 0, 0));
	close(pidfd);
}

static void memory_and_descriptors(void)
{
	char bytes[32], name[64];
	struct iovec here = { bytes, sizeof bytes }, there = { (void *)0x400000, sizeof bytes };
	int pidfd = syscall(SYS_pidfd_open, victim, 0);
	for (int fd = 0; fd < 6; fd++) {
		snprintf(name, sizeof name, "pidfd_getfd %d", fd);
		say(name, syscall(SYS_pidfd_getfd, pidfd, fd, 0));
	}
	say("setns by pidfd", syscall(SYS_setns, pidfd, CLONE_NEWUTS));
	say("ptrace seize", ptrace(PTRACE_SEIZE, victim, 0, 0));
	say("ptrace attach", ptrace(PTRACE_ATTACH, victim, 0, 0));
	say("process_vm_readv", process_vm_readv(victim, &here, 1, &there, 1, 0));
	say("process_vm_writev", process_vm_writev(victim, &here, 1, &there, 1, 0));
	say("process_madvise", syscall(SYS_process_madvise, pidfd, &there, 1, 20, 0));
	say("kcmp", syscall(SYS_kcmp, getpid(), victim, 0, 0, 0));
	say("get_robust_list", syscall(SYS_get_robust_list, victim, bytes, bytes + 8));
	unsigned long from = 1, to = 1;
	say("migrate_pages", syscall(SYS_migrate_pages, victim, 8, &from, &to));
	void *page = (void *)0x400000;
	int status;
	say("move_pages", syscall(SYS_move_pages, victim, 1, &page, 0, &status, 0));
	close(pidfd);
}

static void proc(void)
{
	static const char *read_only[] = { "mem", "maps", "environ", "fd/0", "fd", "root/", "cwd/", "exe", "ns/mnt", "ns/net", "stack",
					   "syscall", "auxv", "map_files", "pagemap", "smaps", "fdinfo/0", "io", "personality" };
	static const char *writable[] = { "mem", "oom_score_adj", "oom_adj", "comm", "coredump_filter", "clear_refs", "autogroup", "sched",
					  "timerslack_ns", "uid_map", "attr/current", "loginuid" };
	char path[128], name[128], byte;
	for (unsigned at = 0; at < sizeof read_only / sizeof *read_only; at++) {
		snprintf(path, sizeof path, "/proc/%d/%s", victim, read_only[at]);
		snprintf(name, sizeof name, "read /proc/PID/%s", read_only[at]);
		int fd = open(path, O_RDONLY);
		struct stat kind;
		long result = fd;
		if (fd >= 0 && !fstat(fd, &kind) && S_ISREG(kind.st_mode) && strcmp(read_only[at], "exe"))
			result = read(fd, &byte, 1);
		else if (fd >= 0 && S_ISDIR(kind.st_mode) && strchr(read_only[at], '/') == NULL)
			result = syscall(SYS_getdents64, fd, path, sizeof path);
		say(name, result);
	}
	for (unsigned at = 0; at < sizeof writable / sizeof *writable; at++) {
		snprintf(path, sizeof path, "/proc/%d/%s", victim, writable[at]);
		snprintf(name, sizeof name, "write /proc/PID/%s", writable[at]);
		say(name, open(path, O_WRONLY));
	}
	snprintf(path, sizeof path, "/proc/%d/task/%d/mem", victim, victim);
	say("write /proc/PID/task/TID/mem", open(path, O_RDWR));
}

static long compat(long call, long first, long second, long third)
{
	long result;
	__asm__ volatile("int $0x80" : "=a"(result) : "a"(call), "b"(first), "c"(second), "d"(third) : "memory");
	if (result >= 0)
		return result;
	errno = -result;
	return -1;
}

static void time_and_limits(void)
{
	cpu_set_t one;
	struct sched_param none = { 0 }, most = { .sched_priority = 99 };
	struct rlimit second = { 1, 1 };
	CPU_ZERO(&one);
	CPU_SET(0, &one);
	say("setpriority", setpriority(PRIO_PROCESS, victim, 19));
	say("sched_setaffinity", sched_setaffinity(victim, sizeof one, &one));
	say("sched_setscheduler idle", sched_setscheduler(victim, SCHED_IDLE, &none));
	say("sched_setparam", sched_setparam(victim, &most));
	say("ioprio_set", syscall(SYS_ioprio_set, 1, victim, 3 << 13));
	say("prlimit", prlimit(victim, RLIMIT_CPU, &second, 0));
	struct { unsigned size, policy; unsigned long long flags; int nice; unsigned priority; unsigned long long a, b, c; } attributes =
		{ .size = 48, .policy = SCHED_FIFO, .priority = 99 };
	say("own sched_setattr FIFO", syscall(SYS_sched_setattr, 0, &attributes, 0));
	say("own sched_setscheduler FIFO", sched_setscheduler(0, SCHED_FIFO, &most));
	say("own sched_setscheduler RR and reset", sched_setscheduler(0, SCHED_RR | SCHED_RESET_ON_FORK, &most));
	static int low __attribute__((aligned(8))) = 99;
	// The 32-bit call takes a pointer below 4 GiB: this program is linked there (-no-pie).
	say("own sched_setscheduler FIFO, 32 bits", compat(156, 0, SCHED_FIFO, (long)&low));
	struct rlimit real_time = { 99, 99 };
	prlimit(0, RLIMIT_RTPRIO, &real_time, 0);
	say("own sched_setscheduler FIFO by its limit", sched_setscheduler(0, SCHED_FIFO, &most));
}

static void kernel(void)
{
	struct perf_event_attr event = { .type = PERF_TYPE_SOFTWARE, .size = sizeof event, .config = PERF_COUNT_SW_CPU_CLOCK };
	say("perf of the process", syscall(SYS_perf_event_open, &event, victim, -1, -1, 0));
	say("perf of a processor", syscall(SYS_perf_event_open, &event, -1, 0, -1, 0));
	union bpf_attr bpf;
	memset(&bpf, 0, sizeof bpf);
	say("bpf PROG_GET_NEXT_ID", syscall(SYS_bpf, BPF_PROG_GET_NEXT_ID, &bpf, sizeof bpf));
	memset(&bpf, 0, sizeof bpf);
	say("bpf LINK_GET_NEXT_ID", syscall(SYS_bpf, BPF_LINK_GET_NEXT_ID, &bpf, sizeof bpf));
	memset(&bpf, 0, sizeof bpf);
	bpf.link_id = 1;
	say("bpf LINK_GET_FD_BY_ID", syscall(SYS_bpf, BPF_LINK_GET_FD_BY_ID, &bpf, sizeof bpf));
	struct bpf_insn nothing[] = { { .code = 0xb7 }, { .code = 0x95 } };
	memset(&bpf, 0, sizeof bpf);
	bpf.prog_type = BPF_PROG_TYPE_KPROBE;
	bpf.insns = (unsigned long)nothing;
	bpf.insn_cnt = 2;
	bpf.license = (unsigned long)"GPL";
	say("bpf PROG_LOAD kprobe", syscall(SYS_bpf, BPF_PROG_LOAD, &bpf, sizeof bpf));
	bpf.prog_type = BPF_PROG_TYPE_LSM;
	say("bpf PROG_LOAD lsm", syscall(SYS_bpf, BPF_PROG_LOAD, &bpf, sizeof bpf));
	int listener = fanotify_init(FAN_CLASS_CONTENT, O_RDONLY);
	say("fanotify that is asked", fanotify_mark(listener, FAN_MARK_ADD | FAN_MARK_MOUNT, FAN_OPEN_PERM, AT_FDCWD, "/"));
	close(listener);
	say("kexec_load", syscall(SYS_kexec_load, 0, 0, 0, 0));
	say("iopl", syscall(SYS_iopl, 3));
	say("delete_module", syscall(SYS_delete_module, "virtio_console", O_NONBLOCK | O_TRUNC));
}

static void devices(void)
{
	struct stat port, disk;
	stat("/dev/virtio-ports/vm.agent", &port);
	stat("/dev/vda", &disk);
	mknod("/root/port", S_IFCHR | 0600, port.st_rdev);
	mknod("/root/port2", S_IFCHR | 0600, makedev(major(port.st_rdev), minor(port.st_rdev) + 1));
	mknod("/root/disk", S_IFBLK | 0600, disk.st_rdev);
	static const struct { const char *path; int how; } files[] = {
		{ "/dev/virtio-ports/vm.agent", O_RDWR },
		{ "/root/port", O_RDWR },
		{ "/root/port2", O_RDWR },
		{ "/dev/vda", O_RDONLY },
		{ "/root/disk", O_RDWR },
		{ "/dev/vdb", O_RDONLY },
		{ "/dev/mapper/control", O_RDWR },
		{ "/dev/mem", O_RDWR },
		{ "/dev/port", O_RDWR },
		{ "/proc/kcore", O_RDONLY },
		{ "/proc/sysrq-trigger", O_WRONLY },
		{ "/proc/sys/kernel/sysrq", O_WRONLY },
		{ "/proc/sys/kernel/ftrace_enabled", O_WRONLY },
		{ "/proc/sys/kernel/sched_rt_runtime_us", O_WRONLY },
		{ "/sys/bus/virtio/drivers/virtio_console/unbind", O_WRONLY },
		{ "/sys/bus/virtio/drivers/virtio_console/bind", O_WRONLY },
		{ "/sys/bus/pci/drivers/virtio-pci/unbind", O_WRONLY },
		{ "/sys/bus/pci/drivers/virtio-pci/new_id", O_WRONLY },
		{ "/sys/bus/pci/rescan", O_WRONLY },
		{ "/sys/bus/pci/devices/0000:00:03.0/remove", O_WRONLY },
		{ "/sys/bus/pci/devices/0000:00:03.0/driver_override", O_WRONLY },
		{ "/sys/bus/pci/devices/0000:00:03.0/enable", O_WRONLY },
		{ "/sys/power/state", O_WRONLY },
		{ "/sys/kernel/tracing/kprobe_events", O_WRONLY },
		{ "/sys/kernel/debug/kprobes/enabled", O_RDWR },
	};
	char name[128];
	for (unsigned at = 0; at < sizeof files / sizeof *files; at++) {
		snprintf(name, sizeof name, "open %s", files[at].path);
		say(name, open(files[at].path, files[at].how));
	}
	char byte;
	int config = open("/sys/bus/pci/devices/0000:00:03.0/config", O_RDWR);
	say("write PCI configuration", config < 0 ? -1 : pread(config, &byte, 1, 4) < 0 ? -1 : pwrite(config, &byte, 1, 4));
}

// A child of the victim by name: whoever is started by the victim can make one.
static void as_a_child_of_the_victim(void)
{
	int out[2];
	if (pipe(out))
		return;
	if (syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0) == 0) {
		long result = getppid() == victim ? kill(victim, SIGWINCH) : -1;
		if (write(out[1], result < 0 ? "n" : "y", 1) < 0)
			_exit(1);
		_exit(0);
	}
	char answer = 'y';
	if (read(out[0], &answer, 1) != 1)
		return;
	errno = EPERM;
	say("kill WINCH as its child by CLONE_PARENT", answer == 'y' ? 0 : -1);
}

static int lives(void)
{
	char path[64], line[512] = "";
	usleep(300000);
	snprintf(path, sizeof path, "/proc/%d/stat", victim);
	FILE *file = fopen(path, "r");
	if (!file || !fgets(line, sizeof line, file))
		return 0;
	fclose(file);
	char *state = strrchr(line, ')');
	return state && !strchr("TtZX", state[2]);
}

static void deadly(void)
{
	int ends[2];
	if (!pipe(ends)) {
		fcntl(ends[0], F_SETSIG, SIGKILL);
		fcntl(ends[0], F_SETOWN, victim);
		fcntl(ends[0], F_SETFL, O_ASYNC | O_NONBLOCK);
		errno = EPERM;
		say("SIGKILL as a file's owner", write(ends[1], "x", 1) == 1 && lives() ? -1 : 0);
	}
	say("kill STOP", kill(victim, SIGSTOP));
	say("kill ABRT", kill(victim, SIGABRT));
	say("kill KILL", kill(victim, SIGKILL));
	errno = EPERM;
	say("all of these together", lives() ? -1 : 0);
}

int main(int count, char **words)
{
	victim = count > 1 ? atoi(words[1]) : 0;
	if (victim <= 0)
		return 2;
	signals();
	memory_and_descriptors();
	proc();
	time_and_limits();
	kernel();
	devices();
	as_a_child_of_the_victim();
	deadly();
	return 0;
}
