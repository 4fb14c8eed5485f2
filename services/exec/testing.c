#include "testing.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "control.h"
#include "files.h"
#include "watch.h"

#define NOBODY 65534
#define TEST_UID 1900000000

struct bench *bench_new(bool as_user, bool namespaces)
{
	return bench_new_with(as_user, namespaces, 0);
}

struct bench *bench_new_with(bool as_user, bool namespaces, unsigned pool)
{
	struct bench *b = xcalloc(1, sizeof(*b));
	static const char *const dirs[] = {"commands", "running", "workspaces"};
	struct spawner_pool ahead = {.size = pool,
				     .frame = {.memory_max = 256 << 20, .tmp_max = 64 << 20, .pids_max = 64}};

	if (as_user && geteuid() == 0) {
		assert_int_equal(setgroups(0, NULL), 0);
		assert_int_equal(setresgid(NOBODY, NOBODY, NOBODY), 0);
		assert_int_equal(setresuid(NOBODY, NOBODY, NOBODY), 0);
		/* As after an exec; without it /proc/PID is root's, and no namespace can be set up. */
		assert_int_equal(prctl(PR_SET_DUMPABLE, namespaces, 0, 0, 0), 0);
	}
	strcpy(b->dir, "/tmp/ogent-exec.XXXXXX");
	assert_non_null(mkdtemp(b->dir));
	b->dir_fd = open(b->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++)
		assert_int_equal(mkdirat(b->dir_fd, dirs[i], 0700), 0);
	b->arena = arena_new();
	assert_int_equal(spawner_start(b->dir, &ahead, NULL, NULL, &b->spawner), 0);
	return b;
}

void bench_free(struct bench *b)
{
	char *command = xasprintf("chmod -R u+rwx '%s'; rm -rf '%s'", b->dir, b->dir);

	spawner_deinit(&b->spawner);
	close(b->dir_fd);
	assert_int_equal(system(command), 0);
	free(command);
	arena_free(b->arena);
	free(b);
}

void bench_workspace(struct bench *b, const char *name, uid_t uid)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/workspaces/%s", b->dir, name);
	if (mkdir(path, 0700) < 0)
		assert_int_equal(errno, EEXIST);
	if (geteuid() == 0) {
		int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		assert_int_equal(chown(path, uid, uid), 0);
		watch_new_workspace(fd, uid);
		close(fd);
	}
}

/* A machine without a processor of its own. */
bool trials_are_slow(void)
{
	return getenv("OGENT_TEST_SLOW") != NULL;
}

static struct trial trial_new(struct bench *b)
{
	static char *no_env[] = {NULL};
	struct trial t = {.bench = b, .control = -1};

	id_new(t.spec.id);
	t.spec.user_id = "somebody";
	t.spec.key = t.spec.request_hash = t.spec.cwd = t.spec.target = "";
	t.spec.env = no_env;
	t.spec.uid = TEST_UID + b->n++;
	t.spec.workspace = arena_printf(b->arena, "w%u", b->n);
	t.spec.timeout_ms = trials_are_slow() ? 300000 : 20000;
	t.spec.memory_max = 256 << 20;
	t.spec.tmp_max = 64 << 20;
	t.spec.output_max = 8 << 20;
	t.spec.pids_max = 64;
	t.spec.protects = true;
	t.spec.created_us = clock_now_us();
	return t;
}

struct trial trial_script(struct bench *b, const char *script)
{
	struct trial t = trial_new(b);

	t.spec.script = script;
	return t;
}

struct trial trial_argv(struct bench *b, char *const *argv)
{
	struct trial t = trial_new(b);

	t.spec.argv = (char **)(uintptr_t)argv;
	return t;
}

static int open_folder(const struct trial *t)
{
	char path[96];

	snprintf(path, sizeof(path), "commands/%s", t->spec.id);
	return dir_open(t->bench->dir_fd, path);
}

static void save(struct trial *t)
{
	struct arena *a = t->bench->arena;
	struct str text = file_with_room(a, spec_to_json(a, &t->spec));
	char path[96];
	int dir;

	snprintf(path, sizeof(path), "commands/%s", t->spec.id);
	assert_int_equal(mkdirat(t->bench->dir_fd, path, 0700), 0);
	dir = open_folder(t);
	assert_int_equal(file_create(dir, SPEC_FILE, text), 0);
	assert_int_equal(file_reserve(dir, SPEC_FILE, dir, RESULT_FILE, text), 0);
	close(dir);
}

void trial_prepare(struct trial *t)
{
	if (t->spec.workspace[0])
		bench_workspace(t->bench, t->spec.workspace, t->spec.uid);
	save(t);
}

void trial_ask(struct trial *t)
{
	assert_int_equal(spawner_ask(&t->bench->spawner, t->spec.id, &t->control), 0);
}

void trial_start(struct trial *t)
{
	trial_prepare(t);
	trial_ask(t);
}

void trial_start_in(struct trial *t)
{
	save(t);
	trial_ask(t);
}

void trial_cancel(struct trial *t)
{
	control_send(t->control, CONTROL_CANCEL);
}

static void on_event(struct trial *t)
{
	struct control_event e;
	int r = control_receive(t->control, &e);

	if (r == -EAGAIN)
		return;
	if (r == 0) {
		close(t->control);
		t->control = -1;
		t->is_closed = true;
		return;
	}
	switch ((enum control_event_type)e.type) {
	case CONTROL_STARTED: t->started_us = e.at_us; break;
	case CONTROL_OUTPUT:
		t->total = e.total;
		control_send(t->control, CONTROL_SEEN);
		break;
	case CONTROL_ENDED: t->is_ended = true; break;
	case CONTROL_TAKEN: break;
	case CONTROL_INPUT:
		t->input_taken = (uint64_t)e.at_us;
		t->is_input_closed = e.err < 0;
		break;
	case CONTROL_WAITING: t->is_waiting = e.total != 0; break;
	case CONTROL_FAILED: fail_msg("supervisor: %s", strerror(-e.err)); break;
	}
}

bool trial_until(struct trial *t, bool (*fn)(const struct trial *t), int ms)
{
	uint64_t end = clock_mono_us() + (uint64_t)ms * 1000;

	while (!fn(t) && !t->is_closed) {
		struct pollfd p = {.fd = t->control, .events = POLLIN};
		uint64_t now = clock_mono_us();

		if (now >= end || poll(&p, 1, (int)((end - now) / 1000) + 1) <= 0)
			return false;
		on_event(t);
	}
	return fn(t);
}

bool trial_has_started(const struct trial *t)
{
	return t->started_us != 0;
}

bool trial_has_output(const struct trial *t)
{
	return t->total != 0;
}

bool trial_has_ended(const struct trial *t)
{
	return t->is_ended;
}

bool trial_is_waiting(const struct trial *t)
{
	return t->is_waiting;
}

bool trial_input_is_closed(const struct trial *t)
{
	return t->is_input_closed;
}

static bool is_closed(const struct trial *t)
{
	return t->is_closed;
}

static void read_output(struct trial *t, int dir)
{
	struct spool_reader r;
	struct spool_piece piece;
	struct buf all = BUF_INIT;
	uint64_t at = 0;
	char data[4096];

	assert_int_equal(spool_reader_open(&r, dir), 0);
	do {
		assert_int_equal(spool_read(&r, at, data, sizeof(data), &piece), 0);
		buf_add(&all, data, piece.n);
		at = piece.offset + piece.n;
	} while (piece.n > 0);
	t->output = arena_str(t->bench->arena, buf_str(&all));
	buf_deinit(&all);
	spool_reader_deinit(&r);
}

void trial_wait(struct trial *t)
{
	int dir = open_folder(t);
	struct str text;

	assert_true(trial_until(t, trial_has_ended, trials_are_slow() ? 400000 : 40000));
	assert_int_equal(file_read_second(dir, RESULT_FILE, 65536, t->bench->arena, &text), 0);
	assert_int_equal(result_from_json(t->bench->arena, text, &t->result), 0);
	read_output(t, dir);
	close(dir);
	trial_until(t, is_closed, 2000);
}

struct trial trial_run(struct bench *b, const char *script)
{
	struct trial t = trial_script(b, script);

	trial_start(&t);
	trial_wait(&t);
	return t;
}

static pid_t ask_supervisor(const struct trial *t)
{
	struct ucred who;
	socklen_t n = sizeof(who);
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	pid_t pid = 0;

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%.30s/commands/%.36s/" CONTROL_SOCKET, t->bench->dir,
		 t->spec.id);
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0 &&
	    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &n) == 0)
		pid = who.pid;
	close(fd);
	return pid;
}

/* It listens when the command has run for a moment. */
pid_t trial_supervisor(const struct trial *t)
{
	pid_t pid = 0;

	for (int i = 0; i < 1000 && pid == 0; i++) {
		pid = ask_supervisor(t);
		usleep(pid ? 0 : 10000);
	}
	return pid;
}

unsigned count_processes(const char *text)
{
	DIR *d = opendir("/proc");
	struct dirent *e;
	unsigned n = 0;

	while ((e = readdir(d))) {
		char path[300], line[4096];
		ssize_t k;
		int fd;

		snprintf(path, sizeof(path), "/proc/%s/cmdline", e->d_name);
		fd = e->d_name[0] >= '1' && e->d_name[0] <= '9' ? open(path, O_RDONLY | O_CLOEXEC) : -1;
		if (fd < 0)
			continue;
		k = read(fd, line, sizeof(line));
		close(fd);
		n += k > 0 && memmem(line, (size_t)k, text, strlen(text)) != NULL;
	}
	closedir(d);
	return n;
}
