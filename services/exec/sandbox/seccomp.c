/* The system calls of a sandbox: which exist at all (calls.h), and which arguments some of them may have. A call of
 * another architecture's table (int 0x80, x32) ends the process.
 *
 * One program, built once and loaded in each init, which is dear by its length: a tree of comparisons finds the call's
 * number among ranges of numbers with the same answer. libseccomp knows the numbers; of rules that allow some arguments
 * of a call, refuse others, and do not know the rest of the numbers it makes two programs of 536 instructions. */
#include <errno.h>
#include <linux/audit.h>
#include <linux/falloc.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <seccomp.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/alloc.h"
#include "sandbox/bpf.h"
#include "sandbox/calls.h"
#include "sandbox/layers.h"

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

#define CALLS_MAX 1024
#define X32_FIRST 0x40000000u
#define NOT_A_CALL UINT32_MAX /* of a call that a tracer took away */
#define NEW_NAMESPACES \
	(CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET)

enum answer {
	UNKNOWN, /* ENOSYS */
	ALLOWED,
	REFUSED, /* EPERM */
	KILLED,
	NO_FAMILY,   /* EAFNOSUPPORT */
	NO_PROTOCOL, /* EPROTONOSUPPORT */
	NO_NETWORK,  /* EACCES */
	NO_ROOM,     /* EOPNOTSUPP */
	/* Looked at further. */
	PERSONALITY,
	IOCTL,
	CLONE,
	SOCKET,
	SOCKETPAIR,
	FALLOCATE,
	ANSWERS
};

static const uint32_t results[] = {
	[UNKNOWN] = SECCOMP_RET_ERRNO | ENOSYS,         [ALLOWED] = SECCOMP_RET_ALLOW,
	[REFUSED] = SECCOMP_RET_ERRNO | EPERM,          [KILLED] = SECCOMP_RET_KILL_PROCESS,
	[NO_FAMILY] = SECCOMP_RET_ERRNO | EAFNOSUPPORT, [NO_PROTOCOL] = SECCOMP_RET_ERRNO | EPROTONOSUPPORT,
	[NO_NETWORK] = SECCOMP_RET_ERRNO | EACCES,      [NO_ROOM] = SECCOMP_RET_ERRNO | EOPNOTSUPP,
};

struct builder {
	struct bpf bpf;
	unsigned labels[ANSWERS];
	bool no_inet;
	/* From this number on it is this answer. */
	struct range {
		uint32_t from;
		enum answer answer;
	} ranges[2 * CALLS_MAX];
	size_t n_ranges;
};

/* ---- Numbers ---- */

struct call {
	uint32_t nr;
	enum answer answer;
};

static int by_number(const void *a, const void *b)
{
	uint32_t x = ((const struct call *)a)->nr, y = ((const struct call *)b)->nr;

	return (x > y) - (x < y);
}

static size_t add_names(struct call *calls, size_t n, const char *const *names, enum answer answer)
{
	for (; *names && n < CALLS_MAX; names++) {
		int nr = seccomp_syscall_resolve_name(*names);

		if (nr >= 0)
			calls[n++] = (struct call){(uint32_t)nr, answer};
	}
	return n;
}

/* All that are named, sorted by number. */
static size_t list_calls(struct call calls[static CALLS_MAX])
{
	static const struct call looked_at[] = {{SYS_ioctl, IOCTL},
						{SYS_clone, CLONE},
						{SYS_socket, SOCKET},
						{SYS_socketpair, SOCKETPAIR},
						{SYS_fallocate, FALLOCATE}};
	size_t n = add_names(calls, 0, calls_allowed, ALLOWED);

	n = add_names(calls, n, calls_refused, REFUSED);
	n = add_names(calls, n, (const char *const[]){"personality", NULL}, PERSONALITY);
	qsort(calls, n, sizeof(*calls), by_number);
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < ARRAY_SIZE(looked_at); k++)
			if (calls[i].nr == looked_at[k].nr && calls[i].answer == ALLOWED)
				calls[i].answer = looked_at[k].answer;
	return n;
}

static void from(struct builder *b, uint32_t nr, enum answer answer)
{
	size_t n = b->n_ranges;

	if (n > 0 && b->ranges[n - 1].from == nr)
		n--;
	if (n == 0 || b->ranges[n - 1].answer != answer)
		b->ranges[n++] = (struct range){nr, answer};
	b->n_ranges = n;
}

static void find_ranges(struct builder *b)
{
	struct call calls[CALLS_MAX];
	size_t n = list_calls(calls);

	from(b, 0, UNKNOWN);
	for (size_t i = 0; i < n; i++) {
		from(b, calls[i].nr, calls[i].answer);
		from(b, calls[i].nr + 1, UNKNOWN);
	}
	if (seccomp_arch_native() == SCMP_ARCH_X86_64) {
		from(b, X32_FIRST, KILLED);
		from(b, NOT_A_CALL, UNKNOWN);
	}
}

/* Where the ranges from `first` to before `end` are told apart; one range is its answer. */
static unsigned tree_label(struct builder *b, size_t first, size_t end)
{
	return end - first == 1 ? b->labels[b->ranges[first].answer] : bpf_label(&b->bpf);
}

static void put_tree(struct builder *b, size_t first, size_t end)
{
	size_t middle = first + (end - first) / 2;
	unsigned below, above;

	if (end - first < 2)
		return;
	below = tree_label(b, first, middle);
	above = tree_label(b, middle, end);
	bpf_if(&b->bpf, BPF_JGE, b->ranges[middle].from, above, below);
	if (middle - first > 1)
		bpf_here(&b->bpf, below);
	put_tree(b, first, middle);
	if (end - middle > 1)
		bpf_here(&b->bpf, above);
	put_tree(b, middle, end);
}

/* ---- Arguments ---- */

enum half { LOW, HIGH };

/* The kernel reads of an int the lower half only; where the upper one is not compared below, it does not count. */
static void load_half(struct builder *b, unsigned argument, enum half half)
{
	bool is_second = (half == HIGH) == (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__);

	bpf_load(&b->bpf, (uint32_t)(offsetof(struct seccomp_data, args) + argument * sizeof(uint64_t) +
				     (is_second ? sizeof(uint32_t) : 0)));
}

/* The argument is of 32 bits, or `otherwise`. */
static void load_whole(struct builder *b, unsigned argument, enum answer otherwise)
{
	load_half(b, argument, HIGH);
	bpf_if(&b->bpf, BPF_JEQ, 0, BPF_NEXT, b->labels[otherwise]);
	load_half(b, argument, LOW);
}

static void put_if_one(struct builder *b, const uint32_t *values, size_t n, enum answer then)
{
	for (size_t i = 0; i < n; i++)
		bpf_if(&b->bpf, BPF_JEQ, values[i], b->labels[then], BPF_NEXT);
}

/* Another one would take away the randomness of addresses, or stand in for old systems. */
static void put_personality(struct builder *b)
{
	static const uint32_t harmless[] = {0, 8, 0x20000, 0x20008, 0x40000, 0xffffffff};

	load_whole(b, 0, UNKNOWN);
	put_if_one(b, harmless, ARRAY_SIZE(harmless), ALLOWED);
	bpf_return(&b->bpf, results[UNKNOWN]);
}

/* TIOCSTI types into a terminal, TIOCLINUX pastes into a console, TIOCSETD loads line disciplines, TIOCCONS takes the
 * console's output. */
static void put_ioctl(struct builder *b)
{
	static const uint32_t requests[] = {TIOCSTI, TIOCLINUX, TIOCSETD, TIOCCONS};
	/* FS_IOC_RESVSP, FS_IOC_RESVSP64, FS_IOC_ZERO_RANGE: fallocate by other names. */
	static const uint32_t rooms[] = {0x40305828, 0x4030582a, 0x40305839};

	load_half(b, 1, LOW);
	put_if_one(b, requests, ARRAY_SIZE(requests), REFUSED);
	put_if_one(b, rooms, ARRAY_SIZE(rooms), NO_ROOM);
	bpf_return(&b->bpf, results[ALLOWED]);
}

/* Room that is taken without being written would fill a disk before anybody can look. Programs know of file systems
 * that cannot do it, and write. Giving room back is another matter. */
static void put_fallocate(struct builder *b)
{
	load_half(b, 1, LOW);
	bpf_if(&b->bpf, BPF_JSET, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_COLLAPSE_RANGE, b->labels[ALLOWED],
	       b->labels[NO_ROOM]);
}

static void put_clone(struct builder *b)
{
	load_half(b, 0, LOW);
	bpf_if(&b->bpf, BPF_JSET, NEW_NAMESPACES, b->labels[REFUSED], b->labels[ALLOWED]);
}

/* Of the protocols not those that pass by rules made for TCP and UDP. */
static void put_protocols(struct builder *b)
{
	static const uint32_t protocols[] = {33 /* DCCP */, 132 /* SCTP */, IPPROTO_MPTCP};

	load_half(b, 2, LOW);
	put_if_one(b, protocols, ARRAY_SIZE(protocols), NO_PROTOCOL);
}

/* Unix, IPv4, IPv6 and routing netlink. */
static void put_socket(struct builder *b)
{
	static const uint32_t families[] = {AF_UNIX, AF_INET, AF_INET6};

	if (b->no_inet) {
		load_whole(b, 0, NO_NETWORK);
		bpf_if(&b->bpf, BPF_JEQ, AF_UNIX, BPF_NEXT, b->labels[NO_NETWORK]);
		put_protocols(b);
		bpf_return(&b->bpf, results[ALLOWED]);
		return;
	}
	put_protocols(b);
	load_whole(b, 0, NO_FAMILY);
	put_if_one(b, families, ARRAY_SIZE(families), ALLOWED);
	bpf_if(&b->bpf, BPF_JEQ, AF_NETLINK, BPF_NEXT, b->labels[NO_FAMILY]);
	load_whole(b, 2, NO_FAMILY);
	bpf_if(&b->bpf, BPF_JEQ, 0, b->labels[ALLOWED], b->labels[NO_FAMILY]);
}

static void put_socketpair(struct builder *b)
{
	load_whole(b, 0, NO_FAMILY);
	bpf_if(&b->bpf, BPF_JEQ, AF_UNIX, b->labels[ALLOWED], b->labels[NO_FAMILY]);
}

/* ---- The program ---- */

static void put_head(struct builder *b)
{
	bpf_load(&b->bpf, offsetof(struct seccomp_data, arch));
	bpf_if(&b->bpf, BPF_JEQ, seccomp_arch_native(), BPF_NEXT, b->labels[KILLED]);
	bpf_load(&b->bpf, offsetof(struct seccomp_data, nr));
}

static void put_answers(struct builder *b)
{
	for (size_t i = 0; i < ARRAY_SIZE(results); i++) {
		bpf_here(&b->bpf, b->labels[i]);
		bpf_return(&b->bpf, results[i]);
	}
}

static void put_looks(struct builder *b)
{
	static void (*const looks[ANSWERS])(struct builder *) = {
		[PERSONALITY] = put_personality, [IOCTL] = put_ioctl,           [CLONE] = put_clone,
		[SOCKET] = put_socket,           [SOCKETPAIR] = put_socketpair, [FALLOCATE] = put_fallocate,
	};

	for (size_t i = 0; i < ANSWERS; i++) {
		if (!looks[i])
			continue;
		bpf_here(&b->bpf, b->labels[i]);
		looks[i](b);
	}
}

static int build(bool no_inet, struct sock_fprog *ret)
{
	struct builder *b = xcalloc(1, sizeof(*b));
	int r;

	b->bpf = BPF_EMPTY;
	b->no_inet = no_inet;
	for (size_t i = 0; i < ANSWERS; i++)
		b->labels[i] = bpf_label(&b->bpf);
	find_ranges(b);
	put_head(b);
	put_tree(b, 0, b->n_ranges);
	put_looks(b);
	put_answers(b);
	r = bpf_finish(&b->bpf, ret);
	free(b);
	return r;
}

int seccomp_host_init(struct sandbox_host *host)
{
	int r = build(false, &host->seccomp);

	if (r == 0)
		r = build(true, &host->seccomp_no_inet);
	return r;
}

void seccomp_host_deinit(struct sandbox_host *host)
{
	free(host->seccomp.filter);
	free(host->seccomp_no_inet.filter);
	host->seccomp.filter = host->seccomp_no_inet.filter = NULL;
}

int seccomp_enter(const struct sandbox_host *host, bool network, const char **what)
{
	const struct sock_fprog *program = host->namespaces || network ? &host->seccomp : &host->seccomp_no_inet;

	*what = "seccomp filter";
	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, program) < 0 ? -errno : 0;
}
