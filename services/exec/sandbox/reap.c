/* What an init does when its leader runs: it reaps, and tells the leader's end.
 *
 * For a command that lasts it gives its memory back first, all but a page of code and a page of data: it was a copy of
 * the supervisor, and takes some 140 KiB with the tables of its pages. From there on it lives without libc: the calls
 * below are its own, and nothing that the compiler might call is there. */
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#if __has_include(<sys/rseq.h>)
#include <sys/rseq.h>
#endif

#include "sandbox/layers.h"

#define LASTS_US 60000
#define PAGE 4096u

/* Without what the compiler adds to functions. */
#define BARE no_stack_protector, no_sanitize("address"), no_sanitize("undefined"), no_profile_instrument_function
#define INLINED static inline __attribute__((always_inline, BARE))

INLINED void add_usage(struct init_message *m, const struct rusage *all)
{
	m->max_rss_kib = (uint64_t)all->ru_maxrss;
	m->cpu_us = (uint64_t)(all->ru_utime.tv_sec + all->ru_stime.tv_sec) * 1000000 +
		    (uint64_t)(all->ru_utime.tv_usec + all->ru_stime.tv_usec);
	m->system_us = (uint64_t)all->ru_stime.tv_sec * 1000000 + (uint64_t)all->ru_stime.tv_usec;
	m->read_bytes = (uint64_t)all->ru_inblock * 512;
	m->write_bytes = (uint64_t)all->ru_oublock * 512;
}

/* ---- With a page of each ---- */

#if defined(__x86_64__)

INLINED long call(long nr, long a, long b, long c, long d)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = 0;
	register long r9 __asm__("r9") = 0;
	long r;

	__asm__ volatile("syscall"
			 : "=a"(r)
			 : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return r;
}

#define GO_TO(code, top) \
	__asm__ volatile("mov %0, %%rsp\n\txor %%ebp, %%ebp\n\tcall *%1\n\tud2" ::"r"(top), "r"(code) : "memory")

#elif defined(__aarch64__)

INLINED long call(long nr, long a, long b, long c, long d)
{
	register long x8 __asm__("x8") = nr;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	register long x4 __asm__("x4") = 0;
	register long x5 __asm__("x5") = 0;

	__asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
	return x0;
}

#define GO_TO(code, top) __asm__ volatile("mov sp, %0\n\tblr %1\n\tbrk 1" ::"r"(top), "r"(code) : "memory")

#endif

#if defined(GO_TO) && defined(RSEQ_SIG)

/* All the data, and the stack. */
static union {
	struct {
		struct init_message exited;
		struct rusage usage;
		uintptr_t code;
		pid_t leader;
		int status, control;
		bool keeps_net;
	};
	_Alignas(16) char page[PAGE];
} bare __attribute__((aligned(PAGE)));

INLINED void bare_exited(void)
{
	long pid;

	do
		pid = call(SYS_wait4, -1, 0, WNOHANG | __WALL, 0);
	while (pid > 0 || pid == -EINTR);
	call(SYS_getrusage, RUSAGE_CHILDREN, (long)&bare.usage, 0, 0);
	add_usage(&bare.exited, &bare.usage);
	bare.exited.wait_status = bare.status;
	bare.exited.is_alone = pid < 0;
	while (call(SYS_sendto, bare.control, (long)&bare.exited, sizeof(bare.exited), MSG_NOSIGNAL) == -EINTR)
		;
}

/* How far addresses go differs from machine to machine, and beyond that the kernel refuses. */
INLINED void bare_unmap(uintptr_t from)
{
	for (uintptr_t top = (uintptr_t)1 << 48; top - PAGE > from; top >>= 1)
		if (call(SYS_munmap, (long)from, (long)(top - PAGE - from), 0, 0) == 0)
			return;
}

/* The code is below the data, as everywhere. */
static __attribute__((section("ogent_bare"), aligned(PAGE), noinline, BARE)) void bare_main(void)
{
	uintptr_t data = (uintptr_t)&bare;
	long pid;

	call(SYS_munmap, 0, (long)bare.code, 0, 0);
	call(SYS_munmap, (long)(bare.code + PAGE), (long)(data - bare.code - PAGE), 0, 0);
	bare_unmap(data + PAGE);
	do {
		pid = call(SYS_wait4, -1, (long)&bare.status, __WALL, 0);
		if (pid == bare.leader)
			bare_exited();
	} while (pid >= 0 || pid == -EINTR);
	if (bare.keeps_net)
		while (call(SYS_recvfrom, bare.control, (long)&bare.status, 1, 0) == -EINTR)
			;
	for (;;)
		call(SYS_exit_group, 0, 0, 0, 0);
}

/* The kernel would write to where libc has had it count restarts. */
static bool forget_rseq(void)
{
	char *at = (char *)__builtin_thread_pointer() + __rseq_offset;

	return __rseq_size == 0 || syscall(SYS_rseq, at, 32, RSEQ_FLAG_UNREGISTER, RSEQ_SIG) == 0;
}

static void go_bare(int control, pid_t leader, bool keeps_net)
{
	extern const char __start_ogent_bare[], __stop_ogent_bare[];
	uintptr_t code = (uintptr_t)__start_ogent_bare;

	if ((size_t)(__stop_ogent_bare - __start_ogent_bare) > PAGE || code % PAGE || sysconf(_SC_PAGESIZE) != PAGE ||
	    code > (uintptr_t)&bare || !forget_rseq())
		return;
	bare.exited.event = INIT_EXITED;
	bare.code = code;
	bare.leader = leader;
	bare.control = control;
	bare.keeps_net = keeps_net;
	GO_TO(bare_main, bare.page + PAGE);
}

#else

static void go_bare(int control, pid_t leader, bool keeps_net)
{
	(void)control;
	(void)leader;
	(void)keeps_net;
}

#endif

/* ---- At first ---- */

static volatile sig_atomic_t lasts;

static void on_time(int signal)
{
	(void)signal;
	lasts = true;
}

/* It comes again until it was heard: it may come just before the wait. */
static void set_clock(bool on)
{
	struct sigaction action = {.sa_handler = on ? on_time : SIG_IGN};
	const struct itimerval time = {.it_value.tv_usec = on ? LASTS_US : 0, .it_interval.tv_sec = on};

	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &time, NULL);
}

/* Ends what died together with the leader; whether anybody is left. */
static bool is_alone(void)
{
	pid_t pid;

	do
		pid = waitpid(-1, NULL, WNOHANG | __WALL);
	while (pid > 0 || (pid < 0 && errno == EINTR));
	return pid < 0;
}

__attribute__((BARE)) static void say_exit(int control, int status)
{
	struct init_message m = {.event = INIT_EXITED, .wait_status = status, .is_alone = is_alone()};
	struct rusage all;

	getrusage(RUSAGE_CHILDREN, &all);
	add_usage(&m, &all);
	while (send(control, &m, sizeof(m), MSG_NOSIGNAL) < 0 && errno == EINTR)
		;
}

void reap_all(int control, pid_t leader, bool keeps_net)
{
	int status;
	char step;

	set_clock(true);
	for (;;) {
		pid_t pid = waitpid(-1, &status, __WALL);

		if (pid < 0 && errno == EINTR) {
			if (lasts) {
				lasts = false;
				set_clock(false);
				go_bare(control, leader, keeps_net);
			}
			continue;
		}
		if (pid < 0)
			break;
		if (pid == leader)
			say_exit(control, status);
	}
	if (keeps_net)
		while (recv(control, &step, 1, 0) < 0 && errno == EINTR)
			;
	_exit(0);
}
