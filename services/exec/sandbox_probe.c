/* Runs inside the sandbox for sandbox_test.c and says how the kernel answers. Built without sanitizers: what they do at
 * the start of a program needs more than a sandbox gives. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static void say(const char *what, long r)
{
	printf("%s %s\n", what, r < 0 ? strerrorname_np(errno) : "ok");
	fflush(stdout);
}

static void probe_calls(void)
{
	char stack[64] = "";
	struct clone_args {
		uint64_t flags, rest[7];
	} clone3_args = {.flags = CLONE_NEWUSER};

	say("mount", mount("tmpfs", "/tmp", "tmpfs", 0, NULL));
	say("umount", umount2("/proc", MNT_DETACH));
	say("pivot_root", syscall(SYS_pivot_root, ".", "."));
	say("chroot", chroot("/tmp"));
	say("unshare", unshare(CLONE_NEWUSER));
	say("unshare_net", unshare(CLONE_NEWNET));
	say("setns", setns(0, 0));
	say("clone", syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0));
	say("clone3", syscall(SYS_clone3, &clone3_args, sizeof(clone3_args)));
	say("fsopen", syscall(SYS_fsopen, "tmpfs", 0));
	say("open_tree", syscall(SYS_open_tree, AT_FDCWD, "/", 1));
	say("ptrace", ptrace(PTRACE_TRACEME, 0, 0, 0));
	say("process_vm_readv", syscall(SYS_process_vm_readv, 1, NULL, 0, NULL, 0, 0));
	say("keyctl", syscall(SYS_keyctl, 0, -3, 0));
	say("add_key", syscall(SYS_add_key, "user", "x", "y", 1, -3));
	say("bpf", syscall(SYS_bpf, 0, stack, sizeof(stack)));
	say("perf_event_open", syscall(SYS_perf_event_open, stack, 0, -1, -1, 0));
	say("userfaultfd", syscall(SYS_userfaultfd, 0));
	say("io_uring_setup", syscall(SYS_io_uring_setup, 1, stack));
	say("init_module", syscall(SYS_init_module, stack, 0, ""));
	say("kexec_load", syscall(SYS_kexec_load, 0, 0, NULL, 0));
	say("name_to_handle_at", syscall(SYS_name_to_handle_at, AT_FDCWD, "/", stack, stack, 0));
	say("syslog", syscall(SYS_syslog, 3, stack, 10));
	say("sethostname", sethostname("x", 1));
	say("setuid", setuid(0));
	say("setgid", setgid(0));
	say("mknod", mknod("/tmp/null", S_IFCHR | 0666, 0x103));
	say("chown", chown("/workspace", 0, 0));
	say("reboot", syscall(SYS_reboot, 0xfee1dead, 672274793, 0, NULL));
}

/* System calls that act on the kernel, on other processes, or outside of the three writable places; newer ones by their
 * number, which is the same on all machines. None may succeed. */
static char room[256];
static const struct {
	const char *name;
	long nr, a, b, c, d;
} calls[] = {
	{"io_uring_setup", 425, 1, (long)room, 0, 0},
	{"io_uring_enter", 426, 0, 1, 0, 0},
	{"io_uring_register", 427, 0, 0, (long)room, 1},
	{"open_tree", 428, AT_FDCWD, (long)"/workspace", 1, 0},
	{"move_mount", 429, AT_FDCWD, (long)"/tmp", AT_FDCWD, (long)"/workspace"},
	{"fsopen", 430, (long)"proc", 0, 0, 0},
	{"fsconfig", 431, 0, 6, 0, 0},
	{"fsmount", 432, 0, 0, 0, 0},
	{"fspick", 433, AT_FDCWD, (long)"/", 0, 0},
	{"clone3", 435, (long)room, 64, 0, 0},
	{"pidfd_getfd", 438, 0, 0, 0, 0},
	{"mount_setattr", 442, AT_FDCWD, (long)"/", 0x8000, (long)room},
	{"quotactl_fd", 443, 0, 0, 0, 0},
	{"memfd_secret", 447, 0, 0, 0, 0},
	{"process_mrelease", 448, 0, 0, 0, 0},
	{"set_mempolicy_home_node", 450, 0, 0, 0, 0},
	{"statmount", 457, (long)room, (long)room, sizeof(room), 0},
	{"listmount", 458, (long)room, (long)room, 8, 0},
	{"lsm_get_self_attr", 459, 100, (long)room, (long)room, 0},
	{"lsm_set_self_attr", 460, 100, (long)room, 8, 0},
	{"open_tree_attr", 467, AT_FDCWD, (long)"/", 1, 0},
	{"one_of_the_future", 600, 0, 0, 0, 0},
	{"acct", SYS_acct, (long)"/tmp/x", 0, 0, 0},
	{"adjtimex", SYS_adjtimex, (long)room, 0, 0, 0},
	{"clock_settime", SYS_clock_settime, 0, (long)room, 0, 0},
	{"delete_module", SYS_delete_module, (long)"x", 0, 0, 0},
	{"fanotify_init", SYS_fanotify_init, 0, 0, 0, 0},
	{"finit_module", SYS_finit_module, 0, (long)"", 0, 0},
	{"kcmp", SYS_kcmp, 1, 1, 0, 0},
	{"kexec_file_load", SYS_kexec_file_load, 0, 0, 0, 0},
	{"keyctl_join", SYS_keyctl, 1, (long)"x", 0, 0},
	{"keyctl_read", SYS_keyctl, 11, -3, (long)room, sizeof(room)},
	{"request_key", SYS_request_key, (long)"user", (long)"x", 0, -3},
	{"migrate_pages", SYS_migrate_pages, 0, 8, (long)room, (long)room},
	{"move_pages", SYS_move_pages, 0, 0, 0, 0},
	{"mbind", SYS_mbind, 0, 0, 0, 0},
	{"set_mempolicy", SYS_set_mempolicy, 0, 0, 0, 0},
	{"open_by_handle_at", SYS_open_by_handle_at, AT_FDCWD, (long)room, 0, 0},
	{"personality_read_implies_exec", SYS_personality, 0x0400000, 0, 0, 0},
	{"personality_mmap_page_zero", SYS_personality, 0x0100000, 0, 0, 0},
	{"process_vm_writev", SYS_process_vm_writev, 1, 0, 0, 0},
	{"ptrace_attach", SYS_ptrace, 16, 1, 0, 0},
	{"ptrace_seize", SYS_ptrace, 0x4206, 1, 0, 0},
	{"quotactl", SYS_quotactl, 0, 0, 0, 0},
	{"setdomainname", SYS_setdomainname, (long)"x", 1, 0, 0},
	{"setns_user", SYS_setns, 0, CLONE_NEWUSER, 0, 0},
	{"settimeofday", SYS_settimeofday, (long)room, 0, 0, 0},
	{"swapon", SYS_swapon, (long)"/tmp/x", 0, 0, 0},
	{"unshare_mounts", SYS_unshare, CLONE_NEWNS, 0, 0, 0},
	{"unshare_cgroup", SYS_unshare, 0x02000000, 0, 0, 0},
	{"unshare_time", SYS_unshare, 0x80, 0, 0, 0},
	{"vhangup", SYS_vhangup, 0, 0, 0, 0},
	{"clone_mounts", SYS_clone, CLONE_NEWNS | SIGCHLD, 0, 0, 0},
	{"clone_pids", SYS_clone, CLONE_NEWPID | SIGCHLD, 0, 0, 0},
	{"clone_cgroup", SYS_clone, 0x02000000 | SIGCHLD, 0, 0, 0},
	{"clone_high", SYS_clone, (long)(0x100000000ul | CLONE_NEWUSER | SIGCHLD), 0, 0, 0},
	{"security_xattr", SYS_setxattr, (long)"/workspace/probe", (long)"security.capability", (long)room, 20},
	{"trusted_xattr", SYS_setxattr, (long)"/workspace/probe", (long)"trusted.x", (long)room, 1},
	{"block_device", SYS_mknodat, AT_FDCWD, (long)"/workspace/b", S_IFBLK | 0666, 0x800},
	{"char_device", SYS_mknodat, AT_FDCWD, (long)"/tmp/c", S_IFCHR | 0666, 0x101},
	{"tmpfile_in_usr", SYS_openat, AT_FDCWD, (long)"/usr", O_TMPFILE | O_RDWR, 0600},
	{"link_of_program", SYS_linkat, AT_FDCWD, (long)"/usr/bin/env", AT_FDCWD, (long)"/workspace/env"},
	{"link_of_descriptor", SYS_linkat, 0, (long)"", AT_FDCWD, (long)"/workspace/in"},
	{"rename_over_dev", SYS_renameat2, AT_FDCWD, (long)"/workspace/probe", AT_FDCWD, (long)"/dev/null"},
	{"own_root_is_no_way_up", SYS_openat, AT_FDCWD, (long)"/proc/self/root/../../../../home", 0, 0},
	{"first_root", SYS_openat, AT_FDCWD, (long)"/proc/1/root/etc", 0, 0},
	{"first_cwd", SYS_openat, AT_FDCWD, (long)"/proc/1/cwd/x", 0, 0},
	{"first_descriptor", SYS_openat, AT_FDCWD, (long)"/proc/1/fd/1", 0, 0},
	{"first_memory", SYS_openat, AT_FDCWD, (long)"/proc/1/mem", O_RDWR, 0},
	{"first_maps", SYS_openat, AT_FDCWD, (long)"/proc/1/map_files", 0, 0},
	{"core_pattern", SYS_openat, AT_FDCWD, (long)"/proc/sys/kernel/core_pattern", O_WRONLY, 0},
	{"raise_priority", SYS_setpriority, 0, 0, -10, 0},
	{"real_time", SYS_sched_setscheduler, 0, 1, (long)room, 0},
	{"inherited_descriptor", SYS_fcntl, 7, 1, 0, 0},
	{"kill_the_first", SYS_kill, 1, 9, 0, 0},
};

static void probe_surface(void)
{
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		long r = syscall(calls[i].nr, calls[i].a, calls[i].b, calls[i].c, calls[i].d, 0, 0);

		if (r == 0 && strncmp(calls[i].name, "clone", 5) == 0 && getpid() != 2)
			_exit(0); /* the child of one that was let through */
		say(calls[i].name, r);
	}
}

/* All families and protocols: those that open are told. */
static void probe_families(void)
{
	for (int family = 0; family < 64; family++) {
		int fd = socket(family, SOCK_STREAM, 0);

		if (fd < 0)
			fd = socket(family, SOCK_DGRAM, 0);
		if (fd < 0)
			fd = socket(family, SOCK_RAW, 0);
		if (fd >= 0)
			printf("family %d\n", family);
		close(fd);
	}
	for (int protocol = 0; protocol < 32; protocol++) {
		int fd = socket(AF_NETLINK, SOCK_RAW, protocol);

		if (fd >= 0)
			printf("netlink %d\n", protocol);
		close(fd);
	}
	for (int protocol = 1; protocol < 263; protocol++)
		if (socket(AF_INET, SOCK_RAW, protocol) >= 0 || socket(AF_INET6, SOCK_RAW, protocol) >= 0)
			printf("raw %d\n", protocol);
}

static void probe_sockets(void)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(53), .sin_addr = {htonl(0x08080808)}};
	int tcp = socket(AF_INET, SOCK_STREAM, 0), udp = socket(AF_INET, SOCK_DGRAM, 0);

	say("mptcp", socket(AF_INET, SOCK_STREAM, 262));
	say("sctp", socket(AF_INET, SOCK_STREAM, 132));
	say("raw", socket(AF_INET, SOCK_RAW, IPPROTO_ICMP));
	say("packet", socket(AF_PACKET, SOCK_RAW, 0));
	say("vsock", socket(40, SOCK_STREAM, 0));
	say("alg", socket(38, SOCK_SEQPACKET, 0));
	say("netfilter", socket(AF_NETLINK, SOCK_RAW, 12));
	say("high_family", syscall(SYS_socket, 0x100000028, SOCK_STREAM, 0));
	say("tcp_connect", tcp < 0 ? -1 : connect(tcp, (struct sockaddr *)&to, sizeof(to)));
	say("udp_send", udp < 0 ? -1 : sendto(udp, "x", 1, 0, (struct sockaddr *)&to, sizeof(to)));
}

static void probe_terminal(void)
{
	say("tiocsti", ioctl(0, TIOCSTI, "x"));
	say("tiocsti_high", syscall(SYS_ioctl, 0, 0x100000000 | TIOCSTI, "x"));
	say("tioclinux", ioctl(0, TIOCLINUX, "\2"));
	say("tty", open("/dev/tty", O_RDWR));
}

/* getpid by the 32-bit table; the number 20 is writev in the 64-bit one. */
static void probe_foreign(void)
{
#ifdef __x86_64__
	long r = 20;

	__asm__ volatile("int $0x80" : "+a"(r) : : "memory", "r8", "r9", "r10", "r11");
	printf("int80 returned %ld\n", r);
#else
	raise(SIGSYS);
#endif
}

static void probe_x32(void)
{
#ifdef __x86_64__
	printf("x32 returned %ld\n", syscall(0x40000000 + SYS_getpid));
#else
	raise(SIGSYS);
#endif
}

static void probe_abstract(bool listen_here)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX, .sun_path = "\0ogent-test"};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	if (listen_here) {
		say("bind", bind(fd, (struct sockaddr *)&addr, 20));
		listen(fd, 1);
		sleep(20);
	} else {
		say("connect", connect(fd, (struct sockaddr *)&addr, 20));
	}
}

/* A process that leaves its session, its parent and its pipes. */
static void probe_daemon(const char *seconds)
{
	if (fork() == 0) {
		setsid();
		if (fork() == 0) {
			close(0);
			close(1);
			close(2);
			execl("/bin/sleep", "sleep", seconds, NULL);
		}
		_exit(0);
	}
	wait(NULL);
}

static void probe_bomb(void)
{
	unsigned n = 0;

	for (int i = 0; i < 100000; i++) {
		pid_t pid = fork();

		if (pid == 0) {
			pause();
			_exit(0);
		}
		if (pid < 0)
			break;
		n++;
	}
	printf("forks %u\n", n);
	fflush(stdout);
}

static void probe_memory(void)
{
	for (size_t i = 0; i < 4096; i++) {
		char *p = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (p == MAP_FAILED) {
			printf("refused after %zu MiB\n", i);
			exit(1);
		}
		memset(p, 1, 1 << 20);
	}
	puts("got it all");
}

static int run_probe(const char *name, const char *seconds)
{
	if (strcmp(name, "calls") == 0)
		probe_calls();
	else if (strcmp(name, "surface") == 0)
		probe_surface();
	else if (strcmp(name, "families") == 0)
		probe_families();
	else if (strcmp(name, "sockets") == 0)
		probe_sockets();
	else if (strcmp(name, "terminal") == 0)
		probe_terminal();
	else if (strcmp(name, "foreign") == 0)
		probe_foreign();
	else if (strcmp(name, "x32") == 0)
		probe_x32();
	else if (strcmp(name, "listen") == 0 || strcmp(name, "connect") == 0)
		probe_abstract(name[0] == 'l');
	else if (strcmp(name, "daemon") == 0)
		probe_daemon(seconds);
	else if (strcmp(name, "bomb") == 0)
		probe_bomb();
	else if (strcmp(name, "memory") == 0)
		probe_memory();
	else
		return 2;
	return 0;
}

int main(int argc, char **argv)
{
	return argc > 2 ? run_probe(argv[1], argv[2]) : 2;
}
