/* The figures of exec.mjs that are taken below HTTP: from a request to the spawner to the command's result on disk,
 * beside programs that are started bare. Each answer is one line of JSON. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "control.h"
#include "sandbox/layers.h"
#include "testing.h"

#define PEERS_MAX 12
#define WARM_UP \
	10 /* rounds of starts that do not count: caches, and a supervisor's memory, which it shares until written */
#define FILTER_FD 20 /* as exec.mjs names it to bubblewrap */
#define WORDS_MAX 160
#define ARG(text) ((char *)(uintptr_t)(text))

static char *const true_argv[] = {ARG("/bin/true"), NULL};

/* ---- Figures ---- */

struct series {
	const char *name;
	double *ms;
	size_t n;
};

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static void print_series(struct series *s)
{
	qsort(s->ms, s->n, sizeof(*s->ms), by_value);
	printf("{\"name\":\"%s\",\"p50\":%.4f,\"p95\":%.4f,\"min\":%.4f}\n", s->name, s->ms[s->n / 2],
	       s->ms[s->n * 95 / 100], s->ms[0]);
}

static double ms_since(uint64_t us)
{
	return (double)(clock_mono_us() - us) / 1000;
}

/* ---- Starts ---- */

/* Our filter, for bubblewrap, which takes it from a descriptor. */
static void save_filter(const struct bench *b, posix_spawn_file_actions_t *ret)
{
	static struct sandbox_host host;
	char *path = xasprintf("%s/filter", b->dir);
	FILE *f = fopen(path, "we");

	posix_spawn_file_actions_init(ret);
	if (!f || seccomp_host_init(&host) < 0 ||
	    fwrite(host.seccomp.filter, sizeof(struct sock_filter), host.seccomp.len, f) != host.seccomp.len)
		exit(1);
	fclose(f);
	posix_spawn_file_actions_addopen(ret, FILTER_FD, path, O_RDONLY, 0);
}

/* A first word "@PID": with that process's mounts. */
static pid_t spawn_there(char *const *argv)
{
	char *path = xasprintf("/proc/%s/ns/mnt", argv[0] + 1);
	int mounts = open(path, O_RDONLY | O_CLOEXEC);
	pid_t pid = mounts < 0 ? -1 : vfork();

	if (pid == 0) {
		if (setns(mounts, CLONE_NEWNS) == 0)
			execv(argv[1], argv + 1);
		_exit(127);
	}
	if (mounts >= 0)
		close(mounts);
	free(path);
	return pid;
}

static double start_bare(char *const *argv, const posix_spawn_file_actions_t *actions)
{
	uint64_t t = clock_mono_us();
	int status, r = 0;
	pid_t pid;

	if (argv[0][0] == '@')
		pid = spawn_there(argv);
	else
		r = posix_spawn(&pid, argv[0], actions, NULL, argv, environ);
	if (r != 0 || pid < 0 || waitpid(pid, &status, 0) < 0 || status != 0) {
		fprintf(stderr, "bench: %s does not run\n", argv[0]);
		exit(1);
	}
	return ms_since(t);
}

/* Saved before the clock runs: what the journal takes is exec's, see exec.mjs. `protects`: with the workspace's files
 * that no command may change, which no peer has. */
static double start_inside(struct bench *b, bool protects)
{
	struct trial t = trial_argv(b, true_argv);
	double ms;
	uint64_t at;

	t.spec.protects = protects;
	trial_prepare(&t);
	at = clock_mono_us();
	trial_ask(&t);
	if (!trial_until(&t, trial_has_ended, 30000))
		exit(1);
	ms = ms_since(at);
	trial_wait(&t);
	if (t.result.status != COMMAND_EXITED || t.result.exit_code != 0) {
		fprintf(stderr, "bench: %s\n", t.result.reason);
		exit(1);
	}
	return ms;
}

struct peer {
	const char *name;
	char *argv[WORDS_MAX];
};

/* NAME=PROGRAM WORD… */
static struct peer peer_of(char *text)
{
	struct peer p = {.name = text};
	char *rest = strchr(text, '=');
	size_t n = 0;

	if (!rest)
		exit(2);
	*rest++ = 0;
	for (char *word; n < WORDS_MAX - 1 && (word = strtok_r(NULL, " ", &rest));)
		p.argv[n++] = word;
	return p;
}

/* Everything in turn in every round, so that what else the machine does meets all alike. */
static void measure_starts(size_t rounds, char **peers, size_t n_peers)
{
	struct bench *cold = bench_new_with(false, true, 0), *warm = bench_new_with(false, true, 4);
	posix_spawn_file_actions_t filters;
	struct peer p[PEERS_MAX];
	struct series all[PEERS_MAX + 4] = {
		{.name = "cold"}, {.name = "warm"}, {.name = "warm_protected"}, {.name = "posix_spawn"}};
	size_t n = 4 + n_peers;

	save_filter(cold, &filters);
	for (size_t i = 0; i < n_peers; i++) {
		p[i] = peer_of(peers[i]);
		all[4 + i].name = p[i].name;
	}
	for (size_t i = 0; i < n; i++)
		all[i].ms = xcalloc(rounds, sizeof(double));
	for (size_t r = 0; r < WARM_UP + rounds; r++)
		for (size_t i = 0; i < n; i++) {
			double ms;

			usleep(8000); /* the pool fills, the last one's remains go */
			if (i < 3)
				ms = start_inside(i == 0 ? cold : warm, i == 2);
			else
				ms = i == 3 ? start_bare(true_argv, NULL) : start_bare(p[i - 4].argv, &filters);
			if (r >= WARM_UP)
				all[i].ms[all[i].n++] = ms;
		}
	for (size_t i = 0; i < n; i++)
		print_series(&all[i]);
	bench_free(cold);
	bench_free(warm);
}

/* ---- Sustained ---- */

static void measure_rate(size_t n, size_t width, size_t pool)
{
	struct bench *b = bench_new_with(false, true, (unsigned)pool);
	struct trial *t = xcalloc(n, sizeof(*t));
	struct pollfd p[64] = {0};
	size_t running[64], started = 0, ended = 0, busy = 0;
	uint64_t at;

	for (size_t i = 0; i < n; i++) {
		t[i] = trial_argv(b, true_argv);
		trial_prepare(&t[i]);
	}
	at = clock_mono_us();
	while (ended < n) {
		for (; busy < width && started < n; busy++) {
			running[busy] = started;
			trial_ask(&t[started++]);
		}
		for (size_t i = 0; i < busy; i++)
			p[i] = (struct pollfd){.fd = t[running[i]].control, .events = POLLIN};
		if (poll(p, busy, 30000) <= 0)
			exit(1);
		for (size_t i = busy; i-- > 0;) {
			struct trial *one = &t[running[i]];

			if (p[i].revents && trial_until(one, trial_has_ended, 1)) {
				close(one->control);
				one->control = -1;
				running[i] = running[--busy];
				ended++;
			}
		}
	}
	printf("{\"name\":\"rate\",\"per_second\":%.1f}\n", (double)n * 1e6 / (double)(clock_mono_us() - at));
	bench_free(b);
}

/* ---- Many at once ---- */

/* Memory is that of a cgroup with all of us in it: processes, and what the kernel keeps for them (page tables, stacks,
 * sockets, mounts, network namespaces), whatever else the machine does. Where no cgroup can be made (an ordinary user),
 * what the machine has less. */
static char *group;

static void enter(const char *folder)
{
	FILE *procs = fopen(xasprintf("%s/cgroup.procs", folder), "we");

	if (!procs || fputs("0", procs) < 0 || fclose(procs) != 0)
		fprintf(stderr, "bench: the cgroup %s cannot be entered\n", folder);
}

static void enter_group(void)
{
	static const char *const places[][2] = {{":memory:", "/sys/fs/cgroup/memory"}, {"0::", "/sys/fs/cgroup"}};
	char line[512], *at;
	FILE *f = fopen("/proc/self/cgroup", "re");

	while (f && !group && fgets(line, sizeof(line), f))
		for (size_t i = 0; i < 2 && !group; i++) {
			at = strstr(line, places[i][0]);
			line[strcspn(line, "\n")] = 0;
			if (!at)
				continue;
			group = xasprintf("%s%s/ogent-bench-%d", places[i][1], at + strlen(places[i][0]),
					  (int)getpid());
			if (mkdir(group, 0755) < 0 && errno != EEXIST) {
				free(group);
				group = NULL;
			}
		}
	if (f)
		fclose(f);
	if (group)
		enter(group);
}

/* When all that was in it has ended. */
static void leave_group(void)
{
	if (!group)
		return;
	enter(xasprintf("%.*s", (int)(strrchr(group, '/') - group), group));
	for (int i = 0; i < 100 && rmdir(group) < 0; i++)
		usleep(20000);
}

static long number_in(const char *path, const char *format)
{
	FILE *f = fopen(path, "re");
	char line[256];
	long n = -1;

	while (f && n < 0 && fgets(line, sizeof(line), f))
		if (sscanf(line, format, &n) != 1)
			n = -1;
	if (f)
		fclose(f);
	return n;
}

static long used_kib(void)
{
	long n = group ? number_in(xasprintf("%s/memory.usage_in_bytes", group), "%ld") : -1;

	if (n < 0 && group)
		n = number_in(xasprintf("%s/memory.current", group), "%ld");
	return n >= 0 ? n / 1024 : -number_in("/proc/meminfo", "MemAvailable: %ld");
}

static char *const sleep_argv[] = {ARG("/bin/sleep"), ARG("600"), NULL};

/* What the command takes by itself. */
static double bare_kib(size_t n)
{
	pid_t *pids = xcalloc(n, sizeof(*pids));
	long before = used_kib(), after;

	for (size_t i = 0; i < n; i++)
		if (posix_spawn(&pids[i], sleep_argv[0], NULL, NULL, sleep_argv, environ) != 0)
			exit(1);
	sleep(1);
	after = used_kib();
	for (size_t i = 0; i < n; i++) {
		kill(pids[i], SIGKILL);
		waitpid(pids[i], NULL, 0);
	}
	return (double)(after - before) / (double)n;
}

/* `protects`: as of start_inside. */
static void measure_live(size_t n, bool protects)
{
	struct rlimit files = {65536, 65536};
	struct bench *b;
	struct trial *t = xcalloc(n, sizeof(*t));
	double bare;
	long before;
	uint64_t at;

	enter_group();
	bare = bare_kib(n);
	setrlimit(RLIMIT_NOFILE, &files);
	b = bench_new_with(false, true, 0);
	for (size_t i = 0; i < n; i++) {
		t[i] = trial_argv(b, sleep_argv);
		t[i].spec.timeout_ms = 600000;
		t[i].spec.protects = protects;
		trial_prepare(&t[i]);
	}
	sleep(1);
	before = used_kib();
	for (size_t i = 0; i < n; i++) {
		trial_ask(&t[i]);
		if (!trial_until(&t[i], trial_has_started, 30000))
			exit(1);
	}
	sleep(2);
	printf("{\"name\":\"live\",\"kib\":%.1f}\n{\"name\":\"bare\",\"kib\":%.1f}\n",
	       (double)(used_kib() - before) / (double)n, bare);
	at = clock_mono_us();
	for (size_t i = 0; i < n; i++)
		trial_cancel(&t[i]);
	for (size_t i = 0; i < n; i++)
		if (!trial_until(&t[i], trial_has_ended, 30000))
			exit(1);
	printf("{\"name\":\"kill_all\",\"ms\":%.3f}\n", ms_since(at));
	sleep(1); /* their remains go */
	bench_free(b);
	leave_group();
}

/* From the cancel to the result, which is written when nobody is left inside. */
static void measure_kill(size_t rounds)
{
	struct bench *b = bench_new_with(false, true, 2);
	struct series s = {.name = "kill", .ms = xcalloc(rounds, sizeof(double))};

	for (size_t i = 0; i < rounds; i++) {
		struct trial t =
			trial_script(b, "for i in 1 2 3 4 5 6 7 8 9 10; do setsid sleep 600 & done; (setsid sleep "
					"600 &); trap '' TERM INT HUP; echo on; sleep 600; sleep 600");
		uint64_t at;

		trial_start(&t);
		if (!trial_until(&t, trial_has_output, 30000))
			exit(1);
		usleep(5000);
		at = clock_mono_us();
		trial_cancel(&t);
		if (!trial_until(&t, trial_has_ended, 30000))
			exit(1);
		s.ms[s.n++] = ms_since(at);
		trial_wait(&t);
	}
	print_series(&s);
	bench_free(b);
}

/* Into the spool, with nobody who reads it. */
static void measure_output(size_t megabytes)
{
	struct bench *b = bench_new_with(false, true, 0);
	char *argv[] = {ARG("/usr/bin/head"), ARG("-c"), xasprintf("%zu", megabytes * 1000000), ARG("/dev/zero"), NULL};
	struct trial t = trial_argv(b, argv);
	uint64_t at = clock_mono_us();

	trial_start(&t);
	trial_wait(&t);
	if (t.result.output_bytes != megabytes * 1000000)
		exit(1);
	printf("{\"name\":\"output\",\"mb_per_second\":%.1f}\n", (double)megabytes * 1000 / ms_since(at));
	bench_free(b);
}

static size_t number(const char *text)
{
	return strtoul(text, NULL, 10);
}

int main(int argc, char **argv)
{
	const char *what = argc > 2 ? argv[1] : "";

	if (strcmp(what, "starts") == 0 && argc - 3 <= PEERS_MAX)
		measure_starts(number(argv[2]), argv + 3, (size_t)argc - 3);
	else if (strcmp(what, "rate") == 0 && argc == 5)
		measure_rate(number(argv[2]), MIN(number(argv[3]), 64), number(argv[4]));
	else if (strcmp(what, "output") == 0)
		measure_output(number(argv[2]));
	else if (strcmp(what, "live") == 0)
		measure_live(number(argv[2]), argc > 3 && strcmp(argv[3], "protected") == 0);
	else if (strcmp(what, "kill") == 0)
		measure_kill(number(argv[2]));
	else
		return fprintf(stderr, "usage: bench-exec starts ROUNDS [NAME=COMMAND]… | rate COMMANDS WIDTH POOL | "
				       "output MEGABYTES | live N | "
				       "kill ROUNDS\n"),
		       2;
	return 0;
}
