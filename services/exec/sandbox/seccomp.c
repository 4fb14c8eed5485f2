/* The system calls of a sandbox. Two filters, the stricter verdict counts: the first knows which calls exist at all
 * (an allow-list: what is not named answers ENOSYS, as on a kernel that lacks it, so that programs fall back), the
 * second which arguments they may have. A call of another architecture's table (int 0x80, x32) ends the process.
 *
 * The programs are built once by libseccomp and loaded in the init by one system call each. */
#include <errno.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <seccomp.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/alloc.h"
#include "sandbox/layers.h"

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

/* Names that this machine's architecture does not have are skipped. */
static const char *const allowed[] = {
	/* files */
	"access",
	"chdir",
	"chmod",
	"chown",
	"close",
	"close_range",
	"copy_file_range",
	"creat",
	"dup",
	"dup2",
	"dup3",
	"faccessat",
	"faccessat2",
	"fadvise64",
	"fallocate",
	"fchdir",
	"fchmod",
	"fchmodat",
	"fchmodat2",
	"fchown",
	"fchownat",
	"fcntl",
	"fdatasync",
	"fgetxattr",
	"flistxattr",
	"flock",
	"fremovexattr",
	"fsetxattr",
	"fstat",
	"fstatfs",
	"fsync",
	"ftruncate",
	"futimesat",
	"getcwd",
	"getdents",
	"getdents64",
	"getxattr",
	"inotify_add_watch",
	"inotify_init",
	"inotify_init1",
	"inotify_rm_watch",
	"ioctl",
	"lchown",
	"lgetxattr",
	"link",
	"linkat",
	"listxattr",
	"llistxattr",
	"lremovexattr",
	"lseek",
	"lsetxattr",
	"lstat",
	"mkdir",
	"mkdirat",
	"mknod",
	"mknodat",
	"newfstatat",
	"open",
	"openat",
	"openat2",
	"pread64",
	"preadv",
	"preadv2",
	"pwrite64",
	"pwritev",
	"pwritev2",
	"read",
	"readahead",
	"readlink",
	"readlinkat",
	"readv",
	"removexattr",
	"rename",
	"renameat",
	"renameat2",
	"rmdir",
	"sendfile",
	"setxattr",
	"splice",
	"stat",
	"statfs",
	"statx",
	"symlink",
	"symlinkat",
	"sync",
	"sync_file_range",
	"syncfs",
	"tee",
	"truncate",
	"umask",
	"unlink",
	"unlinkat",
	"utime",
	"utimensat",
	"utimes",
	"vmsplice",
	"write",
	"writev",
	/* waiting */
	"epoll_create",
	"epoll_create1",
	"epoll_ctl",
	"epoll_pwait",
	"epoll_pwait2",
	"epoll_wait",
	"eventfd",
	"eventfd2",
	"pause",
	"poll",
	"ppoll",
	"pselect6",
	"select",
	"signalfd",
	"signalfd4",
	"timerfd_create",
	"timerfd_gettime",
	"timerfd_settime",
	/* memory */
	"brk",
	"cachestat",
	"get_mempolicy",
	"madvise",
	"map_shadow_stack",
	"membarrier",
	"memfd_create",
	"mincore",
	"mlock",
	"mlock2",
	"mlockall",
	"mmap",
	"mprotect",
	"mremap",
	"msync",
	"munlock",
	"munlockall",
	"munmap",
	"pkey_alloc",
	"pkey_free",
	"pkey_mprotect",
	"process_madvise",
	"remap_file_pages",
	"riscv_flush_icache",
	/* processes */
	"arch_prctl",
	"capget",
	"capset",
	"clone",
	"execve",
	"execveat",
	"exit",
	"exit_group",
	"fork",
	"getegid",
	"geteuid",
	"getgid",
	"getgroups",
	"getpgid",
	"getpgrp",
	"getpid",
	"getppid",
	"getpriority",
	"getresgid",
	"getresuid",
	"getrlimit",
	"getrusage",
	"getsid",
	"gettid",
	"getuid",
	"ioprio_get",
	"ioprio_set",
	"kill",
	"pidfd_open",
	"pidfd_send_signal",
	"prctl",
	"prlimit64",
	"rseq",
	"seccomp",
	"set_robust_list",
	"get_robust_list",
	"set_thread_area",
	"get_thread_area",
	"set_tid_address",
	"setfsgid",
	"setfsuid",
	"setgid",
	"setgroups",
	"setpgid",
	"setpriority",
	"setregid",
	"setresgid",
	"setresuid",
	"setreuid",
	"setrlimit",
	"setsid",
	"setuid",
	"tgkill",
	"times",
	"tkill",
	"uname",
	"vfork",
	"wait4",
	"waitid",
	"landlock_add_rule",
	"landlock_create_ruleset",
	"landlock_restrict_self",
	/* signals */
	"restart_syscall",
	"rt_sigaction",
	"rt_sigpending",
	"rt_sigprocmask",
	"rt_sigqueueinfo",
	"rt_sigreturn",
	"rt_sigsuspend",
	"rt_sigtimedwait",
	"rt_tgsigqueueinfo",
	"sigaltstack",
	/* scheduling, time */
	"alarm",
	"clock_getres",
	"clock_gettime",
	"clock_nanosleep",
	"futex",
	"futex_wait",
	"futex_waitv",
	"futex_wake",
	"futex_requeue",
	"getcpu",
	"getitimer",
	"gettimeofday",
	"nanosleep",
	"sched_get_priority_max",
	"sched_get_priority_min",
	"sched_getaffinity",
	"sched_getattr",
	"sched_getparam",
	"sched_getscheduler",
	"sched_rr_get_interval",
	"sched_setaffinity",
	"sched_setattr",
	"sched_setparam",
	"sched_setscheduler",
	"sched_yield",
	"setitimer",
	"time",
	"timer_create",
	"timer_delete",
	"timer_getoverrun",
	"timer_gettime",
	"timer_settime",
	/* sockets, pipes, System V and POSIX IPC */
	"accept",
	"accept4",
	"bind",
	"connect",
	"getpeername",
	"getsockname",
	"getsockopt",
	"listen",
	"mq_getsetattr",
	"mq_notify",
	"mq_open",
	"mq_timedreceive",
	"mq_timedsend",
	"mq_unlink",
	"msgctl",
	"msgget",
	"msgrcv",
	"msgsnd",
	"pipe",
	"pipe2",
	"recvfrom",
	"recvmmsg",
	"recvmsg",
	"semctl",
	"semget",
	"semop",
	"semtimedop",
	"sendmmsg",
	"sendmsg",
	"sendto",
	"setsockopt",
	"shmat",
	"shmctl",
	"shmdt",
	"shmget",
	"shutdown",
	"socket",
	"socketpair",
	/* other */
	"getrandom",
	"io_cancel",
	"io_destroy",
	"io_getevents",
	"io_pgetevents",
	"io_setup",
	"io_submit",
	"sysinfo",
	"arm_fadvise64_64",
	"sync_file_range2",
};

/* Refused with EPERM and not ENOSYS, because programs expect that of them. */
static const char *const refused[] = {
	"acct",
	"add_key",
	"adjtimex",
	"bpf",
	"chroot",
	"clock_adjtime",
	"clock_settime",
	"delete_module",
	"fanotify_init",
	"finit_module",
	"fsconfig",
	"fsmount",
	"fsopen",
	"fspick",
	"init_module",
	"ioperm",
	"iopl",
	"kcmp",
	"kexec_file_load",
	"kexec_load",
	"keyctl",
	"lookup_dcookie",
	"mount",
	"mount_setattr",
	"move_mount",
	"move_pages",
	"name_to_handle_at",
	"nfsservctl",
	"open_by_handle_at",
	"open_tree",
	"perf_event_open",
	"pidfd_getfd",
	"pivot_root",
	"process_vm_readv",
	"process_vm_writev",
	"ptrace",
	"quotactl",
	"quotactl_fd",
	"reboot",
	"request_key",
	"setdomainname",
	"sethostname",
	"setns",
	"settimeofday",
	"stime",
	"swapoff",
	"swapon",
	"syslog",
	"umount",
	"umount2",
	"unshare",
	"uselib",
	"userfaultfd",
	"vhangup",
};

#define LOW32 0xffffffffu /* what the kernel reads of an int: the upper half of the register is not compared */

static int add_names(scmp_filter_ctx ctx, uint32_t action, const char *const *names, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int nr = seccomp_syscall_resolve_name(names[i]);
		int r = nr < 0 ? 0 : seccomp_rule_add(ctx, action, nr, 0);

		if (r < 0)
			return r;
	}
	return 0;
}

static int fill_calls(scmp_filter_ctx ctx)
{
	static const uint64_t personalities[] = {0, 8, 0x20000, 0x20008, 0x40000, 0xffffffff};
	int r = add_names(ctx, SCMP_ACT_ALLOW, allowed, ARRAY_SIZE(allowed));

	if (r == 0)
		r = add_names(ctx, SCMP_ACT_ERRNO(EPERM), refused, ARRAY_SIZE(refused));
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(personalities); i++)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(personality), 1,
				     SCMP_A0(SCMP_CMP_EQ, personalities[i], 0));
	return r;
}

/* TIOCSTI types into a terminal, TIOCLINUX pastes into a console, TIOCSETD loads line disciplines, TIOCCONS takes the
 * console's output. */
static int fill_ioctl(scmp_filter_ctx ctx)
{
	static const uint64_t requests[] = {TIOCSTI, TIOCLINUX, TIOCSETD, TIOCCONS};
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(requests); i++)
		r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(ioctl), 1,
				     SCMP_A1(SCMP_CMP_MASKED_EQ, LOW32, requests[i]));
	return r;
}

static int fill_clone(scmp_filter_ctx ctx)
{
	static const uint64_t flags[] = {CLONE_NEWNS,   CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC,
					 CLONE_NEWUSER, CLONE_NEWPID,    CLONE_NEWNET};
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(flags); i++)
		r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 1,
				     SCMP_A0(SCMP_CMP_MASKED_EQ, flags[i], flags[i]));
	return r;
}

/* Unix, IPv4, IPv6 and routing netlink; of the protocols not those that pass by rules made for TCP and UDP. */
static int fill_socket(scmp_filter_ctx ctx)
{
	static const uint64_t protocols[] = {33 /* DCCP */, 132 /* SCTP */, IPPROTO_MPTCP};
	const uint32_t family = SCMP_ACT_ERRNO(EAFNOSUPPORT);
	int r = seccomp_rule_add(ctx, family, SCMP_SYS(socket), 1, SCMP_A0(SCMP_CMP_GT, AF_NETLINK, 0));

	for (uint64_t f = 0; r == 0 && f < AF_NETLINK; f++)
		if (f != AF_UNIX && f != AF_INET && f != AF_INET6)
			r = seccomp_rule_add(ctx, family, SCMP_SYS(socket), 1, SCMP_A0(SCMP_CMP_EQ, f, 0));
	if (r == 0)
		r = seccomp_rule_add(ctx, family, SCMP_SYS(socket), 2, SCMP_A0(SCMP_CMP_EQ, AF_NETLINK, 0),
				     SCMP_A2(SCMP_CMP_NE, 0, 0));
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(protocols); i++)
		r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPROTONOSUPPORT), SCMP_SYS(socket), 1,
				     SCMP_A2(SCMP_CMP_MASKED_EQ, LOW32, protocols[i]));
	if (r == 0)
		r = seccomp_rule_add(ctx, family, SCMP_SYS(socketpair), 1, SCMP_A0(SCMP_CMP_NE, AF_UNIX, 0));
	return r;
}

static int fill_args(scmp_filter_ctx ctx)
{
	int r = fill_ioctl(ctx);

	if (r == 0)
		r = fill_clone(ctx);
	if (r == 0)
		r = fill_socket(ctx);
	return r;
}

static int fill_no_inet(scmp_filter_ctx ctx)
{
	return seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EACCES), SCMP_SYS(socket), 1, SCMP_A0(SCMP_CMP_NE, AF_UNIX, 0));
}

/* libseccomp writes a program to a file only. */
static int export_program(scmp_filter_ctx ctx, struct sock_fprog *ret)
{
	int fd = memfd_create("seccomp", MFD_CLOEXEC), r;
	struct stat st;

	if (fd < 0)
		return -errno;
	r = seccomp_export_bpf(ctx, fd);
	if (r == 0 && fstat(fd, &st) < 0)
		r = -errno;
	if (r == 0) {
		ret->filter = xmalloc((size_t)st.st_size);
		ret->len = (unsigned short)((size_t)st.st_size / sizeof(struct sock_filter));
		if (pread(fd, ret->filter, (size_t)st.st_size, 0) != st.st_size)
			r = -EIO;
	}
	close(fd);
	return r;
}

static int build(uint32_t action, int (*fill)(scmp_filter_ctx), struct sock_fprog *ret)
{
	scmp_filter_ctx ctx = seccomp_init(action);
	int r;

	if (!ctx)
		return -EINVAL;
	r = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	if (r == 0)
		r = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	if (r == 0)
		r = fill(ctx);
	if (r == 0)
		r = export_program(ctx, ret);
	seccomp_release(ctx);
	return r;
}

int seccomp_host_init(struct sandbox_host *host)
{
	int r = build(SCMP_ACT_ERRNO(ENOSYS), fill_calls, &host->seccomp_calls);

	if (r == 0)
		r = build(SCMP_ACT_ALLOW, fill_args, &host->seccomp_args);
	if (r == 0)
		r = build(SCMP_ACT_ALLOW, fill_no_inet, &host->seccomp_no_inet);
	return r;
}

void seccomp_host_deinit(struct sandbox_host *host)
{
	free(host->seccomp_calls.filter);
	free(host->seccomp_args.filter);
	free(host->seccomp_no_inet.filter);
	host->seccomp_calls.filter = host->seccomp_args.filter = host->seccomp_no_inet.filter = NULL;
}

static int load(const struct sock_fprog *program)
{
	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, program) < 0 ? -errno : 0;
}

int seccomp_enter(const struct sandbox_host *host, bool network, const char **what)
{
	int r;

	*what = "seccomp filter";
	r = load(&host->seccomp_args);
	if (r == 0 && !host->namespaces && !network)
		r = load(&host->seccomp_no_inet);
	if (r == 0)
		r = load(&host->seccomp_calls);
	return r;
}
