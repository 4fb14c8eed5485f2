#include "data/redis_for_tests.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define READY_MS 20000
#define MAX_ARGS 32

/* Of the package redis-tools: one file, which looks at its name. */
static const char program[] = "/usr/bin/redis-check-rdb";

static int free_port(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &n), 0);
	close(fd);
	return ntohs(a.sin_port);
}

static bool answers(const struct test_redis *t)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	char reply[64] = "";
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool ok;

	snprintf(a.sun_path, sizeof(a.sun_path), "%s/s", t->dir);
	ok = connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0 && write(fd, "PING\r\n", 6) == 6 &&
	     read(fd, reply, sizeof(reply) - 1) > 0 && (strstr(reply, "PONG") || strstr(reply, "NOAUTH"));
	close(fd);
	return ok;
}

static void run(const struct test_redis *t, const char *const *args)
{
	char port[16], socket_path[80];
	const char *argv[MAX_ARGS] = {"redis-server", "--bind",      "127.0.0.1", "--port",       port, "--dir",
				      t->dir,         "--save",      "",          "--appendonly", "no", "--unixsocket",
				      socket_path,    "--daemonize", "no"};
	size_t n = 15;

	snprintf(port, sizeof(port), "%d", t->port);
	snprintf(socket_path, sizeof(socket_path), "%s/s", t->dir);
	for (; args && *args && n < MAX_ARGS - 1; args++)
		argv[n++] = *args;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	int null = open("/dev/null", O_RDWR);
	dup2(null, STDOUT_FILENO);
	execv(program, (char **)argv);
	_exit(127);
}

void test_redis_again(struct test_redis *t, const char *const *args)
{
	t->pid = fork();
	assert_true(t->pid >= 0);
	if (t->pid == 0)
		run(t, args);
	for (unsigned i = 0; i < READY_MS / 10 && !answers(t); i++)
		nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
	assert_true(answers(t));
}

bool test_redis_start(struct test_redis *t, bool is_tcp, const char *const *args)
{
	*t = (struct test_redis){0};
	if (access(program, X_OK)) {
		print_message("not run: there is no Redis\n");
		return false;
	}
	strcpy(t->dir, "/tmp/ogent-redis-XXXXXX");
	assert_non_null(mkdtemp(t->dir));
	t->port = is_tcp ? free_port() : 0;
	if (is_tcp)
		snprintf(t->url, sizeof(t->url), "redis://127.0.0.1:%d/1", t->port);
	else
		snprintf(t->url, sizeof(t->url), "unix:%s/s", t->dir);
	test_redis_again(t, args);
	return true;
}

void test_redis_signal(struct test_redis *t, int signal)
{
	kill(t->pid, signal);
	if (signal == SIGSTOP || signal == SIGCONT)
		return;
	waitpid(t->pid, NULL, 0);
	t->pid = 0;
}

void test_redis_remove(struct test_redis *t)
{
	char command[100];

	if (t->pid > 0)
		test_redis_signal(t, SIGKILL);
	if (!*t->dir)
		return;
	snprintf(command, sizeof(command), "rm -r %s", t->dir);
	assert_int_equal(system(command), 0);
}
