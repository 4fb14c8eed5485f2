/* The program that is loaded answers as libseccomp's two did, of which the stricter verdict counted: the last one
 * loaded first, another one only when it is stricter (seccomp(2)). */
#include "sandbox/layers.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <seccomp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/alloc.h"
#include "sandbox/calls.h"

#include <cmocka.h>

#define LOW32 0xffffffffu
#define HALF (1ull << 32)

/* ---- By libseccomp ---- */

static void rule(scmp_filter_ctx ctx, uint32_t action, int nr, unsigned n, struct scmp_arg_cmp a, struct scmp_arg_cmp b)
{
	const struct scmp_arg_cmp args[] = {a, b};

	assert_int_equal(seccomp_rule_add_array(ctx, action, nr, n, args), 0);
}
#define NO_ARG ((struct scmp_arg_cmp){0})

static void add_names(scmp_filter_ctx ctx, uint32_t action, const char *const *names)
{
	for (; *names; names++) {
		int nr = seccomp_syscall_resolve_name(*names);

		if (nr >= 0)
			rule(ctx, action, nr, 0, NO_ARG, NO_ARG);
	}
}

static void fill_calls(scmp_filter_ctx ctx)
{
	static const uint64_t personalities[] = {0, 8, 0x20000, 0x20008, 0x40000, 0xffffffff};

	add_names(ctx, SCMP_ACT_ALLOW, calls_allowed);
	add_names(ctx, SCMP_ACT_ERRNO(EPERM), calls_refused);
	for (size_t i = 0; i < ARRAY_SIZE(personalities); i++)
		rule(ctx, SCMP_ACT_ALLOW, SYS_personality, 1, SCMP_A0(SCMP_CMP_EQ, personalities[i]), NO_ARG);
}

static void fill_socket(scmp_filter_ctx ctx)
{
	static const uint64_t protocols[] = {33, 132, 262};
	const uint32_t family = SCMP_ACT_ERRNO(EAFNOSUPPORT);

	rule(ctx, family, SYS_socket, 1, SCMP_A0(SCMP_CMP_GT, AF_NETLINK), NO_ARG);
	for (uint64_t f = 0; f < AF_NETLINK; f++)
		if (f != AF_UNIX && f != AF_INET && f != AF_INET6)
			rule(ctx, family, SYS_socket, 1, SCMP_A0(SCMP_CMP_EQ, f), NO_ARG);
	rule(ctx, family, SYS_socket, 2, SCMP_A0(SCMP_CMP_EQ, AF_NETLINK), SCMP_A2(SCMP_CMP_NE, 0));
	for (size_t i = 0; i < ARRAY_SIZE(protocols); i++)
		rule(ctx, SCMP_ACT_ERRNO(EPROTONOSUPPORT), SYS_socket, 1,
		     SCMP_A2(SCMP_CMP_MASKED_EQ, LOW32, protocols[i]), NO_ARG);
	rule(ctx, family, SYS_socketpair, 1, SCMP_A0(SCMP_CMP_NE, AF_UNIX), NO_ARG);
}

static void fill_args(scmp_filter_ctx ctx)
{
	static const uint64_t requests[] = {TIOCSTI, TIOCLINUX, TIOCSETD, TIOCCONS};
	static const uint64_t rooms[] = {0x40305828, 0x4030582a, 0x40305839}; /* as fallocate */
	static const uint64_t flags[] = {CLONE_NEWNS,   CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC,
					 CLONE_NEWUSER, CLONE_NEWPID,    CLONE_NEWNET};

	for (size_t i = 0; i < ARRAY_SIZE(requests); i++)
		rule(ctx, SCMP_ACT_ERRNO(EPERM), SYS_ioctl, 1, SCMP_A1(SCMP_CMP_MASKED_EQ, LOW32, requests[i]), NO_ARG);
	for (size_t i = 0; i < ARRAY_SIZE(rooms); i++)
		rule(ctx, SCMP_ACT_ERRNO(EOPNOTSUPP), SYS_ioctl, 1, SCMP_A1(SCMP_CMP_MASKED_EQ, LOW32, rooms[i]),
		     NO_ARG);
	rule(ctx, SCMP_ACT_ERRNO(EOPNOTSUPP), SYS_fallocate, 1, SCMP_A1(SCMP_CMP_MASKED_EQ, 2 | 8, 0), NO_ARG);
	for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
		rule(ctx, SCMP_ACT_ERRNO(EPERM), SYS_clone, 1, SCMP_A0(SCMP_CMP_MASKED_EQ, flags[i], flags[i]), NO_ARG);
	fill_socket(ctx);
}

static void fill_no_inet(scmp_filter_ctx ctx)
{
	rule(ctx, SCMP_ACT_ERRNO(EACCES), SYS_socket, 1, SCMP_A0(SCMP_CMP_NE, AF_UNIX), NO_ARG);
}

static struct sock_fprog by_library(uint32_t action, void (*fill)(scmp_filter_ctx))
{
	static struct sock_filter steps[3][4096];
	static size_t used;
	struct sock_fprog program = {.filter = steps[used++]};
	scmp_filter_ctx ctx = seccomp_init(action);
	int fd = memfd_create("filter", MFD_CLOEXEC);
	ssize_t n;

	assert_int_equal(seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS), 0);
	assert_int_equal(seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2), 0);
	fill(ctx);
	assert_int_equal(seccomp_export_bpf(ctx, fd), 0);
	n = pread(fd, program.filter, sizeof(steps[0]), 0);
	assert_true(n > 0 && n < (ssize_t)sizeof(steps[0]));
	program.len = (unsigned short)((size_t)n / sizeof(*program.filter));
	seccomp_release(ctx);
	close(fd);
	return program;
}

static struct sock_fprog calls, args, no_inet;
static struct sandbox_host host;

static int build(void **state)
{
	(void)state;
	calls = by_library(SCMP_ACT_ERRNO(ENOSYS), fill_calls);
	args = by_library(SCMP_ACT_ALLOW, fill_args);
	no_inet = by_library(SCMP_ACT_ALLOW, fill_no_inet);
	return seccomp_host_init(&host);
}

static int forget(void **state)
{
	(void)state;
	seccomp_host_deinit(&host);
	return 0;
}

/* ---- As the kernel runs them ---- */

static bool jumps(const struct sock_filter *f, uint32_t a)
{
	switch (BPF_OP(f->code)) {
	case BPF_JEQ: return a == f->k;
	case BPF_JGT: return a > f->k;
	case BPF_JGE: return a >= f->k;
	case BPF_JSET: return (a & f->k) != 0;
	default: fail_msg("an unknown comparison: %#x", f->code); return false;
	}
}

static uint32_t run(const struct sock_fprog *program, const struct seccomp_data *data)
{
	uint32_t a = 0;

	for (unsigned i = 0; i < program->len; i++) {
		const struct sock_filter *f = &program->filter[i];

		switch (f->code) {
		case BPF_LD | BPF_W | BPF_ABS: memcpy(&a, (const char *)data + f->k, sizeof(a)); break;
		case BPF_ALU | BPF_AND | BPF_K: a &= f->k; break;
		case BPF_RET | BPF_K: return f->k;
		case BPF_JMP | BPF_JA: i += f->k; break;
		default: i += jumps(f, a) ? f->jt : f->jf;
		}
	}
	fail_msg("a program without an end");
	return 0;
}

static uint32_t stricter(uint32_t newer, uint32_t older)
{
	int32_t n = (int32_t)(newer & SECCOMP_RET_ACTION_FULL), o = (int32_t)(older & SECCOMP_RET_ACTION_FULL);

	return o < n ? older : newer;
}

static void expect_same(const struct seccomp_data *d)
{
	uint32_t first = run(&calls, d), last = run(&args, d);
	uint32_t without = stricter(stricter(first, run(&no_inet, d)), last);
	uint32_t with = stricter(first, last), got = run(&host.seccomp, d), got_without = run(&host.seccomp_no_inet, d);

	if (got != with || got_without != without)
		fail_msg("call %u of %#x (%#llx, %#llx, %#llx): %#x for %#x, without network %#x for %#x",
			 (unsigned)d->nr, d->arch, (unsigned long long)d->args[0], (unsigned long long)d->args[1],
			 (unsigned long long)d->args[2], got, with, got_without, without);
}

/* ---- Cases ---- */

/* Around all that is compared anywhere. */
static const uint32_t words[] = {
	0,
	1,
	2,
	3,
	7,
	8,
	9,
	10,
	11,
	15,
	16,
	17,
	18,
	32,
	33,
	34,
	44,
	131,
	132,
	133,
	261,
	262,
	263,
	0x1ffff,
	0x20000,
	0x20001,
	0x20008,
	0x20009,
	0x40000,
	0x40008,
	TIOCSTI,
	TIOCLINUX,
	TIOCSETD,
	TIOCCONS,
	TIOCSTI + 1,
	0x40305828,
	0x4030582a,
	0x4030582b,
	0x40305839,
	TIOCGWINSZ,
	CLONE_NEWNS,
	CLONE_NEWCGROUP,
	CLONE_NEWUTS,
	CLONE_NEWIPC,
	CLONE_NEWUSER,
	CLONE_NEWPID,
	CLONE_NEWNET,
	CLONE_VM | CLONE_VFORK,
	CLONE_NEWNET | CLONE_NEWPID | 17,
	0x7fffffff,
	0x80000000,
	0xfffffffe,
	0xffffffff,
};

static uint64_t word(size_t i)
{
	return words[i % ARRAY_SIZE(words)] | (i < ARRAY_SIZE(words)       ? 0
					       : i < 2 * ARRAY_SIZE(words) ? HALF
									   : ~LOW32 & ~0ull);
}
#define WORDS (2 * ARRAY_SIZE(words))

static void every_number_is_answered_as_by_the_library(void **state)
{
	static const uint32_t starts[] = {0, 0x3fffff00, 0x40000000, 0x7fffff00, 0x80000000, 0xfffffc00};
	const uint32_t archs[] = {
		seccomp_arch_native(), AUDIT_ARCH_I386, AUDIT_ARCH_X86_64, AUDIT_ARCH_AARCH64, 0, ~0u};
	struct seccomp_data d = {0};

	(void)state;
	for (size_t a = 0; a < ARRAY_SIZE(archs); a++)
		for (size_t s = 0; s < ARRAY_SIZE(starts); s++)
			for (uint32_t i = 0; i < 1024; i++)
				for (size_t w = 0; w < WORDS; w += a == 0 ? 1 : 31) {
					d.arch = archs[a];
					d.nr = (int)(starts[s] + i);
					d.args[0] = word(w);
					d.args[1] = word(w / 2);
					d.args[2] = word(w / 3);
					expect_same(&d);
				}
}

static void arguments_are_answered_as_by_the_library(void **state)
{
	static const int numbers[] = {SYS_ioctl,       SYS_clone,     SYS_socket, SYS_socketpair,
				      SYS_personality, SYS_fallocate, SYS_openat};
	struct seccomp_data d = {.arch = seccomp_arch_native()};

	(void)state;
	for (size_t k = 0; k < ARRAY_SIZE(numbers); k++)
		for (size_t i = 0; i < WORDS; i++)
			for (size_t j = 0; j < WORDS; j++) {
				d.nr = numbers[k];
				d.args[0] = word(i);
				d.args[1] = d.args[2] = word(j);
				expect_same(&d);
				d.args[1] = word(i + j);
				expect_same(&d);
			}
}

static void what_is_refused_is_told_as_programs_expect_it(void **state)
{
	struct seccomp_data d = {.arch = seccomp_arch_native(), .nr = SYS_read};

	(void)state;
	assert_int_equal(run(&host.seccomp, &d), SECCOMP_RET_ALLOW);
	d.nr = SYS_mount;
	assert_int_equal(run(&host.seccomp, &d), SECCOMP_RET_ERRNO | EPERM);
	d.nr = SYS_clone3;
	assert_int_equal(run(&host.seccomp, &d), SECCOMP_RET_ERRNO | ENOSYS);
	d.nr = SYS_fallocate;
	assert_int_equal(run(&host.seccomp, &d), SECCOMP_RET_ERRNO | EOPNOTSUPP);
	d.args[1] = 1 | 2; /* a hole */
	assert_int_equal(run(&host.seccomp, &d), SECCOMP_RET_ALLOW);
	d.nr = SYS_socket;
	d.args[0] = AF_PACKET;
	assert_int_equal(run(&host.seccomp, &d), SECCOMP_RET_ERRNO | EAFNOSUPPORT);
	d.args[0] = AF_INET;
	assert_int_equal(run(&host.seccomp, &d), SECCOMP_RET_ALLOW);
	assert_int_equal(run(&host.seccomp_no_inet, &d), SECCOMP_RET_ERRNO | EACCES);
	d.arch = 0;
	assert_int_equal(run(&host.seccomp, &d), SECCOMP_RET_KILL_PROCESS);
}

/* Each sandbox pays for its length when it is loaded. */
static void the_program_is_short(void **state)
{
	(void)state;
	print_message("# %u and %u instructions, the library's %u + %u\n", host.seccomp.len, host.seccomp_no_inet.len,
		      calls.len, args.len);
	assert_true(host.seccomp.len < 256);
	assert_true(host.seccomp_no_inet.len < 256);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_number_is_answered_as_by_the_library),
		cmocka_unit_test(arguments_are_answered_as_by_the_library),
		cmocka_unit_test(what_is_refused_is_told_as_programs_expect_it),
		cmocka_unit_test(the_program_is_short),
	};

	return cmocka_run_group_tests(tests, build, forget);
}
